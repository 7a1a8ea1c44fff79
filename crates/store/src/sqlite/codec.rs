//! How values of the port lie in columns.

use bytes::Bytes;
use cartwright_core::ports::Headers;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::failure::unreadable;

/// A blob as it is.
pub(super) fn bytes(column: ValueRef<'_>) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(column.as_blob()?))
}

/// Headers as they are; none where they were damaged. A message is applied by its value alone, so a reader without
/// headers looks into it; without the message, nobody who reads its journal would get any further.
pub(super) fn headers(column: ValueRef<'_>) -> rusqlite::Result<Headers> {
    Ok(Headers::from_bytes(bytes(column)?).unwrap_or_else(|error| {
        tracing::error!(%error, "the headers of a stored message are damaged and left out");
        Headers::default()
    }))
}

/// A text as it is, but for what is not UTF-8.
pub(super) fn text(column: ValueRef<'_>) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(column.as_bytes()?).into_owned())
}

/// A small number that is never negative.
pub(super) fn small(column: ValueRef<'_>) -> rusqlite::Result<u32> {
    u32::try_from(column.as_i64()?).map_err(unreadable)
}

/// A UUID from its column.
pub(super) fn uuid(bytes: &[u8]) -> rusqlite::Result<Uuid> {
    Uuid::from_slice(bytes).map_err(unreadable)
}

/// A number that SQLite has to compare or sort; ours never come near the border.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A limit as SQLite takes it.
pub(super) fn limit(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
