//! Copies of data directories in databases.

use std::{path::Path, sync::Arc};

use cartwright_core::ports::{Batch, Commit, Cursor, Guard, HistoryEntry, Store, StoreStats};
use cartwright_store::{
    DataDir, OpenError, StoreKind,
    copy::{Copied, Copy, CopyError, Stage, copy},
    postgres::{DatabaseError, PostgresOptions, PostgresStore},
    sqlite::{SqliteOptions, SqliteStore},
};
use cartwright_testkit::build::{answer, answer_key, at, batch, columns, id, message, parked, placed, task};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::postgres;

const ORDERS: u64 = 700;
const LANES: u32 = 12;
const KINDS: [StoreKind; 3] = [StoreKind::Orders, StoreKind::Payments, StoreKind::Fulfillment];

fn file(dir: &Path, kind: StoreKind) -> SqliteStore {
    let options = SqliteOptions::default();
    SqliteStore::open(&dir.join(format!("{kind}.db")), kind, &options).unwrap()
}

/// An order with everything that may be kept of it.
fn full(n: u64) -> Commit {
    let order = format!("order {n}");
    let event = n.is_multiple_of(2).then(|| Uuid::from_u128(n.into()));
    let long = "x".repeat(n as usize * 3);
    Commit {
        guard: Guard::Absent,
        journal: vec![message(&order, "placed"), message(&order, &long)],
        history: vec![HistoryEntry::Own(0), HistoryEntry::Foreign("elsewhere".into()), HistoryEntry::Own(1)],
        put_tasks: vec![task(&format!("{order}:1"), &order, 50)],
        answers: vec![(answer_key(&order, "caller\u{0}", "ключ"), answer("said", 9))],
        park: if n.is_multiple_of(7) { vec![parked(&order, n + 1, event)] } else { vec![] },
        ..placed(&order, columns(n + 1_001, n as i64))
    }
}

/// A system that was stopped; what orders has read of payments is at this position.
async fn stopped(read: u64) -> TempDir {
    let dir = TempDir::new().unwrap();
    let [orders, payments, fulfillment] = KINDS.map(|kind| file(dir.path(), kind));
    payments.commit(batch((0..3).map(full))).await.unwrap();
    let cursor =
        Cursor { source: "payments".into(), lane: 0, incarnation: payments.incarnation(), position: read };
    for n in 0..ORDERS / 100 {
        let commits = (n * 100..(n + 1) * 100).map(full).collect();
        orders.commit(Batch { commits, cursors: vec![cursor.clone()] }).await.unwrap();
    }
    orders.reserve_numbers(5_000).await.unwrap();
    orders.claim_tasks(at(60), at(1_000_000), 10).await.unwrap(); // under lease when it stopped
    fulfillment.commit(batch([full(1)])).await.unwrap();
    dir
}

fn notes() -> Vec<(String, String)> {
    vec![("providers".into(), "{}".into())]
}

async fn move_house(from: &Path, to: &PostgresOptions) -> Result<Copied, CopyError> {
    copy(Copy { from: from.to_owned(), to: to.clone(), lanes: LANES, notes: notes() }, |_| {}).await
}

async fn plain(options: &PostgresOptions) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&options.url, NoTls).await.expect("the server of the tests");
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_holds_what_the_files_held_and_goes_on_from_there() {
    let (dir, options) = (stopped(6).await, postgres::options());
    let mut stages = Vec::new();
    let asked = Copy { from: dir.path().to_owned(), to: options.clone(), lanes: LANES, notes: notes() };
    let copied =
        copy(asked, |progress| stages.push((progress.stage, progress.done, progress.of))).await.unwrap();
    assert!(copied.is_good(), "{copied:?}");
    let rows =
        |table: &str| copied.tables.iter().filter(|t| t.table == table).map(|t| t.to.rows).sum::<u64>();
    assert_eq!((rows("record"), rows("journal"), rows("history")), (704, 1_408, 2_112));
    assert_eq!(
        (rows("task"), rows("answer"), rows("parked"), rows("cursor")),
        (704, 704, 101, u64::from(LANES))
    );
    assert!(stages.first().is_some_and(|(stage, ..)| *stage == Stage::Copying));
    assert!(
        stages.last().is_some_and(|(stage, done, of)| *stage == Stage::Comparing && done <= of),
        "{stages:?}"
    );

    for kind in KINDS {
        let (from, to) = (file(dir.path(), kind), postgres::open(kind, &options).await);
        assert_eq!((from.incarnation(), from.origin()), (to.incarnation(), to.origin()));
        assert_eq!(from.stats().await.unwrap(), to.stats().await.unwrap());
        assert_eq!(from.journal(0, 5_000).await.unwrap(), to.journal(0, 5_000).await.unwrap());
        for n in [0, 1, 2, 14, 21, 699] {
            let id = id(&format!("order {n}"));
            let ids = std::slice::from_ref(&id);
            assert_eq!(from.load(ids).await.unwrap(), to.load(ids).await.unwrap());
            assert_eq!(from.history(&id, 0, 9).await.unwrap(), to.history(&id, 0, 9).await.unwrap());
            assert_eq!(from.parked(&id).await.unwrap(), to.parked(&id).await.unwrap());
            // PostgreSQL knows no NUL; the store asks for its answers accordingly.
            let key = [answer_key(&format!("order {n}"), "caller\u{0}", "ключ")];
            assert_eq!(from.answers(&key).await.unwrap(), to.answers(&key).await.unwrap());
        }
        let due = |tasks: Vec<_>| format!("{tasks:?}");
        let (now, until) = (at(60), at(90));
        assert_eq!(
            due(from.claim_tasks(now, until, 1_000).await.unwrap()),
            due(to.claim_tasks(now, until, 1_000).await.unwrap()),
            "all of them: whoever had a lease is stopped"
        );
        assert_eq!(from.reserve_numbers(1).await.unwrap(), to.reserve_numbers(1).await.unwrap());
    }
    let orders = postgres::open(StoreKind::Orders, &options).await;
    let cursors = orders.cursors().await.unwrap();
    assert_eq!(cursors.iter().map(|cursor| cursor.lane).collect::<Vec<_>>(), (0..LANES).collect::<Vec<_>>());
    assert!(cursors.iter().all(|cursor| cursor.position == 6));
    assert_eq!(orders.noted("providers").await.unwrap().as_deref(), Some("{}"));
    // Rows that come now get keys of their own, and indexes are there again.
    let before = orders.stats().await.unwrap();
    let more = Commit { park: vec![parked("new", 1, None)], ..full(ORDERS) };
    orders.commit(batch([more])).await.unwrap();
    let after = orders.stats().await.unwrap();
    let expected = StoreStats {
        open_orders: before.open_orders + 1,
        tasks: before.tasks + 1,
        parked: before.parked + 1,
        head: before.head + 2,
    };
    assert_eq!(after, expected);
    let indexes = async |schema: &str| {
        let count = "SELECT count(*) FROM pg_indexes WHERE schemaname = $1";
        plain(&options).await.query_one(count, &[&schema]).await.unwrap().get::<_, i64>(0)
    };
    let fresh = postgres::options();
    postgres::open(StoreKind::Orders, &fresh).await;
    let (ours, theirs) = (format!("{}_orders", options.schema), format!("{}_orders", fresh.schema));
    assert_eq!(indexes(&ours).await, indexes(&theirs).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_cut_off_is_no_system_and_can_be_made_again() {
    let (dir, options) = (stopped(6).await, postgres::options());
    // In the first store, in the last one, and while both sides are compared.
    for cut in [
        (Stage::Copying, StoreKind::Orders),
        (Stage::Copying, StoreKind::Fulfillment),
        (Stage::Comparing, StoreKind::Payments),
    ] {
        let asked = Copy { from: dir.path().to_owned(), to: options.clone(), lanes: LANES, notes: notes() };
        let (to, mut reached) = tokio::sync::mpsc::unbounded_channel();
        let copying = copy(asked, move |progress| {
            if (progress.stage, progress.store) == cut {
                let _ = to.send(());
            }
        });
        tokio::select! {
            biased;
            Some(()) = reached.recv() => {} // its connections break off
            copied = copying => panic!("it should have been cut off: {copied:?}"),
        }
        for kind in KINDS {
            let refused = PostgresStore::open(kind, &options).await.unwrap_err();
            assert!(
                matches!(refused, DatabaseError::Unfinished { .. }) && !refused.is_passing(),
                "{refused}"
            );
            assert!(refused.to_string().contains("run it again"), "{refused}");
        }
        // Its threads may still be reading.
        while DataDir::holder(dir.path()).unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    }
    let copied = move_house(dir.path(), &options).await.unwrap();
    assert!(copied.is_good(), "{copied:?}");
    assert_eq!(postgres::open(StoreKind::Orders, &options).await.stats().await.unwrap().head, ORDERS * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_ever_overwritten() {
    let (dir, options) = (stopped(6).await, postgres::options());
    let payments = postgres::open(StoreKind::Payments, &options).await;
    payments.commit(batch((0..3).map(full))).await.unwrap();
    let says = move_house(dir.path(), &options).await.unwrap_err().to_string();
    let schema = format!("{}_payments", options.schema);
    assert!(says.contains(&schema) && says.contains("it holds 3 orders"), "{says}");
    postgres::open(StoreKind::Orders, &options).await; // and nothing was begun

    let used = postgres::options();
    let orders = postgres::open(StoreKind::Orders, &used).await;
    let (scope, second) = (cartwright_store::postgres::Scope::Bus, std::time::Duration::from_secs(60));
    for kind in KINDS {
        postgres::open(kind, &used).await;
    }
    orders.hold_leases(scope, Uuid::now_v7(), LANES, second).await.unwrap();
    let says = move_house(dir.path(), &used).await.unwrap_err().to_string();
    assert!(says.contains("a server works with the schema") && says.contains("(1 processes)"), "{says}");

    let good = postgres::options();
    assert!(move_house(dir.path(), &good).await.unwrap().is_good());
    let says = move_house(dir.path(), &good).await.unwrap_err().to_string();
    assert!(says.contains("_orders is not empty (it holds 700 orders)"), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_differs_is_found_and_not_started_on() {
    let (dir, options) = (stopped(6).await, postgres::options());
    postgres::open(StoreKind::Payments, &options).await;
    let spoil = format!(
        "SET search_path TO {}_payments; CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.value := ''other''; RETURN NEW; END';
         CREATE TRIGGER spoil BEFORE INSERT ON journal FOR EACH ROW WHEN (NEW.position = 2) EXECUTE FUNCTION spoil()",
        options.schema
    );
    plain(&options).await.batch_execute(&spoil).await.unwrap();
    let copied = move_house(dir.path(), &options).await.unwrap();
    let bad: Vec<_> = copied.tables.iter().filter(|table| table.from != table.to).collect();
    assert!(!copied.is_good() && bad.len() == 1, "{bad:?}");
    assert_eq!((bad[0].store, bad[0].table), (StoreKind::Payments, "journal"));
    assert_eq!(bad[0].from.rows, bad[0].to.rows, "their number alone would not have shown it");
    let refused = PostgresStore::open(StoreKind::Orders, &options).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Unfinished { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_t_be_copied_is_said_before_anything_is_written() {
    let options = postgres::options();
    let dir = stopped(6).await;
    let refusal = async |dir: &Path| move_house(dir, &options).await.unwrap_err();

    let nowhere = dir.path().join("nowhere");
    assert!(matches!(refusal(&nowhere).await, CopyError::NoData { missing: "orders.db", .. }));
    assert!(!nowhere.exists(), "nothing is made");
    let lock = Arc::new(DataDir::lock(dir.path()).unwrap());
    assert!(matches!(refusal(dir.path()).await, CopyError::Open(OpenError::InUse { .. })));
    drop(lock);

    let meta = |sql: &str| {
        Connection::open(dir.path().join("fulfillment.db")).unwrap().execute_batch(sql).unwrap();
    };
    meta("UPDATE meta SET value = 2 WHERE name = 'schema'");
    let says = refusal(dir.path()).await.to_string();
    assert!(
        says.contains("schema 2; this binary knows schema 1") && says.contains("would be lost"),
        "{says}"
    );
    meta("UPDATE meta SET value = 1 WHERE name = 'schema'");

    let ahead = stopped(7).await;
    assert!(matches!(refusal(ahead.path()).await, CopyError::Mismatch { .. }));

    let spoilt = stopped(6).await;
    let payments = Connection::open(spoilt.path().join("payments.db")).unwrap();
    payments.execute("UPDATE record SET id = CAST(x'ff' AS TEXT) WHERE key = 2", []).unwrap();
    drop(payments);
    let says = refusal(spoilt.path()).await.to_string();
    assert!(says.contains("row 2 of its table record") && says.contains("restore a backup"), "{says}");

    let newer = postgres::options();
    postgres::open(StoreKind::Payments, &newer).await;
    let schema = format!("{}_payments", newer.schema);
    let sql = format!("UPDATE {schema}.meta SET value = '2' WHERE name = 'schema'");
    plain(&newer).await.batch_execute(&sql).await.unwrap();
    let says = move_house(dir.path(), &newer).await.unwrap_err().to_string();
    assert!(says.contains(&schema) && says.contains("schema 2; this binary knows schema 1"), "{says}");
}
