//! Connections that threads work with and that can be taken away between two uses, all of them at once.
//!
//! SQLite keeps in memory how far the log has been copied back, as long as anybody has the file open. When a
//! checkpoint failed, that is more than is on the disk: pages that were copied earlier wait for the same sync, and the
//! kernel takes them for written after it has failed once. Only when every connection is closed does SQLite read
//! the log anew, and copy all of it again.
//!
//! It also remembers which transactions stand. That must not be forgotten while the fate of one is unknown, because the
//! log in the cache may hold what is not on the disk: these connections see to it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

use super::{SqliteOptions, open};

type Connect = dyn Fn(&Path, &SqliteOptions) -> rusqlite::Result<Connection> + Send + Sync;

/// A connection for one thread.
pub(super) struct Lent {
    path: PathBuf,
    options: SqliteOptions,
    connect: Box<Connect>,
    conn: Mutex<Option<Connection>>,
}

impl Lent {
    pub(super) fn open(
        path: &Path,
        options: &SqliteOptions,
        connect: impl Fn(&Path, &SqliteOptions) -> rusqlite::Result<Connection> + Send + Sync + 'static,
    ) -> rusqlite::Result<Arc<Self>> {
        let lent = Self {
            path: path.to_owned(),
            options: options.clone(),
            connect: Box::new(connect),
            conn: Mutex::new(None),
        };
        *lent.lock() = Some(lent.fresh()?);
        Ok(Arc::new(lent))
    }

    /// Works with the connection; if it was taken away, with a new one.
    pub(super) fn with<T>(&self, work: impl FnOnce(rusqlite::Result<&Connection>) -> T) -> T {
        let mut conn = self.lock();
        if conn.is_none() {
            match self.fresh() {
                Ok(new) => *conn = Some(new),
                Err(error) => return work(Err(error)),
            }
        }
        work(conn.as_ref().ok_or(rusqlite::Error::InvalidQuery))
    }

    /// A connection that has read once, and so has a part in what SQLite remembers of the log.
    fn fresh(&self) -> rusqlite::Result<Connection> {
        let conn = (self.connect)(&self.path, &self.options)?;
        open::read_head(&conn)?;
        Ok(conn)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes all of them, once their threads are done with what they do.
pub(super) fn close(lent: &[Arc<Lent>], meanwhile: impl FnOnce()) {
    let mut locked: Vec<_> = lent.iter().map(|lent| lent.lock()).collect();
    for conn in &mut locked {
        **conn = None;
    }
    meanwhile();
}

/// Closes all of them, has `connect` open the file when nobody else has it open, and opens them again.
pub(super) fn renew(
    lent: &[Arc<Lent>],
    connect: impl FnOnce() -> rusqlite::Result<Connection>,
) -> rusqlite::Result<Connection> {
    let mut locked: Vec<_> = lent.iter().map(|lent| (lent, lent.lock())).collect();
    for (_, conn) in &mut locked {
        **conn = None;
    }
    let first = connect()?;
    for (lent, conn) in &mut locked {
        **conn = Some(lent.fresh()?);
    }
    Ok(first)
}
