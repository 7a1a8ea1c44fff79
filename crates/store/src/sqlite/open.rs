//! Opening a file: pragmas, migrations, and the checks that it is ours to use.

use std::{path::Path, time::Duration};

use cartwright_core::ports::StoreStats;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, config::DbConfig, params};
use uuid::Uuid;

use crate::{
    OpenError, StoreKind,
    upgrade::{Found, Plan},
};

use super::{SqliteOptions, checkpoint};

/// The newest schema that this binary knows: the number of its last migration.
pub(super) const SCHEMA: u32 = 1;

/// What a binary must know to use a file with that schema, as the migrations say.
const OLDEST_BINARY: u32 = 1;

/// Twice SQLite's default: rows lie close together here, and half as many pages go into the log.
pub(super) const PAGE_BYTES: u64 = 8_192;

/// Only a foreign program (a shell, a backup) can make one of our connections wait, and it should not do so for long.
pub(super) const BUSY: Duration = Duration::from_secs(5);

mod migrations {
    refinery::embed_migrations!("migrations/sqlite");
}

/// A file that is ready for the writer.
pub(super) struct Opened {
    pub(super) conn: Connection,
    pub(super) incarnation: Uuid,
    /// The file's first incarnation: what it was before it was ever restored.
    pub(super) origin: Uuid,
    pub(super) head: Head,
}

/// The one row that every transaction rewrites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) writes: u64,
    pub(super) position: u64,
    pub(super) number: u64,
    pub(super) open_orders: u64,
    pub(super) tasks: u64,
    pub(super) parked: u64,
}

/// Opens or creates the file, migrates it and ends all leases.
pub(super) fn prepare(path: &Path, kind: StoreKind, options: &SqliteOptions) -> Result<Opened, OpenError> {
    let trouble = |error: rusqlite::Error| trouble(path, error);
    let mut conn = connect(path, options).map_err(trouble)?;
    migrate(path, &mut conn)?;
    let (incarnation, origin) = identify(path, &conn, kind)?;
    conn.execute("UPDATE task SET ready_at = due_at WHERE ready_at <> due_at", []).map_err(trouble)?;
    // Others act on what they read here: it must not be gone after a power cut.
    checkpoint::settle(&conn).map_err(trouble)?;
    let head = read_head(&conn).map_err(trouble)?;
    Ok(Opened { conn, incarnation, origin, head })
}

/// What opening the file would change; changes nothing.
pub(crate) fn plan(path: &Path, kind: StoreKind) -> Result<Plan, OpenError> {
    let trouble = |error: rusqlite::Error| trouble(path, error);
    let mut found = None;
    if path.exists() {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).map_err(trouble)?;
        conn.busy_timeout(BUSY).map_err(trouble)?;
        if is_ours(path, &conn)? {
            let wanted = kind;
            let kind = meta::<String>(&conn, "kind").optional().map_err(trouble)?;
            if let Some(found) = kind.filter(|kind| kind != wanted.as_str()) {
                return Err(OpenError::OtherKind { file: path.to_owned(), found, wanted });
            }
            found = Some(Found {
                schema: meta_number(&conn, "schema").map_err(trouble)?,
                oldest_binary: meta_number(&conn, "oldest_binary").map_err(trouble)?,
            });
        }
    }
    let all = migrations::migrations::runner().get_migrations().clone();
    let all = all.into_iter().map(|one| (one.version().cast_unsigned(), one.to_string()));
    Ok(Plan::new(kind, path.display().to_string(), found, (SCHEMA, OLDEST_BINARY), all))
}

/// Brings a file that nobody uses to the state in which a start finds it; also says what it was first.
pub(crate) fn settle(
    path: &Path,
    kind: StoreKind,
    options: &SqliteOptions,
) -> Result<(Connection, Uuid), OpenError> {
    prepare(path, kind, options).map(|opened| (opened.conn, opened.origin))
}

/// A connection for the writer or the checkpointer.
pub(super) fn connect(path: &Path, options: &SqliteOptions) -> rusqlite::Result<Connection> {
    let conn = connect_plain(path, options)?;
    conn.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Far above where it starts over, so that its blocks are reused and not given back each time.
    conn.pragma_update(None, "journal_size_limit", signed(options.checkpoint_bytes.saturating_mul(8)))?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -signed(options.cache_bytes / 1024))?;
    if let Some(bytes) = options.max_bytes {
        conn.pragma_update(None, "max_page_count", signed((bytes / PAGE_BYTES).max(1)))?;
    }
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// A connection that can't write.
pub(crate) fn connect_reader(path: &Path, options: &SqliteOptions) -> rusqlite::Result<Connection> {
    // Not opened read-only: such a connection can't make the -shm file when it is the first.
    let conn = connect_plain(path, options)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -8 * 1024)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn connect_plain(path: &Path, options: &SqliteOptions) -> rusqlite::Result<Connection> {
    let conn = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, OpenFlags::default(), vfs.as_str())?,
        None => Connection::open(path)?,
    };
    conn.busy_timeout(BUSY)?;
    // Else SQLite plans a statement anew whenever a LIMIT is bound: most of what a short read costs.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // The last one to close copies the log and deletes it; only the writer knows whether it may.
    keep_log(&conn, true)?;
    Ok(conn)
}

/// Whether the log stays as it is if this connection is the last one to close.
pub(crate) fn keep_log(conn: &Connection, keep: bool) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

/// What an error while opening means.
pub(super) fn trouble(path: &Path, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Corrupt { file: path.to_owned(), reason: error.to_string() }
        }
        _ => OpenError::io(path, error),
    }
}

pub(super) fn read_head(conn: &Connection) -> rusqlite::Result<Head> {
    conn.query_row("SELECT writes, position, number, open_orders, tasks, parked FROM head", [], |row| {
        Ok(Head {
            writes: row.get::<_, i64>(0)?.cast_unsigned(),
            position: row.get::<_, i64>(1)?.cast_unsigned(),
            number: row.get::<_, i64>(2)?.cast_unsigned(),
            open_orders: row.get::<_, i64>(3)?.cast_unsigned(),
            tasks: row.get::<_, i64>(4)?.cast_unsigned(),
            parked: row.get::<_, i64>(5)?.cast_unsigned(),
        })
    })
}

impl Head {
    pub(super) fn stats(&self) -> StoreStats {
        StoreStats {
            open_orders: self.open_orders,
            tasks: self.tasks,
            parked: self.parked,
            head: self.position,
        }
    }

    pub(super) fn write(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "UPDATE head SET writes = ?1, position = ?2, number = ?3, open_orders = ?4, tasks = ?5, parked = ?6 WHERE one = 1",
        )?
        .execute([
            self.writes.cast_signed(),
            self.position.cast_signed(),
            self.number.cast_signed(),
            self.open_orders.cast_signed(),
            self.tasks.cast_signed(),
            self.parked.cast_signed(),
        ])?;
        Ok(())
    }
}

fn migrate(path: &Path, conn: &mut Connection) -> Result<(), OpenError> {
    let trouble = |error: rusqlite::Error| trouble(path, error);
    let corrupt = |reason: String| OpenError::Corrupt { file: path.to_owned(), reason };
    if is_ours(path, conn)? {
        let found = meta_number(conn, "schema").map_err(trouble)?;
        let oldest_binary = meta_number(conn, "oldest_binary").map_err(trouble)?;
        if oldest_binary > SCHEMA {
            return Err(OpenError::Newer { file: path.to_owned(), found, oldest_binary, known: SCHEMA });
        }
        if found > SCHEMA {
            return Ok(());
        }
    }
    // A migration and the note that it was done are one transaction.
    migrations::migrations::runner().set_grouped(true).run(conn).map_err(|e| match e.kind() {
        refinery::error::Kind::Connection(..) => OpenError::io(path, e),
        _ => corrupt(format!("its schema can't be brought up to date: {e}")),
    })?;
    Ok(())
}

/// Whether it holds a store of ours; if not, it is fresh, or not for us.
fn is_ours(path: &Path, conn: &Connection) -> Result<bool, OpenError> {
    let trouble = |error: rusqlite::Error| trouble(path, error);
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0))
        .map_err(trouble)?;
    let is_ours: bool = conn
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')", [], |row| row.get(0))
        .map_err(trouble)?;
    // One table is refinery's own: a first migration that was cut short.
    if !is_ours && tables > 1 {
        let reason = "it is a database of another program".to_owned();
        return Err(OpenError::Corrupt { file: path.to_owned(), reason });
    }
    Ok(is_ours)
}

/// Gives a fresh file its identity; checks that of an old one.
fn identify(path: &Path, conn: &Connection, kind: StoreKind) -> Result<(Uuid, Uuid), OpenError> {
    let trouble = |error: rusqlite::Error| trouble(path, error);
    conn.execute("INSERT OR IGNORE INTO meta VALUES ('kind', ?1)", [kind.as_str()]).map_err(trouble)?;
    conn.execute(
        "INSERT OR IGNORE INTO meta VALUES ('incarnation', ?1)",
        params![Uuid::now_v7().as_bytes().as_slice()],
    )
    .map_err(trouble)?;
    let found: String = meta(conn, "kind").map_err(trouble)?;
    if found != kind.as_str() {
        return Err(OpenError::OtherKind { file: path.to_owned(), found, wanted: kind });
    }
    conn.execute(
        "INSERT OR IGNORE INTO meta SELECT 'origin', value FROM meta WHERE name = 'incarnation'",
        [],
    )
    .map_err(trouble)?;
    let uuid = |name: &str| {
        let bytes: Vec<u8> = meta(conn, name).map_err(trouble)?;
        Uuid::from_slice(&bytes).map_err(|e| OpenError::Corrupt {
            file: path.to_owned(),
            reason: format!("its {name} can't be read: {e}"),
        })
    };
    Ok((uuid("incarnation")?, uuid("origin")?))
}

pub(super) fn meta<T: rusqlite::types::FromSql>(conn: &Connection, name: &str) -> rusqlite::Result<T> {
    conn.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}

pub(super) fn meta_number(conn: &Connection, name: &str) -> rusqlite::Result<u32> {
    Ok(conn
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
        .optional()?
        .unwrap_or(0))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
