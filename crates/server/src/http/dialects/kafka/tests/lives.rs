//! Orders whose lives the golden messages tell, lived through the core.

use std::sync::Arc;

use cartwright_core::{
    domain::{
        frozen::Frozen,
        ids::StepId,
        money::Currency,
        order::{Actor, Customer, OrderCommand, PaymentIntent, Placed, PlacedBy},
        time::Timestamp,
    },
    events::{self, FailedV1, Payload, PaymentV1, PlanV1, StepOutcome},
    ports::{Delivery, Origin, Store},
    services::{Ask, Engine, Input, Orders, Request, Settings, Variation},
};
use cartwright_testkit::{
    MemoryStore,
    asks::{Counting, Still},
    block_on,
};
use uuid::Uuid;

use super::{
    super::super::{
        cart_dotnet as dotnet,
        decimal::Decimal,
        goods::{Goods, Item},
        order_fulfilment::{self as fulfilment, Asked},
        order_tracking as tracking,
    },
    *,
};
use crate::control::DECLINED;

/// An order that has lived.
pub struct Life {
    store: Arc<MemoryStore>,
    engine: Engine<Orders>,
    order: OrderId,
    steps_done: u64,
    /// How many messages its events make.
    pub messages: usize,
}

/// The life that ends with a row of a dialect.
pub fn of(dialect: &str, row: &Value) -> Life {
    let value = in_camel(row["value"].clone());
    match dialect {
        "cart-dotnet" => {
            let placed = dotnet::made_up(value["items"].as_array().unwrap().len()).unwrap();
            let updated = (row["topic"] == "order-updated-topic").then(|| value["status"].as_str().unwrap());
            worded("test", placed, updated)
        }
        "cart-fastapi" => {
            let items = value["order"]["items"].as_array().map_or(1, Vec::len);
            let placed = goods("cart-fastapi", "manual", "CUST-00042", ("ITEM-007", "42.5"), items);
            worded("ORD-123", placed, value["status"].as_str())
        }
        "order-fulfilment" => match row["why"].as_str().unwrap() {
            "written on POST /orders, scenario success" => ordered(Some("success")),
            "written on POST /orders, scenario absent" => ordered(None),
            "written when we decline" => paid("fail"),
            _ => paid("success"),
        },
        "order-processing" => {
            let items = value["items"].as_array().unwrap();
            let item = |item: &Value| Item {
                sku: item["productId"].as_str().unwrap().to_owned(),
                name: None,
                quantity: item["quantity"].as_u64().unwrap() as u32,
                price: None,
            };
            let items = items.iter().map(item).collect();
            let customer = Customer { id: "customer-123".into(), name: Some("John Doe".into()), email: None };
            let (flow, currency) = ("ship-only", Currency::NONE);
            let goods = Goods { dialect: "order-processing", flow, customer, currency, decimals: 0, items };
            Life::begin(GUID, goods.placed().unwrap(), PaymentIntent::default(), None)
        }
        _ => {
            let (user, quantity) = (value["userId"].as_u64().unwrap(), value["quantity"].as_u64().unwrap());
            let name = value["productName"].as_str().unwrap().to_owned();
            let price = Decimal::parse(&value["price"].to_string()).unwrap();
            let placed = tracking::placed(user as u32, name, quantity as u32, price).unwrap();
            Life::begin(GUID, placed, PaymentIntent::default(), None)
        }
    }
}

/// An order of `order-fulfilment` whose payment has gone as the scenario says, and what follows from that.
pub fn paid(scenario: &str) -> Life {
    let mut life = ordered(Some(scenario));
    if scenario == "success" {
        let (order_id, step, outcome) = (life.order.clone(), life.step(1), StepOutcome::Done);
        let (payment_id, reference, amount, currency) = (Some(Uuid::from_u128(5)), None, 0, Currency::NONE);
        life.hear(Payload::PaymentAuthorized(PaymentV1 {
            order_id,
            step,
            outcome,
            payment_id,
            reference,
            amount,
            currency,
        }));
        let (order_id, step, shipment_id) = (life.order.clone(), life.step(2), Uuid::from_u128(6));
        let eta_utc = Timestamp::from_micros(3 * 24 * 3_600 * 1_000_000);
        life.hear(Payload::FulfillmentScheduled(PlanV1 { order_id, step, outcome, shipment_id, eta_utc }));
    } else {
        let (order_id, step, outcome) = (life.order.clone(), life.step(1), StepOutcome::Refused);
        let (subject, reason) = (None, Some(DECLINED.to_owned()));
        life.hear(Payload::PaymentFailed(FailedV1 { order_id, step, outcome, subject, reason }));
    }
    life
}

/// The articles of a made-up order.
pub fn goods(
    dialect: &'static str,
    flow: &'static str,
    customer: &str,
    (sku, price): (&str, &str),
    items: usize,
) -> Placed {
    let item = |_| Item {
        sku: sku.to_owned(),
        name: None,
        quantity: 3,
        price: Some(Decimal::parse(price).unwrap()),
    };
    let customer = Customer { id: customer.to_owned(), name: None, email: None };
    let (currency, items) = (Currency::parse("JPY").unwrap(), (0..items).map(item).collect());
    Goods { dialect, flow, customer, currency, decimals: 2, items }.placed().unwrap()
}

const GUID: &str = "0198c0de-0000-7000-8000-000000000004";

/// An order whose client calls its state new, and then otherwise.
fn worded(id: &str, placed: Placed, word: Option<&str>) -> Life {
    let mut life = Life::begin(id, placed, PaymentIntent::default(), Some("new".to_owned()));
    if let Some(word) = word {
        let command = OrderCommand::SetWord { word: word.to_owned(), again: true };
        let (order, actor) = (life.order.clone(), Actor::api("test"));
        life.ask(Ask::Change(Request { order, command, actor, key: None, expected: None }));
        life.messages += 1;
    }
    life
}

/// An order of `order-fulfilment`, as its client asked for it.
fn ordered(scenario: Option<&str>) -> Life {
    let text = |text: &str| Some(text.to_owned());
    let scenario = scenario.map(str::to_owned);
    let asked = Asked::of(text(" user@example.com"), text("Phone "), text("us"), scenario).ok().unwrap();
    let intent = asked.intent(&OrderId::parse(GUID).unwrap());
    Life::begin(GUID, fulfilment::placed(asked).unwrap(), intent, None)
}

impl Life {
    fn begin(id: &str, placed: Placed, intent: PaymentIntent, word: Option<String>) -> Self {
        let store = Arc::new(MemoryStore::new(Uuid::from_u128(1)));
        let (clock, ids) = (Arc::new(Still(1)), Box::new(Counting::default()));
        let settings = Settings { exclusive: true, ..Settings::default() };
        let engine = Engine::new(Orders::default(), store.clone(), clock, ids, settings, 0);
        let order = OrderId::parse(id).unwrap();
        let mut life = Self { store, engine, order: order.clone(), steps_done: 0, messages: 1 };
        life.ask(Ask::Place(PlaceOrder {
            id: order,
            placed: Frozen::new(placed),
            intent,
            placed_by: PlacedBy { caller: "test".into(), key: None, fingerprint: "f".into() },
            correlation_id: Uuid::from_u128(9),
            put: false,
            variation: Variation { word, ..Variation::default() },
        }));
        life
    }

    /// What a form makes of all that happened.
    pub fn written(&self, form: Form, letters: Letters) -> Vec<Written> {
        let stored = block_on(self.store.load(std::slice::from_ref(&self.order))).unwrap().remove(0);
        let order: Order = serde_json::from_slice(&stored.record.unwrap()).unwrap();
        let journal = block_on(self.store.journal(0, 1_000)).unwrap();
        let events = journal.iter().map(|row| events::decode(&row.message.value).unwrap());
        events.flat_map(|event| (form.write)(&event, &order, letters)).collect()
    }

    fn ask(&mut self, ask: Ask) {
        let command = Arc::new(ask);
        let report = block_on(self.engine.step(vec![Input::Command { token: 0, command }], 9)).unwrap();
        assert!(report.answers.iter().all(|(_, answer)| answer.is_ok()), "{:?}", report.answers);
    }

    /// A service of ours reports.
    fn hear(&mut self, payload: Payload) {
        self.steps_done += 1;
        self.messages += 1;
        let event = Envelope {
            event_id: Uuid::from_u128(100 + u128::from(self.steps_done)),
            occurred_at: Timestamp::from_micros(2),
            correlation_id: Uuid::from_u128(9),
            causation_id: None,
            source: "payments".to_owned(),
            sequence: self.steps_done,
            actor: Actor::service("payments"),
            payload,
        };
        let delivery = Delivery {
            origin: Origin { source: "payments".into(), lane: 0, position: self.steps_done },
            incarnation: Uuid::from_u128(7),
            key: self.order.as_str().to_owned().into(),
            headers: Headers::default(),
            value: events::encode(&event).into(),
        };
        let report = block_on(self.engine.step(vec![Input::Delivery(delivery)], 9)).unwrap();
        assert_eq!(report.parked, 0);
    }

    fn step(&self, number: u32) -> StepId {
        StepId { order: self.order.clone(), number }
    }
}
