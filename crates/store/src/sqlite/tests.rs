//! What only the inside can provoke, such as a disk that fails at the worst moment, or see.

use std::sync::Mutex;

/// What the next COMMIT meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An error, and nothing is written.
    BeforeCommit,
    /// An error, although everything is written.
    AfterCommit,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    commit: Mutex<Option<Fault>>,
    reopens: Mutex<u32>,
}

impl Faults {
    pub(super) fn take_commit(&self) -> Option<Fault> {
        self.commit.lock().unwrap().take()
    }

    pub(super) fn reopen(&self) -> rusqlite::Result<()> {
        let mut left = self.reopens.lock().unwrap();
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        Err(io_error())
    }
}

pub(super) fn io_error() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None)
}

mod unknown {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use cartwright_core::ports::{Commit, Guard, Outcome, Store, StoreError};
    use cartwright_testkit::build::{at, batch, columns, commit, id, message, placed};

    use super::{super::*, Fault};

    fn open() -> (tempfile::TempDir, SqliteStore) {
        let dir = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&dir.path().join("orders.db"), StoreKind::Orders, &SqliteOptions::default())
                .unwrap();
        (dir, store)
    }

    fn fail(store: &SqliteStore, fault: Fault, reopens: u32) {
        *store.shared.faults.reopens.lock().unwrap() = reopens;
        *store.shared.faults.commit.lock().unwrap() = Some(fault);
    }

    fn change(revision: u64) -> Commit {
        let guard = if revision == 0 { Guard::Absent } else { Guard::Revision(revision) };
        Commit { guard, journal: vec![message("a", "x")], ..placed("a", columns(1, 1)) }
    }

    #[tokio::test]
    async fn a_commit_that_failed_but_stands_is_answered_as_committed() {
        let (_dir, store) = open();
        fail(&store, Fault::AfterCommit, 2);
        let outcomes = store.commit(batch([change(0)])).await.unwrap();
        assert_eq!(outcomes, [Outcome::Committed { position: 1 }]);
        let outcomes = store.commit(batch([change(1)])).await.unwrap();
        assert_eq!(outcomes, [Outcome::Committed { position: 2 }]);
        assert_eq!(
            store.stats().await.unwrap(),
            StoreStats { open_orders: 1, head: 2, ..Default::default() }
        );
    }

    #[tokio::test]
    async fn a_commit_that_failed_and_does_not_stand_left_nothing_and_can_be_repeated() {
        let (_dir, store) = open();
        store.commit(batch([commit("before")])).await.unwrap();
        fail(&store, Fault::BeforeCommit, 1);
        let answer = store.commit(batch([change(0)])).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        assert_eq!(store.load(&[id("a")]).await.unwrap(), [Stored::default()]);
        assert_eq!(store.stats().await.unwrap(), StoreStats::default());
        let outcomes = store.commit(batch([change(0)])).await.unwrap();
        assert_eq!(outcomes, [Outcome::Committed { position: 1 }]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_a_commit_is_unknown_others_are_refused_and_reads_go_on() {
        let (_dir, store) = open();
        let store = Arc::new(store);
        store.commit(batch([commit("before")])).await.unwrap();
        fail(&store, Fault::AfterCommit, 4);
        let unknown = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.commit(batch([change(0)])).await }
        });
        let begun = Instant::now();
        while store.shared.faults.commit.lock().unwrap().is_some() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the fault was never met");
            tokio::task::yield_now().await;
        }
        let refused = store.commit(batch([commit("b")])).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(store.claim_tasks(at(1), at(2), 1).await.is_err());
        assert_eq!(store.load(&[id("before")]).await.unwrap()[0].revision, 1);
        assert_eq!(unknown.await.unwrap().unwrap(), [Outcome::Committed { position: 1 }]);
        store.commit(batch([commit("b")])).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_store_that_is_closed_while_a_commit_is_unknown_closes() {
        let (dir, store) = open();
        fail(&store, Fault::AfterCommit, u32::MAX);
        // The caller does not wait: its commit is with the writer once the fault is taken.
        let shared = Arc::clone(&store.shared);
        let _ = futures_poll_once(store.commit(batch([change(0)])));
        while shared.faults.commit.lock().unwrap().is_some() {
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
        let again =
            SqliteStore::open(&dir.path().join("orders.db"), StoreKind::Orders, &SqliteOptions::default())
                .unwrap();
        assert_eq!(again.load(&[id("a")]).await.unwrap()[0].revision, 1);
    }

    fn futures_poll_once<T>(future: impl Future<Output = T>) -> std::task::Poll<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).poll(&mut context)
    }
}

mod plans {
    use rusqlite::{Connection, StatementStatus};

    use super::super::{SqliteOptions, open};

    #[test]
    fn a_statement_is_planned_once_whatever_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("any.db");
        let options = SqliteOptions::default();
        let writer = open::connect(&path, &options).unwrap();
        let reader = open::connect_reader(&path, &options).unwrap();
        writer.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        for conn in [&writer, &reader] {
            assert_eq!(planned_anew(conn), 0);
        }
    }

    fn planned_anew(conn: &Connection) -> i32 {
        let mut statement = conn.prepare("SELECT n FROM t WHERE n > ?1 ORDER BY n LIMIT ?2").unwrap();
        for limit in 1..=3 {
            assert_eq!(statement.query_map([0, limit], |_| Ok(())).unwrap().count(), 0);
        }
        statement.get_status(StatementStatus::RePrepare)
    }
}
