//! What an error of SQLite means for us.

use std::time::Duration;

use cartwright_core::ports::StoreError;
use rusqlite::{Error, ErrorCode};

/// What an error of a read, or of a statement before COMMIT, is to the caller.
pub(super) fn store_error(error: &Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => StoreError::TooLong(Duration::ZERO),
        Some(ErrorCode::DiskFull) => StoreError::Full(error.to_string()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(error.to_string()),
        Some(_) => StoreError::Unavailable(error.to_string()),
        // Not SQLite's word but rusqlite's: a column does not hold what it should.
        None => StoreError::Corrupt(error.to_string()),
    }
}

/// Whether an error may leave a transaction half written: all but those that SQLite defines to change nothing.
pub(super) fn is_harmless(error: &Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OutOfMemory
                | ErrorCode::InternalMalfunction
                | ErrorCode::OperationInterrupted
                | ErrorCode::Unknown
        )
    )
}

/// A stored value that can't be read back, as an error of rusqlite.
pub(super) fn unreadable(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, what.into())
}
