//! Tasks and saved answers.

use std::collections::BTreeMap;

use cartwright_core::{
    domain::money::Currency,
    ports::{AuthorizeCall, Commit, ShipCall, ShipLine, Store, Task, UndoCall, Work},
};

use super::{Fixture, answered, both, over, stands};
use crate::build::{answer, answer_key, at, commit, id, task};

fn with_tasks(order: &str, tasks: impl IntoIterator<Item = Task>) -> Commit {
    Commit { put_tasks: tasks.into_iter().collect(), ..commit(order) }
}

async fn claim(store: &dyn Store, now: i64, lease_until: i64, limit: usize) -> Vec<String> {
    let tasks = store.claim_tasks(at(now), at(lease_until), limit).await.expect("a claim");
    assert!(tasks.iter().all(|t| t.lease_until == at(lease_until)), "{tasks:?}");
    tasks.into_iter().map(|t| t.id).collect()
}

/// Every kind of work, with all that it carries.
pub async fn tasks_come_back_as_they_were(fixture: Fixture) {
    let store = fixture.store();
    let undo = UndoCall { key: "k-undo".to_owned(), order_id: id("a"), operation: "k".to_owned() };
    let works = [
        Work::Authorize(AuthorizeCall {
            key: "k".to_owned(),
            order_id: id("a"),
            amount: i64::MAX,
            currency: Currency::NONE,
            scale: None,
            provider: "simulated".to_owned(),
            token: Some("tök\"en".to_owned()),
            scenario: None,
            metadata: BTreeMap::from([("n\u{f6}te".to_owned(), "\"".to_owned())]),
        }),
        Work::Void(undo.clone()),
        Work::Ship(ShipCall {
            key: "k".to_owned(),
            order_id: id("a"),
            ship_to: Some(cartwright_core::domain::order::Address {
                city: Some("Zürich".to_owned()),
                ..Default::default()
            }),
            lines: (0..1_000).map(|n| ShipLine { sku: format!("sku-{n}"), quantity: n }).collect(),
            scenario: Some("late".to_owned()),
        }),
        Work::CancelShipment(undo),
        Work::Wait,
    ];
    let tasks: Vec<Task> = (0..)
        .zip(works)
        .map(|(n, work)| Task { work, attempts: n, ..task(&format!("a:{n}"), "a", i64::from(n) + 5) })
        .collect();
    stands(store, with_tasks("a", tasks.clone())).await;
    let claimed = store.claim_tasks(at(100), at(200), 10).await.expect("a claim");
    let leased: Vec<Task> = tasks.into_iter().map(|t| Task { lease_until: at(200), ..t }).collect();
    assert_eq!(claimed, leased);
}

/// Nobody else gets a claimed task before its lease ends; then it is ready again.
pub async fn a_claimed_task_is_leased_until_the_lease_ends(fixture: Fixture) {
    let store = fixture.store();
    stands(store, with_tasks("a", [task("t", "a", 100)])).await;
    assert!(claim(store, 99, 500, 10).await.is_empty(), "not before its time");
    assert_eq!(claim(store, 100, 500, 10).await, ["t"]);
    assert!(claim(store, 499, 900, 10).await.is_empty(), "leased");
    assert_eq!(claim(store, 500, 900, 10).await, ["t"], "the lease has ended");
    assert!(claim(store, 500, 900, 10).await.is_empty());
}

/// A task that its writer begins at once is written with a lease.
pub async fn a_task_that_is_written_with_a_lease_waits_for_its_end(fixture: Fixture) {
    let store = fixture.store();
    let leased = Task { lease_until: at(300), ..task("t", "a", 100) };
    let later = Task { lease_until: at(50), ..task("u", "a", 400) };
    stands(store, with_tasks("a", [leased, later])).await;
    assert!(claim(store, 299, 1_000, 10).await.is_empty());
    assert_eq!(claim(store, 300, 1_000, 10).await, ["t"]);
    assert!(claim(store, 399, 1_000, 10).await.is_empty());
    assert_eq!(claim(store, 400, 1_000, 10).await, ["u"]);
}

/// The longest waiting first, and never more than asked.
pub async fn the_longest_waiting_tasks_come_first(fixture: Fixture) {
    let store = fixture.store();
    let tasks =
        [("c", 30), ("a", 10), ("e", 50), ("d", 40), ("b", 20)].map(|(name, due)| task(name, "x", due));
    stands(store, with_tasks("x", tasks)).await;
    assert!(claim(store, 100, 1_000, 0).await.is_empty());
    assert_eq!(claim(store, 100, 1_000, 2).await, ["a", "b"]);
    assert_eq!(claim(store, 45, 1_000, 10).await, ["c", "d"], "those not due are left");
    assert_eq!(claim(store, 1_000, 2_000, 1).await, ["e"], "due before the leases of the others ended");
    assert_eq!(claim(store, 1_000, 2_000, 10).await, ["a", "b", "c", "d"]);
}

/// Putting a task again replaces all of it, its lease too.
pub async fn a_task_is_overwritten_by_its_id(fixture: Fixture) {
    let store = fixture.store();
    stands(store, with_tasks("a", [task("t", "a", 100)])).await;
    assert_eq!(claim(store, 100, 1_000, 10).await, ["t"]);
    let again = Task { attempts: 3, work: Work::Wait, ..task("t", "a", 200) };
    stands(store, over(store, with_tasks("a", [again.clone()])).await).await;
    assert!(claim(store, 199, 1_000, 10).await.is_empty());
    let claimed = store.claim_tasks(at(200), at(900), 10).await.expect("a claim");
    assert_eq!(claimed, [Task { lease_until: at(900), ..again }]);
    assert_eq!(store.stats().await.expect("stats").tasks, 1);
}

/// A task that is done with is never claimed again; one that never was is no trouble.
pub async fn a_dropped_task_is_gone(fixture: Fixture) {
    let store = fixture.store();
    stands(store, with_tasks("a", [task("t", "a", 100), task("u", "a", 100)])).await;
    assert_eq!(claim(store, 100, 200, 1).await, ["t"]);
    let drop = Commit { drop_tasks: vec!["t".to_owned(), "never was".to_owned()], ..commit("a") };
    stands(store, over(store, drop).await).await;
    assert_eq!(claim(store, 1_000, 2_000, 10).await, ["u"]);
    assert_eq!(store.stats().await.expect("stats").tasks, 1);
}

/// In one commit the new intention wins over the old one's end.
pub async fn a_task_that_is_dropped_and_put_stays(fixture: Fixture) {
    let store = fixture.store();
    stands(store, with_tasks("a", [task("t", "a", 100)])).await;
    let renewed = Commit { drop_tasks: vec!["t".to_owned()], ..with_tasks("a", [task("t", "a", 300)]) };
    stands(store, over(store, renewed).await).await;
    assert!(claim(store, 299, 1_000, 10).await.is_empty());
    assert_eq!(claim(store, 300, 1_000, 10).await, ["t"]);
}

/// Two runners that claim at once never get the same task.
pub async fn racing_claims_share_out_the_tasks(fixture: Fixture) {
    let store = fixture.store();
    stands(store, with_tasks("a", (0..40).map(|n| task(&format!("t{n:02}"), "a", n)))).await;
    let mut claimed = Vec::new();
    for _ in 0..5 {
        let (left, right) = both(claim(store, 100, 1_000, 4), claim(store, 100, 1_000, 4)).await;
        claimed.extend(left);
        claimed.extend(right);
    }
    claimed.sort();
    assert_eq!(claimed, (0..40).map(|n| format!("t{n:02}")).collect::<Vec<_>>());
}

/// Order, caller and key together name an answer; saving again replaces it.
pub async fn answers_are_found_by_their_whole_name(fixture: Fixture) {
    let store = fixture.store();
    let names = [("a", "c", "k"), ("a", "c", "k2"), ("a", "c2", "k"), ("b", "c", "k"), ("a", "", "")];
    let keys = names.map(|(order, caller, key)| answer_key(order, caller, key));
    for (n, key) in keys.iter().enumerate() {
        let save =
            Commit { answers: vec![(key.clone(), answer(&n.to_string(), 10))], ..commit(key.order.as_str()) };
        stands(store, over(store, save).await).await;
    }
    for (n, key) in keys.iter().enumerate() {
        let saved = answered(store, key).await;
        assert_eq!(saved, Some(answer(&n.to_string(), 10)), "{key:?}");
    }
    let unknown = answer_key("b", "c2", "k");
    let several = store.answers(&[keys[2].clone(), unknown, keys[0].clone()]).await.expect("answers");
    assert_eq!(several, [Some(answer("2", 10)), None, Some(answer("0", 10))], "in the order asked");
    let again = Commit { answers: vec![(keys[0].clone(), answer("new", 99))], ..commit("a") };
    stands(store, over(store, again).await).await;
    assert_eq!(answered(store, &keys[0]).await, Some(answer("new", 99)));
}

/// Answers before a moment go, the oldest first, never more than asked at once.
pub async fn old_answers_are_forgotten_in_portions(fixture: Fixture) {
    let store = fixture.store();
    let key = |n: i64| answer_key("a", "caller", &n.to_string());
    let answers = [30, 10, 50, 20, 40].map(|n| (key(n), answer("x", n))).to_vec();
    stands(store, Commit { answers, ..commit("a") }).await;
    assert_eq!(store.purge_answers(at(10), 10).await.expect("a purge"), 0);
    assert_eq!(store.purge_answers(at(40), 2).await.expect("a purge"), 2);
    assert_eq!(answered(store, &key(20)).await, None);
    assert!(answered(store, &key(30)).await.is_some());
    assert_eq!(store.purge_answers(at(40), 10).await.expect("a purge"), 1);
    assert!(answered(store, &key(40)).await.is_some());
    assert!(answered(store, &key(50)).await.is_some());
}
