//! The [`Store`] port on PostgreSQL: one schema for each service, any number of processes.
//!
//! A batch is one call of the function `commit_batch`, which runs from BEGIN to COMMIT on the server: no process can
//! freeze while it holds a lock, and whoever takes journal positions has them to itself until its commit, so that
//! their order is the order of commits. A batch has an id; whoever lost its connection before it heard what became of
//! one asks again under the same id.
//!
//! * [`open`](PostgresStore::open) … connections, migrations, the schema's identity; `url`, `tls` … how to get there.
//! * `batch` … a batch as the function's arrays; the function itself is in `migrations/postgres`.
//! * `leases` … which process does what only one may; [`bell`] … wakes processes when others have committed.
//! * [`inspect`](inspect()) … a look at a database that changes nothing.
//! * `reads`, `lists` … the reads; `codec` … values and errors.

mod batch;
pub mod bell;
mod codec;
mod inspect;
mod leases;
mod lists;
mod open;
mod reads;
mod tls;
mod url;

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    failpoint::Failpoint,
    ports::{
        AnswerKey, Batch, Cursor, DueSweep, JournalRow, Listed, ListedParked, OpenCount, OpenQuery,
        OrderQuery, Outcome, Parked, ParkedQuery, SavedAnswer, Store, StoreError, StoreStats, Stored, Task,
        Walked,
    },
};
use deadpool_postgres::{Client, Pool, PoolError};
use tokio::{sync::Semaphore, time::timeout};
use tokio_postgres::Error;
use uuid::Uuid;

use self::{
    batch::Arrays,
    codec::{integer, is_passing, limit as sql_limit, store_error},
    open::Opened,
};
pub(crate) use self::{
    codec::clean,
    open::{COPYING, connect, plan, prepare, quoted, schema_of, schema_version},
};
pub use self::{
    inspect::{InspectedStore, Inspection, inspect, place},
    leases::{Lease, Scope},
    open::{DatabaseError, PostgresOptions},
    tls::PostgresTls,
};
use crate::StoreKind;

/// How often a batch is tried that meets another one head on, or whose connection is lost.
const TRIES: u32 = 6;
/// The wait after the first try; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// Connections that lists leave to others.
const KEPT_FREE: usize = 3;
/// How long an answer may take: longer than the server allows itself for any statement.
const SILENCE: Duration = Duration::from_secs(20);

/// What became of a batch is forgotten after this many seconds: by then nobody asks any more.
const REMEMBERED: f64 = 3_600.0;

/// One service's store in one schema of a PostgreSQL database. Any number of processes may have it open.
pub struct PostgresStore {
    pool: Pool,
    /// So many lists at once: however long they take, a few connections stay for those who commit and hold leases.
    lists: Semaphore,
    kind: StoreKind,
    incarnation: Uuid,
    origin: Uuid,
    /// How many connections have been made.
    made: Arc<AtomicU64>,
}

impl PostgresStore {
    /// Opens the schema of a service, making it if it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// [`DatabaseError`] says what is wrong with the database and what to do.
    pub async fn open(kind: StoreKind, options: &PostgresOptions) -> Result<Self, DatabaseError> {
        let Opened { pool, incarnation, origin, made } = open::open(kind, options).await?;
        let lists = Semaphore::new(options.connections.saturating_sub(KEPT_FREE).max(1));
        Ok(Self { pool, lists, kind, incarnation, origin, made })
    }

    /// The store's first incarnation. Copies and restores keep it, so it says whose history this is.
    pub const fn origin(&self) -> Uuid {
        self.origin
    }

    /// Keeps a text under a name if `was` is kept there until then (`None`: nothing is); `false` if something else is. For
    /// what processes share and no order is about.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn note_over(&self, name: &str, was: Option<&str>, text: &str) -> Result<bool, StoreError> {
        let note = async |client: Client| {
            let changed = match was {
                Some(was) => {
                    let put = "UPDATE note SET value = $3 WHERE name = $1 AND value = $2";
                    client.execute(put, &[&name, &was, &text]).await?
                }
                None => {
                    let put = "INSERT INTO note VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
                    client.execute(put, &[&name, &text]).await?
                }
            };
            Ok(changed > 0)
        };
        self.read(note).await
    }

    /// What was kept under this name.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn noted(&self, name: &str) -> Result<Option<String>, StoreError> {
        let noted = async |client: Client| {
            let row = client.query_opt("SELECT value FROM note WHERE name = $1", &[&name]).await?;
            row.map(|row| row.try_get(0)).transpose()
        };
        self.read(noted).await
    }

    async fn client(&self) -> Result<Client, StoreError> {
        self.pool.get().await.map_err(|error| match &error {
            PoolError::Backend(error) => store_error(error),
            error => StoreError::Unavailable(error.to_string()),
        })
    }

    async fn read<T, F: Future<Output = Result<T, Error>>>(
        &self,
        read: impl FnOnce(Client) -> F,
    ) -> Result<T, StoreError> {
        let client = self.client().await?;
        match timeout(SILENCE, read(client)).await {
            Ok(done) => done.map_err(|error| store_error(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    /// The server says nothing at all: its connections may be dead without anybody having told us, so all that are idle
    /// (the silent one, too, by now) are made anew.
    fn silent(&self) -> StoreError {
        self.pool.retain(|_, _| false);
        StoreError::Unavailable(format!("the database has not answered within {SILENCE:?}"))
    }

    /// A read that may take long.
    async fn list<T, F: Future<Output = Result<T, Error>>>(
        &self,
        list: impl FnOnce(Client) -> F,
    ) -> Result<T, StoreError> {
        let _turn = self.lists.acquire().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.read(list).await
    }

    async fn try_commit(&self, arrays: &Arrays<'_>) -> Result<Vec<Outcome>, Fall> {
        let client = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Fall { passing: true, error: store_error(&error) },
            error => Fall { passing: true, error: StoreError::Unavailable(error.to_string()) },
        })?;
        let params = arrays.params();
        Failpoint::CommitBegun.reach(self.kind.as_str());
        let call = async {
            let call = client.prepare_cached(&batch::call(params.len())).await?;
            let row = client.query_one(&call, &params).await?;
            arrays.outcomes(&row)
        };
        let done = timeout(SILENCE, call).await;
        if matches!(done, Ok(Ok(_))) {
            Failpoint::CommitStands.reach(self.kind.as_str());
        }
        drop(client);
        match done {
            Ok(done) => {
                done.map_err(|error| Fall { passing: is_passing(&error), error: store_error(&error) })
            }
            // Whoever asks again hears what became of it, also while the first try is still under way.
            Err(_) => Err(Fall { passing: true, error: self.silent() }),
        }
    }
}

/// Why a try did not tell what became of a batch.
struct Fall {
    passing: bool,
    error: StoreError,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    fn generation(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    async fn load(&self, ids: &[OrderId]) -> Result<Vec<Stored>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.read(async |client| reads::load(&client, ids).await).await
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        if batch.commits.is_empty() && batch.cursors.is_empty() {
            return Ok(Vec::new());
        }
        let id = Uuid::now_v7();
        let arrays = Arrays::new(&id, &batch)?;
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.try_commit(&arrays).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(Fall { passing: false, error }) => return Err(error),
                Err(Fall { passing: true, error }) => {
                    tracing::debug!(store = %self.kind, batch = %id, %error, "a batch is tried again");
                }
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        self.try_commit(&arrays).await.map_err(|fall| fall.error)
    }

    async fn journal(&self, after: u64, limit: usize) -> Result<Vec<JournalRow>, StoreError> {
        self.read(async |client| reads::journal(&client, after, limit).await).await
    }

    async fn journal_bounds(&self) -> Result<(u64, u64), StoreError> {
        self.read(async |client| reads::journal_bounds(&client).await).await
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        self.read(async |client| reads::cursors(&client).await).await
    }

    async fn history(&self, id: &OrderId, after: u64, limit: usize) -> Result<Vec<Bytes>, StoreError> {
        let history = self.list(async |client| reads::history(&client, id, after, limit).await).await?;
        history.map_err(StoreError::Corrupt)
    }

    async fn histories(&self, ids: &[OrderId], limit: usize) -> Result<Vec<Vec<Bytes>>, StoreError> {
        let histories = self.list(async |client| reads::histories(&client, ids, limit).await).await?;
        histories.map_err(StoreError::Corrupt)
    }

    async fn claim_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let claimed = self.read(async |client| reads::claim(&client, now, lease_until, limit).await).await?;
        if !claimed.is_empty() {
            Failpoint::TasksClaimed.reach(self.kind.as_str());
        }
        Ok(claimed)
    }

    async fn give_back(&self, tasks: &[Task]) -> Result<(), StoreError> {
        self.read(async |client| reads::give_back(&client, tasks).await).await
    }

    async fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<SavedAnswer>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.read(async |client| reads::answers(&client, keys).await).await
    }

    async fn purge_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let purge = async |client: Client| {
            let purge = client
                .prepare_cached(
                    "DELETE FROM answer WHERE (order_id, caller, idempotency) IN (
                        SELECT order_id, caller, idempotency FROM answer WHERE saved_at < $1 ORDER BY saved_at LIMIT $2)",
                )
                .await?;
            let gone = client.execute(&purge, &[&before.as_micros(), &sql_limit(limit)]).await?;
            let forget = client
                .prepare_cached("DELETE FROM written WHERE at < now() - make_interval(secs => $1)")
                .await?;
            client.execute(&forget, &[&REMEMBERED]).await?;
            Ok(usize::try_from(gone).unwrap_or(usize::MAX))
        };
        self.read(purge).await
    }

    async fn parked(&self, id: &OrderId) -> Result<Vec<Parked>, StoreError> {
        self.read(async |client| reads::parked(&client, id).await).await
    }

    async fn parked_page(&self, query: &ParkedQuery) -> Result<Vec<ListedParked>, StoreError> {
        self.list(async |client| reads::parked_page(&client, query).await).await
    }

    async fn due_sweeps(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, u64)>,
        limit: usize,
    ) -> Result<Vec<DueSweep>, StoreError> {
        self.read(async |client| lists::due_sweeps(&client, now, after, limit).await).await
    }

    async fn open_orders(&self, query: &OpenQuery) -> Result<Vec<Listed>, StoreError> {
        self.list(async |client| lists::open_orders(&client, query).await).await
    }

    async fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError> {
        self.list(async |client| lists::open_counts(&client).await).await
    }

    async fn orders(&self, query: &OrderQuery) -> Result<Vec<Listed>, StoreError> {
        self.list(async |client| lists::orders(&client, query).await).await
    }

    async fn walk(&self, after: u64, limit: usize, events: usize) -> Result<Vec<Walked>, StoreError> {
        self.list(async |client| lists::walk(&client, after, limit, events).await).await
    }

    async fn reserve_numbers(&self, count: u32) -> Result<u64, StoreError> {
        let reserve = async |client: Client| {
            let reserve = client.prepare_cached("SELECT reserve_numbers($1)").await?;
            let row = client.query_one(&reserve, &[&integer(u64::from(count))]).await?;
            row.try_get::<_, i64>(0)
        };
        self.read(reserve).await.map(i64::cast_unsigned)
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let stats = async |client: Client| {
            let select =
                client.prepare_cached("SELECT open_orders, tasks, parked, position FROM head").await?;
            let row = client.query_one(&select, &[]).await?;
            let count = |column| Ok::<_, Error>(row.try_get::<_, i64>(column)?.max(0).cast_unsigned());
            Ok(StoreStats { open_orders: count(0)?, tasks: count(1)?, parked: count(2)?, head: count(3)? })
        };
        self.read(stats).await
    }
}
