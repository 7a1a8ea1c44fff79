//! Moving house: copies a stopped system from its files into the schemas of a database, where it goes on as itself.
//!
//! * `source` … the files, read as they are. `target` … the schemas, filled with binary COPY, a transaction for each.
//! * `tables` … what a row is on both sides. [`copy()`] … reads, writes, and compares both sides at the end.
//!
//! Journals keep their incarnations, so cursors fit; the data directory is left as it was.

mod source;
mod tables;
mod target;

use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use self::{source::Source, tables::TABLES, target::Target};
use crate::{
    CursorMismatch, OpenError, StoreKind,
    postgres::{DatabaseError, PostgresOptions},
};

/// Chunks that are read ahead of what is written.
const AHEAD: usize = 4;

/// What is to be copied, and where to.
#[derive(Clone, Debug)]
pub struct Copy {
    /// A data directory.
    pub from: PathBuf,
    /// Schemas that are empty, or not there yet.
    pub to: PostgresOptions,
    /// The lanes in which several processes read a journal.
    pub lanes: u32,
    /// What the store of orders is to keep as notes: names and texts.
    pub notes: Vec<(String, String)>,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// To which store.
    pub store: StoreKind,
    /// Rows that were copied or compared.
    pub done: u64,
    /// In all, about.
    pub of: u64,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows are written.
    Copying,
    /// Both sides are read.
    Comparing,
}

/// A copy that was made.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Whose history it is.
    pub system: Uuid,
    /// What was found on both sides.
    pub tables: Vec<Compared>,
}

/// A table as it is on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Whose table.
    pub store: StoreKind,
    /// Which.
    pub table: &'static str,
    /// In the files.
    pub from: Sum,
    /// In the database.
    pub to: Sum,
}

/// What a table holds, in short: two that have the same sum have the same rows in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// How many rows.
    pub rows: u64,
    /// SHA-256 of them, in the order of their keys.
    pub digest: String,
}

impl Sum {
    fn new(rows: u64, digest: Sha256) -> Self {
        Self { rows, digest: digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

impl Copied {
    /// Whether both sides are the same. If not, no server starts on the copy.
    pub fn is_good(&self) -> bool {
        self.tables.iter().all(|table| table.from == table.to)
    }
}

/// Why a system could not be copied. The files are as they were, and no server starts on what there is of a copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is nothing to copy.
    #[error("{} holds no data of cartwright ({missing} is not there): name the data directory with --from DIR", .dir.display())]
    NoData {
        /// Where it was looked for.
        dir: PathBuf,
        /// The first file that is not there.
        missing: &'static str,
    },
    /// The directory is in use, or a file can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A newer binary wrote it, and what it added would be lost.
    #[error(
        "{} was written by a newer cartwright (schema {found}; this binary knows schema {known}), and what that added would \
         be lost: copy it with that version",
        .file.display()
    )]
    NewerFile {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: u32,
        /// What this binary knows.
        known: u32,
    },
    /// The files do not belong together.
    #[error("the files in {} don't belong together: {error}", .dir.display())]
    Mismatch {
        /// Where.
        dir: PathBuf,
        /// Why not.
        error: CursorMismatch,
    },
    /// A row can't be what it is.
    #[error(
        "{} is damaged: row {row} of its table {table} can't be copied, {why}: restore a backup, and copy that",
        .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The table.
        table: &'static str,
        /// Which of its rows.
        row: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The database can't be used.
    #[error("{0} (setting database.url)")]
    Database(#[from] DatabaseError),
    /// A newer binary made the tables.
    #[error(
        "the schema {schema} was made by a newer cartwright (schema {found}; this binary knows schema {known}): copy with \
         that version, or into other schemas (setting database.schema)"
    )]
    NewerSchema {
        /// Which schema of the database.
        schema: String,
        /// Its version.
        found: u32,
        /// What this binary knows.
        known: u32,
    },
    /// Somebody's orders are there.
    #[error(
        "the schema {schema} is not empty (it holds {orders} orders), and nothing is ever overwritten: choose another \
         database, or other schemas (setting database.schema)"
    )]
    NotEmpty {
        /// Which schema of the database.
        schema: String,
        /// How many.
        orders: i64,
    },
    /// A server has it open.
    #[error(
        "a server works with the schema {schema} ({processes} processes): stop it, and try again some seconds later"
    )]
    Running {
        /// Which schema of the database.
        schema: String,
        /// How many processes have leases there.
        processes: i64,
    },
    /// Somebody copies into it just now.
    #[error("another copy into the schemas {schemas}_* is under way: wait for its end")]
    UnderWay {
        /// What their names begin with.
        schemas: String,
    },
    /// The database went away, or refused something.
    #[error("{0}; nothing of it can be used: once the cause is mended, start this copy again")]
    Broken(String),
}

/// Copies a stopped system into empty schemas, and compares both sides. Until that is done, no server starts there; a
/// copy that was cut off is begun anew by the next.
///
/// # Errors
/// [`CopyError`]; the files are as they were.
pub async fn copy(asked: Copy, mut progress: impl FnMut(Progress)) -> Result<Copied, CopyError> {
    let Copy { from, to, lanes, notes } = asked;
    let source = blocking(move || Source::take(&from, lanes)).await?;
    let system = source.origin();
    let stores: Vec<_> = source.stores().collect();
    let mut counts = Vec::new();
    for (store, ..) in &stores {
        let store = store.clone();
        counts.push(blocking(move || store.rows()).await?);
    }
    // Each row is written once, and read once on either side.
    let (of, mut done) = (counts.iter().sum::<u64>() * 3, 0);
    let mut target = Target::take(&to, system).await?;
    let (schemas, anew) = target.schemas();
    for ((store, incarnation, origin), schema) in stores.iter().zip(&mut *schemas) {
        let filling = schema.fill(anew).await?;
        for table in TABLES {
            let (to, rows) = mpsc::channel(AHEAD);
            let reading = store.clone();
            tokio::task::spawn_blocking(move || reading.send(table, &to));
            let written = |rows| {
                done += rows;
                progress(Progress { stage: Stage::Copying, store: store.kind, done, of: of.max(done) });
            };
            filling.table(table, rows, written).await?;
        }
        if store.kind == StoreKind::Orders {
            filling.notes(&notes).await?;
        }
        filling.finish(*incarnation, *origin).await?;
    }
    let mut tables = Vec::new();
    for ((store, ..), schema) in stores.iter().zip(&*schemas) {
        for table in TABLES {
            let reading = store.clone();
            let here = blocking(move || reading.sum(table));
            let (from, to) = tokio::try_join!(here, schema.sum(table))?;
            done += from.rows + to.rows;
            progress(Progress { stage: Stage::Comparing, store: schema.kind, done, of: of.max(done) });
            tables.push(Compared { store: store.kind, table: table.name, from, to });
        }
    }
    let copied = Copied { system, tables };
    if copied.is_good() {
        target.finish().await?;
    }
    Ok(copied)
}

/// Files are read where nobody waits for them.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CopyError> + Send + 'static,
) -> Result<T, CopyError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(CopyError::Broken(format!("the files could not be read: {error}"))))
}
