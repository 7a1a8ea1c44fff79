//! The [`Store`] port on SQLite: one file, one writer thread, three readers and a checkpointer.
//!
//! A batch becomes durable in one `BEGIN IMMEDIATE … COMMIT` with `synchronous=FULL`, and is answered after it.
//! Readers have connections of their own and only short reads. The checkpointer copies the write-ahead log back into
//! the file off the writer's path; the writer only does the last bit, between two jobs, so that the log starts over.
//!
//! * [`open`](SqliteStore::open) … the file: pragmas, migrations, its identity.
//! * `writer` … the thread, and what it does when a commit's fate is unknown; `commit`, `tasks`, `parked` … its statements.
//! * `reader`, `lists`, `open_orders` … the reads; `tail` … the end of the journal in memory.

mod checkpoint;
mod codec;
mod commit;
mod failure;
mod identity;
mod inspect;
mod lent;
mod lists;
mod open;
mod open_orders;
mod parked;
mod queue;
mod reader;
mod tail;
mod tasks;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{
        AnswerKey, Batch, Cursor, DueSweep, JournalRow, Listed, ListedParked, OpenCount, OpenQuery,
        OrderQuery, Outcome, Parked, ParkedQuery, SavedAnswer, Store, StoreError, StoreStats, Stored, Task,
        Walked,
    },
};
use uuid::Uuid;

pub(crate) use self::{
    identity::{Facts, facts, renew, usable},
    open::{connect_reader, keep_log, plan, settle},
};
use crate::{DataDir, OpenError, StoreKind};

pub use self::inspect::{Inspection, inspect};
use self::{commit::Checked, reader::Readers, tail::Tail, writer::Writer};

/// What can be set about a store.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The write-ahead log is copied back when it is longer than this.
    pub checkpoint_bytes: u64,
    /// The file may not grow past this; then commits are refused as full. `None`: the disk is the limit.
    pub max_bytes: Option<u64>,
    /// The writer's page cache.
    pub cache_bytes: u64,
    /// So many jobs may wait for the writer, and as many for the readers; more callers wait for room.
    pub queue: usize,
    /// The directory that the file lies in: it stays ours as long as the file is open.
    pub dir: Option<Arc<DataDir>>,
    /// The SQLite VFS that the file is on. `None`: the operating system's. For tests, which bring disks that fail.
    pub vfs: Option<String>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            checkpoint_bytes: 16 * 1024 * 1024,
            max_bytes: None,
            cache_bytes: 32 * 1024 * 1024,
            queue: 256,
            dir: None,
            vfs: None,
        }
    }
}

/// One service's store in one SQLite file. Dropping it finishes what is queued and closes the file.
pub struct SqliteStore {
    path: PathBuf,
    incarnation: Uuid,
    origin: Uuid,
    shared: Arc<Shared>,
    // Dropped in this order: the writer lets go of the file last and leaves it without a log.
    readers: Readers,
    writer: Writer,
    _dir: Option<Arc<DataDir>>,
}

/// What callers may know without asking a thread.
struct Shared {
    stats: Mutex<StoreStats>,
    tail: Mutex<Tail>,
    /// The last order number given out. Every transaction writes it along: an order that uses a number is only
    /// durable together with it, and a number lost in a crash was used by nobody.
    numbers: AtomicU64,
    #[cfg(test)]
    faults: tests::Faults,
}

impl SqliteStore {
    /// Opens the file of a service, making it if it is missing, and brings its schema up to date. Leases of tasks
    /// end: only one process uses a data directory, so whoever held them is gone.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file and what to do.
    pub fn open(path: &Path, kind: StoreKind, options: &SqliteOptions) -> Result<Self, OpenError> {
        let opened = open::prepare(path, kind, options)?;
        let shared = Arc::new(Shared {
            stats: Mutex::new(opened.head.stats()),
            tail: Mutex::default(),
            numbers: AtomicU64::new(opened.head.number),
            #[cfg(test)]
            faults: tests::Faults::default(),
        });
        let (incarnation, origin) = (opened.incarnation, opened.origin);
        let readers = Readers::start(path, kind, options)?;
        let writer = Writer::start(path, kind, options, opened, readers.connections(), Arc::clone(&shared))?;
        Ok(Self {
            path: path.to_owned(),
            incarnation,
            origin,
            shared,
            readers,
            writer,
            _dir: options.dir.clone(),
        })
    }

    /// The store's first incarnation. Copies and restores keep it, so it says whose history this is.
    pub const fn origin(&self) -> Uuid {
        self.origin
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Shared {
    fn stats(&self) -> StoreStats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_stats(&self, stats: StoreStats) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    async fn load(&self, ids: &[OrderId]) -> Result<Vec<Stored>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = ids.to_vec();
        self.readers.read(move |conn| reader::load(conn, &ids)).await
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        self.writer.commit(Checked::new(batch)?).await
    }

    async fn journal(&self, after: u64, limit: usize) -> Result<Vec<JournalRow>, StoreError> {
        // A caller that is up to date asks often, and needs no thread to hear so.
        if after >= self.shared.stats().head {
            return Ok(Vec::new());
        }
        if let Some(rows) = self.shared.tail().after(after, limit) {
            return Ok(rows);
        }
        self.readers.read_topic(move |conn| reader::journal(conn, after, limit)).await
    }

    async fn journal_bounds(&self) -> Result<(u64, u64), StoreError> {
        self.readers.read_topic(reader::journal_bounds).await
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        self.readers.read(reader::cursors).await
    }

    async fn history(&self, id: &OrderId, after: u64, limit: usize) -> Result<Vec<Bytes>, StoreError> {
        let id = id.clone();
        self.readers.read_long(move |conn| reader::history(conn, &id, after, limit)).await
    }

    async fn histories(&self, ids: &[OrderId], limit: usize) -> Result<Vec<Vec<Bytes>>, StoreError> {
        let ids = ids.to_vec();
        let all = move |conn: &rusqlite::Connection| {
            // One transaction: each would lock the file by itself.
            let _reading = conn.unchecked_transaction()?;
            ids.iter().map(|id| reader::newest(conn, id, limit)).collect()
        };
        self.readers.read_long(all).await
    }

    async fn claim_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.writer.claim_tasks(now, lease_until, limit).await
    }

    async fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<SavedAnswer>>, StoreError> {
        let keys = keys.to_vec();
        self.readers.read(move |conn| reader::answers(conn, &keys)).await
    }

    async fn purge_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.writer.purge_answers(before, limit).await
    }

    async fn parked(&self, id: &OrderId) -> Result<Vec<Parked>, StoreError> {
        let id = id.clone();
        self.readers.read(move |conn| parked::list(conn, &id)).await
    }

    async fn parked_page(&self, query: &ParkedQuery) -> Result<Vec<ListedParked>, StoreError> {
        let query = query.clone();
        self.readers.read_long(move |conn| parked::page(conn, &query)).await
    }

    async fn due_sweeps(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, u64)>,
        limit: usize,
    ) -> Result<Vec<DueSweep>, StoreError> {
        self.readers.read(move |conn| lists::due_sweeps(conn, now, after, limit)).await
    }

    async fn open_orders(&self, query: &OpenQuery) -> Result<Vec<Listed>, StoreError> {
        let query = query.clone();
        self.readers.read_long(move |conn| open_orders::list(conn, &query)).await
    }

    async fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError> {
        self.readers.read_long(open_orders::counts).await
    }

    async fn orders(&self, query: &OrderQuery) -> Result<Vec<Listed>, StoreError> {
        let query = query.clone();
        self.readers.read_long(move |conn| lists::orders(conn, &query)).await
    }

    async fn walk(&self, after: u64, limit: usize, events: usize) -> Result<Vec<Walked>, StoreError> {
        self.readers.read_long(move |conn| reader::walk(conn, after, limit, events)).await
    }

    async fn reserve_numbers(&self, count: u32) -> Result<u64, StoreError> {
        Ok(self.shared.numbers.fetch_add(u64::from(count), Ordering::SeqCst) + 1)
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        Ok(self.shared.stats())
    }
}
