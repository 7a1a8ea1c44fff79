//! The port on tantivy: an index in a directory of this machine, for one process.
//!
//! Scores are those of BM25, as in Elasticsearch; hits of one score come in the index's own order, hits of one sort value by
//! their ids. Every count is exact.

mod compile;
mod counted;
mod layout;
mod reckon;
mod search;
mod slot;
mod sorted;
mod steady;
mod writer;

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use tantivy::TantivyError;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    port::{Aim, Document, Error, Found, Progress, SearchIndex, Written},
    query::Request,
};
use layout::Layout;
use slot::{Shared, Slot};
use writer::{Writer, giving_way};

/// How many threads write to the live index: changes come in as orders do.
const LIVE_THREADS: usize = 1;

/// How many write to the next one: a rebuild is to be quick.
const NEXT_THREADS: usize = 2;

/// How many searches are under way at once,
const SEARCHES: usize = 2;

/// and how many may wait for that.
const MAX_WAITING: usize = 256;

/// In its directory: whoever holds it has the index.
const LOCK: &str = "lock";

/// The index of orders in a directory. Copies share it.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    layout: Layout,
    live: RwLock<Shared>,
    /// Both are locked in this order where both are needed.
    live_writer: Mutex<Writer>,
    next_writer: Mutex<Option<Writer>>,
    searches: Semaphore,
    waiting: Semaphore,
    /// Held as long as this lives.
    _lock: File,
}

impl Embedded {
    /// Opens the index in this directory, which belongs to it alone. One that is damaged, or that an older version wrote in
    /// another form, is thrown away: its progress is then `None`, as for a new one. Blocks.
    ///
    /// # Errors
    /// The directory can't be used, or another process uses it.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        // Before anything there is looked at, since what looks left over may be somebody's work.
        let lock = lock(dir)?;
        let layout = Layout::new();
        let live = Arc::new(Slot::open(dir, &layout)?);
        let live_writer = Mutex::new(Writer::new(live.clone(), LIVE_THREADS)?);
        let next_writer = Mutex::new(None);
        let dir = dir.to_owned();
        let (searches, waiting) = (Semaphore::new(SEARCHES), Semaphore::new(SEARCHES + MAX_WAITING));
        let live = RwLock::new(live);
        let inner = Inner { dir, layout, live, live_writer, next_writer, searches, waiting, _lock: lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Waits for its turn to search: those who take orders need the machine, too.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        let searches = &self.inner.searches;
        let _place = self.inner.waiting.try_acquire().map_err(|_| {
            Error::Unavailable(format!("{MAX_WAITING} searches wait already; try again in a moment"))
        })?;
        searches.acquire().await.map_err(|error| Error::Unavailable(error.to_string()))
    }

    /// Does what takes time where it holds up nobody.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| Err(Error::Unavailable(format!("the search index failed: {error}"))))
    }
}

#[async_trait]
impl SearchIndex for Embedded {
    async fn prepare(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn write(&self, aim: Aim, documents: &[Document]) -> Result<Vec<Written>, Error> {
        let documents = documents.to_vec();
        self.run(move |inner| inner.with_writer(aim, |writer| writer.write(&inner.layout, &documents))).await
    }

    async fn commit(&self, aim: Aim, progress: Option<Progress>) -> Result<(), Error> {
        self.run(move |inner| inner.with_writer(aim, |writer| writer.commit(progress))).await
    }

    async fn progress(&self) -> Result<Option<Progress>, Error> {
        self.run(|inner| Ok(inner.live_writer().progress())).await
    }

    async fn search(&self, request: &Request) -> Result<Found, Error> {
        let _turn = self.turn().await?;
        let request = request.clone();
        self.run(move |inner| {
            let searcher = inner.live().reader.searcher();
            search::search(&inner.layout, &searcher, &request, now())
        })
        .await
    }

    async fn get(&self, id: &str) -> Result<Option<Document>, Error> {
        let id = id.to_owned();
        self.run(move |inner| {
            let searcher = inner.live().reader.searcher();
            search::get(&inner.layout, &searcher, &id).map_err(failed)
        })
        .await
    }

    async fn begin_next(&self) -> Result<(), Error> {
        self.run(|inner| {
            let mut next = inner.next_writer();
            if let Some(earlier) = next.take() {
                let slot = earlier.slot().clone();
                drop(earlier);
                slot.remove(&inner.dir);
            }
            let slot = Slot::create(&inner.dir, &inner.layout)?;
            *next = Some(Writer::new(Arc::new(slot), NEXT_THREADS)?);
            Ok(())
        })
        .await
    }

    async fn swap(&self) -> Result<(), Error> {
        self.run(Inner::swap).await
    }
}

impl Inner {
    fn swap(&self) -> Result<(), Error> {
        let mut live = self.live_writer();
        let mut next = self.next_writer();
        let Some(mut writer) = next.take() else { return Err(no_next()) };
        let committed = giving_way(|| writer.commit(None));
        let prepared = committed.and_then(|()| writer.slot().point_to(&self.dir));
        if let Err(error) = prepared {
            *next = Some(writer);
            return Err(error);
        }
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = writer.slot().clone();
        let old = std::mem::replace(&mut *live, writer);
        let slot = old.slot().clone();
        drop(old);
        slot.remove(&self.dir);
        live.set_threads(LIVE_THREADS);
        Ok(())
    }

    fn live(&self) -> Shared {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whatever writes gives way, and so do the threads that it begins: nobody waits for it.
    fn with_writer<T: Send>(
        &self,
        aim: Aim,
        work: impl FnOnce(&mut Writer) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        giving_way(|| match aim {
            Aim::Live => work(&mut self.live_writer()),
            Aim::Next => work(self.next_writer().as_mut().ok_or_else(no_next)?),
        })
    }

    fn live_writer(&self) -> MutexGuard<'_, Writer> {
        self.live_writer.lock().unwrap_or_else(|poisoned| {
            self.live_writer.clear_poison();
            let mut writer = poisoned.into_inner();
            // Nobody knows how far it got when it failed.
            writer.give_up();
            writer
        })
    }

    fn next_writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.next_writer.lock().unwrap_or_else(|poisoned| {
            self.next_writer.clear_poison();
            let mut writer = poisoned.into_inner();
            *writer = None;
            writer
        })
    }
}

fn lock(dir: &Path) -> Result<File, Error> {
    let unusable = |error: std::io::Error| Error::Unavailable(format!("{}: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(unusable)?;
    let lock = File::create(dir.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(in_use()),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn in_use() -> Error {
    Error::Unavailable("another process uses the search index; stop it first".to_owned())
}

fn no_next() -> Error {
    Error::Refused("there is no next index; begin one first".to_owned())
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn failed(error: TantivyError) -> Error {
    match error {
        TantivyError::LockFailure(..) => in_use(),
        error => Error::Unavailable(error.to_string()),
    }
}
