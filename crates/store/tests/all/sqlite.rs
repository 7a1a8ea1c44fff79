//! SQLite.

use std::{path::Path, sync::Arc};

use cartwright_store::{
    StoreKind,
    sqlite::{SqliteOptions, SqliteStore},
};
use cartwright_testkit::{store_contract, store_contract::Fixture};

store_contract!(contract, fixture(SqliteOptions::default()).await);

async fn fixture(options: SqliteOptions) -> Fixture {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    Fixture::reopening(move || {
        let (dir, options) = (Arc::clone(&dir), options.clone());
        async move { open(dir.path(), &options) }
    })
    .await
}

fn open(dir: &Path, options: &SqliteOptions) -> SqliteStore {
    SqliteStore::open(&dir.join("orders.db"), StoreKind::Orders, options).unwrap()
}
