//! What a store keeps when it is closed and opened again. Adapters that can't be opened again pass by default.

use bytes::Bytes;
use cartwright_core::ports::{Batch, Commit, HistoryEntry, OrderColumns, OrderQuery};
use uuid::Uuid;

use super::{Fixture, everything, many, over, stands};
use crate::build::{answer, answer_key, at, columns, commit, cursor, id, message, parked, placed, task};

/// Everything that was answered is there again.
pub async fn reopening_keeps_everything(mut fixture: Fixture) {
    let columns = OrderColumns { external_id: Some("X".to_owned()), sweep_at: Some(at(5)), ..columns(1, 10) };
    let full = Commit {
        journal: vec![message("a", "1"), message("a", "2")],
        history: vec![HistoryEntry::Foreign(Bytes::from_static(b"f")), HistoryEntry::Own(1)],
        put_tasks: vec![task("t", "a", 100)],
        answers: vec![(answer_key("a", "caller", "key"), answer("x", 50))],
        park: vec![parked("a", 1, Some(Uuid::from_u128(1))), parked("a", 2, None)],
        ..placed("a", columns)
    };
    let store = fixture.store();
    many(store, Batch { commits: vec![full], cursors: vec![cursor(5)] }).await;
    stands(
        store,
        over(store, Commit { journal: vec![message("a", "3")], ..placed("a", self::columns(1, 10)) }).await,
    )
    .await;
    let before = (everything(store, &["a"]).await, store.incarnation());
    if !fixture.reopen().await {
        return;
    }
    let store = fixture.store();
    assert_eq!((everything(store, &["a"]).await, store.incarnation()), before);
    let query = OrderQuery { limit: 9, ..OrderQuery::default() };
    assert_eq!(store.orders(&query).await.expect("a list").len(), 1);
    assert_eq!(store.claim_tasks(at(100), at(200), 9).await.expect("a claim").len(), 1);
    stands(store, over(store, commit("a")).await).await;
}

/// Positions and the numbers of orders that were placed are never given out again.
pub async fn reopening_gives_no_number_or_position_twice(mut fixture: Fixture) {
    let store = fixture.store();
    let number = store.reserve_numbers(100).await.expect("numbers");
    let place = Commit { journal: vec![message("a", "1")], ..placed("a", columns(number, 10)) };
    let position = stands(store, place).await;
    if !fixture.reopen().await {
        return;
    }
    let store = fixture.store();
    assert!(store.reserve_numbers(1).await.expect("numbers") > number);
    let later =
        stands(store, over(store, Commit { journal: vec![message("a", "2")], ..commit("a") }).await).await;
    assert!(later > position);
    assert_eq!(store.journal(position, 9).await.expect("a journal").len(), 1);
    assert_eq!(store.history(&id("a"), 0, 9).await.expect("a history").len(), 0);
}
