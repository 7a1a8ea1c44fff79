//! The simulator over real files: the same plans, with every store in SQLite and opened again after a crash.

use std::{path::PathBuf, sync::Arc};

use cartwright_core::ports::Store;
use cartwright_store::{
    StoreKind,
    sqlite::{SqliteOptions, SqliteStore},
};
use cartwright_testkit::sim::{Keep, Plan, Ran, Service, Stores, run_on};

/// Files in a directory.
struct Files(PathBuf);

impl Stores for Files {
    fn open(&self, service: Service) -> Arc<dyn Store> {
        let kind = match service {
            Service::Orders => StoreKind::Orders,
            Service::Payments => StoreKind::Payments,
            Service::Fulfillment => StoreKind::Fulfillment,
        };
        let path = self.0.join(format!("{}.db", kind.as_str()));
        let store = SqliteStore::open(&path, kind, &SqliteOptions::default());
        Arc::new(store.expect("a file that was written by this test"))
    }
}

fn run(seed: u64) -> Ran {
    let dir = tempfile::tempdir().expect("a directory for a test");
    let plan = Plan::from_seed(seed, Some(false));
    run_on(&Files(dir.path().to_owned()), seed, &plan, None, Keep::Everything)
}

#[test]
fn seeds_run_clean_on_files() {
    let mut crashes = 0;
    for seed in 0..12 {
        let ran = run(seed);
        assert_eq!(ran.violation, None, "seed {seed}");
        crashes += ran.coverage.crashes;
    }
    assert!(crashes > 0, "no file was ever opened again");
}

#[test]
fn the_same_seed_gives_the_same_trace_on_files() {
    for seed in [3, 5] {
        let (first, again) = (run(seed), run(seed));
        assert!(first.trace.len() > 50, "a trace of {} lines", first.trace.len());
        assert_eq!(first.trace, again.trace, "seed {seed}");
    }
}
