//! What a file says about itself, for backups.

use std::path::Path;

use cartwright_core::ports::Cursor;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{codec::uuid, open, reader};
use crate::{OpenError, StoreKind};

/// What a file says about itself.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) kind: String,
    pub(crate) schema: u32,
    pub(crate) oldest_binary: u32,
    pub(crate) incarnation: Uuid,
    pub(crate) oldest: u64,
    pub(crate) head: u64,
    pub(crate) cursors: Vec<Cursor>,
}

/// Reads them.
pub(crate) fn facts(conn: &Connection) -> rusqlite::Result<Facts> {
    let (oldest, head) = reader::journal_bounds(conn)?;
    let incarnation: Vec<u8> = open::meta(conn, "incarnation")?;
    Ok(Facts {
        kind: open::meta(conn, "kind")?,
        schema: open::meta_number(conn, "schema")?,
        oldest_binary: open::meta_number(conn, "oldest_binary")?,
        incarnation: uuid(&incarnation)?,
        oldest,
        head,
        cursors: reader::cursors(conn)?,
    })
}

/// Whether this binary may use the file.
pub(crate) fn usable(path: &Path, facts: &Facts) -> Result<(), OpenError> {
    if facts.oldest_binary > open::SCHEMA {
        return Err(OpenError::Newer {
            file: path.to_owned(),
            found: facts.schema,
            oldest_binary: facts.oldest_binary,
            known: open::SCHEMA,
        });
    }
    Ok(())
}

/// Makes it another incarnation, whose cursors belong to the new incarnations of their sources, and leaves out
/// `skip_numbers` order numbers.
pub(crate) fn renew(
    conn: &Connection,
    kind: StoreKind,
    new: &[(StoreKind, Uuid)],
    skip_numbers: u64,
) -> rusqlite::Result<()> {
    conn.pragma_update(None, "synchronous", "FULL")?;
    let change = conn.unchecked_transaction()?;
    for (of, incarnation) in new {
        let incarnation = incarnation.as_bytes().as_slice();
        if *of == kind {
            change.execute("UPDATE meta SET value = ?1 WHERE name = 'incarnation'", [incarnation])?;
        }
        change.execute(
            "UPDATE cursor SET incarnation = ?1 WHERE source = ?2",
            params![incarnation, of.as_str()],
        )?;
    }
    change.execute("UPDATE head SET number = number + ?1", [super::codec::integer(skip_numbers)])?;
    change.commit()
}
