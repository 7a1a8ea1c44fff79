//! No sequence of commands and reports, repeated, late or reordered, brings an order into an illegal state.

use cartwright_core::domain::{
    flow::{FLOWS, Life, MANUAL_FLOW},
    frozen::Frozen,
    ids::OrderId,
    order::{
        Action, CancelReason, Facts, Milestone, Order, OrderCommand, OrderEvent, OrderStatus, PaymentIntent,
        PaymentStatus, PlacedBy, Report, StepReport,
    },
    time::Timestamp,
};
use proptest::prelude::*;
use uuid::Uuid;

use cartwright_testkit::asks;

/// Something that reaches an order.
#[derive(Clone, Debug)]
enum Reaches {
    Command(OrderCommand),
    Report(StepReport),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_reaches_an_illegal_state(
        flow in prop::sample::select(FLOWS.to_vec()),
        inputs in prop::collection::vec(reaches(), 0..40),
    ) {
        let mut order = new_order(flow);
        advance(&mut order, vec![], 0);
        check(&order, None)?;
        for (i, input) in inputs.into_iter().enumerate() {
            let before = order.clone();
            let events = match &input {
                Reaches::Command(command) => {
                    let decided = order.decide(command);
                    // The table of actions and the decision are one.
                    let accepts = |action| order.actions().contains(&action);
                    prop_assert_eq!(decided.is_ok(), command.action().is_none_or(accepts));
                    decided.unwrap_or_default()
                }
                Reaches::Report(report) => order.fold(report).unwrap_or_default(),
            };
            advance(&mut order, events, 1 + i as i64);
            check(&order, Some(&before))?;
            // Repeats of the same report change nothing.
            if let Reaches::Report(report) = &input {
                prop_assert_eq!(order.fold(report).unwrap_or_default(), vec![]);
            }
        }
    }

    #[test]
    fn every_order_ends_when_every_step_is_answered(
        flow in prop::sample::select(FLOWS.iter().copied().filter(|f| *f != MANUAL_FLOW).collect::<Vec<_>>()),
        answers in prop::collection::vec((0..3_u8, any::<bool>()), 12),
        cancel_at in prop::option::of(0..8_usize),
    ) {
        let mut order = new_order(flow);
        advance(&mut order, vec![], 0);
        let mut answers = answers.into_iter();
        for round in 0..24 {
            if cancel_at == Some(round)
                && let Ok(events) = order.decide(&cancel())
            {
                advance(&mut order, events, round as i64);
            }
            let Some(step) = order.awaited().cloned() else { break };
            let (dice, undoable) = answers.next().unwrap_or((0, true));
            let report = match step.life {
                Life::UndoRequested if undoable => Report::Undone,
                Life::UndoRequested => Report::NotUndoable { reason: "too late".into() },
                _ if dice == 0 => Report::Refused { reason: "no".into() },
                _ => Report::Done,
            };
            let events = order.fold(&StepReport { step: step.number, report, facts: Facts::None }).unwrap();
            advance(&mut order, events, round as i64);
        }
        prop_assert_ne!(order.status, OrderStatus::Open, "{:#?}", order.steps);
        prop_assert_eq!(order.actions(), vec![]);
    }
}

#[test]
fn a_cancel_that_comes_too_late_lets_the_order_go_on() {
    let mut order = new_order("standard");
    advance(&mut order, vec![], 0);
    for step in [1, 2] {
        report(&mut order, step, Report::Done);
    }
    let events = order.decide(&cancel()).unwrap();
    advance(&mut order, events, 3);
    assert_eq!(order.step(3).unwrap().life, Life::UndoRequested, "the open step is asked first");
    report(&mut order, 3, Report::NotUndoable { reason: "it has been shipped already".into() });
    assert_eq!(order.status, OrderStatus::Completed);
    let cancellation = order.cancellation.unwrap();
    assert_eq!(cancellation.refused.as_deref(), Some("it has been shipped already"));
    assert_eq!(cancellation.done_at, None);
}

#[test]
fn a_refused_step_undoes_what_was_done_newest_first() {
    let mut order = new_order("standard");
    advance(&mut order, vec![], 0);
    report(&mut order, 1, Report::Done);
    report(&mut order, 2, Report::Done);
    report(&mut order, 3, Report::Refused { reason: "no such address".into() });
    assert_eq!(order.awaited().unwrap().number, 2);
    assert_eq!(order.status, OrderStatus::Open, "nothing is final while an undo is unanswered");
    report(&mut order, 2, Report::Undone);
    assert_eq!(order.awaited().unwrap().number, 1);
    report(&mut order, 1, Report::Undone);
    assert_eq!(order.status, OrderStatus::Failed);
    assert_eq!(order.payment_status(), PaymentStatus::Voided);
}

#[test]
fn a_hold_stops_the_next_do_and_nothing_else() {
    let mut order = new_order("standard");
    advance(&mut order, vec![], 0);
    let held = order.decide(&OrderCommand::Hold { note: None }).unwrap();
    advance(&mut order, held, 1);
    report(&mut order, 1, Report::Done);
    assert_eq!((order.awaited(), order.milestone), (None, Milestone::Authorized));
    let released = order.decide(&OrderCommand::Release { note: None }).unwrap();
    advance(&mut order, released, 2);
    assert_eq!(order.awaited().unwrap().number, 2);
}

#[test]
fn cancelling_on_hold_undoes_what_was_done() {
    let mut order = new_order("standard");
    advance(&mut order, vec![], 0);
    let held = order.decide(&OrderCommand::Hold { note: None }).unwrap();
    advance(&mut order, held, 1);
    report(&mut order, 1, Report::Done);
    let events = order.decide(&cancel()).unwrap();
    advance(&mut order, events, 2);
    report(&mut order, 1, Report::Undone);
    assert_eq!(order.status, OrderStatus::Cancelled);
    assert!(order.quantities.iter().zip(&order.placed.lines).all(|(q, l)| q.cancelled == l.quantity));
}

#[test]
fn manual_orders_rest_until_the_client_moves_them() {
    let mut order = new_order(MANUAL_FLOW);
    advance(&mut order, vec![], 0);
    assert_eq!(order.actions(), [Action::Cancel, Action::SetMilestone]);
    for milestone in Milestone::ALL {
        let events = order.decide(&OrderCommand::SetMilestone(milestone)).unwrap();
        advance(&mut order, events, 1);
        assert_eq!((order.milestone, order.status), (milestone, OrderStatus::Open));
    }
    assert!(!order.must_end());
}

fn check(order: &Order, before: Option<&Order>) -> Result<(), TestCaseError> {
    let awaited = order.steps.iter().filter(|s| s.life.is_awaited()).count();
    prop_assert!(awaited <= 1, "at most one step is asked for at a time");
    if order.status != OrderStatus::Open {
        prop_assert_eq!(awaited, 0, "nothing is final while a step is unknown");
        prop_assert!(order.actions().is_empty());
    }
    match order.status {
        OrderStatus::Completed => prop_assert!(order.steps.iter().all(|s| s.did)),
        OrderStatus::Failed | OrderStatus::Cancelled => {
            // Money and goods: whatever was done is undone, or is known to stay.
            prop_assert!(order.steps.iter().all(|s| s.life != Life::Done && !s.life.is_open()));
        }
        OrderStatus::Open => prop_assert!(
            awaited == 1 || order.on_hold || order.placed.flow == MANUAL_FLOW,
            "an open order waits for someone"
        ),
    }
    // A step is asked for only when all before it are done for good.
    for pair in order.steps.windows(2) {
        prop_assert!(
            pair[1].life == Life::Planned || pair[0].did || pair[0].life.rank() >= Life::UndoRequested.rank()
        );
    }
    let held: i64 = order.payments.iter().map(|p| p.authorized).sum();
    prop_assert!(held == 0 || held == order.placed.totals.total, "money is held once or not at all");
    let Some(before) = before else { return Ok(()) };
    for (was, is) in before.steps.iter().zip(&order.steps) {
        prop_assert!(is.life.rank() >= was.life.rank(), "a step's life moves forward: {was:?} to {is:?}");
    }
    if before.status != OrderStatus::Open {
        prop_assert_eq!(before, order, "final is final");
    }
    prop_assert!(order.version >= before.version);
    Ok(())
}

fn reaches() -> impl Strategy<Value = Reaches> {
    let milestone = prop::sample::select(Milestone::ALL.to_vec());
    let command = prop_oneof![
        Just(cancel()),
        Just(OrderCommand::Hold { note: None }),
        Just(OrderCommand::Release { note: None }),
        milestone.prop_map(OrderCommand::SetMilestone),
    ];
    let report = prop_oneof![
        1 => Just(Report::Started),
        1 => (0..3_i64).prop_map(|at| Report::Waiting {
            reason: format!("try {at}"),
            next_try_at: Some(Timestamp::from_micros(at)),
            said_at: Timestamp::from_micros(at),
        }),
        4 => Just(Report::Done),
        1 => Just(Report::Refused { reason: "no".into() }),
        2 => Just(Report::Undone),
        1 => Just(Report::NotUndoable { reason: "too late".into() }),
    ];
    let report = (0..5_u32, report).prop_map(|(step, report)| {
        let facts = match (&report, step) {
            (Report::Done, 1) => {
                Facts::Payment { id: Uuid::nil(), reference: Some("r".into()), amount: TOTAL }
            }
            _ => Facts::None,
        };
        Reaches::Report(StepReport { step, report, facts })
    });
    prop_oneof![1 => command.prop_map(Reaches::Command), 4 => report]
}

const TOTAL: i64 = 200;

fn new_order(flow: &str) -> Order {
    let placed = asks::placed(flow, 2, 100);
    assert_eq!(placed.totals.total, TOTAL);
    let by = PlacedBy { caller: "test".into(), key: None, fingerprint: String::new() };
    let id = OrderId::parse("order").unwrap();
    Order::place(id, 1, Frozen::new(placed), PaymentIntent::default(), by, Uuid::nil(), Timestamp::default())
}

/// What the service does with a decision, without its events and tasks.
fn advance(order: &mut Order, first: Vec<OrderEvent>, at: i64) {
    let now = Timestamp::from_micros(at);
    if !first.is_empty() {
        order.version += 1;
    }
    for event in &first {
        order.apply(event, now);
    }
    for asked in 0.. {
        let Some(event) = order.ask_next() else { return };
        assert!(asked < 20, "asking has no end: {event:?}");
        order.apply(&event, now);
    }
}

fn report(order: &mut Order, step: u32, report: Report) {
    let facts = match (step, &report) {
        (1, Report::Done) => Facts::Payment { id: Uuid::nil(), reference: None, amount: TOTAL },
        _ => Facts::None,
    };
    let events = order.fold(&StepReport { step, report, facts }).unwrap();
    advance(order, events, 1);
}

fn cancel() -> OrderCommand {
    OrderCommand::Cancel { reason: CancelReason::Customer, note: None }
}
