//! The journal and the history.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use cartwright_core::ports::{Commit, Headers, HistoryEntry, JournalRow, Message};

use super::{Fixture, both, many, over, stands};
use crate::build::{batch, commit, id, message};

fn noted(order: &str, values: &[&str]) -> Commit {
    Commit { journal: values.iter().map(|v| message(order, v)).collect(), ..commit(order) }
}

fn values(rows: &[JournalRow]) -> Vec<&str> {
    rows.iter().map(|r| std::str::from_utf8(&r.message.value).unwrap_or("?")).collect()
}

/// Positions rise within a commit, within a batch and from batch to batch; commits that fell have none.
pub async fn positions_rise_in_commit_order(fixture: Fixture) {
    let store = fixture.store();
    let first = stands(store, noted("a", &["1", "2"])).await;
    many(store, batch([noted("b", &["3"]), noted("a", &["never"]), noted("c", &["4", "5"])])).await;
    let last = stands(store, over(store, noted("a", &["6"])).await).await;
    let rows = store.journal(0, 100).await.expect("a journal");
    assert_eq!(values(&rows), ["1", "2", "3", "4", "5", "6"]);
    assert!(rows.is_sorted_by(|a, b| a.position < b.position), "{rows:?}");
    assert_eq!((rows[1].position, rows[5].position), (first, last));
    assert_eq!(store.journal_bounds().await.expect("bounds"), (rows[0].position, last));
}

/// A page begins after the position asked and is no longer than asked.
pub async fn the_journal_is_read_in_pages(fixture: Fixture) {
    let store = fixture.store();
    let all: Vec<String> = (0..25).map(|n| n.to_string()).collect();
    for chunk in all.chunks(2) {
        let values: Vec<&str> = chunk.iter().map(String::as_str).collect();
        stands(store, over(store, noted("a", &values)).await).await;
    }
    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let page = store.journal(after, 4).await.expect("a journal");
        assert!(page.len() <= 4);
        let Some(last) = page.last() else { break };
        after = last.position;
        read.extend(page);
    }
    assert_eq!(values(&read), all);
    assert_eq!(store.journal(u64::MAX, 4).await.expect("a journal"), []);
}

/// While writers write, a reader that asks for what is behind the last position it saw sees every row, in order.
pub async fn a_reader_that_follows_misses_nothing(fixture: Fixture) {
    let store = fixture.store();
    let done = AtomicBool::new(false);
    let writer = async |name: &str| {
        for n in 0..60 {
            let order = format!("{name}{n}");
            stands(store, noted(&order, &["1", "2", "3"])).await;
        }
    };
    let write = async {
        both(writer("a"), both(writer("b"), writer("c"))).await;
        done.store(true, Ordering::SeqCst);
    };
    let follow = async {
        let mut seen: Vec<JournalRow> = Vec::new();
        loop {
            let was_done = done.load(Ordering::SeqCst);
            let page = store.journal(seen.last().map_or(0, |r| r.position), 7).await.expect("a journal");
            if page.is_empty() && was_done {
                return seen;
            }
            seen.extend(page);
            let mut yielded = false;
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut yielded, true) {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
        }
    };
    let ((), seen) = both(write, follow).await;
    assert_eq!(seen.len(), 3 * 60 * 3);
    assert_eq!(seen, store.journal(0, 10_000).await.expect("a journal"));
    for rows in seen.chunks(3) {
        assert_eq!(values(rows), ["1", "2", "3"], "rows of one commit stand together");
        assert!(rows.iter().all(|r| r.message.key == rows[0].message.key));
    }
}

/// Topic, key, headers and value are kept to the byte: they are sent as they lie.
pub async fn messages_come_back_as_they_were(fixture: Fixture) {
    let store = fixture.store();
    let messages = vec![
        Message { headers: Headers::default(), value: Bytes::new(), ..message("a", "") },
        Message { topic: "ecommerce.orders".into(), key: id("another"), ..message("a", "x") },
        Message { value: vec![0, 255, 0, 10].into(), ..message("a", "") },
        Message {
            headers: [("twice", "1".as_bytes()), ("twice", b"2"), ("", &[0, 255])].into_iter().collect(),
            ..message("a", "y")
        },
    ];
    stands(store, Commit { journal: messages.clone(), ..commit("a") }).await;
    let read: Vec<Message> =
        store.journal(0, 9).await.expect("a journal").into_iter().map(|r| r.message).collect();
    assert_eq!(read, messages);
}

/// Own and foreign events stand in the order in which commits named them.
pub async fn history_keeps_its_order_across_commits(fixture: Fixture) {
    let store = fixture.store();
    let foreign = |value: &str| HistoryEntry::Foreign(value.to_owned().into());
    let first = Commit {
        history: vec![foreign("f1"), HistoryEntry::Own(1), foreign("f2"), HistoryEntry::Own(0)],
        ..noted("a", &["own0", "own1", "for a neighbour only"])
    };
    let second = Commit { history: vec![foreign("f3")], ..commit("a") };
    let third = Commit { history: vec![HistoryEntry::Own(0), HistoryEntry::Own(0)], ..noted("a", &["own2"]) };
    let other = Commit { history: vec![HistoryEntry::Own(0)], ..noted("b", &["b"]) };
    many(store, batch([other, first])).await;
    stands(store, over(store, second).await).await;
    stands(store, over(store, commit("a")).await).await;
    stands(store, over(store, third).await).await;
    let history = store.history(&id("a"), 0, 100).await.expect("a history");
    assert_eq!(history, [&b"f1"[..], b"own1", b"f2", b"own0", b"f3", b"own2", b"own2"]);
    assert_eq!(store.history(&id("b"), 0, 100).await.expect("a history"), [&b"b"[..]]);
    assert!(store.history(&id("unknown"), 0, 100).await.expect("a history").is_empty());
}

/// Entries count from 1 without gaps, so a number is a place to go on from.
pub async fn history_is_read_in_pages(fixture: Fixture) {
    let store = fixture.store();
    for n in 0..9_u8 {
        let entry = Commit { history: vec![HistoryEntry::Foreign(vec![n].into())], ..commit("a") };
        stands(store, over(store, entry).await).await;
    }
    assert_eq!(store.history(&id("a"), 0, 2).await.expect("a history"), [vec![0], vec![1]]);
    assert_eq!(store.history(&id("a"), 2, 3).await.expect("a history"), [vec![2], vec![3], vec![4]]);
    assert_eq!(store.history(&id("a"), 8, 9).await.expect("a history"), [vec![8]]);
    assert!(store.history(&id("a"), 9, 9).await.expect("a history").is_empty());
}

/// Of several orders the newest events come, oldest first, each order's at its place.
pub async fn the_newest_of_several_histories_are_read_at_once(fixture: Fixture) {
    let store = fixture.store();
    for n in 0..4_u8 {
        let entry = HistoryEntry::Foreign(vec![n].into());
        let history = if n == 2 { vec![HistoryEntry::Own(0)] } else { vec![entry] };
        let entry = if n == 2 { noted("a", &["own"]) } else { commit("a") };
        stands(store, over(store, Commit { history, ..entry }).await).await;
    }
    stands(store, Commit { history: vec![HistoryEntry::Foreign(vec![9].into())], ..commit("b") }).await;
    let ids = ["b", "unknown", "a"].map(id);
    let histories = store.histories(&ids, 3).await.expect("histories");
    assert_eq!(histories, [vec![&[9][..]], vec![], vec![&[1][..], b"own", &[3]]]);
    assert!(store.histories(&[], 3).await.expect("histories").is_empty());
}
