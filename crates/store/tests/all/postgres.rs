//! PostgreSQL.

use std::{sync::Arc, time::Duration};

use cartwright_core::ports::{
    Batch, Commit, Cursor, Guard, HistoryEntry, OrderColumns, Outcome, ParkedQuery, Store, Task,
};
use cartwright_store::{
    StoreKind,
    postgres::{PostgresOptions, PostgresStore, PostgresTls},
};
use cartwright_testkit::{
    build::{at, batch, columns, commit, id, message, placed, task},
    store_contract,
    store_contract::Fixture,
};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::postgres_proxy::Proxy;

store_contract!(contract, fixture().await);

async fn fixture() -> Fixture {
    let options = options();
    Fixture::reopening(move || {
        let options = options.clone();
        async move { PostgresStore::open(StoreKind::Orders, &options).await.expect("a schema of its own") }
    })
    .await
}

/// A server that is not there is a failure of the test.
pub fn options() -> PostgresOptions {
    let url = std::env::var("CARTWRIGHT_TEST_POSTGRES").expect(
        "CARTWRIGHT_TEST_POSTGRES names no server: `cargo xtask servers up` starts one, `cargo xtask test` does so itself",
    );
    PostgresOptions {
        url,
        schema: format!("test_{}", Uuid::now_v7().simple()),
        connections: 8,
        tls: PostgresTls::Prefer,
    }
}

pub async fn open(kind: StoreKind, options: &PostgresOptions) -> PostgresStore {
    PostgresStore::open(kind, options).await.expect("a schema of its own")
}

/// A connection that knows nothing of us.
async fn plain(options: &PostgresOptions) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&options.url, NoTls).await.expect("the server of the tests");
    tokio::spawn(connection);
    client
}

fn noted(order: &str, guard: Guard) -> Commit {
    let (journal, history) = (vec![message(order, "x"), message(order, "y")], vec![HistoryEntry::Own(0)]);
    Commit { guard, journal, history, ..commit(order) }
}

/// What a reader that follows the numbers `n` of rows has seen, once `writers` are done.
async fn followed(next: impl AsyncFn(i64) -> Vec<i64>, mut writers: JoinSet<()>) -> Vec<i64> {
    let (mut seen, mut last) = (Vec::new(), 0);
    loop {
        let over = writers.try_join_next_with_id().is_none() && writers.is_empty();
        let rows = next(last).await;
        last = rows.last().copied().unwrap_or(last);
        let found = !rows.is_empty();
        seen.extend(rows);
        if over && !found {
            return seen;
        }
    }
}

/// Whoever stops gives back what it did not begin; but not what another process has got since.
#[tokio::test]
async fn what_is_given_back_is_free_at_once_and_what_others_have_is_theirs() {
    let options = options();
    let (one, other) = (open(StoreKind::Payments, &options).await, open(StoreKind::Payments, &options).await);
    let task = |order: &str| Task { lease_until: at(1_000), ..task(&format!("{order}:1"), order, 50) };
    let commits = ["a", "b"].map(|order| Commit { put_tasks: vec![task(order)], ..commit(order) });
    one.commit(Batch { commits: commits.into(), cursors: vec![] }).await.unwrap();
    let mine = [task("a"), task("b")];
    assert!(other.claim_tasks(at(999), at(2_000), 9).await.unwrap().is_empty(), "they are leased");
    one.give_back(&mine[..1]).await.unwrap();
    let taken = other.claim_tasks(at(60), at(2_000), 9).await.unwrap();
    assert_eq!(taken.iter().map(|task| &*task.id).collect::<Vec<_>>(), ["a:1"]);
    one.give_back(&mine).await.unwrap();
    let taken = one.claim_tasks(at(60), at(3_000), 9).await.unwrap();
    assert_eq!(taken.iter().map(|task| &*task.id).collect::<Vec<_>>(), ["b:1"], "the other one has a:1");
}

const WRITERS: usize = 8;
const BATCHES: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_are_in_commit_order_with_many_writers() {
    let options = options();
    let reader = open(StoreKind::Orders, &options).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = open(StoreKind::Orders, &options).await;
        writers.spawn(async move {
            for batch in 0..BATCHES {
                let orders = (0..5).map(|n| noted(&format!("{writer}-{batch}-{n}"), Guard::Absent));
                store.commit(Batch { commits: orders.collect(), cursors: vec![] }).await.unwrap();
            }
        });
    }
    let next = async |after: i64| {
        let rows = reader.journal(after.cast_unsigned(), 100).await.unwrap();
        rows.iter().map(|row| row.position.cast_signed()).collect()
    };
    let seen = followed(next, writers).await;
    let all: Vec<i64> = (1..=(WRITERS * BATCHES * 10) as i64).collect();
    assert_eq!(seen, all, "a reader that follows the positions misses nothing and sees nothing twice");
}

/// The test above can fail: whoever numbers rows by a sequence, as is often done, loses some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_plain_sequence_numbers_would_lose_rows() {
    let options = options();
    let setup = plain(&options).await;
    let table = format!("\"{}_sequence\"", options.schema);
    setup.batch_execute(&format!("CREATE TABLE {table} (n bigserial PRIMARY KEY)")).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (client, table) = (plain(&options).await, table.clone());
        writers.spawn(async move {
            for batch in 0..BATCHES {
                // Some transactions take longer than others, as they do.
                let pause = if (writer + batch) % 3 == 0 { "SELECT pg_sleep(0.01);" } else { "" };
                let sql = format!("BEGIN; INSERT INTO {table} DEFAULT VALUES; {pause} COMMIT");
                client.batch_execute(&sql).await.unwrap();
            }
        });
    }
    let select = format!("SELECT n FROM {table} WHERE n > $1 ORDER BY n LIMIT 100");
    let next = async |after: i64| {
        let rows = setup.query(&select, &[&after]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let seen = followed(next, writers).await;
    setup.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
    assert!(seen.len() < WRITERS * BATCHES, "it should have lost some, and saw all {}", seen.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_changed_by_two_processes_is_changed_one_by_one() {
    let options = options();
    let stores = [open(StoreKind::Orders, &options).await, open(StoreKind::Orders, &options).await];
    stores[0].commit(batch([noted("a", Guard::Absent)])).await.unwrap();
    let mut writers = JoinSet::new();
    for store in stores {
        writers.spawn(async move {
            let (mut won, mut lost) = (0, 0);
            while won < 50 {
                let revision = store.load(&[id("a")]).await.unwrap()[0].revision;
                match &store.commit(batch([noted("a", Guard::Revision(revision))])).await.unwrap()[..] {
                    [Outcome::Committed { .. }] => won += 1,
                    [Outcome::Conflict] => lost += 1,
                    other => panic!("{other:?}"),
                }
            }
            lost
        });
    }
    let lost: u32 = writers.join_all().await.into_iter().sum();
    println!("{lost} conflicts");
    let store = open(StoreKind::Orders, &options).await;
    assert_eq!(store.load(&[id("a")]).await.unwrap()[0].revision, 101);
    assert_eq!(store.history(&id("a"), 0, 1_000).await.unwrap().len(), 101);
    assert_eq!(store.journal_bounds().await.unwrap(), (1, 202));
}

/// Batches that name the same new orders in opposite order, and the same external ids: whoever meets another one waits
/// or is tried again, and nobody sees an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_meet_head_on_are_all_decided() {
    let options = options();
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let store = open(StoreKind::Orders, &options).await;
        writers.spawn(async move {
            let mut stood = 0;
            for round in 0..30 {
                let mut commits: Vec<Commit> = (0..8)
                    .map(|n| {
                        // The writers' orders differ, their external ids are the same, in another order of the ids.
                        let name = format!("{round}-{}-{writer}", if writer % 2 == 0 { n } else { 7 - n });
                        let number = round * 100 + n * 10 + writer;
                        let external_id = Some(format!("{round}-{n}"));
                        placed(&name, OrderColumns { external_id, ..columns(number + 1, 1) })
                    })
                    .collect();
                if writer > 1 {
                    commits.reverse();
                }
                for outcome in store.commit(batch(commits)).await.unwrap() {
                    match outcome {
                        Outcome::Committed { .. } => stood += 1,
                        Outcome::Taken { .. } => {}
                        Outcome::Conflict => panic!("nobody else has this order"),
                    }
                }
            }
            stood
        });
    }
    let stood: u32 = writers.join_all().await.into_iter().sum();
    assert_eq!(stood, 30 * 8, "each external id was given once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_in_the_middle_of_a_commit_is_found_again() {
    let direct = options();
    let proxy = Proxy::start(&direct.url).await;
    let through = PostgresOptions { url: proxy.url(), connections: 1, ..direct.clone() };
    let store = open(StoreKind::Orders, &through).await;
    store.commit(batch([noted("warm", Guard::Absent)])).await.unwrap();
    for n in 0..20 {
        // The server gets it, and its answer is lost.
        proxy.swallow_next_answer();
        let order = format!("order {n}");
        let outcomes = store.commit(batch([noted(&order, Guard::Absent)])).await.unwrap();
        let [Outcome::Committed { position }] = outcomes[..] else {
            panic!("{n} {outcomes:?} {}", through.schema)
        };
        assert_eq!(position, (n + 2) * 2, "written once, and known to be");
    }
    assert_eq!(proxy.swallowed(), 20);
    let look = open(StoreKind::Orders, &direct).await;
    assert_eq!(look.journal_bounds().await.unwrap(), (1, 42));
    for n in 0..20 {
        let id = id(&format!("order {n}"));
        assert_eq!(look.history(&id, 0, 9).await.unwrap().len(), 1);
        assert_eq!(look.load(&[id]).await.unwrap()[0].revision, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_falls_silent_is_given_up_and_the_commit_is_found_again() {
    let direct = options();
    let proxy = Proxy::start(&direct.url).await;
    let through = PostgresOptions { url: proxy.url(), connections: 1, ..direct.clone() };
    let store = Arc::new(open(StoreKind::Orders, &through).await);
    store.commit(batch([noted("warm", Guard::Absent)])).await.unwrap();
    proxy.freeze();
    let commit = {
        let store = store.clone();
        tokio::spawn(async move { store.commit(batch([noted("a", Guard::Absent)])).await })
    };
    proxy.until_frozen().await;
    proxy.thaw(); // for new connections: the old one is open, and says nothing any more
    let outcomes = commit.await.unwrap().unwrap();
    assert!(matches!(outcomes[..], [Outcome::Committed { position: 4 }]), "{outcomes:?}");
    assert_eq!(store.load(&[id("a")]).await.unwrap()[0].revision, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_lists_leave_connections_to_those_who_commit() {
    let options = options();
    let store = Arc::new(open(StoreKind::Orders, &options).await);
    store.commit(batch([noted("a", Guard::Absent)])).await.unwrap();
    let other = plain(&options).await;
    let parked = format!("\"{}_orders\".parked", options.schema);
    other.batch_execute(&format!("BEGIN; LOCK TABLE {parked} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    let lists: Vec<_> = (0..2 * options.connections)
        .map(|_| {
            let store = store.clone();
            let query = ParkedQuery { order: None, after: 0, limit: 1 };
            tokio::spawn(async move { store.parked_page(&query).await })
        })
        .collect();
    // Those that hold a connection wait for the lock; the others wait for their turn.
    let waiting =
        format!("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{parked}'::regclass");
    let look = plain(&options).await;
    let all_wait = async {
        while look.query_one(&waiting, &[]).await.unwrap().get::<_, i64>(0) < (options.connections - 3) as i64
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_wait).await.expect("the lists wait for the lock");
    let outcomes = store.commit(batch([noted("b", Guard::Absent)])).await.unwrap();
    assert!(matches!(outcomes[..], [Outcome::Committed { .. }]), "{outcomes:?}");
    other.batch_execute("ROLLBACK").await.unwrap();
    for list in lists {
        assert_eq!(list.await.unwrap().unwrap().len(), 0);
    }
}

#[tokio::test]
async fn of_two_that_note_over_the_same_one_sees_that_it_came_too_late() {
    let store = open(StoreKind::Orders, &options()).await;
    assert!(store.note_over("n", None, "1").await.unwrap());
    assert!(!store.note_over("n", None, "2").await.unwrap());
    assert!(store.note_over("n", Some("1"), "3").await.unwrap());
    assert!(!store.note_over("n", Some("1"), "4").await.unwrap());
    assert_eq!(store.noted("n").await.unwrap().as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_elsewhere_and_a_frozen_process_stall_nothing() {
    let direct = options();
    let store = open(StoreKind::Orders, &direct).await;
    store.commit(batch([noted("a", Guard::Absent)])).await.unwrap();
    // Somebody else's transaction that has written something and goes to lunch.
    let idle = plain(&direct).await;
    let table = format!("\"{}_elsewhere\"", direct.schema);
    idle.batch_execute(&format!("CREATE TABLE {table} (n int)")).await.unwrap();
    idle.batch_execute(&format!("BEGIN; INSERT INTO {table} VALUES (1)")).await.unwrap();
    // A process that freezes while it sends a batch: its last bytes never come.
    let proxy = Proxy::start(&direct.url).await;
    let through = PostgresOptions { url: proxy.url(), connections: 1, ..direct.clone() };
    let frozen = open(StoreKind::Orders, &through).await;
    frozen.commit(batch([noted("b", Guard::Absent)])).await.unwrap();
    proxy.freeze();
    let stuck = tokio::spawn(async move { frozen.commit(batch([noted("a", Guard::Revision(1))])).await });
    proxy.until_frozen().await;
    for revision in 1..20 {
        let outcomes = store.commit(batch([noted("a", Guard::Revision(revision))])).await.unwrap();
        assert!(matches!(outcomes[..], [Outcome::Committed { .. }]), "{outcomes:?}");
    }
    assert_eq!(store.journal(0, 100).await.unwrap().len(), 42, "and readers see all of it");
    stuck.abort();
    idle.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_restored_is_a_new_incarnation_whose_cursors_fit() {
    let old = options();
    let orders = open(StoreKind::Orders, &old).await;
    let payments = open(StoreKind::Payments, &old).await;
    orders.commit(batch([noted("a", Guard::Absent)])).await.unwrap();
    let read = Cursor { source: "orders".into(), lane: 0, incarnation: orders.incarnation(), position: 2 };
    let written = Batch { commits: vec![noted("a", Guard::Absent)], cursors: vec![read.clone()] };
    payments.commit(written).await.unwrap();
    let elsewhere = format!("restored_{}", Uuid::now_v7().simple());
    plain(&old).await.batch_execute(&format!("CREATE DATABASE {elsewhere}")).await.unwrap();
    let at = old.url.rfind('/').unwrap();
    let new = PostgresOptions { url: format!("{}/{elsewhere}", &old.url[..at]), ..old.clone() };
    copy_schemas(&old, &new);
    let (orders_again, payments_again) =
        (open(StoreKind::Orders, &new).await, open(StoreKind::Payments, &new).await);
    assert_ne!(orders_again.incarnation(), orders.incarnation());
    assert_eq!(orders_again.origin(), orders.origin());
    let cursors = payments_again.cursors().await.unwrap();
    assert_eq!(cursors, [Cursor { incarnation: orders_again.incarnation(), ..read }]);
    assert_eq!(orders_again.history(&id("a"), 0, 9).await.unwrap().len(), 1);
    let incarnation = orders_again.incarnation();
    drop((orders_again, payments_again));
    let orders_again = open(StoreKind::Orders, &new).await;
    assert_eq!(orders_again.incarnation(), incarnation, "it is renewed once");
    let next = orders_again.commit(batch([noted("b", Guard::Absent)])).await.unwrap();
    assert_eq!(next, [Outcome::Committed { position: 4 }]);
    drop(orders_again);
    plain(&old).await.batch_execute(&format!("DROP DATABASE {elsewhere} WITH (FORCE)")).await.unwrap();
}

/// As an administrator does it.
fn copy_schemas(from: &PostgresOptions, to: &PostgresOptions) {
    let schemas = format!("{}_*", from.schema);
    let dump = std::process::Command::new("pg_dump").args(["-d", &from.url, "-n", &schemas]).output();
    let dump = dump.expect("pg_dump, which comes with PostgreSQL's client programs");
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &dump.stdout).unwrap();
    let restore = std::process::Command::new("psql")
        .args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &to.url, "-f"])
        .arg(file.path())
        .output()
        .expect("psql, which comes with PostgreSQL's client programs");
    assert!(restore.status.success(), "{}", String::from_utf8_lossy(&restore.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_says_whose_it_is_and_which_binary_may_use_it() {
    let options = options();
    drop(open(StoreKind::Orders, &options).await);
    let client = plain(&options).await;
    let schema = format!("\"{}_orders\"", options.schema);
    let refusal = async || PostgresStore::open(StoreKind::Orders, &options).await.unwrap_err().to_string();
    let set = async |name: &str, value: &str| {
        let sql = format!("UPDATE {schema}.meta SET value = '{value}' WHERE name = '{name}'");
        client.batch_execute(&sql).await.unwrap();
    };
    set("kind", "payments").await;
    assert!(refusal().await.contains("is the store of the service `payments`, not of `orders`"));
    set("kind", "orders").await;
    set("schema", "9").await;
    drop(open(StoreKind::Orders, &options).await); // newer, but this binary may still use it
    set("oldest_binary", "8").await;
    let says = refusal().await;
    assert!(says.contains("schema 9, usable from schema 8") && says.contains("newer binary"), "{says}");
    let nobody =
        PostgresOptions { url: "postgres://postgres@127.0.0.1:1/postgres".into(), ..options.clone() };
    let says = PostgresStore::open(StoreKind::Orders, &nobody).await.unwrap_err().to_string();
    assert!(says.contains("can't be reached"), "{says}");
    let wrong = PostgresOptions { url: "mysql://x".into(), ..options.clone() };
    let says = PostgresStore::open(StoreKind::Orders, &wrong).await.unwrap_err().to_string();
    assert!(says.contains("url"), "{says}");
}
