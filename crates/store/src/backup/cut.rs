//! One moment in four files, without stopping anybody.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::{BackupError, LEDGER, PATIENCE, STORES};
use crate::{
    CursorMismatch,
    cursors::fits,
    sqlite::{self, Facts},
};

/// How often a cut is tried. Between the first look and the last there are some hundred microseconds, in which an event
/// would have to be written, synced, read and written again: more than a second try is rare.
const TRIES: u32 = 50;

/// How long to wait before the next one.
const PAUSE: Duration = Duration::from_millis(20);

/// Open reads, which see the files as they stood at one moment.
///
/// What goes from service to service goes through journals: whoever has read an event has a cursor at or behind it. So
/// the files belong to one moment if no cursor is ahead of the journal that it reads, and that can be looked at. The
/// reads begin one after the other; if something was written and read in between, they begin anew. Nobody has to be
/// stopped, and it makes no difference whether this is the process that writes.
///
/// The ledger comes last. It may know more than the services, as providers do: what they are asked again under the same
/// key has no second effect. It must not know less.
pub(super) struct Cut {
    /// In the order of [`STORES`], and the ledger.
    files: Vec<(&'static str, Connection)>,
    facts: Vec<Facts>,
}

impl Cut {
    pub(super) fn take(data: &Path) -> Result<Self, BackupError> {
        let ledger = data.join(LEDGER).is_file().then_some(LEDGER);
        let names = STORES.map(|(_, name)| name).into_iter().chain(ledger);
        let files = names.map(|name| Ok((name, open(&data.join(name))?)));
        let mut cut = Self { files: files.collect::<Result<_, BackupError>>()?, facts: Vec::new() };
        let mut tries = 1;
        loop {
            cut.begin(data)?;
            match consistent(&cut.facts) {
                Ok(()) => return Ok(cut),
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Err(BackupError::Mismatch { dir: data.to_owned(), error }),
            }
            cut.end(data)?;
            std::thread::sleep(PAUSE);
        }
    }

    /// The files with their names and sizes.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, u64, &Connection)> {
        self.files.iter().map(|(name, conn)| (*name, bytes(conn), conn))
    }

    /// What is in the services' files; nothing is known about the ledger.
    pub(super) fn facts(&self) -> impl Iterator<Item = Option<&Facts>> {
        self.facts.iter().map(Some).chain([None])
    }

    fn begin(&mut self, data: &Path) -> Result<(), BackupError> {
        self.facts.clear();
        for (name, conn) in &self.files {
            let path = data.join(name);
            // A read begins with its first statement.
            let schema = "SELECT count(*) FROM sqlite_schema";
            let begun = conn
                .execute_batch("BEGIN")
                .and_then(|()| conn.query_row(schema, [], |row| row.get::<_, i64>(0)));
            begun.map_err(BackupError::file(&path))?;
            if *name != LEDGER {
                self.facts.push(sqlite::facts(conn).map_err(BackupError::file(&path))?);
            }
        }
        Ok(())
    }

    fn end(&self, data: &Path) -> Result<(), BackupError> {
        for (name, conn) in &self.files {
            conn.execute_batch("ROLLBACK").map_err(BackupError::file(&data.join(name)))?;
        }
        Ok(())
    }
}

/// Whether files with these facts, in the order of [`STORES`], can be of one moment.
pub(super) fn consistent(facts: &[Facts]) -> Result<(), CursorMismatch> {
    for consumer in facts {
        for cursor in &consumer.cursors {
            let source = STORES.iter().position(|(kind, _)| kind.as_str() == &*cursor.source);
            if let Some(source) = source.and_then(|n| facts.get(n)) {
                fits(cursor, source.incarnation, source.oldest, source.head)?;
            }
        }
    }
    Ok(())
}

/// A connection that leaves the files as they are.
pub(super) fn open(path: &Path) -> Result<Connection, BackupError> {
    let opened = || {
        // Not read-only: the first one to open a file makes its -shm.
        let conn = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        conn.busy_timeout(PATIENCE)?;
        sqlite::keep_log(&conn, true)?;
        conn.pragma_update(None, "query_only", true)?;
        Ok::<_, rusqlite::Error>(conn)
    };
    opened().map_err(BackupError::file(path))
}

fn bytes(conn: &Connection) -> u64 {
    let number =
        |pragma: &str| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap_or_default();
    number("page_count").cast_unsigned() * number("page_size").cast_unsigned()
}

#[cfg(test)]
mod tests {
    use cartwright_core::ports::Cursor;
    use uuid::Uuid;

    use super::*;

    /// Orders at 10, payments at 20, nothing in fulfillment; payments has read orders up to `read`.
    fn facts(read: u64, incarnation: u128) -> Vec<Facts> {
        let cursor = Cursor {
            source: "orders".into(),
            lane: 0,
            incarnation: Uuid::from_u128(incarnation),
            position: read,
        };
        let of = |n: usize, head, cursors: Vec<Cursor>| Facts {
            kind: STORES[n].0.to_string(),
            schema: 1,
            oldest_binary: 1,
            incarnation: Uuid::from_u128(n as u128 + 1),
            oldest: 1,
            head,
            cursors,
        };
        vec![of(0, 10, vec![]), of(1, 20, vec![cursor]), of(2, 0, vec![])]
    }

    #[test]
    fn nobody_has_read_what_was_not_yet_written() {
        consistent(&facts(0, 1)).unwrap();
        consistent(&facts(10, 1)).unwrap();
        assert!(matches!(consistent(&facts(11, 1)), Err(CursorMismatch::Ahead { .. })));
        assert!(matches!(consistent(&facts(10, 9)), Err(CursorMismatch::Incarnation { .. })));
    }
}
