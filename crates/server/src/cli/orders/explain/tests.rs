use serde_json::json;

use super::*;

fn event(event_type: &str, payload: Value) -> Value {
    let mut event = json!({"eventType": event_type, "payload": {"step": "a:1"}});
    for (key, value) in payload.as_object().unwrap() {
        event["payload"][key] = value.clone();
    }
    event
}

fn progress(state: &str, reason: &str, next: &str) -> Value {
    event("StepProgressedV1", json!({"state": state, "reason": reason, "nextTryAt": next}))
}

fn order(waiting: Value) -> Value {
    json!({"id": "a", "number": "1001", "status": "open", "flow": "standard", "onHold": false,
        "waitingFor": waiting, "actions": ["cancel"]})
}

fn standing(payments_on: bool) -> Standing {
    let state = json!({"enabled": payments_on, "rate": null, "breaker": "closed"});
    Standing::given(json!({"payments": state}), json!({"services": []}))
}

fn shown(explanation: &Explanation) -> String {
    explanation.text(&Paint::plain(), Timestamp::parse("2026-01-01T00:01:00Z").unwrap(), " --server http://x")
}

#[test]
fn what_was_held_back_is_no_try_and_not_the_provider_s_word() {
    let off = HeldBy::Switch.reason("payments");
    let history = [
        event("StepRequestedV1", json!({})),
        progress("retrying", "timed out", "2026-01-01T00:00:10Z"),
        progress("waiting", &off, "2026-01-01T00:02:00Z"),
    ];
    let waiting = json!({"step": "a:1", "kind": "pay", "state": "waiting", "reason": off,
        "nextTryAt": "2026-01-01T00:02:00Z"});
    let explanation = Explanation::of(&order(waiting), &history, &standing(false), vec![]);
    let waiting = explanation.waiting_for.as_ref().unwrap();
    assert_eq!((waiting.tries, waiting.said.as_deref()), (1, Some("timed out")));
    assert_eq!(waiting.held_back.as_deref(), Some(&*off));
    assert_eq!(explanation.steps[0].state, "held back");
    let text = shown(&explanation);
    for part in ["not through yet; payments is switched off", "cartwright providers on payments", "00:02:00"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn nobody_knows_whether_a_step_that_was_asked_for_has_begun() {
    let waiting =
        json!({"step": "a:1", "kind": "pay", "state": "requested", "nextTryAt": "2026-01-01T00:00:00Z"});
    let text = shown(&Explanation::of(&order(waiting), &[], &standing(true), vec![]));
    assert!(text.contains("it waits for `pay`, asked for; no answer yet\n"), "{text}");
    assert!(text.contains("due now") && !text.contains("2026"), "{text}");
}

#[test]
fn a_completed_order_says_that_it_was_too_late_to_call_it_off() {
    let mut order = order(json!(null));
    order["status"] = json!("completed");
    order["cancellation"] = json!({"reason": "customer", "refused": null});
    let text = shown(&Explanation::of(&order, &[], &standing(true), vec![]));
    assert!(text.contains("every step of its flow is done\n"), "{text}");
    order["cancellation"]["refused"] = json!("it has been shipped already");
    let text = shown(&Explanation::of(&order, &[], &standing(true), vec![]));
    assert!(text.contains("too late to call it off (it has been shipped already)"), "{text}");
}

#[test]
fn a_step_that_a_neighbour_does_is_said_to_be_with_it() {
    let mut order = order(json!({"step": "a:3", "kind": "ship", "state": "requested"}));
    order["neighbours"] = json!(["ship"]);
    let explanation = Explanation::of(&order, &[], &standing(true), vec![]);
    let states: Vec<&str> = explanation.steps.iter().map(|step| &*step.state).collect();
    assert_eq!(states, ["not asked for yet", "not asked for yet", "a neighbour does it; no answer yet"]);
}

#[test]
fn parked_events_and_what_to_do_about_them_are_named() {
    let waiting = json!({"step": "a:1", "kind": "pay", "state": "requested"});
    let parked = Parked {
        order: "a".into(),
        service: "payments".into(),
        event_type: "StepRequestedV1".into(),
        reason: "of a newer version".into(),
    };
    let text = shown(&Explanation::of(&order(waiting), &[], &standing(true), vec![parked]));
    for part in [
        "stuck behind events",
        "parked in payments",
        "StepRequestedV1: of a newer version",
        "cartwright parked list --order a --server http://x",
        "cartwright parked retry --order a --server http://x",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_hold_and_its_note_are_shown_beside_what_still_finishes() {
    let mut held = order(json!({"step": "a:1", "kind": "ship", "state": "requested"}));
    held["onHold"] = true.into();
    let history = [json!({"eventType": "OrderHeldV1", "payload": {"note": "check the address"}})];
    let text = shown(&Explanation::of(&held, &history, &standing(true), vec![]));
    assert!(text.contains("`ship`") && text.contains("on hold (check the address)"), "{text}");
    held["onHold"] = false.into();
    let text = shown(&Explanation::of(&held, &history, &standing(true), vec![]));
    assert!(!text.contains("address"), "it was released: {text}");
}

#[test]
fn an_undo_that_is_retried_is_no_step_that_is_retried() {
    let history = [
        event("StepRequestedV1", json!({})),
        event("PaymentAuthorizedV1", json!({"outcome": "done"})),
        event("StepUndoRequestedV1", json!({})),
        progress("retrying", "timed out", "2026-01-01T00:00:10Z"),
    ];
    assert_eq!(events::steps("standard", "a", &history)[0].state, "its undo is retrying");
}

#[test]
fn only_what_was_undone_is_said_to_be() {
    let mut cancelled = order(Value::Null);
    cancelled["status"] = "cancelled".into();
    cancelled["cancellation"] = json!({"reason": "customer"});
    let undone = [event("PaymentVoidedV1", json!({"outcome": "undone"}))];
    let why = |history: &[Value]| Explanation::of(&cancelled, history, &standing(true), vec![]).because;
    assert_eq!(why(&[]), "it was called off (customer)");
    assert_eq!(why(&undone), "it was called off (customer), and what was done was undone");
}
