//! The limit below us: every row that an order's whole life writes, by bare SQLite in one thread, in the schema of the
//! store's migrations. What is written is in `life.json`, taken from the files after one order had gone through.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Failure, cargo::root};

/// Inputs in one transaction.
const BATCH: usize = 128;
/// The same where each of 64 clients waits for its answer.
const SMALL_BATCH: usize = 64;
const PAGE_BYTES: i64 = 8_192;
/// The write-ahead log is copied back when it has so many pages: 16 MiB, as the store does it.
const CHECKPOINT_PAGES: i64 = 16 * 1024 * 1024 / PAGE_BYTES;

#[derive(Args)]
pub struct LimitArgs {
    /// Where to write
    #[arg(long)]
    data: PathBuf,
    /// For how long
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// What the files allow.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// Whole lives of orders.
    pub orders_per_second: f64,
    /// Orders that are placed, and nothing more.
    pub placed_per_second: f64,
    /// 4 KiB appended and made durable.
    pub fsyncs_per_second: f64,
}

/// Measures and prints JSON.
///
/// # Errors
/// The directory can't be written, or the schema has changed and the statements here have not.
pub fn run(args: &LimitArgs) -> Result<bool, Failure> {
    fs::create_dir_all(&args.data)?;
    let time = Duration::from_secs(args.seconds);
    let fsyncs_per_second = fsyncs(&args.data, time / 3)?;
    let orders_per_second = Files::create(&args.data.join("lives"))?.live(time)?;
    let placed_per_second = Files::create(&args.data.join("placed"))?.place(time / 3)?;
    let limit = Limit { orders_per_second, placed_per_second, fsyncs_per_second };
    println!("{}", serde_json::to_string(&limit)?);
    Ok(true)
}

fn fsyncs(dir: &Path, time: Duration) -> Result<f64, Failure> {
    let path = dir.join("fsync");
    let mut file = File::create(&path)?;
    let block = [b'x'; 4096];
    let began = Instant::now();
    let mut count = 0_u32;
    while began.elapsed() < time {
        file.write_all(&block)?;
        file.sync_data()?;
        count += 1;
    }
    let per_second = f64::from(count) / began.elapsed().as_secs_f64();
    fs::remove_file(&path)?;
    Ok(per_second)
}

/// The three services' files.
struct Files {
    orders: Store,
    payments: Store,
    fulfillment: Store,
    life: Life,
    scattered: Scattered,
}

impl Files {
    fn create(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        Ok(Self {
            orders: Store::create(&dir.join("orders.db"), "orders")?,
            payments: Store::create(&dir.join("payments.db"), "payments")?,
            fulfillment: Store::create(&dir.join("fulfillment.db"), "fulfillment")?,
            life: serde_json::from_str(include_str!("life.json"))?,
            scattered: Scattered(0),
        })
    }

    /// Batch after batch of orders from placed to shipped, until the time is over; returns orders per second.
    fn live(mut self, time: Duration) -> Result<f64, Failure> {
        let began = Instant::now();
        let mut orders = 0_u32;
        while began.elapsed() < time {
            self.batch(BATCH)?;
            orders += BATCH as u32;
        }
        Ok(f64::from(orders) / began.elapsed().as_secs_f64())
    }

    /// The same for orders that wait for nothing once they are placed, such as the older systems' carts.
    fn place(mut self, time: Duration) -> Result<f64, Failure> {
        let (began, mut placed) = (Instant::now(), 0_u32);
        let Self { orders, life, scattered, .. } = &mut self;
        while began.elapsed() < time {
            orders.begin()?;
            for _ in 0..SMALL_BATCH {
                let id = scattered.next_id();
                let key = orders.insert_order(&id, &life.orders.placed)?;
                orders.own(key, 1, &id, &life.orders.journal[0])?;
            }
            orders.commit()?;
            placed += SMALL_BATCH as u32;
        }
        Ok(f64::from(placed) / began.elapsed().as_secs_f64())
    }

    /// The whole life of some orders: nine transactions.
    fn batch(&mut self, size: usize) -> rusqlite::Result<()> {
        let Self { orders, payments, fulfillment, life, scattered } = self;
        let ids: Vec<String> = (0..size).map(|_| scattered.next_id()).collect();
        let each = |store: &mut Store, work: &mut dyn FnMut(&mut Store, usize) -> rusqlite::Result<()>| {
            (0..size).try_for_each(|i| work(store, i))
        };

        // Placed, and asked to be paid.
        let mut keys = Vec::with_capacity(size);
        orders.begin()?;
        each(orders, &mut |store, i| {
            let key = store.insert_order(&ids[i], &life.orders.placed)?;
            store.own(key, 1, &ids[i], &life.orders.journal[0])?;
            store.own(key, 2, &ids[i], &life.orders.journal[1])?;
            keys.push(key);
            Ok(())
        })?;
        orders.commit()?;

        // Payments begins, and hears from its provider.
        let mut paying = Vec::with_capacity(size);
        payments.begin()?;
        each(payments, &mut |store, i| {
            paying.push(store.insert(&ids[i], &life.payments.asked)?);
            store.put_task(&ids[i], 1, &life.payments.task)
        })?;
        payments.read("orders", orders.position)?;
        payments.commit()?;
        payments.begin()?;
        each(payments, &mut |store, i| {
            store.update(paying[i], &life.payments.done)?;
            store.journal(&ids[i], &life.payments.journal[0])?;
            store.drop_task(&ids[i], 1)
        })?;
        payments.commit()?;

        // Orders asks for a plan.
        orders.begin()?;
        each(orders, &mut |store, i| {
            store.update_order(keys[i], 2, "authorized", &life.orders.authorized)?;
            store.foreign(keys[i], 3, &life.payments.journal[0].value)?;
            store.own(keys[i], 4, &ids[i], &life.orders.journal[2])
        })?;
        orders.read("payments", payments.position)?;
        orders.commit()?;

        // Fulfillment plans.
        let mut shipping = Vec::with_capacity(size);
        fulfillment.begin()?;
        each(fulfillment, &mut |store, i| {
            shipping.push(store.insert(&ids[i], &life.fulfillment.planned)?);
            store.journal(&ids[i], &life.fulfillment.journal[0])
        })?;
        fulfillment.read("orders", orders.position)?;
        fulfillment.commit()?;

        // Orders asks for the shipment.
        orders.begin()?;
        each(orders, &mut |store, i| {
            store.update_order(keys[i], 3, "scheduled", &life.orders.scheduled)?;
            store.foreign(keys[i], 5, &life.fulfillment.journal[0].value)?;
            store.own(keys[i], 6, &ids[i], &life.orders.journal[3])
        })?;
        orders.read("fulfillment", fulfillment.position)?;
        orders.commit()?;

        // Fulfillment begins, and hears from the carrier.
        fulfillment.begin()?;
        each(fulfillment, &mut |store, i| {
            store.update(shipping[i], &life.fulfillment.asked)?;
            store.put_task(&ids[i], 3, &life.fulfillment.task)
        })?;
        fulfillment.read("orders", orders.position)?;
        fulfillment.commit()?;
        fulfillment.begin()?;
        each(fulfillment, &mut |store, i| {
            store.update(shipping[i], &life.fulfillment.done)?;
            store.journal(&ids[i], &life.fulfillment.journal[1])?;
            store.drop_task(&ids[i], 3)
        })?;
        fulfillment.commit()?;

        // The order is complete.
        orders.begin()?;
        each(orders, &mut |store, i| {
            store.complete_order(keys[i], &life.orders.shipped)?;
            store.foreign(keys[i], 7, &life.fulfillment.journal[1].value)?;
            store.own(keys[i], 8, &ids[i], &life.orders.journal[4])
        })?;
        orders.read("fulfillment", fulfillment.position)?;
        orders.commit()
    }
}

/// One file, and what its `head` row counts.
struct Store {
    conn: Connection,
    topic: &'static str,
    writes: i64,
    position: i64,
    number: i64,
    open: i64,
    tasks: i64,
}

impl Store {
    fn create(path: &Path, topic: &'static str) -> Result<Self, Failure> {
        let conn = Connection::open(path)?;
        conn.pragma_update(None, "page_size", PAGE_BYTES)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        conn.pragma_update(None, "cache_size", -32 * 1024)?;
        conn.set_prepared_statement_cache_capacity(64);
        for migration in migrations()? {
            conn.execute_batch(&migration)?;
        }
        Ok(Self { conn, topic, writes: 0, position: 0, number: 0, open: 0, tasks: 0 })
    }

    fn begin(&self) -> rusqlite::Result<()> {
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        self.writes += 1;
        self.conn
            .prepare_cached(
                "UPDATE head SET writes = ?1, position = ?2, number = ?3, open_orders = ?4, tasks = ?5, parked = 0",
            )?
            .execute(params![self.writes, self.position, self.number, self.open, self.tasks])?;
        self.conn.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    fn insert_order(&mut self, id: &str, record: &str) -> rusqlite::Result<i64> {
        self.number += 1;
        self.open += 1;
        let now = now();
        self.conn
            .prepare_cached(
                "INSERT INTO record (id, revision, schema, history, parked, counted, number, channel, external_id,
                    status, milestone, flow, customer, created_at, updated_at, sweep_at, record)
                 VALUES (?1, 1, 1, 2, 0, 1, ?2, '', NULL, 'open', 'created', 'standard', ?3, ?4, ?4, ?5, ?6)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![id, self.number, customer(self.number), now, sweep_at(now), record.as_bytes()])?;
        Ok(self.conn.last_insert_rowid())
    }

    fn update_order(&self, key: i64, revision: i64, milestone: &str, record: &str) -> rusqlite::Result<()> {
        let now = now();
        self.conn
            .prepare_cached(
                "UPDATE record SET revision = ?2, history = history + 2, counted = 1, status = 'open', milestone = ?3,
                    flow = 'standard', updated_at = ?4, sweep_at = ?5, record = ?6 WHERE key = ?1",
            )?
            .execute(params![key, revision, milestone, now, sweep_at(now), record.as_bytes()])
            .map(drop)
    }

    fn complete_order(&mut self, key: i64, record: &str) -> rusqlite::Result<()> {
        self.open -= 1;
        self.conn
            .prepare_cached(
                "UPDATE record SET revision = 4, history = history + 2, counted = 0, status = 'completed',
                    milestone = 'shipped', flow = 'standard', updated_at = ?2, sweep_at = NULL, record = ?3 WHERE key = ?1",
            )?
            .execute(params![key, now(), record.as_bytes()])
            .map(drop)
    }

    fn insert(&self, id: &str, record: &str) -> rusqlite::Result<i64> {
        self.conn
            .prepare_cached(
                "INSERT INTO record (id, revision, schema, history, parked, counted, record)
                 VALUES (?1, 1, 1, 0, 0, 0, ?2) ON CONFLICT DO NOTHING",
            )?
            .execute(params![id, record.as_bytes()])?;
        Ok(self.conn.last_insert_rowid())
    }

    fn update(&self, key: i64, record: &str) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("UPDATE record SET revision = revision + 1, record = ?2 WHERE key = ?1")?
            .execute(params![key, record.as_bytes()])
            .map(drop)
    }

    fn journal(&mut self, id: &str, event: &Event) -> rusqlite::Result<()> {
        self.position += 1;
        self.conn
            .prepare_cached(
                "INSERT INTO journal (position, topic, key, headers, value) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![self.position, self.topic, id, event.headers.as_bytes(), event.value.as_bytes()])
            .map(drop)
    }

    /// A journal row that the order's history names.
    fn own(&mut self, key: i64, n: i64, id: &str, event: &Event) -> rusqlite::Result<()> {
        self.journal(id, event)?;
        self.conn
            .prepare_cached("INSERT INTO history (record, n, position) VALUES (?1, ?2, ?3)")?
            .execute(params![key, n, self.position])
            .map(drop)
    }

    /// Another service's event in the order's history.
    fn foreign(&self, key: i64, n: i64, value: &str) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("INSERT INTO history (record, n, value) VALUES (?1, ?2, ?3)")?
            .execute(params![key, n, value.as_bytes()])
            .map(drop)
    }

    fn put_task(&mut self, id: &str, step: u32, work: &str) -> rusqlite::Result<()> {
        self.tasks += 1;
        let now = now();
        self.conn
            .prepare_cached(
                "INSERT INTO task (id, order_id, due_at, ready_at, attempts, work) VALUES (?1, ?2, ?3, ?4, 0, ?5)",
            )?
            .execute(params![format!("{id}:{step}"), id, now, now + LEASE, work])
            .map(drop)
    }

    fn drop_task(&mut self, id: &str, step: u32) -> rusqlite::Result<()> {
        self.tasks -= 1;
        self.conn
            .prepare_cached("DELETE FROM task WHERE id = ?1")?
            .execute([format!("{id}:{step}")])
            .map(drop)
    }

    fn read(&self, source: &str, position: i64) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO cursor (source, lane, incarnation, position) VALUES (?1, 0, ?2, ?3)
                 ON CONFLICT (source, lane) DO UPDATE SET incarnation = ?2, position = ?3",
            )?
            .execute(params![source, [7_u8; 16].as_slice(), position])
            .map(drop)
    }
}

/// The store's migrations, in their order.
fn migrations() -> Result<Vec<String>, Failure> {
    let dir = root().join("crates/store/migrations/sqlite");
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix('V').and_then(|rest| rest.split_once("__")?.0.parse::<u32>().ok());
        if let Some(number) = number {
            files.push((number, fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, sql)| sql).collect())
}

const SWEEP_AFTER: i64 = 300_000_000;
/// Moments for the sweeper are rounded up, as the orders service does it.
fn sweep_at(now: i64) -> i64 {
    let grain = SWEEP_AFTER / 16;
    (now + SWEEP_AFTER + grain - 1) / grain * grain
}

const LEASE: i64 = 60_000_000;

fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Ids without order, such as orders placed with an `Idempotency-Key` have: they are derived from the key.
struct Scattered(u64);

impl Scattered {
    fn next_id(&mut self) -> String {
        let mut half = || {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15); // splitmix64: all that matters is that it scatters
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Uuid::new_v8((u128::from(half()) << 64 | u128::from(half())).to_be_bytes()).to_string()
    }
}

/// A few thousand customers, so that their index is not written at one place only.
fn customer(number: i64) -> String {
    format!("customer-{}", number.wrapping_mul(7_919).rem_euclid(5_000))
}

/// The bytes of one order's life.
#[derive(Deserialize)]
struct Life {
    orders: OrderLife,
    payments: PaymentLife,
    fulfillment: FulfillmentLife,
}

#[derive(Deserialize)]
struct OrderLife {
    placed: String,
    authorized: String,
    scheduled: String,
    shipped: String,
    journal: [Event; 5],
}

#[derive(Deserialize)]
struct PaymentLife {
    asked: String,
    done: String,
    task: String,
    journal: [Event; 1],
}

#[derive(Deserialize)]
struct FulfillmentLife {
    planned: String,
    asked: String,
    done: String,
    task: String,
    journal: [Event; 2],
}

#[derive(Deserialize)]
struct Event {
    headers: String,
    value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also fails when a migration changes what the statements here write to.
    #[test]
    fn a_life_writes_all_its_rows_into_the_schema_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::create(dir.path()).unwrap();
        files.batch(3).unwrap();
        files.batch(3).unwrap();
        let count = |store: &Store, table: &str| -> i64 {
            store.conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        let counts =
            |store: &Store| ["record", "journal", "history", "task", "cursor"].map(|t| count(store, t));
        assert_eq!(counts(&files.orders), [6, 30, 48, 0, 2]);
        assert_eq!(counts(&files.payments), [6, 6, 0, 0, 1]);
        assert_eq!(counts(&files.fulfillment), [6, 12, 0, 0, 1]);
        let head: (i64, i64, i64) = files
            .orders
            .conn
            .query_row("SELECT writes, position, open_orders FROM head", [], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?))
            })
            .unwrap();
        assert_eq!(head, (8, 30, 0));
    }
}
