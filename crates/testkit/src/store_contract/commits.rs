//! Guards, conflicts, cursors, records.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use bytes::Bytes;
use cartwright_core::{
    domain::order::OrderStatus,
    ports::{Batch, Commit, Cursor, Guard, HistoryEntry, OrderColumns, OrderQuery, Outcome, Row, Stored},
};
use uuid::Uuid;

use super::{Fixture, answered, both, everything, many, one, over, stands, stored};
use crate::build::{
    answer, answer_key, at, batch, columns, commit, cursor, id, message, origin, parked, placed, placeholder,
    row, task,
};

/// A commit that carries one of everything.
fn full(order: &str) -> Commit {
    Commit {
        journal: vec![message(order, "created"), message(order, "step requested")],
        history: vec![
            HistoryEntry::Own(0),
            HistoryEntry::Foreign(Bytes::from_static(b"foreign")),
            HistoryEntry::Own(1),
        ],
        put_tasks: vec![task(&format!("{order}:1"), order, 100)],
        answers: vec![(answer_key(order, "caller", "key"), answer("answered", 50))],
        park: vec![parked(order, 1, Some(Uuid::from_u128(1)))],
        ..commit(order)
    }
}

fn with_external_id(order: &str, number: u64, channel: &str, external_id: &str) -> Commit {
    placed(
        order,
        OrderColumns {
            channel: channel.to_owned(),
            external_id: Some(external_id.to_owned()),
            ..columns(number, 10)
        },
    )
}

/// Everything of a commit is there once it is answered.
pub async fn a_new_order_is_written_whole(fixture: Fixture) {
    let store = fixture.store();
    let position = stands(store, full("a")).await;
    let found = stored(store, &id("a")).await;
    assert_eq!(found, Stored { revision: 1, schema: 1, record: row("a").record, has_parked: true });
    let rows = store.journal(0, 10).await.unwrap_or_default();
    assert_eq!(rows.iter().map(|r| r.message.clone()).collect::<Vec<_>>(), full("a").journal);
    assert_eq!(rows.last().map(|r| r.position), Some(position), "the outcome names the last journal row");
    let history = store.history(&id("a"), 0, 10).await.expect("a history");
    assert_eq!(history, [&b"created"[..], b"foreign", b"step requested"]);
    assert_eq!(store.parked(&id("a")).await.expect("parked"), full("a").park);
    let saved = answered(store, &answer_key("a", "caller", "key")).await;
    assert_eq!(saved, Some(answer("answered", 50)));
    assert_eq!(store.claim_tasks(at(100), at(200), 10).await.expect("a claim").len(), 1);
    assert_eq!(stands(store, commit("b")).await, 0, "no journal rows, no position");
}

/// `Guard::Absent` holds only where there is no row at all.
pub async fn an_absent_guard_conflicts_with_any_row(fixture: Fixture) {
    let store = fixture.store();
    stands(store, commit("a")).await;
    stands(store, placeholder("b")).await;
    assert_eq!(one(store, commit("a")).await, Outcome::Conflict);
    assert_eq!(one(store, commit("b")).await, Outcome::Conflict);
    assert_eq!(stored(store, &id("a")).await.revision, 1);
}

/// `Guard::Revision` holds for the newest revision, once.
pub async fn a_revision_guard_holds_once(fixture: Fixture) {
    let store = fixture.store();
    let at_revision = |revision| Commit { guard: Guard::Revision(revision), ..commit("a") };
    assert_eq!(one(store, at_revision(1)).await, Outcome::Conflict, "there is no row");
    assert_eq!(one(store, at_revision(0)).await, Outcome::Conflict, "revision 0 is no row");
    stands(store, commit("a")).await;
    for revision in 1..5 {
        let mut next = at_revision(revision);
        next.row = Some(Row { record: Some(format!("{revision}").into_bytes()), ..row("a") });
        stands(store, next.clone()).await;
        assert_eq!(one(store, next).await, Outcome::Conflict, "it is used up");
        let row = stored(store, &id("a")).await;
        assert_eq!((row.revision, row.record), (revision + 1, Some(format!("{revision}").into_bytes())));
    }
    assert_eq!(one(store, at_revision(9)).await, Outcome::Conflict);
    assert_eq!(one(store, at_revision(u64::MAX)).await, Outcome::Conflict);
}

/// An insert that conflicts writes nothing of what it carries.
pub async fn a_refused_insert_leaves_nothing(fixture: Fixture) {
    let store = fixture.store();
    stands(store, commit("a")).await;
    let before = everything(store, &["a"]).await;
    let refused = Batch { commits: vec![full("a")], cursors: vec![cursor(9)] };
    assert_eq!(many(store, refused).await, [Outcome::Conflict]);
    assert_eq!(everything(store, &["a"]).await, before);
    assert_eq!(store.claim_tasks(at(1_000), at(2_000), 10).await.expect("a claim"), []);
}

/// An update that conflicts writes nothing of what it carries, and takes nothing away.
pub async fn a_refused_update_leaves_nothing(fixture: Fixture) {
    let store = fixture.store();
    stands(store, full("a")).await;
    let before = everything(store, &["a"]).await;
    let stale = Commit {
        guard: Guard::Revision(7),
        put_tasks: vec![task("a:2", "a", 1)],
        drop_tasks: vec!["a:1".to_owned()],
        answers: vec![(answer_key("a", "caller", "key"), answer("another", 51))],
        park: vec![parked("a", 2, None)],
        unpark: vec![origin(1)],
        ..full("a")
    };
    assert_eq!(one(store, stale).await, Outcome::Conflict);
    assert_eq!(everything(store, &["a"]).await, before);
    let tasks = store.claim_tasks(at(1_000), at(2_000), 10).await.expect("a claim");
    assert_eq!(tasks.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["a:1"]);
}

/// One external id is one order in a channel; another channel, or none, has its own.
pub async fn an_external_id_is_taken_in_its_channel_only(fixture: Fixture) {
    let store = fixture.store();
    stands(store, with_external_id("a", 1, "web", "X")).await;
    assert_eq!(one(store, with_external_id("b", 2, "web", "X")).await, Outcome::Taken { by: id("a") });
    stands(store, with_external_id("b", 2, "shop", "X")).await;
    stands(store, with_external_id("c", 3, "", "X")).await;
    assert_eq!(one(store, with_external_id("d", 4, "", "X")).await, Outcome::Taken { by: id("c") });
    stands(store, with_external_id("d", 4, "web", "x")).await;
    for (n, order) in ["e", "f"].into_iter().enumerate() {
        stands(store, placed(order, columns(5 + n as u64, 10))).await;
    }
    let again = with_external_id("a", 9, "web", "X");
    assert_eq!(
        one(store, again).await,
        Outcome::Conflict,
        "the order itself is there: no other has taken it"
    );
}

/// `Taken` writes nothing either, and the rest of its batch stands.
pub async fn a_refusal_as_taken_leaves_nothing(fixture: Fixture) {
    let store = fixture.store();
    stands(store, with_external_id("a", 1, "web", "X")).await;
    let before = everything(store, &["a", "b"]).await;
    let taken = Commit { row: with_external_id("b", 2, "web", "X").row, ..full("b") };
    assert_eq!(one(store, taken.clone()).await, Outcome::Taken { by: id("a") });
    assert_eq!(everything(store, &["a", "b"]).await, before);
    let outcomes = many(store, batch([taken, commit("c")])).await;
    assert_eq!(outcomes, [Outcome::Taken { by: id("a") }, Outcome::Committed { position: 0 }]);
    assert_eq!(stored(store, &id("b")).await, Stored::default());
}

/// An update may move an order to another external id, if nobody has it; the old one is free then.
pub async fn an_external_id_that_changes_can_be_taken_and_is_freed(fixture: Fixture) {
    let store = fixture.store();
    stands(store, with_external_id("a", 1, "web", "X")).await;
    stands(store, with_external_id("b", 2, "web", "Y")).await;
    let rename = over(store, with_external_id("b", 2, "web", "X")).await;
    assert_eq!(one(store, rename).await, Outcome::Taken { by: id("a") });
    assert_eq!(stored(store, &id("b")).await.revision, 1);
    stands(store, over(store, with_external_id("a", 1, "web", "Z")).await).await;
    stands(store, over(store, with_external_id("b", 2, "web", "X")).await).await;
    assert_eq!(one(store, with_external_id("c", 3, "web", "X")).await, Outcome::Taken { by: id("b") });
}

/// Nobody gets a number twice, whoever hands it in.
pub async fn a_number_in_use_is_a_conflict(fixture: Fixture) {
    let store = fixture.store();
    stands(store, placed("a", columns(1, 10))).await;
    assert_eq!(one(store, placed("b", columns(1, 11))).await, Outcome::Conflict);
    assert_eq!(one(store, with_external_id("b", 1, "web", "X")).await, Outcome::Conflict);
    assert_eq!(stored(store, &id("b")).await, Stored::default());
}

/// Each commit of a batch stands or falls alone.
pub async fn one_conflict_does_not_sink_the_batch(fixture: Fixture) {
    let store = fixture.store();
    stands(store, commit("b")).await;
    let outcomes = many(store, batch([full("a"), full("b"), commit("c")])).await;
    assert_eq!(outcomes[1], Outcome::Conflict);
    assert!(matches!(outcomes[0], Outcome::Committed { position: 1.. }), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Committed { position: 0 });
    assert_eq!(store.journal(0, 10).await.expect("a journal").len(), 2);
    assert!(store.history(&id("b"), 0, 10).await.expect("a history").is_empty());
    assert_eq!(stored(store, &id("c")).await.revision, 1);
}

/// A batch holds one commit per order; a second one finds its guard used up.
pub async fn two_commits_of_one_order_in_a_batch_stand_once(fixture: Fixture) {
    let store = fixture.store();
    let outcomes = many(store, batch([commit("a"), commit("a")])).await;
    let stood = outcomes.iter().filter(|o| **o == Outcome::Committed { position: 0 }).count();
    assert_eq!((stood, stored(store, &id("a")).await.revision), (1, 1), "{outcomes:?}");
}

/// Racing writers of one revision: one stands, the other hears so.
pub async fn one_of_many_racing_writers_wins_each_revision(fixture: Fixture) {
    let store = fixture.store();
    for round in 0..20 {
        let next = over(store, Commit { journal: vec![message("a", "changed")], ..commit("a") }).await;
        let (left, right) = both(one(store, next.clone()), one(store, next)).await;
        let conflicts = [&left, &right].into_iter().filter(|o| **o == Outcome::Conflict).count();
        assert_eq!(conflicts, 1, "{left:?} {right:?}");
        assert_eq!(stored(store, &id("a")).await.revision, round + 1);
    }
    assert_eq!(store.journal(0, 100).await.expect("a journal").len(), 20);
}

/// Who stops waiting for a commit abandons no half of it.
pub async fn a_caller_that_goes_away_leaves_all_or_nothing(fixture: Fixture) {
    let store = fixture.store();
    for n in 0..20 {
        let order = format!("order-{n}");
        {
            let mut going = pin!(store.commit(batch([full(&order)])));
            poll_fn(|context| {
                let _ = going.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
        }
        // Whatever the first attempt came to, after this one the order is there, once and whole.
        let again = one(store, full(&order)).await;
        assert!(matches!(again, Outcome::Conflict | Outcome::Committed { .. }), "{again:?}");
        assert_eq!(stored(store, &id(&order)).await.revision, 1);
        assert_eq!(store.history(&id(&order), 0, 10).await.expect("a history").len(), 3);
    }
    assert_eq!(store.journal(0, 100).await.expect("a journal").len(), 40);
}

/// A cursor says that everything up to it is settled: so it stays behind a commit that fell.
pub async fn cursors_move_only_if_all_commits_stood(fixture: Fixture) {
    let store = fixture.store();
    stands(store, commit("b")).await;
    let falls = Batch { commits: vec![commit("a"), commit("b")], cursors: vec![cursor(5)] };
    many(store, falls).await;
    assert_eq!(store.cursors().await.expect("cursors"), []);
    let taken = placed("d", columns(1, 1));
    stands(store, placed("c", columns(1, 1))).await;
    many(store, Batch { commits: vec![taken], cursors: vec![cursor(5)] }).await;
    assert_eq!(store.cursors().await.expect("cursors"), []);
    many(store, Batch { commits: vec![commit("e")], cursors: vec![cursor(5)] }).await;
    assert_eq!(store.cursors().await.expect("cursors"), [cursor(5)]);
    many(store, Batch { commits: Vec::new(), cursors: vec![cursor(6)] }).await;
    assert_eq!(store.cursors().await.expect("cursors"), [cursor(6)], "a batch may be cursors alone");
}

/// Sources and lanes have a cursor each, and a new incarnation replaces the old one.
pub async fn cursors_are_kept_by_source_and_lane(fixture: Fixture) {
    let store = fixture.store();
    let all = [
        Cursor { source: "fulfillment".into(), ..cursor(1) },
        cursor(2),
        Cursor { lane: 1, ..cursor(u64::from(u32::MAX) * 8) },
    ];
    many(store, Batch { commits: Vec::new(), cursors: all.to_vec() }).await;
    assert_eq!(sorted(store.cursors().await.expect("cursors")), all);
    let begun_anew = Cursor { incarnation: Uuid::from_u128(8), ..cursor(0) };
    many(store, Batch { commits: Vec::new(), cursors: vec![begun_anew.clone()] }).await;
    assert_eq!(sorted(store.cursors().await.expect("cursors"))[1], begun_anew);
}

fn sorted(mut cursors: Vec<Cursor>) -> Vec<Cursor> {
    cursors.sort_by_key(|c| (c.source.clone(), c.lane));
    cursors
}

/// Nothing to write is no error, and nothing to load neither.
pub async fn an_empty_batch_is_fine(fixture: Fixture) {
    let store = fixture.store();
    assert_eq!(many(store, Batch::default()).await, []);
    assert_eq!(store.load(&[]).await.expect("a load"), []);
    assert_eq!(store.journal_bounds().await.expect("bounds"), (1, 0));
    assert_eq!(store.orders(&OrderQuery { limit: 10, ..OrderQuery::default() }).await.expect("a list"), []);
}

/// One answer for each id asked, in that order, also for unknown and repeated ones.
pub async fn records_load_in_the_order_asked(fixture: Fixture) {
    let store = fixture.store();
    many(store, batch(["a", "b", "c"].map(commit))).await;
    let asked = ["c", "unknown", "a", "c"].map(id);
    let rows = store.load(&asked).await.expect("a load");
    let record = |order| Stored { revision: 1, schema: 1, record: row(order).record, has_parked: false };
    assert_eq!(rows, [record("c"), Stored::default(), record("a"), record("c")]);
}

/// Ids are compared byte by byte, and travel unharmed through every table.
pub async fn odd_ids_are_kept_to_the_byte(fixture: Fixture) {
    let store = fixture.store();
    let long = "x".repeat(128);
    let odd =
        ["Ä", "A\u{308}", "ä", "a", "A", " a ", "a:1", "%_'\"\\", "\u{1f6d2}", "0", "00", long.as_str()];
    for (n, order) in odd.into_iter().enumerate() {
        let columns = OrderColumns {
            external_id: Some(order.to_owned()),
            customer: order.to_owned(),
            status: OrderStatus::Open,
            sweep_at: Some(at(n as i64)),
            ..columns(n as u64 + 1, n as i64)
        };
        stands(store, Commit { row: placed(order, columns).row, park: Vec::new(), ..full(order) }).await;
    }
    for (n, order) in odd.into_iter().enumerate() {
        assert_eq!(stored(store, &id(order)).await.record, row(order).record, "{order:?}");
        assert_eq!(store.history(&id(order), 0, 9).await.expect("a history").len(), 3, "{order:?}");
        let saved = answered(store, &answer_key(order, "caller", "key")).await;
        assert!(saved.is_some(), "{order:?}");
        let key = store.journal(n as u64 * 2, 1).await.expect("a journal").remove(0).message.key;
        assert_eq!(key, id(order));
        let by_customer = OrderQuery { customer: vec![order.to_owned()], limit: 99, ..OrderQuery::default() };
        assert_eq!(store.orders(&by_customer).await.expect("a list").len(), 1, "{order:?}");
    }
    assert_eq!(super::due(store, at(99), 99).await, odd.map(id));
}

/// A thousand lines make a long record.
pub async fn big_values_come_back_whole(fixture: Fixture) {
    let store = fixture.store();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut new = Commit {
        journal: vec![message("a", "small"), message("a", "big")],
        history: vec![HistoryEntry::Foreign(big.clone().into()), HistoryEntry::Own(1)],
        ..commit("a")
    };
    new.row = Some(Row { record: Some(big.clone()), ..row("a") });
    new.journal[1].value = big.clone().into();
    new.journal[1].headers = [("long", "ü".repeat(50_000)), ("", String::new())].into_iter().collect();
    stands(store, new.clone()).await;
    assert!(stored(store, &id("a")).await.record.as_ref() == Some(&big));
    assert!(store.journal(1, 1).await.expect("a journal")[0].message == new.journal[1]);
    assert!(store.history(&id("a"), 0, 9).await.expect("a history") == [big.clone(), big]);
}
