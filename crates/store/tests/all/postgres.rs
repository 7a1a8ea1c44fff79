//! PostgreSQL.

use cartwright_store::{
    StoreKind,
    postgres::{PostgresOptions, PostgresStore},
};
use cartwright_testkit::{store_contract, store_contract::Fixture};
use uuid::Uuid;

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
fn options() -> PostgresOptions {
    let url = std::env::var("CARTWRIGHT_TEST_POSTGRES").expect(
        "CARTWRIGHT_TEST_POSTGRES names no server: `cargo xtask servers up` starts one, `cargo xtask test` does so itself",
    );
    PostgresOptions { url, schema: format!("test_{}", Uuid::now_v7().simple()), connections: 8 }
}
