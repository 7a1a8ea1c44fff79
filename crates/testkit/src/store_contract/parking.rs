//! Parked events and the placeholders they hang on.

use cartwright_core::ports::{
    Commit, Delivery, ListedParked, OrderColumns, OrderQuery, Outcome, Parked, ParkedQuery, Row, Store,
    Stored,
};
use uuid::Uuid;

use super::{Fixture, one, over, stands, stored};
use crate::build::{batch, columns, commit, id, origin, parked, placed, placeholder, row};

fn parking(order: &str, events: impl IntoIterator<Item = Parked>) -> Commit {
    Commit { park: events.into_iter().collect(), ..placeholder(order) }
}

const fn event_id(n: u128) -> Option<Uuid> {
    Some(Uuid::from_u128(n))
}

/// In order of arrival, which is not that of positions or ids, and to the byte.
pub async fn parked_events_come_back_in_order_of_arrival(fixture: Fixture) {
    let store = fixture.store();
    let events = [parked("a", 9, event_id(5)), parked("a", 3, None), parked("a", u64::MAX / 2, event_id(1))];
    stands(store, parking("a", events[..2].to_vec())).await;
    stands(store, parking("b", [parked("b", 4, event_id(9))])).await;
    stands(store, over(store, parking("a", events[2..].to_vec())).await).await;
    assert_eq!(store.parked(&id("a")).await.expect("parked"), events);
    assert_eq!(store.parked(&id("unknown")).await.expect("parked"), []);
}

/// An event is itself by its id, wherever it came from; without one by where it came from.
pub async fn an_event_is_parked_once(fixture: Fixture) {
    let store = fixture.store();
    let with_id = parked("a", 1, event_id(1));
    let without = parked("a", 2, None);
    stands(store, parking("a", [with_id.clone(), with_id.clone(), without.clone()])).await;
    let repeated = Parked { reason: "again".to_owned(), ..parked("a", 8, event_id(1)) };
    let redelivered = Parked { reason: "again".to_owned(), ..without.clone() };
    stands(store, over(store, parking("a", [repeated, redelivered])).await).await;
    assert_eq!(store.parked(&id("a")).await.expect("parked"), [with_id, without.clone()], "the first stays");
    assert_eq!(store.stats().await.expect("stats").parked, 2);

    let mut another_lane = without.clone();
    another_lane.delivery.origin.lane = 1;
    let mut another_source = without.clone();
    another_source.delivery.origin.source = "fulfillment".into();
    let begun_anew = Parked {
        delivery: Delivery { incarnation: Uuid::from_u128(8), ..without.delivery.clone() },
        ..without
    };
    let others = [another_lane, another_source, begun_anew, parked("a", 2, event_id(2))];
    stands(store, over(store, parking("a", others)).await).await;
    assert_eq!(store.parked(&id("a")).await.expect("parked").len(), 6);

    // Whoever sends one event under two keys has two orders wait for it.
    stands(store, parking("b", [parked("b", 1, event_id(1)), parked("b", 2, None)])).await;
    assert_eq!(store.parked(&id("b")).await.expect("parked").len(), 2);
    assert_eq!(store.stats().await.expect("stats").parked, 8);
}

/// Events can be parked beside a record that is left as it is, whatever it holds.
pub async fn parking_can_leave_the_row_as_it_is(fixture: Fixture) {
    let store = fixture.store();
    let columns = OrderColumns { sweep_at: Some(crate::build::at(5)), ..columns(1, 10) };
    stands(store, placed("a", columns)).await;
    let before = stored(store, &id("a")).await;
    let beside = over(store, Commit { row: None, ..parking("a", [parked("a", 1, event_id(1))]) }).await;
    stands(store, beside.clone()).await;
    assert_eq!(stored(store, &id("a")).await, Stored { revision: 2, has_parked: true, ..before });
    assert_eq!(one(store, beside).await, Outcome::Conflict, "its revision has risen");
    assert_eq!(store.stats().await.expect("stats").open_orders, 1);
    assert_eq!(super::due(store, crate::build::at(9), 9).await, [id("a")]);
    let nothing = Commit { row: None, ..commit("b") };
    assert!(store.commit(batch([nothing])).await.is_err(), "there is no row to leave as it is");
    assert_eq!(stored(store, &id("b")).await, Stored::default());
}

/// While an order has a parked event, loading says so; then no more.
pub async fn unparking_ends_has_parked(fixture: Fixture) {
    let store = fixture.store();
    stands(
        store,
        parking("a", [parked("a", 1, event_id(1)), parked("a", 2, None), parked("a", 3, event_id(3))]),
    )
    .await;
    stands(store, placeholder("b")).await;
    assert!(stored(store, &id("a")).await.has_parked);
    assert!(!stored(store, &id("b")).await.has_parked);
    let unpark = |positions: &[u64]| Commit {
        unpark: positions.iter().map(|p| origin(*p)).collect(),
        ..placeholder("a")
    };
    stands(store, over(store, unpark(&[1, 2, 77])).await).await;
    assert!(stored(store, &id("a")).await.has_parked);
    assert_eq!(store.parked(&id("a")).await.expect("parked"), [parked("a", 3, event_id(3))]);
    stands(store, over(store, unpark(&[3])).await).await;
    assert!(!stored(store, &id("a")).await.has_parked);
    assert_eq!(store.stats().await.expect("stats").parked, 0);
    stands(store, over(store, parking("a", [parked("a", 1, event_id(1))])).await).await;
    assert!(stored(store, &id("a")).await.has_parked, "what was applied can be parked anew");
}

/// A commit takes away only what hangs on its own order.
pub async fn an_origin_is_unparked_for_its_own_order_only(fixture: Fixture) {
    let store = fixture.store();
    stands(store, parking("a", [parked("a", 1, event_id(1))])).await;
    stands(store, Commit { unpark: vec![origin(1)], ..placeholder("b") }).await;
    assert_eq!(store.parked(&id("a")).await.expect("parked").len(), 1);
    assert!(stored(store, &id("a")).await.has_parked);
}

/// Placing an order whose events came first is an update of the placeholder.
pub async fn a_placeholder_is_upgraded_by_placing(fixture: Fixture) {
    let store = fixture.store();
    stands(store, parking("a", [parked("a", 1, event_id(1))])).await;
    assert_eq!(
        stored(store, &id("a")).await,
        Stored { revision: 1, schema: 1, record: None, has_parked: true }
    );
    let place = placed("a", columns(1, 10));
    assert_eq!(one(store, place.clone()).await, Outcome::Conflict, "there is a row");
    let place = over(store, place).await;
    stands(store, place.clone()).await;
    assert_eq!(
        stored(store, &id("a")).await,
        Stored { revision: 2, schema: 1, record: row("a").record, has_parked: true }
    );
    assert_eq!(store.parked(&id("a")).await.expect("parked").len(), 1);
    let list = store.orders(&OrderQuery { limit: 9, ..OrderQuery::default() }).await.expect("a list");
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].stored, stored(store, &id("a")).await);
    assert_eq!(store.stats().await.expect("stats").open_orders, 1);
}

/// A placeholder is no order: not listed, not counted, not swept, whatever columns it carries.
pub async fn a_placeholder_is_not_listed(fixture: Fixture) {
    let store = fixture.store();
    stands(store, placeholder("a")).await;
    let mut odd = placeholder("b");
    let columns = OrderColumns { sweep_at: Some(crate::build::at(1)), ..columns(1, 1) };
    odd.row = Some(Row { record: None, columns: Some(columns), ..row("b") });
    stands(store, odd).await;
    assert_eq!(store.orders(&OrderQuery { limit: 9, ..OrderQuery::default() }).await.expect("a list"), []);
    assert_eq!(super::due(store, crate::build::at(9), 9).await, []);
    assert_eq!(store.stats().await.expect("stats").open_orders, 0);
}

/// Placing over a placeholder meets the same uniqueness as any placing, and leaves the placeholder as it was.
pub async fn a_placeholder_can_find_the_external_id_taken(fixture: Fixture) {
    let store = fixture.store();
    let external = |number| OrderColumns { external_id: Some("X".to_owned()), ..columns(number, 10) };
    stands(store, placed("a", external(1))).await;
    stands(store, parking("b", [parked("b", 1, None)])).await;
    let before = super::everything(store, &["a", "b"]).await;
    let place = over(store, Commit { unpark: vec![origin(1)], ..placed("b", external(2)) }).await;
    assert_eq!(one(store, place).await, Outcome::Taken { by: id("a") });
    let place = over(store, placed("b", columns(1, 10))).await;
    assert_eq!(one(store, place).await, Outcome::Conflict, "the number is in use");
    assert_eq!(super::everything(store, &["a", "b"]).await, before);
}

async fn page(store: &dyn Store, order: Option<&str>, after: u64, limit: usize) -> Vec<ListedParked> {
    let query = ParkedQuery { order: order.map(id), after, limit };
    store.parked_page(&query).await.expect("a page of parked events")
}

/// All orders' events in the order of their arrival, each to the byte, with what hangs on an order that is not known.
pub async fn parked_events_of_all_orders_are_listed_in_pages(fixture: Fixture) {
    let store = fixture.store();
    stands(store, placed("b", columns(1, 10))).await;
    let of_a = [parked("a", 3, event_id(1)), parked("a", 1, None)];
    let of_b = parked("b", 2, event_id(2));
    stands(store, parking("a", of_a[..1].to_vec())).await;
    stands(store, over(store, Commit { row: None, ..parking("b", [of_b.clone()]) }).await).await;
    stands(store, over(store, parking("a", of_a[1..].to_vec())).await).await;
    let all = page(store, None, 0, 9).await;
    let seen: Vec<_> = all.iter().map(|l| (l.order.as_str(), l.known, l.parked.clone())).collect();
    let expected = [("a", false, of_a[0].clone()), ("b", true, of_b), ("a", false, of_a[1].clone())];
    assert_eq!(seen, expected);
    assert!(all.is_sorted_by(|a, b| a.arrival < b.arrival) && all[0].arrival > 0);
    assert_eq!(page(store, None, 0, 2).await, all[..2]);
    assert_eq!(page(store, None, all[1].arrival, 2).await, all[2..]);
    assert_eq!(page(store, None, all[2].arrival, 2).await, []);
    assert_eq!(page(store, Some("a"), 0, 9).await, [all[0].clone(), all[2].clone()]);
    assert_eq!(page(store, Some("a"), all[0].arrival, 9).await, all[2..]);
    assert_eq!(page(store, Some("nobody"), 0, 9).await, []);
}

/// What was applied or discarded is listed no more, and the others keep their places.
pub async fn an_unparked_event_leaves_the_list_of_all(fixture: Fixture) {
    let store = fixture.store();
    stands(store, parking("a", [parked("a", 1, None), parked("a", 2, None), parked("a", 3, None)])).await;
    let before = page(store, None, 0, 9).await;
    let unpark = Commit { unpark: vec![origin(2)], ..placeholder("a") };
    stands(store, over(store, unpark).await).await;
    assert_eq!(page(store, None, 0, 9).await, [before[0].clone(), before[2].clone()]);
}
