//! The model keeps the contract that it is a model of.

use cartwright_testkit::{MemoryStore, store_contract, store_contract::Fixture};
use uuid::Uuid;

store_contract!(memory, {
    let kept = MemoryStore::new(Uuid::from_u128(1));
    Fixture::reopening(move || {
        let store = kept.clone();
        store.end_leases();
        async move { store }
    })
    .await
});
