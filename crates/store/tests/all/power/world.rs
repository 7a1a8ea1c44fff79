//! A store on a disk that fails, work for it, and a witness that remembers every answer.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use cartwright_core::ports::{
    Batch, Commit, Guard, HistoryEntry, JournalRow, Outcome, Parked, SavedAnswer, Store, StoreError,
    StoreStats, Stored, Task,
};
use cartwright_store::{
    OpenError, StoreKind,
    sqlite::{SqliteOptions, SqliteStore},
};
use cartwright_testkit::{
    MemoryStore, build,
    power::{self, Dice, Disk},
};
use rusqlite::{Connection, OpenFlags, Row, config::DbConfig};
use uuid::Uuid;

const FILE: &str = "orders.db";
/// A moment after every due time.
const LATE: i64 = 1 << 50;

/// What is asked of a store.
#[derive(Clone)]
enum Op {
    Commit(Batch),
    /// Claims tasks with leases that have ended: a write that changes nothing that the witness sees.
    Claim,
    Purge(usize),
}

/// What came of asking for something.
#[derive(Debug)]
pub enum Tried {
    Answered,
    Refused(StoreError),
    /// The power went before the answer.
    Lost,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Outcomes(Vec<Outcome>),
    Tasks(Vec<Task>),
    Purged(usize),
}

/// A disk, and all that was answered to those who used the store on it.
pub struct World {
    pub disk: Arc<Disk>,
    pub dice: Dice,
    options: SqliteOptions,
    /// Holds exactly what was answered.
    witness: MemoryStore,
    incarnation: Option<Uuid>,
    orders: Vec<String>,
    /// What was asked and not answered when the power went: it may stand.
    in_flight: Option<Op>,
    steps: u64,
    answers: i64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        // Short logs and small caches, so that checkpoints and spilled pages are everywhere.
        let options = SqliteOptions {
            checkpoint_bytes: [16, 64, 256][dice.below(3) as usize] * 1024,
            cache_bytes: [64, 32 * 1024][dice.below(2) as usize] * 1024,
            vfs: Some(power::vfs().to_owned()),
            ..SqliteOptions::default()
        };
        Self {
            disk: Disk::mount(format!("/power/{}", Uuid::now_v7()), dice.roll()),
            dice,
            options,
            witness: MemoryStore::new(Uuid::nil()),
            incarnation: None,
            orders: Vec::new(),
            in_flight: None,
            steps: 0,
            answers: 0,
        }
    }

    pub fn open(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(&self.disk.path(FILE), StoreKind::Orders, &self.options)
    }

    /// Asks for something that must be done. `false`: the power went before the answer.
    pub async fn work(&mut self, store: &SqliteStore) -> Result<bool, String> {
        match self.try_work(store).await? {
            Tried::Answered => Ok(true),
            Tried::Refused(error) => Err(format!("refused without a reason: {error}")),
            Tried::Lost => Ok(false),
        }
    }

    /// Asks for something, and has the witness remember the answer, which must be the right one. After a refusal,
    /// what is read decides whether it stands, and that holds from then on.
    pub async fn try_work(&mut self, store: &SqliteStore) -> Result<Tried, String> {
        let op = self.next(store).await;
        self.in_flight = Some(op.clone());
        match until_cut(&self.disk, run(store, op.clone())).await {
            Some(Ok(answer)) => {
                self.in_flight = None;
                let right = run(&self.witness, op).await.map_err(|e| e.to_string())?;
                if right != answer {
                    return Err(format!("answered {answer:?} instead of {right:?}"));
                }
                Ok(Tried::Answered)
            }
            Some(Err(_)) | None if !self.disk.is_on() => Ok(Tried::Lost),
            Some(Err(error)) => match self.compare(store).await {
                Err(_) if !self.disk.is_on() => Ok(Tried::Lost),
                compared => compared.map(|()| Tried::Refused(error)),
            },
            None => Ok(Tried::Lost),
        }
    }

    /// Writes something of which the witness need not know.
    pub async fn write(&self, store: &SqliteStore) -> Result<(), StoreError> {
        run(store, Op::Claim).await.map(drop)
    }

    /// Reads with each of the store's readers.
    pub async fn read(&self, store: &SqliteStore) -> Result<(), StoreError> {
        let Some(order) = self.orders.first().map(|order| build::id(order)) else { return Ok(()) };
        store.load(std::slice::from_ref(&order)).await?;
        store.history(&order, 0, 9).await.map(drop)
    }

    /// Something new to do.
    async fn next(&mut self, store: &SqliteStore) -> Op {
        self.steps += 1;
        match self.dice.below(12) {
            0 => Op::Claim,
            1 => Op::Purge(1 + self.dice.below(3) as usize),
            _ => Op::Commit(self.batch(store).await),
        }
    }

    async fn batch(&mut self, store: &SqliteStore) -> Batch {
        let mut commits = BTreeMap::new();
        for _ in 0..=self.dice.below(4) {
            let commit = match self.dice.hit(1, 2) || self.orders.is_empty() {
                true => self.place(store).await,
                false => self.change().await,
            };
            commits.insert(commit.id.clone(), commit);
        }
        Batch { commits: commits.into_values().collect(), cursors: vec![build::cursor(self.steps)] }
    }

    async fn place(&mut self, store: &SqliteStore) -> Commit {
        let number = store.reserve_numbers(1).await.unwrap();
        let order = format!("order-{number}-{}", self.orders.len());
        self.orders.push(order.clone());
        let columns = build::columns(number, self.steps as i64);
        self.fill(build::placed(&order, columns))
    }

    /// Changes an order; now and then under a guard that does not hold.
    async fn change(&mut self) -> Commit {
        let order = self.orders[self.dice.below(self.orders.len() as u64) as usize].clone();
        let stored = self.witness.load(&[build::id(&order)]).await.unwrap().remove(0);
        let guard = match stored.revision {
            0 => Guard::Absent,
            revision => Guard::Revision(revision - u64::from(self.dice.hit(1, 8))),
        };
        let commit = self.fill(build::commit(&order));
        Commit { guard, ..commit }
    }

    fn fill(&mut self, commit: Commit) -> Commit {
        let (order, step) = (commit.id.as_str().to_owned(), self.steps);
        let size = [10, 300, 9_000][self.dice.below(3) as usize];
        let mut message = build::message(&order, "");
        message.value = vec![step as u8; size].into();
        let mut history = vec![HistoryEntry::Own(0)];
        if self.dice.hit(1, 2) {
            history.push(HistoryEntry::Foreign(vec![b'f'; size / 2].into()));
        }
        let task = format!("{order}:1");
        // Of its own moment: the oldest answers are purged first.
        self.answers += 1;
        let answer = build::answer(&order, self.answers);
        let (put, park) = (self.dice.hit(1, 2), self.dice.hit(1, 4));
        Commit {
            journal: vec![message, build::message(&order, "second")],
            history,
            put_tasks: put.then(|| build::task(&task, &order, step as i64)).into_iter().collect(),
            drop_tasks: if put { vec![] } else { vec![task] },
            answers: vec![(build::answer_key(&order, "caller", "key"), answer)],
            park: park.then(|| build::parked(&order, step * 10, None)).into_iter().collect(),
            unpark: if park { vec![] } else { vec![build::origin((step - 1) * 10)] },
            ..commit
        }
    }

    /// After a start: the store holds what was answered, all of it, and nothing else but what was under way.
    pub async fn check(&mut self, store: &SqliteStore) -> Result<(), String> {
        let incarnation = *self.incarnation.get_or_insert(store.incarnation());
        if incarnation != store.incarnation() {
            return Err("the journal's incarnation changed".to_owned());
        }
        self.look(store).await?;
        let number = store.reserve_numbers(1).await.map_err(|e| e.to_string())?;
        let used = self.newest_durable_number().map_err(|e| e.to_string())?;
        if number > used { Ok(()) } else { Err(format!("number {number} is given out, and {used} was used")) }
    }

    /// The store shows what was answered, and its file is sound.
    pub async fn look(&mut self, store: &SqliteStore) -> Result<(), String> {
        self.compare(store).await?;
        self.look_inside()
    }

    /// Compares what the store shows with what was answered. What was asked last and not answered may stand; if it
    /// does, the witness takes it in.
    async fn compare(&mut self, store: &SqliteStore) -> Result<(), String> {
        let tasks = self.stored_tasks().map_err(|e| format!("a read failed: {e}"))?;
        let found = self.see(store, tasks).await.map_err(|e| format!("a read failed: {e}"))?;
        let answered = self.witnessed().await?;
        let (Some(without), op) = (found.differs(&answered), self.in_flight.take()) else { return Ok(()) };
        let Some(op) = op else { return Err(without) };
        run(&self.witness, op).await.map_err(|e| e.to_string())?;
        let with_it = self.witnessed().await?;
        match found.differs(&with_it) {
            None => Ok(()),
            Some(with) => Err(format!("neither without what was under way, {without}, nor with it, {with}")),
        }
    }

    async fn witnessed(&self) -> Result<Seen, String> {
        let claimed = run(&self.witness, Op::Claim).await;
        let Ok(Answer::Tasks(tasks)) = claimed else { return Err(format!("{claimed:?}")) };
        let tasks = tasks.into_iter().map(|task| (task.id, task.due_at.as_micros())).collect();
        self.see(&self.witness, tasks).await.map_err(|e| e.to_string())
    }

    /// All that can be seen of a store without writing; so its tasks are not among it.
    async fn see(&self, store: &dyn Store, tasks: BTreeMap<String, i64>) -> Result<Seen, StoreError> {
        let ids: Vec<_> = self.orders.iter().map(|order| build::id(order)).collect();
        let mut seen = Seen {
            records: store.load(&ids).await?,
            journal: store.journal(0, usize::MAX).await?,
            tasks,
            cursors: format!("{:?}", store.cursors().await?),
            stats: store.stats().await?,
            ..Seen::default()
        };
        for (id, order) in ids.iter().zip(&self.orders) {
            seen.history.push(store.history(id, 0, usize::MAX).await?);
            seen.parked.push(store.parked(id).await?);
            seen.answers.extend(store.answers(&[build::answer_key(order, "caller", "key")]).await?);
        }
        Ok(seen)
    }

    /// The file is sound, and the counts that every commit carries along are those of its tables.
    fn look_inside(&self) -> Result<(), String> {
        let conn = self.connect().map_err(|e| e.to_string())?;
        let text =
            |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).map_err(|e| e.to_string());
        let sound = text("PRAGMA integrity_check")?;
        if sound != "ok" {
            return Err(sound);
        }
        let head = text("SELECT format('%d %d %d %d', position, open_orders, tasks, parked) FROM head")?;
        let counted = text(
            "SELECT format('%d %d %d %d', (SELECT coalesce(max(position), 0) FROM journal),
                (SELECT count(*) FROM record WHERE counted), (SELECT count(*) FROM task), (SELECT count(*) FROM parked))",
        )?;
        if head == counted { Ok(()) } else { Err(format!("the head says {head}, the tables {counted}")) }
    }

    /// The tasks and when they are due.
    fn stored_tasks(&self) -> rusqlite::Result<BTreeMap<String, i64>> {
        let conn = self.connect()?;
        let mut tasks = conn.prepare("SELECT id, due_at FROM task")?;
        tasks.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    fn newest_durable_number(&self) -> rusqlite::Result<u64> {
        let newest = |row: &Row<'_>| Ok(row.get::<_, i64>(0)?.cast_unsigned());
        self.connect()?.query_row("SELECT coalesce(max(number), 0) FROM record", [], newest)
    }

    /// A connection beside the store's.
    pub fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::default();
        let conn = Connection::open_with_flags_and_vfs(self.disk.path(FILE), flags, power::vfs())?;
        // It may be the last one for a moment, and must not copy a log that the store does not trust.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(conn)
    }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    records: Vec<Stored>,
    history: Vec<Vec<Bytes>>,
    parked: Vec<Vec<Parked>>,
    answers: Vec<Option<SavedAnswer>>,
    journal: Vec<JournalRow>,
    tasks: BTreeMap<String, i64>,
    cursors: String,
    stats: StoreStats,
}

impl Seen {
    fn differs(&self, other: &Self) -> Option<String> {
        let revisions = |seen: &Self| seen.records.iter().map(|stored| stored.revision).collect::<Vec<_>>();
        let parts = [
            ("journal", self.journal == other.journal),
            ("records", self.records == other.records),
            ("history", self.history == other.history),
            ("parked events", self.parked == other.parked),
            ("answers", self.answers == other.answers),
            ("tasks", self.tasks == other.tasks),
            ("cursors", self.cursors == other.cursors),
            ("stats", self.stats == other.stats),
        ];
        let wrong: Vec<_> = parts.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
        (!wrong.is_empty()).then(|| {
            format!(
                "{wrong:?} differ: found journal up to {} with revisions {:?}, answered journal up to {} with {:?}",
                self.stats.head,
                revisions(self),
                other.stats.head,
                revisions(other)
            )
        })
    }
}

async fn run(store: &dyn Store, op: Op) -> Result<Answer, StoreError> {
    Ok(match op {
        Op::Commit(batch) => Answer::Outcomes(store.commit(batch).await?),
        Op::Claim => Answer::Tasks(store.claim_tasks(build::at(LATE), build::at(0), usize::MAX).await?),
        Op::Purge(limit) => Answer::Purged(store.purge_answers(build::at(LATE), limit).await?),
    })
}

/// Waits for a future, but not longer than the disk has power: what then holds no answer never will.
async fn until_cut<T>(disk: &Disk, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    loop {
        match tokio::time::timeout(Duration::from_millis(1), &mut future).await {
            Ok(value) => return Some(value),
            Err(_) if !disk.is_on() => return None,
            Err(_) => {}
        }
    }
}
