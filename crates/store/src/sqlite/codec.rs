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

/// Headers as they are.
pub(super) fn headers(column: ValueRef<'_>) -> rusqlite::Result<Headers> {
    Headers::from_bytes(bytes(column)?).map_err(unreadable)
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
