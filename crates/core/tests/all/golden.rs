//! Every event's JSON, as released. Neighbours and stored journals rely on it for ever.

use std::{collections::BTreeMap, path::PathBuf};

use cartwright_core::{
    domain::{
        flow::StepKind,
        frozen::Frozen,
        ids::{OrderId, StepId},
        money::Currency,
        order::{
            Actor, Address, CancelReason, Charge, ChargeType, Customer, Line, Milestone, OrderStatus,
            PaymentIntent, Placed, Totals,
        },
        time::Timestamp,
    },
    events::{
        self, CancellationRequestedV1, DecodeError, Envelope, FailedV1, HoldV1, OrderCreatedV1, OrderEventV1,
        OrderFailedV1, Payload, PaymentV1, PlanV1, ProgressState, ShipmentV1, StepOutcome, StepProgressedV1,
        StepRequestedV1, StepUndoRequestedV1, Work,
    },
    ports::ShipLine,
    services::PlaceOrder,
};
use uuid::Uuid;

/// Set to `write`, missing golden files are made. Existing ones are never overwritten.
const SWITCH: &str = "CARTWRIGHT_GOLDEN";

#[test]
fn the_json_of_every_event_type_is_as_released() {
    let samples = samples();
    for kind in Payload::TYPES {
        assert!(samples.iter().any(|(_, p)| p.event_type() == *kind), "no golden sample for {kind}");
    }
    for (name, payload) in samples {
        let event = envelope(payload);
        let json: serde_json::Value = serde_json::from_slice(&events::encode(&event)).unwrap();
        let text = serde_json::to_string_pretty(&json).unwrap() + "\n";
        let path = folder().join(format!("{name}.json"));
        if !path.exists() && std::env::var(SWITCH).is_ok_and(|v| v == "write") {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|_| {
            panic!(
                "{} is missing. For a new event type, run the tests once with {SWITCH}=write.",
                path.display()
            )
        });
        assert_eq!(
            golden, text,
            "\nThe JSON of {name} has changed, but its shape is released: journals and neighbours hold it.\n\
             Keep the old type as it is. Add the new shape as the next version: a payload struct …V2, a row in \
             `event_types!` in events/codec.rs, a golden sample here, and readers that accept both.\n"
        );
        assert_eq!(events::decode(golden.as_bytes()).unwrap(), event, "{name} does not read back");
    }
}

#[test]
fn no_golden_file_is_without_its_event() {
    let names: Vec<String> = samples().into_iter().map(|(name, _)| format!("{name}.json")).collect();
    for file in std::fs::read_dir(folder()).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&file), "{file}: a released event type may not disappear");
    }
}

#[test]
fn what_is_not_an_event_says_why() {
    assert!(matches!(events::decode(b"{"), Err(DecodeError::Envelope(_))));
    let mut json: serde_json::Value =
        serde_json::from_slice(&events::encode(&envelope(samples().remove(0).1))).unwrap();
    json["eventType"] = "OrderTeleportedV9".into();
    assert!(
        matches!(events::decode(json.to_string().as_bytes()), Err(DecodeError::UnknownType(t)) if t == "OrderTeleportedV9")
    );
    json["eventType"] = "PaymentFailedV1".into();
    assert!(matches!(events::decode(json.to_string().as_bytes()), Err(DecodeError::Payload { .. })));
}

/// Orders keep the fingerprint of what placed them: a client may repeat its request after an upgrade.
#[test]
fn the_fingerprint_of_a_placing_is_as_earlier_versions_made_it() {
    let placed = r#"{"dialect":"cart-fastapi","externalId":null,"channel":null,"flow":"manual",
        "customer":{"id":"CUST-86911","name":null,"email":null},"currency":"CNY","lines":[
        {"id":"1","sku":"ITEM-627","name":null,"quantity":4,"unitPrice":8971,"discount":0,"tax":0,"total":35884},
        {"id":"2","sku":"ITEM-266","name":null,"quantity":9,"unitPrice":5595,"discount":0,"tax":0,"total":50355},
        {"id":"3","sku":"ITEM-220","name":null,"quantity":4,"unitPrice":8405,"discount":0,"tax":0,"total":33620}],
        "charges":[],"totals":{"lines":119859,"charges":0,"tax":0,"total":119859},
        "shipTo":null,"billTo":null,"metadata":{}}"#;
    let placed: Frozen<Placed> = serde_json::from_str(placed).unwrap();
    assert_eq!(
        PlaceOrder::fingerprint(Some("ORD-0"), &placed, &PaymentIntent::default()),
        "1654b46078c224e9cfbe88d2a6e27227f150822f2ce12561af0a25c911a49cbc"
    );
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn envelope(payload: Payload) -> Envelope {
    Envelope {
        event_id: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001),
        occurred_at: Timestamp::from_micros(1_737_407_340_123_456),
        correlation_id: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0002),
        causation_id: Some(Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0003)),
        source: "orders".into(),
        sequence: 7,
        actor: Actor::service("orders"),
        payload,
    }
}

fn samples() -> Vec<(&'static str, Payload)> {
    let order_id = OrderId::parse("0198c0de-0000-7000-8000-00000000000a").unwrap();
    let step = StepId { order: order_id.clone(), number: 1 };
    let subject = Uuid::from_u128(0x0198_c0de_0000_8000_8000_0000_0000_0004);
    let at = OrderEventV1 {
        order_id: order_id.clone(),
        version: 2,
        status: OrderStatus::Open,
        word: None,
        milestone: Milestone::Authorized,
    };
    let lines = vec![ShipLine { sku: "product-456".into(), quantity: 2 }];
    let requested =
        |work| Payload::StepRequested(StepRequestedV1 { at: at.clone(), step: step.clone(), work });
    let payment = |outcome| PaymentV1 {
        order_id: order_id.clone(),
        step: step.clone(),
        outcome,
        payment_id: Some(subject),
        reference: Some("sim_1".into()),
        amount: 260_498,
        currency: Currency::parse("USD").unwrap(),
    };
    let failed = |outcome, reason: Option<&str>| FailedV1 {
        order_id: order_id.clone(),
        step: step.clone(),
        outcome,
        subject: Some(subject),
        reason: reason.map(str::to_owned),
    };
    let moment = Timestamp::from_micros(1_737_666_540_000_000);
    vec![
        (
            "OrderCreatedV1",
            Payload::OrderCreated(OrderCreatedV1 {
                at: at.clone(),
                number: 1001,
                order: Frozen::new(placed()),
            }),
        ),
        (
            "StepRequestedV1.pay",
            requested(Work::Pay {
                payment_id: subject,
                amount: 260_498,
                currency: Currency::parse("USD").unwrap(),
                scale: None,
                provider: "simulated".into(),
                token: Some("tok_1".into()),
                scenario: None,
                metadata: BTreeMap::new(),
            }),
        ),
        (
            "StepRequestedV1.schedule",
            requested(Work::Schedule { shipment_id: subject, lines: lines.clone() }),
        ),
        (
            "StepRequestedV1.ship",
            requested(Work::Ship {
                shipment_id: subject,
                ship_to: Some(Address { country: Some("US".into()), ..Address::default() }),
                lines,
                scenario: None,
                announced: false,
                max_tries: None,
            }),
        ),
        ("StepRequestedV1.wait", requested(Work::Wait { wait_ms: 200 })),
        (
            "StepUndoRequestedV1",
            Payload::StepUndoRequested(StepUndoRequestedV1 {
                at: at.clone(),
                step: step.clone(),
                kind: StepKind::Pay,
            }),
        ),
        ("OrderProgressedV1", Payload::OrderProgressed(at.clone())),
        (
            "OrderHeldV1",
            Payload::OrderHeld(HoldV1 { at: at.clone(), note: Some("check the address".into()) }),
        ),
        ("OrderReleasedV1", Payload::OrderReleased(HoldV1 { at: at.clone(), note: None })),
        (
            "OrderCancellationRequestedV1",
            Payload::OrderCancellationRequested(CancellationRequestedV1 {
                at: at.clone(),
                reason: CancelReason::Customer,
                note: Some("changed my mind".into()),
            }),
        ),
        ("OrderCompletedV1", Payload::OrderCompleted(at.clone())),
        (
            "OrderFailedV1",
            Payload::OrderFailed(OrderFailedV1 { at: at.clone(), reason: "card declined".into() }),
        ),
        ("OrderCancelledV1", Payload::OrderCancelled(at)),
        ("PaymentAuthorizedV1", Payload::PaymentAuthorized(payment(StepOutcome::Done))),
        ("PaymentFailedV1", Payload::PaymentFailed(failed(StepOutcome::Refused, Some("card declined")))),
        ("PaymentVoidedV1", Payload::PaymentVoided(payment(StepOutcome::Undone))),
        (
            "FulfillmentScheduledV1",
            Payload::FulfillmentScheduled(PlanV1 {
                order_id: order_id.clone(),
                step: step.clone(),
                outcome: StepOutcome::Done,
                shipment_id: subject,
                eta_utc: moment,
            }),
        ),
        (
            "ShipmentShippedV1",
            Payload::ShipmentShipped(ShipmentV1 {
                order_id: order_id.clone(),
                step: step.clone(),
                outcome: StepOutcome::Done,
                shipment_id: subject,
                carrier: "DHL".into(),
                tracking_number: "TRACK-0A1B2C3D".into(),
                shipped_at: moment,
            }),
        ),
        (
            "FulfillmentFailedV1",
            Payload::FulfillmentFailed(failed(StepOutcome::Refused, Some("no such address"))),
        ),
        ("ShipmentCancelledV1", Payload::ShipmentCancelled(failed(StepOutcome::Undone, None))),
        (
            "StepProgressedV1",
            Payload::StepProgressed(StepProgressedV1 {
                order_id,
                step,
                state: ProgressState::Retrying,
                reason: Some("timed out".into()),
                next_try_at: Some(moment),
            }),
        ),
    ]
}

fn placed() -> Placed {
    Placed {
        dialect: None,
        taken_at: None,
        external_id: Some("shop-77".into()),
        channel: Some("web".into()),
        flow: "standard".into(),
        customer: Customer {
            id: "customer-123".into(),
            name: Some("John Doe".into()),
            email: Some("user@example.com".into()),
        },
        currency: Currency::parse("USD").unwrap(),
        scale: None,
        lines: vec![Line {
            id: "1".into(),
            sku: "product-456".into(),
            name: Some("Gaming Laptop".into()),
            quantity: 2,
            unit_price: Some(129_999),
            discount: 0,
            tax: 0,
            total: 259_998,
        }],
        charges: vec![Charge { kind: ChargeType::Shipping, amount: 500, tax: 0 }],
        totals: Totals { lines: 259_998, charges: 500, tax: 0, total: 260_498 },
        ship_to: Some(Address { country: Some("US".into()), ..Address::default() }),
        bill_to: None,
        metadata: BTreeMap::from([("campaign".into(), "spring".into())]),
    }
}
