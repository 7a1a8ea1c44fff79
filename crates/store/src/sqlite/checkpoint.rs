//! Copying the write-ahead log back into the file, off the writer's path.

use std::{path::Path, sync::Arc, thread::JoinHandle, time::Duration};

use crossbeam_channel::Sender;
use rusqlite::Connection;

use crate::{OpenError, StoreKind};

use super::{SqliteOptions, failure::unreadable, lent::Lent, open, queue::Nudge, writer::Job};

/// How long the writer lets readers finish so that the log can start over. Their reads are short.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a checkpoint says about the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    pub(super) busy: bool,
    pub(super) bytes: u64,
    /// How much of it has been copied into the file, as SQLite remembers it.
    pub(super) copied: u64,
}

/// The checkpointer, for whoever calls it.
pub(super) struct Checkpointer {
    pub(super) call: Sender<()>,
    pub(super) connection: Arc<Lent>,
    pub(super) thread: JoinHandle<()>,
}

/// Starts the checkpointer; it works each time it is called, and ends when its caller is gone.
pub(super) fn start(
    path: &Path,
    kind: StoreKind,
    options: &SqliteOptions,
    writer: Nudge<Job>,
) -> Result<Checkpointer, OpenError> {
    let (call, calls) = crossbeam_channel::bounded(1);
    let lent = Lent::open(path, options, open::connect).map_err(|e| open::trouble(path, e))?;
    let connection = Arc::clone(&lent);
    let thread = std::thread::Builder::new()
        .name(format!("{kind}-checkpoint"))
        .spawn(move || {
            while calls.recv() == Ok(()) {
                let copied = lent.with(|conn| run(conn?, "PASSIVE"));
                writer.send(Job::Copied(copied.map(drop)));
            }
        })
        .map_err(|e| OpenError::io(path, e))?;
    Ok(Checkpointer { call, connection, thread })
}

/// How long the log is, without doing anything about it.
pub(super) fn look(conn: &Connection) -> rusqlite::Result<Log> {
    run(conn, "NOOP")
}

/// Copies what came in during the checkpointer's pass and lets the log start over. Done by the writer between two
/// jobs, because under steady writing nobody else ever catches up with the end of the log.
pub(super) fn start_over(conn: &Connection) -> rusqlite::Result<Log> {
    conn.busy_timeout(PATIENCE)?;
    let log = run(conn, "RESTART");
    conn.busy_timeout(open::BUSY)?;
    log
}

/// Makes sure at a start that what is read now is on the disk.
///
/// A process that was killed before its sync, or after one that failed, leaves a log that may be in the cache only. So
/// everything is copied into the file, and a new log begun.
pub(super) fn settle(conn: &Connection) -> rusqlite::Result<()> {
    if run(conn, "TRUNCATE")?.busy {
        return Err(unreadable("another program reads it for long and keeps the log from being emptied"));
    }
    seal(conn)
}

/// Writes a transaction that says nothing. Once it is durable, whatever lay behind the last commit in the log is
/// past: no crash brings it back.
pub(super) fn seal(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta VALUES ('seals', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
    )?
    .execute([])
    .map(drop)
}

fn run(conn: &Connection, mode: &'static str) -> rusqlite::Result<Log> {
    let sql = match mode {
        "NOOP" => "PRAGMA wal_checkpoint(NOOP)",
        "PASSIVE" => "PRAGMA wal_checkpoint(PASSIVE)",
        "RESTART" => "PRAGMA wal_checkpoint(RESTART)",
        _ => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    conn.prepare_cached(sql)?.query_row([], |row| {
        let bytes = |frames: i64| frames.max(0).cast_unsigned() * open::PAGE_BYTES;
        Ok(Log { busy: row.get(0)?, bytes: bytes(row.get(1)?), copied: bytes(row.get(2)?) })
    })
}
