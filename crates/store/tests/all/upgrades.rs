//! Versions side by side: what a newer binary added leaves an older one in peace, and what it gave up is refused.

use std::path::Path;

use cartwright_core::ports::{Guard, Outcome, Store};
use cartwright_store::{
    OpenError, StoreKind,
    postgres::{DatabaseError, PostgresOptions, PostgresStore},
    sqlite::{SqliteOptions, SqliteStore},
    upgrade::{Found, plan_files, plan_schemas, upgrade_files, upgrade_schemas},
};
use cartwright_testkit::build::{batch, columns, commit, id, message, placed};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::postgres;

/// What the migration of a newer binary does to each store: it adds, and says that older ones may go on.
const EXPAND: &str = "ALTER TABLE record ADD COLUMN priority bigint;
    ALTER TABLE task ADD COLUMN queue text NOT NULL DEFAULT 'common';
    CREATE TABLE extra (id bigint PRIMARY KEY);
    UPDATE meta SET value = '2' WHERE name = 'schema'";
/// What the one after it does: it gives up what schema 1 had.
const CONTRACT: &str = "UPDATE meta SET value = '3' WHERE name = 'schema'; UPDATE meta SET value = '2' WHERE name = 'oldest_binary'";

async fn newer_binary(options: &PostgresOptions) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&options.url, NoTls).await.expect("the server of the tests");
    tokio::spawn(connection);
    let own = format!("SET search_path TO {}_orders", options.schema);
    client.batch_execute(&own).await.unwrap();
    client
}

async fn changes(store: &PostgresStore, order: &str, guard: Guard) {
    let journal = vec![message(order, "x")];
    let change = cartwright_core::ports::Commit { guard, journal, ..commit(order) };
    let outcomes = store.commit(batch([change])).await.unwrap();
    assert!(matches!(outcomes[..], [Outcome::Committed { .. }]), "{order}: {outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_binary_that_only_adds_and_an_older_one_work_side_by_side() {
    let options = postgres::options();
    let running = postgres::open(StoreKind::Orders, &options).await;
    running.commit(batch([placed("before", columns(1_001, 1))])).await.unwrap();
    let newer = newer_binary(&options).await;
    newer.batch_execute(EXPAND).await.unwrap();
    // The one that runs goes on, and another of the same version may start, while the newer one uses what it added.
    let started = postgres::open(StoreKind::Orders, &options).await;
    for n in 0..20 {
        let (order, store) = (format!("order {n}"), if n % 2 == 0 { &running } else { &started });
        changes(store, &order, Guard::Absent).await;
        let set = "UPDATE record SET priority = 7, revision = revision + 1 WHERE id = $1";
        assert_eq!(newer.execute(set, &[&order]).await.unwrap(), 1);
        changes(store, &order, Guard::Revision(2)).await;
    }
    let kept: i64 =
        newer.query_one("SELECT count(*) FROM record WHERE priority = 7", &[]).await.unwrap().get(0);
    assert_eq!(kept, 20, "what it does not know it leaves as it is");
    assert_eq!(running.journal(0, 100).await.unwrap(), started.journal(0, 100).await.unwrap());
    let plans = plan_schemas(&options).await.unwrap();
    assert_eq!(plans[0].found, Some(Found { schema: 2, oldest_binary: 1 }));
    assert!(plans[0].is_usable() && plans[0].keeps_older() && plans[0].migrations.is_empty(), "{plans:?}");
    // Only once nobody needs it any more is something given up. Who comes then is refused.
    newer.batch_execute(CONTRACT).await.unwrap();
    let refused = PostgresStore::open(StoreKind::Orders, &options).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Newer { found: 3, oldest_binary: 2, .. }), "{refused:?}");
    assert!(!refused.is_passing());
    let says = refused.to_string();
    assert!(says.contains("usable from schema 2 on; this binary knows schema 1"), "{says}");
    assert!(says.contains("start the newer binary again, or restore a dump"), "{says}");
    assert!(!plan_schemas(&options).await.unwrap()[0].is_usable());
    changes(&running, "last", Guard::Absent).await; // what it needs is still there in this test
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_newer_binary_that_only_added_are_used_and_others_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("orders.db");
    let open = || SqliteStore::open(&file, StoreKind::Orders, &SqliteOptions::default());
    open().unwrap().commit(batch([placed("before", columns(1_001, 1))])).await.unwrap();
    let newer = |sql: &str| Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    newer(&EXPAND.replace("bigint", "INTEGER").replace("'2'", "2"));
    let store = open().unwrap();
    store.commit(batch([commit("after")])).await.unwrap();
    assert_eq!(store.load(&[id("before"), id("after")]).await.unwrap().len(), 2);
    drop(store);
    assert_eq!(plan_files(dir.path()).unwrap()[0].found, Some(Found { schema: 2, oldest_binary: 1 }));
    newer(&CONTRACT.replace("'3'", "3").replace("'2'", "2"));
    let refused = open().err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 3, oldest_binary: 2, known: 1, .. }), "{refused:?}");
    assert!(!plan_files(dir.path()).unwrap()[0].is_usable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_changes_nothing_and_says_what_becomes_of_it() {
    let (dir, options) = (TempDir::new().unwrap(), postgres::options());
    let files = dir.path().join("data");
    let (here, there) = (plan_files(&files).unwrap(), plan_schemas(&options).await.unwrap());
    for plans in [&here, &there] {
        assert_eq!(plans.len(), 3);
        assert!(
            plans.iter().all(|plan| plan.found.is_none() && plan.migrations == ["V1__begin"]),
            "{plans:?}"
        );
    }
    assert!(!files.exists(), "nothing is made");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE $1 || '%'";
    let made: i64 = newer_binary(&options).await.query_one(schemas, &[&options.schema]).await.unwrap().get(0);
    assert_eq!(made, 0);
    upgrade_files(&files).unwrap();
    upgrade_schemas(&options).await.unwrap();
    // What is there now is what the plan said: the numbers in the code and in the migrations are the same.
    for (before, after) in
        [(here, plan_files(&files).unwrap()), (there, plan_schemas(&options).await.unwrap())]
    {
        for (before, after) in before.iter().zip(&after) {
            let found = Found { schema: before.known, oldest_binary: before.oldest_binary };
            assert_eq!((after.found, after.migrations.len()), (Some(found), 0));
            assert!(after.is_usable() && after.keeps_older());
        }
    }
}

#[tokio::test]
async fn a_plan_names_what_is_not_a_store_of_ours() {
    let dir = TempDir::new().unwrap();
    upgrade_files(dir.path()).unwrap();
    let others =
        |name: &str, sql: &str| Connection::open(dir.path().join(name)).unwrap().execute_batch(sql).unwrap();
    others("payments.db", "UPDATE meta SET value = 'orders' WHERE name = 'kind'");
    let error = plan_files(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::OtherKind { wanted: StoreKind::Payments, .. }), "{error}");
    let empty = Path::new(dir.path()).join("other");
    std::fs::create_dir(&empty).unwrap();
    others("other/orders.db", "CREATE TABLE a (b); CREATE TABLE c (d)");
    let error = plan_files(&empty).unwrap_err();
    assert!(error.to_string().contains("database of another program"), "{error}");
}
