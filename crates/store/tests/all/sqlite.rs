//! SQLite.

use std::{path::Path, sync::Arc, time::Duration};

use cartwright_core::ports::{
    Batch, Commit, Cursor, Guard, HistoryEntry, Message, OrderQuery, Outcome, Store, StoreError, Stored,
};
use cartwright_store::{
    CursorMismatch, DataDir, OpenError, StoreKind, check_cursors,
    sqlite::{SqliteOptions, SqliteStore, inspect},
};
use cartwright_testkit::{
    build::{at, batch, commit, id, message, task},
    store_contract,
    store_contract::Fixture,
};

store_contract!(contract, fixture(SqliteOptions::default()).await);

async fn fixture(options: SqliteOptions) -> Fixture {
    let dir = Arc::new(tempfile::tempdir().expect("a test's file"));
    Fixture::reopening(move || {
        let (dir, options) = (Arc::clone(&dir), options.clone());
        async move { open(dir.path(), &options) }
    })
    .await
}

fn open(dir: &Path, options: &SqliteOptions) -> SqliteStore {
    SqliteStore::open(&dir.join("orders.db"), StoreKind::Orders, options).expect("a test's file")
}

fn try_open(dir: &Path, kind: StoreKind) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(&dir.join("orders.db"), kind, &SqliteOptions::default())
}

/// Runs SQL on the file of a closed store.
fn tamper(dir: &Path, sql: &str) {
    rusqlite::Connection::open(dir.join("orders.db"))
        .expect("a test's file")
        .execute_batch(sql)
        .expect("a test's file");
}

fn noted(order: &str, guard: Guard, bytes: usize) -> Commit {
    let message = Message { value: vec![b'v'; bytes].into(), ..message(order, "") };
    Commit { guard, journal: vec![message], history: vec![HistoryEntry::Own(0)], ..commit(order) }
}

#[test]
fn a_directory_is_for_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made/by/us");
    let first = DataDir::lock(&path).unwrap();
    assert_eq!(first.path(), path);
    let refusal = DataDir::lock(&path).unwrap_err().to_string();
    let pid = std::process::id();
    assert!(
        refusal.contains(&format!("is in use by another cartwright process (pid {pid})"))
            && refusal.contains("made/by/us"),
        "{refusal}"
    );
    assert_eq!(DataDir::holder(&path).unwrap().unwrap().pid, Some(pid));
    drop(first);
    assert_eq!(DataDir::holder(&path).unwrap(), None, "looking takes nothing");
    assert_eq!(DataDir::holder(&dir.path().join("nowhere")).unwrap(), None);
    DataDir::lock(&path).unwrap();
}

#[tokio::test]
async fn a_file_can_be_looked_at_while_it_is_used_and_says_what_opening_it_would_say() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orders.db");
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    store.commit(batch([commit("a")])).await.unwrap();
    let (_, head) = store.journal_bounds().await.unwrap();
    let looked = inspect(&file, StoreKind::Orders).unwrap();
    assert_eq!((looked.incarnation, looked.position), (store.incarnation(), head));
    assert_eq!(looked.schema, looked.known);
    drop(store);
    assert!(matches!(inspect(&file, StoreKind::Payments), Err(OpenError::OtherKind { .. })));
    tamper(dir.path(), "UPDATE meta SET value = 98 WHERE name = 'oldest_binary'");
    assert!(matches!(inspect(&file, StoreKind::Orders), Err(OpenError::Newer { .. })));
    std::fs::write(&file, vec![b'x'; 10_000]).unwrap();
    assert!(matches!(inspect(&file, StoreKind::Orders), Err(OpenError::Corrupt { .. })));
    let missing = inspect(&dir.path().join("missing.db"), StoreKind::Orders);
    assert!(missing.is_err() && !dir.path().join("missing.db").exists(), "looking makes nothing");
}

#[test]
fn a_store_keeps_its_origin_when_it_gets_a_new_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    let (first, origin) = (store.incarnation(), store.origin());
    assert_eq!(first, origin);
    drop(store);
    tamper(dir.path(), "UPDATE meta SET value = randomblob(16) WHERE name = 'incarnation'");
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    assert_ne!(store.incarnation(), first);
    assert_eq!(store.origin(), origin);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let refusal = DataDir::lock(&dir.path().join("file/data")).unwrap_err();
    assert!(matches!(&refusal, OpenError::Io { path, .. } if path.ends_with("file/data")), "{refusal}");
}

#[tokio::test]
async fn a_newer_file_is_refused_unless_it_still_allows_this_binary() {
    let dir = tempfile::tempdir().unwrap();
    drop(try_open(dir.path(), StoreKind::Orders).unwrap());
    tamper(dir.path(), "UPDATE meta SET value = 99 WHERE name = 'schema'");
    let store = try_open(dir.path(), StoreKind::Orders).expect("expanded only: usable");
    store.commit(batch([commit("a")])).await.unwrap();
    drop(store);
    tamper(dir.path(), "UPDATE meta SET value = 98 WHERE name = 'oldest_binary'");
    let refusal = try_open(dir.path(), StoreKind::Orders).unwrap_err();
    assert!(matches!(refusal, OpenError::Newer { found: 99, oldest_binary: 98, .. }), "{refusal}");
    assert!(refusal.to_string().contains("orders.db was written by a newer cartwright"), "{refusal}");
}

#[test]
fn a_file_of_another_service_or_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(try_open(dir.path(), StoreKind::Orders).unwrap());
    let refusal = try_open(dir.path(), StoreKind::Payments).unwrap_err();
    assert!(matches!(refusal, OpenError::OtherKind { .. }), "{refusal}");

    let other = tempfile::tempdir().unwrap();
    tamper(other.path(), "CREATE TABLE a (x); CREATE TABLE b (x)");
    let refusal = try_open(other.path(), StoreKind::Orders).unwrap_err();
    assert!(matches!(refusal, OpenError::Corrupt { .. }), "{refusal}");

    let garbage = tempfile::tempdir().unwrap();
    std::fs::write(garbage.path().join("orders.db"), vec![b'x'; 10_000]).unwrap();
    let refusal = try_open(garbage.path(), StoreKind::Orders).unwrap_err();
    assert!(matches!(refusal, OpenError::Corrupt { .. }), "{refusal}");
    assert!(refusal.to_string().contains("restore a backup"), "{refusal}");

    let refusal = try_open(&garbage.path().join("missing"), StoreKind::Orders).unwrap_err();
    assert!(matches!(refusal, OpenError::Io { .. }), "{refusal}");
}

#[tokio::test]
async fn files_from_different_times_are_refused() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let payments = try_open(dirs[0].path(), StoreKind::Payments).unwrap();
    let orders = try_open(dirs[1].path(), StoreKind::Orders).unwrap();
    payments.commit(batch([noted("a", Guard::Absent, 1), noted("b", Guard::Absent, 1)])).await.unwrap();
    let check = async |position, incarnation| {
        let cursor = Cursor { source: "payments".into(), lane: 0, incarnation, position };
        orders.commit(Batch { commits: Vec::new(), cursors: vec![cursor] }).await.unwrap();
        check_cursors(&orders, &[("payments", &payments as &dyn Store)]).await
    };
    check_cursors(&orders, &[("payments", &payments as &dyn Store)]).await.expect("nothing read yet");
    for fits in [0, 1, 2] {
        check(fits, payments.incarnation()).await.expect("a cursor inside the journal");
    }
    let refusal = check(3, payments.incarnation()).await.unwrap_err();
    assert!(matches!(refusal, CursorMismatch::Ahead { position: 3, head: 2, .. }), "{refusal}");
    assert!(refusal.to_string().contains("restored from different times"), "{refusal}");
    let refusal = check(1, orders.incarnation()).await.unwrap_err();
    assert!(matches!(refusal, CursorMismatch::Incarnation { .. }), "{refusal}");
    check_cursors(&orders, &[("fulfillment", &payments as &dyn Store)]).await.expect("not asked about");

    drop(payments);
    tamper(dirs[0].path(), "DELETE FROM journal WHERE position = 1");
    let payments = try_open(dirs[0].path(), StoreKind::Payments).unwrap();
    assert_eq!(payments.journal_bounds().await.unwrap(), (2, 2));
    let check = async |position| {
        let incarnation = payments.incarnation();
        let cursor = Cursor { source: "payments".into(), lane: 0, incarnation, position };
        orders.commit(Batch { commits: Vec::new(), cursors: vec![cursor] }).await.unwrap();
        check_cursors(&orders, &[("payments", &payments as &dyn Store)]).await
    };
    check(1).await.expect("the next one is there");
    let refusal = check(0).await.unwrap_err();
    assert!(matches!(refusal, CursorMismatch::Expired { position: 0, oldest: 2, .. }), "{refusal}");
}

#[tokio::test]
async fn positions_are_not_used_again_when_the_newest_rows_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    store.commit(batch([noted("a", Guard::Absent, 1), noted("b", Guard::Absent, 1)])).await.unwrap();
    drop(store);
    tamper(dir.path(), "DELETE FROM journal");
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    assert_eq!(store.journal_bounds().await.unwrap(), (3, 2));
    let outcomes = store.commit(batch([noted("c", Guard::Absent, 1)])).await.unwrap();
    assert_eq!(outcomes, [Outcome::Committed { position: 3 }]);
}

#[tokio::test]
async fn leases_end_with_the_process_that_held_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    let put_tasks = vec![task("t", "a", 100), task("later", "a", 900)];
    store.commit(batch([Commit { put_tasks, ..commit("a") }])).await.unwrap();
    assert_eq!(store.claim_tasks(at(100), at(10_000), 9).await.unwrap().len(), 1);
    assert_eq!(store.claim_tasks(at(200), at(10_000), 9).await.unwrap().len(), 0);
    drop(store);
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    let claimed = store.claim_tasks(at(200), at(10_000), 9).await.unwrap();
    assert_eq!(
        claimed.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(),
        ["t"],
        "not those that are not due"
    );
}

#[tokio::test]
async fn a_task_that_cannot_be_read_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    let put_tasks = vec![task("newer", "a", 1), task("t", "a", 2)];
    store.commit(batch([Commit { put_tasks, ..commit("a") }])).await.unwrap();
    drop(store);
    tamper(dir.path(), r#"UPDATE task SET work = '{"do":"dance"}' WHERE id = 'newer'"#);
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    assert_eq!(store.claim_tasks(at(9), at(99), 1).await.unwrap(), []);
    assert_eq!(store.claim_tasks(at(9), at(99), 1).await.unwrap()[0].id, "t");
    assert_eq!(store.stats().await.unwrap().tasks, 2, "it is kept for a binary that knows it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answered_commit_is_in_a_copy_of_the_files() {
    let dir = tempfile::tempdir().unwrap();
    // A short log, so that copies are taken in all states of it.
    let options = SqliteOptions { checkpoint_bytes: 64 * 1024, ..SqliteOptions::default() };
    let store = open(dir.path(), &options);
    for round in 0..30 {
        for n in 0..20 {
            store.commit(batch([noted(&format!("{round}-{n}"), Guard::Absent, 2_000)])).await.unwrap();
        }
        let copy = tempfile::tempdir().unwrap();
        // Nobody writes now, but a checkpoint may be under way: as a crash would leave the files.
        for file in ["orders.db", "orders.db-wal"] {
            std::fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
        }
        let restored = open(copy.path(), &options);
        assert_eq!(restored.incarnation(), store.incarnation());
        assert_eq!(restored.stats().await.unwrap().head, (round + 1) * 20);
        let ids: Vec<_> = (0..20).map(|n| id(&format!("{round}-{n}"))).collect();
        assert!(restored.load(&ids).await.unwrap().iter().all(|row| row.revision == 1));
        assert_eq!(restored.history(&ids[19], 0, 9).await.unwrap().len(), 1);
        let outcomes = restored.commit(batch([noted("next", Guard::Absent, 1)])).await.unwrap();
        assert_eq!(outcomes, [Outcome::Committed { position: (round + 1) * 20 + 1 }]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_bounded_under_steady_writing_and_reading() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions { checkpoint_bytes: 256 * 1024, ..SqliteOptions::default() };
    let store = Arc::new(open(dir.path(), &options));
    let reading = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let query = OrderQuery { limit: 10, ..OrderQuery::default() };
            loop {
                store.orders(&query).await.unwrap();
                store.load(&[id("3")]).await.unwrap();
            }
        }
    });
    // Two writers, so that the next job is always there: the log never gets a rest.
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..400 {
                    let orders = (0..8).map(|m| noted(&format!("{writer}-{n}-{m}"), Guard::Absent, 3_000));
                    store.commit(batch(orders)).await.unwrap();
                }
            })
        })
        .collect();
    let (log, mut longest) = (dir.path().join("orders.db-wal"), 0);
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    reading.abort();
    let written = std::fs::metadata(dir.path().join("orders.db")).unwrap().len();
    assert!(written > 20 * 1024 * 1024, "enough was written to tell: {written}");
    assert!(longest < 3 * 1024 * 1024, "the log grew to {longest} bytes");
}

#[tokio::test]
async fn a_closed_store_leaves_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    store.commit(batch([commit("a")])).await.unwrap();
    assert!(dir.path().join("orders.db-wal").exists());
    drop(store);
    assert!(!dir.path().join("orders.db-wal").exists());
}

#[tokio::test]
async fn a_full_file_refuses_whole_commits_and_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let small = SqliteOptions { max_bytes: Some(400 * 1024), ..SqliteOptions::default() };
    let store = open(dir.path(), &small);
    let mut stored = 0;
    let refusal = loop {
        match store.commit(batch([noted(&stored.to_string(), Guard::Absent, 10_000)])).await {
            Ok(_) => stored += 1,
            Err(refusal) => break refusal,
        }
        assert!(stored < 100, "never full");
    };
    assert!(matches!(refusal, StoreError::Full(_)), "{refusal}");
    assert_eq!(store.stats().await.unwrap().head, stored);
    assert_eq!(store.load(&[id(&stored.to_string())]).await.unwrap()[0].revision, 0);
    let refusal = store.commit(batch([noted("again", Guard::Absent, 50_000)])).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Full(_)), "{refusal}");
    assert_eq!(store.load(&[id("0")]).await.unwrap()[0].revision, 1);
    drop(store);
    let store = open(dir.path(), &SqliteOptions::default());
    let outcomes = store.commit(batch([noted("roomy", Guard::Absent, 50_000)])).await.unwrap();
    assert_eq!(outcomes, [Outcome::Committed { position: stored + 1 }]);
}

#[tokio::test]
async fn a_commit_that_makes_no_sense_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path(), StoreKind::Orders).unwrap();
    let senseless = Commit { history: vec![HistoryEntry::Own(1)], ..noted("a", Guard::Absent, 1) };
    store.commit(batch([commit("b"), senseless])).await.unwrap_err();
    assert_eq!(store.load(&[id("a"), id("b")]).await.unwrap(), [Stored::default(), Stored::default()]);
}
