//! What only the inside can provoke: a disk that fails at the worst moment.

use std::sync::Mutex;

/// What the next COMMIT meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An error, and nothing is written.
    BeforeCommit,
    /// An error, although everything is written.
    AfterCommit,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    commit: Mutex<Option<Fault>>,
    reopens: Mutex<u32>,
}

impl Faults {
    pub(super) fn take_commit(&self) -> Option<Fault> {
        self.commit.lock().unwrap().take()
    }

    pub(super) fn reopen(&self) -> rusqlite::Result<()> {
        let mut left = self.reopens.lock().unwrap();
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        Err(io_error())
    }
}

pub(super) fn io_error() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None)
}
