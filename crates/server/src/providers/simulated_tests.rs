use std::collections::BTreeMap;

use cartwright_core::domain::{ids::OrderId, money::Currency};
use rusqlite::Connection;

use super::*;

struct World {
    dir: tempfile::TempDir,
    settings: SimulatedSettings,
}

impl World {
    fn new() -> Self {
        Self::with(SimulatedSettings::default())
    }

    fn with(settings: SimulatedSettings) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), settings }
    }

    fn open(&self) -> (SimulatedPayments, SimulatedCarrier) {
        let ledger = Ledger::open(self.dir.path().join("ledger.db"), uuid::Uuid::nil()).unwrap();
        (
            SimulatedPayments::new(ledger.clone(), self.settings.clone()),
            SimulatedCarrier::new(ledger, self.settings.clone()),
        )
    }

    fn count(&self, what: &str) -> i64 {
        let file = Connection::open(self.dir.path().join("ledger.db")).unwrap();
        file.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).unwrap()
    }
}

fn order(id: &str) -> OrderId {
    OrderId::parse(id).unwrap()
}

fn pay(key: &str, scenario: Option<&str>) -> AuthorizeCall {
    AuthorizeCall {
        key: key.into(),
        order_id: order("o-1"),
        amount: 260_498,
        currency: Currency::parse("USD").unwrap(),
        scale: None,
        provider: "simulated".into(),
        token: None,
        scenario: scenario.map(Into::into),
        metadata: BTreeMap::new(),
    }
}

fn ship(key: &str, scenario: Option<&str>) -> ShipCall {
    ShipCall {
        key: key.into(),
        order_id: order("o-1"),
        ship_to: None,
        lines: Vec::new(),
        scenario: scenario.map(Into::into),
    }
}

fn undo_of(operation: &str) -> UndoCall {
    UndoCall { key: format!("undo-{operation}"), order_id: order("o-1"), operation: operation.into() }
}

fn is_unknown<T>(outcome: &CallOutcome<T>) -> bool {
    matches!(outcome, CallOutcome::Unknown { .. })
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_and_has_one_effect() {
    let world = World::new();
    let (payments, carrier) = world.open();
    let first = payments.authorize(&pay("k", None), false).await;
    assert!(matches!(&first, CallOutcome::Done(reference) if reference.starts_with("sim_")));
    assert_eq!(payments.authorize(&pay("k", None), false).await, first);
    let CallOutcome::Done(sent) = carrier.ship(&ship("s", None), false).await else { panic!() };
    assert!(CARRIERS.contains(&sent.carrier.as_str()));
    let digits = sent.tracking_number.strip_prefix("TRACK-").unwrap();
    assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
    assert_eq!(carrier.ship(&ship("s", None), false).await, CallOutcome::Done(sent));
    assert_eq!(world.count("effects"), 2);
    assert_eq!(world.count("calls"), 4);
}

#[tokio::test]
async fn a_key_is_not_lent_to_another_order_or_amount() {
    let world = World::new();
    let (payments, carrier) = world.open();
    payments.authorize(&pay("k", None), false).await;
    let other = AuthorizeCall { order_id: order("o-2"), ..pay("k", None) };
    assert!(matches!(payments.authorize(&other, false).await, CallOutcome::Refused(_)));
    let more = AuthorizeCall { amount: 1, ..pay("k", None) };
    assert!(matches!(payments.authorize(&more, false).await, CallOutcome::Refused(_)));
    assert!(matches!(carrier.ship(&ship("k", None), false).await, CallOutcome::Refused(_)));
    assert_eq!(world.count("effects"), 1);
}

#[tokio::test]
async fn a_hundred_at_once_under_one_key_charge_once() {
    let world = World::with(SimulatedSettings { latency_max_ms: 5, ..Default::default() });
    let (payments, _carrier) = world.open();
    let payments = Arc::new(payments);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let payments = payments.clone();
            tokio::spawn(async move { payments.authorize(&pay("k", None), false).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    assert!(matches!(answers[0], CallOutcome::Done(_)));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(world.count("effects"), 1);
    assert_eq!(world.count("calls"), 100);
}

#[tokio::test]
async fn a_voided_key_is_refused_whether_it_was_seen_or_not() {
    let world = World::new();
    let (payments, _carrier) = world.open();
    payments.authorize(&pay("seen", None), false).await;
    for key in ["seen", "unseen"] {
        assert_eq!(payments.void(&undo_of(key), false).await, CallOutcome::Done(()));
        assert_eq!(payments.void(&undo_of(key), false).await, CallOutcome::Done(()), "again");
        assert!(matches!(payments.authorize(&pay(key, None), false).await, CallOutcome::Refused(_)), "{key}");
    }
    assert_eq!(world.count("effects WHERE kind = 'authorize'"), 1);
    assert_eq!(world.count("effects WHERE kind = 'void'"), 2);
}

#[tokio::test]
async fn a_void_under_another_key_is_still_one_void() {
    let world = World::new();
    let (payments, _carrier) = world.open();
    payments.void(&undo_of("k"), false).await;
    let again = UndoCall { key: "another".into(), ..undo_of("k") };
    assert_eq!(payments.void(&again, false).await, CallOutcome::Done(()));
    assert_eq!(world.count("effects"), 1);
    let stolen = UndoCall { key: "undo-k".into(), ..undo_of("other") };
    assert!(matches!(payments.void(&stolen, false).await, CallOutcome::Refused(_)));
}

#[tokio::test]
async fn everything_survives_reopening() {
    let world = World::new();
    let (payments, carrier) = world.open();
    let paid = payments.authorize(&pay("k", None), false).await;
    let sent = carrier.ship(&ship("s", None), false).await;
    payments.void(&undo_of("gone"), false).await;
    assert!(is_unknown(&payments.authorize(&pay("e", Some("error")), false).await));
    drop((payments, carrier));
    let (payments, carrier) = world.open();
    assert_eq!(payments.authorize(&pay("k", None), false).await, paid);
    assert_eq!(carrier.ship(&ship("s", None), false).await, sent);
    assert!(matches!(payments.authorize(&pay("gone", None), false).await, CallOutcome::Refused(_)));
    assert!(is_unknown(&payments.authorize(&pay("e", Some("error")), false).await));
    assert!(matches!(payments.authorize(&pay("e", Some("error")), false).await, CallOutcome::Done(_)));
}

#[tokio::test]
async fn a_timeout_loses_the_answer_but_not_the_effect() {
    let world = World::new();
    let (payments, carrier) = world.open();
    assert!(is_unknown(&payments.authorize(&pay("k", Some("timeout")), false).await));
    assert_eq!(world.count("effects WHERE kind = 'authorize'"), 1);
    assert!(matches!(payments.authorize(&pay("k", Some("timeout")), false).await, CallOutcome::Done(_)));
    assert!(is_unknown(&carrier.ship(&ship("s", Some("timeout")), false).await));
    assert!(matches!(carrier.ship(&ship("s", Some("timeout")), false).await, CallOutcome::Done(_)));
    assert_eq!(world.count("effects"), 2);
}

#[tokio::test]
async fn scenarios_win_over_rates() {
    let world = World::with(SimulatedSettings { failure_rate: 1.0, slow_ms: 40, ..Default::default() });
    let (payments, _carrier) = world.open();
    assert!(is_unknown(&payments.authorize(&pay("none", None), false).await));
    assert!(matches!(payments.authorize(&pay("ok", Some("success")), false).await, CallOutcome::Done(_)));
    for _ in 0..2 {
        assert!(matches!(
            payments.authorize(&pay("no", Some("decline")), false).await,
            CallOutcome::Refused(_)
        ));
    }
    let pending = pay("later", Some("pending"));
    assert!(matches!(payments.authorize(&pending, false).await, CallOutcome::Pending(_)));
    assert!(matches!(payments.authorize(&pending, false).await, CallOutcome::Done(_)));
    let start = std::time::Instant::now();
    assert!(matches!(payments.authorize(&pay("slow", Some("slow")), false).await, CallOutcome::Done(_)));
    assert!(start.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn rates_hit_their_share_and_repeats_agree() {
    let settings = SimulatedSettings { decline_rate: 0.3, failure_rate: 0.2, ..Default::default() };
    let world = World::with(settings);
    let (payments, _carrier) = world.open();
    let (mut declined, mut failed) = (0, 0);
    for n in 0..400 {
        let call = pay(&format!("k{n}"), None);
        let mut outcome = payments.authorize(&call, false).await;
        while is_unknown(&outcome) {
            failed += 1;
            outcome = payments.authorize(&call, false).await;
        }
        declined += u32::from(matches!(outcome, CallOutcome::Refused(_)));
        assert_eq!(payments.authorize(&call, false).await, outcome);
    }
    assert!((80..=160).contains(&declined), "{declined}");
    assert!((60..=150).contains(&failed), "{failed}");
    assert_eq!(world.count("effects"), 400);
}

#[tokio::test]
async fn a_shipment_is_cancelled_before_it_goes_and_too_late_after() {
    let world = World::new();
    let (_payments, carrier) = world.open();
    assert_eq!(carrier.cancel(&undo_of("early"), false).await, CallOutcome::Done(CancelOutcome::Cancelled));
    assert!(matches!(carrier.ship(&ship("early", None), false).await, CallOutcome::Refused(_)));
    let CallOutcome::Done(sent) = carrier.ship(&ship("gone", None), false).await else { panic!() };
    for _ in 0..2 {
        let outcome = carrier.cancel(&undo_of("gone"), false).await;
        assert_eq!(outcome, CallOutcome::Done(CancelOutcome::TooLate(sent.clone())));
    }
    assert_eq!(carrier.ship(&ship("gone", None), false).await, CallOutcome::Done(sent));
    carrier.ship(&ship("refused", Some("decline")), false).await;
    assert_eq!(carrier.cancel(&undo_of("refused"), false).await, CallOutcome::Done(CancelOutcome::Cancelled));
}

#[tokio::test]
async fn a_shipment_within_the_window_is_called_back() {
    let world = World::with(SimulatedSettings { cancel_window_ms: 60_000, ..Default::default() });
    let (_payments, carrier) = world.open();
    carrier.ship(&ship("s", None), false).await;
    assert_eq!(carrier.cancel(&undo_of("s"), false).await, CallOutcome::Done(CancelOutcome::Cancelled));
    assert!(matches!(carrier.ship(&ship("s", None), false).await, CallOutcome::Refused(_)));
    assert_eq!(world.count("effects WHERE kind = 'cancel' AND undoes = 's'"), 1);
}

#[test]
fn many_may_make_one_file_at_once() {
    for _ in 0..50 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(super::super::ledger::FILE_NAME);
        let begin = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            let open = || {
                begin.wait();
                Ledger::open(&path, uuid::Uuid::nil())
            };
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            for ledger in opened {
                ledger.join().unwrap().unwrap();
            }
        });
    }
}
