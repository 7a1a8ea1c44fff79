//! Copying the write-ahead log back into the file, off the writer's path.

use std::{path::Path, thread::JoinHandle, time::Duration};

use crossbeam_channel::Sender;
use rusqlite::Connection;

use crate::{OpenError, StoreKind};

use super::{SqliteOptions, open, queue::Nudge, writer::Job};

/// How long the writer lets readers finish so that the log can start over. Their reads are short.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a checkpoint says about the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    pub(super) busy: bool,
    pub(super) bytes: u64,
}

/// Starts the checkpointer; it works each time it is called, and ends when its caller is gone.
pub(super) fn start(
    path: &Path,
    kind: StoreKind,
    options: &SqliteOptions,
    writer: Nudge<Job>,
) -> Result<(Sender<()>, JoinHandle<()>), OpenError> {
    let (call, calls) = crossbeam_channel::bounded(1);
    let conn = open::connect(path, options).map_err(|e| open::trouble(path, e))?;
    let thread = std::thread::Builder::new()
        .name(format!("{kind}-checkpoint"))
        .spawn(move || {
            while calls.recv() == Ok(()) {
                if let Err(error) = run(&conn, "PASSIVE") {
                    // The log keeps everything; the writer calls again.
                    tracing::warn!(%kind, %error, "a checkpoint failed");
                }
                writer.send(Job::StartLogOver);
            }
        })
        .map_err(|e| OpenError::io(path, e))?;
    Ok((call, thread))
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

/// Copies everything and empties the log, so that no frame of a transaction that did not stand is left in it.
pub(super) fn empty(conn: &Connection) -> rusqlite::Result<Log> {
    run(conn, "TRUNCATE")
}

fn run(conn: &Connection, mode: &'static str) -> rusqlite::Result<Log> {
    let sql = match mode {
        "NOOP" => "PRAGMA wal_checkpoint(NOOP)",
        "PASSIVE" => "PRAGMA wal_checkpoint(PASSIVE)",
        "RESTART" => "PRAGMA wal_checkpoint(RESTART)",
        _ => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    conn.prepare_cached(sql)?.query_row([], |row| {
        let frames: i64 = row.get(1)?;
        Ok(Log { busy: row.get(0)?, bytes: frames.max(0).cast_unsigned() * open::PAGE_BYTES })
    })
}
