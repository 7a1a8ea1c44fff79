//! Looking at a file without using it: nothing is migrated, nothing is written, and a process that uses it may go on.

use std::path::Path;

use cartwright_core::domain::time::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use uuid::Uuid;

use super::open::{BUSY, SCHEMA, meta, meta_number, trouble};
use crate::{OpenError, StoreKind};

/// What a store's file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The schema that it has.
    pub schema: u32,
    /// The newest schema that this binary knows.
    pub known: u32,
    /// Its journal's identity.
    pub incarnation: Uuid,
    /// The newest position of its journal.
    pub position: u64,
    /// How far it has read: source, that journal's identity, position.
    pub cursors: Vec<(String, Uuid, u64)>,
    /// When a record last changed; orders only.
    pub newest: Option<Timestamp>,
}

/// Reads what a file says about itself.
///
/// # Errors
/// [`OpenError`], as opening it would say: it is another service's, of a newer binary, damaged, not readable.
pub fn inspect(path: &Path, kind: StoreKind) -> Result<Inspection, OpenError> {
    let trouble = |error: rusqlite::Error| trouble(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(trouble)?;
    conn.busy_timeout(BUSY).map_err(trouble)?;
    let is_ours: bool = conn
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')", [], |row| row.get(0))
        .map_err(trouble)?;
    if !is_ours {
        let reason = "it is empty, or a database of another program".to_owned();
        return Err(OpenError::Corrupt { file: path.to_owned(), reason });
    }
    let schema = meta_number(&conn, "schema").map_err(trouble)?;
    let oldest_binary = meta_number(&conn, "oldest_binary").map_err(trouble)?;
    if oldest_binary > SCHEMA {
        return Err(OpenError::Newer { file: path.to_owned(), found: schema, oldest_binary, known: SCHEMA });
    }
    let found: String = meta(&conn, "kind").map_err(trouble)?;
    if found != kind.as_str() {
        return Err(OpenError::OtherKind { file: path.to_owned(), found, wanted: kind });
    }
    let incarnation: Vec<u8> = meta(&conn, "incarnation").map_err(trouble)?;
    // The cursors first: nobody has read further than what is there.
    let cursors = cursors(&conn).map_err(trouble)?;
    let position: i64 = conn.query_row("SELECT position FROM head", [], |row| row.get(0)).map_err(trouble)?;
    let newest: Option<i64> = conn
        .query_row("SELECT max(updated_at) FROM record WHERE number IS NOT NULL", [], |row| row.get(0))
        .optional()
        .map_err(trouble)?
        .flatten();
    Ok(Inspection {
        schema,
        known: SCHEMA,
        incarnation: uuid(&incarnation),
        position: position.cast_unsigned(),
        cursors,
        newest: newest.map(Timestamp::from_micros),
    })
}

fn cursors(conn: &Connection) -> rusqlite::Result<Vec<(String, Uuid, u64)>> {
    let mut select = conn.prepare("SELECT source, incarnation, position FROM cursor")?;
    let rows = select.query_map([], |row| {
        let incarnation: Vec<u8> = row.get(1)?;
        Ok((row.get(0)?, uuid(&incarnation), row.get::<_, i64>(2)?.cast_unsigned()))
    })?;
    rows.collect()
}

/// One that can't be read fits nothing.
fn uuid(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).unwrap_or_default()
}
