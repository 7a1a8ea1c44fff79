//! How values of the port lie in columns.

use std::borrow::Cow;

use bytes::Bytes;
use cartwright_core::ports::{Headers, PAGE_BYTES, StoreError, Stored};
use tokio_postgres::{Row, error::SqlState};

/// A text as PostgreSQL takes it: it knows no NUL.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// A number that PostgreSQL has to compare or sort; ours never come near the border.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A limit as PostgreSQL takes it.
pub(super) fn limit(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A small number that is never negative.
pub(super) fn small(value: i64) -> Option<u32> {
    u32::try_from(value).ok()
}

/// Headers as they are; none where they were damaged. A message is applied by its value alone, so a reader without
/// headers looks into it; without the message, nobody who reads its journal would get any further.
pub(super) fn headers(bytes: Vec<u8>) -> Headers {
    Headers::from_bytes(Bytes::from(bytes)).unwrap_or_else(|error| {
        tracing::error!(%error, "the headers of a stored message are damaged and left out");
        Headers::default()
    })
}

/// A row with columns `revision, schema, parked, record` from this one on.
pub(super) fn stored(row: &Row, from: usize) -> Result<Stored, tokio_postgres::Error> {
    Ok(Stored {
        revision: row.try_get::<_, i64>(from)?.cast_unsigned(),
        // A number that no binary writes is a shape that this one does not know.
        schema: small(row.try_get(from + 1)?).unwrap_or(u32::MAX),
        has_parked: row.try_get::<_, i64>(from + 2)? > 0,
        record: row.try_get(from + 3)?,
    })
}

/// Rows until they come to a page.
pub(super) fn page<T>(
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    size: impl Fn(&T) -> usize,
) -> Result<Vec<T>, tokio_postgres::Error> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = read(row)?;
        bytes += size(&row);
        page.push(row);
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(page)
}

/// What an error is to the caller.
pub(super) fn store_error(error: &tokio_postgres::Error) -> StoreError {
    let says = says(error);
    match error.code() {
        Some(&SqlState::DISK_FULL) => StoreError::Full(says),
        Some(&(SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED)) => StoreError::Corrupt(says),
        Some(_) => StoreError::Unavailable(says),
        // Not the server's word: a column does not hold what it should, or the connection is lost.
        None => StoreError::Unavailable(says),
    }
}

/// An error in words, with its cause.
pub(super) fn says(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => db.to_string(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// Whether the same batch may stand at the next try: it met another one head on, or its connection was lost.
pub(super) fn is_passing(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => {
            let kinds = [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
            ];
            kinds.contains(code)
        }
        None => error.is_closed() || std::error::Error::source(error).is_some(),
    }
}
