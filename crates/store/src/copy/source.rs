//! The files that are copied: a stopped system's, which nobody starts meanwhile.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Sender;
use uuid::Uuid;

use super::{
    CopyError, Sum,
    tables::{TABLES, Table},
};
use crate::{
    DataDir, OpenError, STORES, StoreKind,
    cursors::fits,
    sqlite::{self, Facts, SqliteOptions},
};

/// Bytes of rows that go on their way together.
const CHUNK: usize = 256 * 1024;

/// A data directory that this process has for itself.
pub(super) struct Source {
    dir: Arc<DataDir>,
    facts: Vec<Facts>,
    origins: Vec<Uuid>,
    lanes: u32,
}

impl Source {
    /// Takes the directory, and brings its files to the state in which a start would find them.
    pub(super) fn take(dir: &Path, lanes: u32) -> Result<Self, CopyError> {
        for (_, name) in STORES {
            if !dir.join(name).is_file() {
                return Err(CopyError::NoData { dir: dir.to_owned(), missing: name });
            }
        }
        let dir = Arc::new(DataDir::lock(dir)?);
        let (mut facts, mut origins) = (Vec::new(), Vec::new());
        for (kind, name) in STORES {
            let file = dir.path().join(name);
            let found = sqlite::inspect(&file, kind)?;
            if found.schema > found.known {
                return Err(CopyError::NewerFile { file, found: found.schema, known: found.known });
            }
            let (conn, origin) = sqlite::settle(&file, kind, &SqliteOptions::default())?;
            let read = sqlite::facts(&conn).map_err(|error| OpenError::io(&file, error))?;
            facts.push(read);
            origins.push(origin);
        }
        let source = Self { dir, facts, origins, lanes };
        source.fits_together()?;
        Ok(source)
    }

    fn fits_together(&self) -> Result<(), CopyError> {
        for cursor in self.facts.iter().flat_map(|facts| &facts.cursors) {
            let read = self.facts.iter().find(|facts| facts.kind == *cursor.source);
            if let Some(Facts { incarnation, oldest, head, .. }) = read {
                fits(cursor, *incarnation, *oldest, *head)
                    .map_err(|error| CopyError::Mismatch { dir: self.dir.path().to_owned(), error })?;
            }
        }
        Ok(())
    }

    /// Whose history it is.
    pub(super) fn origin(&self) -> Uuid {
        self.origins.first().copied().unwrap_or_default()
    }

    /// The stores, each with its journal's incarnation and its own origin.
    pub(super) fn stores(&self) -> impl Iterator<Item = (Store, Uuid, Uuid)> {
        STORES.iter().zip(self.facts.iter().zip(&self.origins)).map(|((kind, name), (facts, origin))| {
            let store = Store {
                kind: *kind,
                file: self.dir.path().join(name),
                lanes: self.lanes,
                _dir: self.dir.clone(),
            };
            (store, facts.incarnation, *origin)
        })
    }
}

/// A file that is read.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) kind: StoreKind,
    file: PathBuf,
    lanes: u32,
    _dir: Arc<DataDir>,
}

impl Store {
    /// How many rows it has, about.
    pub(super) fn rows(&self) -> Result<u64, CopyError> {
        let conn = self.open()?;
        let count = |table: &Table| conn.query_row(table.count, [], |row| row.get::<_, i64>(0));
        let counts = TABLES.iter().map(count).sum::<rusqlite::Result<i64>>();
        Ok(counts.map_err(|error| self.unreadable(error))?.max(0).cast_unsigned())
    }

    /// Sends a table's rows, many at a time, with how many they are. Ends early when nobody takes them any more.
    pub(super) fn send(&self, table: &Table, to: &Sender<Result<(Bytes, u64), CopyError>>) {
        let (mut chunk, mut rows) = (Vec::with_capacity(CHUNK), 0);
        let mut gone = false;
        let read = self.each(table, |row| {
            chunk.extend_from_slice(row);
            rows += 1;
            if chunk.len() >= CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                gone = to.blocking_send(Ok((full.into(), std::mem::take(&mut rows)))).is_err();
            }
            !gone
        });
        // Whoever is gone knows why.
        let _ = to.blocking_send(read.map(|()| (chunk.into(), rows)));
    }

    /// Its sum, as it is now.
    pub(super) fn sum(&self, table: &Table) -> Result<Sum, CopyError> {
        let (mut rows, mut digest) = (0, Sha256::new());
        self.each(table, |row| {
            rows += 1;
            digest.update(row);
            true
        })?;
        Ok(Sum::new(rows, digest))
    }

    /// Calls `each` with every row until it says stop.
    fn each(&self, table: &Table, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), CopyError> {
        let conn = self.open()?;
        let unreadable = |error| self.unreadable(error);
        let mut select = conn.prepare(&table.select()).map_err(unreadable)?;
        if select.parameter_count() > 0 {
            select.raw_bind_parameter(1, self.lanes).map_err(unreadable)?;
        }
        let (mut rows, mut n, mut bytes) = (select.raw_query(), 0_u64, Vec::new());
        while let Some(row) = rows.next().map_err(unreadable)? {
            n += 1;
            bytes.clear();
            table.put(row, &mut bytes).map_err(|why| CopyError::Damaged {
                file: self.file.clone(),
                table: table.name,
                row: n,
                why,
            })?;
            if !each(&bytes) {
                break;
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<Connection, CopyError> {
        let options = SqliteOptions::default();
        sqlite::connect_reader(&self.file, &options).map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: rusqlite::Error) -> CopyError {
        OpenError::io(&self.file, error).into()
    }
}
