//! How far somebody has come who follows a service's journal: a cursor in that service's own store, under a name.

use cartwright_core::ports::{Batch, Cursor, Store, StoreError};

/// Up to where everything is done, as the store knows it; 0: nothing is.
pub async fn read(store: &dyn Store, name: &str) -> Result<u64, StoreError> {
    let incarnation = store.incarnation();
    let ours = |cursor: &Cursor| *cursor.source == *name && cursor.incarnation == incarnation;
    Ok(store.cursors().await?.into_iter().find(ours).map_or(0, |cursor| cursor.position))
}

/// Notes that everything is done up to there.
pub async fn note(store: &dyn Store, name: &str, position: u64) -> Result<(), StoreError> {
    let cursor = Cursor { source: name.into(), lane: 0, incarnation: store.incarnation(), position };
    store.commit(Batch { commits: vec![], cursors: vec![cursor] }).await.map(drop)
}
