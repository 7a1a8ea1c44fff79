//! Leases and the bell: how several processes share work, and hear of each other.

use std::time::Duration;

use cartwright_core::ports::{Batch, Store};
use cartwright_store::{
    StoreKind,
    postgres::{
        PostgresStore, Scope,
        bell::{Rope, ring},
    },
};
use cartwright_testkit::build::{batch, commit};
use tokio::{sync::watch, time::timeout};
use uuid::Uuid;

use crate::postgres::{open, options};

const LANES: u32 = 12;
const LONG: Duration = Duration::from_secs(3_600);
/// How long a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(30);

async fn hold(store: &PostgresStore, who: Uuid, length: Duration) -> Vec<u32> {
    let leases = store.hold_leases(Scope::Bus, who, LANES, length).await.unwrap();
    leases.into_iter().map(|lease| lease.lane).collect()
}

#[tokio::test]
async fn members_share_the_lanes_out() {
    let options = options();
    let store = open(StoreKind::Orders, &options).await;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(hold(&store, first, LONG).await.len(), 12, "alone it has all of them");
    assert_eq!(hold(&store, second, LONG).await.len(), 0, "nothing is free yet");
    let (evens, odds): (Vec<u32>, Vec<u32>) = (0..LANES).partition(|lane| lane % 2 == 0);
    assert_eq!(hold(&store, first, LONG).await, evens, "it gives up what is not its share");
    assert_eq!(hold(&store, second, LONG).await, odds);
    store.drop_leases(Scope::Bus, first).await.unwrap();
    assert_eq!(hold(&store, second, LONG).await.len(), 12, "who goes leaves everything to the others");
}

#[tokio::test]
async fn a_frozen_process_loses_what_it_held() {
    let options = options();
    let store = open(StoreKind::Orders, &options).await;
    let (frozen, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(hold(&store, frozen, Duration::ZERO).await.len(), 12);
    let taken = store.hold_leases(Scope::Bus, other, LANES, LONG).await.unwrap();
    assert_eq!(taken.len(), 12, "its time is over, also as a member");
    assert!(taken.iter().all(|lease| lease.taken_over), "it may not know yet");
    let again = store.hold_leases(Scope::Bus, other, LANES, LONG).await.unwrap();
    assert!(again.iter().zip(&taken).all(|(again, taken)| again.epoch == taken.epoch && !again.taken_over));
    assert_eq!(hold(&store, frozen, LONG).await.len(), 0, "woken, it has nothing, and is a member again");
    assert_eq!(store.hold_leases(Scope::Relay, frozen, 1, LONG).await.unwrap().len(), 1, "scopes are apart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_come_at_once_hold_each_lane_once() {
    let options = options();
    let store = std::sync::Arc::new(open(StoreKind::Orders, &options).await);
    for _ in 0..10 {
        let all = (0..6_u128).map(|who| {
            let store = store.clone();
            tokio::spawn(async move { hold(&store, Uuid::from_u128(who), LONG).await })
        });
        let all: Vec<_> = all.collect();
        let mut held = Vec::new();
        for one in all {
            held.extend(one.await.unwrap());
        }
        held.sort_unstable();
        let count = held.len();
        held.dedup();
        assert_eq!(held.len(), count, "no lane is held twice");
    }
    let mut held = Vec::new();
    for who in 0..6_u128 {
        let of_one = hold(&store, Uuid::from_u128(who), LONG).await;
        assert_eq!(of_one.len(), 2, "two for each");
        held.extend(of_one);
    }
    held.sort_unstable();
    assert_eq!(held, (0..LANES).collect::<Vec<_>>(), "in the end all are held");
}

#[tokio::test]
async fn a_cursor_never_goes_back() {
    let options = options();
    let store = open(StoreKind::Payments, &options).await;
    let cursor = |incarnation: u128, position| cartwright_core::ports::Cursor {
        source: "orders".into(),
        lane: 3,
        incarnation: Uuid::from_u128(incarnation),
        position,
    };
    for (written, stands) in [((1, 7), (1, 7)), ((1, 5), (1, 7)), ((2, 1), (2, 1)), ((2, 4), (2, 4))] {
        let batch = Batch { commits: vec![], cursors: vec![cursor(written.0, written.1)] };
        store.commit(batch).await.unwrap();
        assert_eq!(store.cursors().await.unwrap(), [cursor(stands.0, stands.1)], "after {written:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_hear_of_each_others_commits() {
    let options = options();
    let store = open(StoreKind::Orders, &options).await;
    let start = || {
        let (head, mut bell) = watch::channel(0);
        bell.borrow_and_update();
        let rope = Rope { kind: StoreKind::Orders, head: head.clone() };
        (head, bell, tokio::spawn(ring(options.clone(), vec![rope], LONG)))
    };
    let ((here, mut own, ours), (_, mut there, theirs)) = (start(), start());
    for bell in [&mut own, &mut there] {
        // Both are connected: they look at what they may have missed.
        timeout(LIMIT, bell.changed()).await.expect("it connects").unwrap();
        bell.borrow_and_update();
    }
    store.commit(batch([commit("a")])).await.unwrap();
    here.send_replace(1);
    timeout(LIMIT, there.changed()).await.expect("the other one wakes").unwrap();
    assert_eq!(*there.borrow_and_update(), 0, "it was told to look, not what there is");
    assert_eq!(*own.borrow_and_update(), 1);
    // What comes through after it shows that nobody has told anybody of having been told.
    here.send_replace(2);
    timeout(LIMIT, there.changed()).await.expect("it wakes again").unwrap();
    assert_eq!(*own.borrow_and_update(), 2);
    assert!(!own.has_changed().unwrap(), "no echo");
    ours.abort();
    theirs.abort();
}
