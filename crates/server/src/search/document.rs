//! An order and its events as one document.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cartwright_core::domain::{
    ids::OrderId,
    order::{FulfillmentStatus, Milestone, Order, OrderStatus, PaymentStatus},
    time::Timestamp,
};
use cartwright_search::Document;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::http::dialects;

/// Events of an order that its document holds: the newest.
pub const MAX_EVENTS: usize = 200;
/// Characters of a reason why a document holds nothing else.
const MAX_REASON: usize = 200;

/// What can be searched of an order. The fields are those of [`cartwright_search::fields`], and `metadata`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Searched<'a> {
    id: &'a str,
    number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    version: u64,
    flow: &'a str,
    /// The word of its dialect.
    status: &'a str,
    order_status: OrderStatus,
    milestone: Milestone,
    on_hold: bool,
    payment_status: PaymentStatus,
    fulfillment_status: FulfillmentStatus,
    customer_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_name: Option<&'a str>,
    /// What the first line is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    currency: &'static str,
    /// In minor units.
    total: i64,
    skus: BTreeSet<&'a str>,
    products: BTreeSet<&'a str>,
    quantity: u64,
    tracking_number: Vec<&'a str>,
    carrier: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_scenario: Option<&'a str>,
    correlation_id: Uuid,
    created_at: Timestamp,
    updated_at: Timestamp,
    metadata: &'a BTreeMap<String, String>,
    events: Vec<Event<'a>>,
}

/// An event of its timeline.
#[derive(Serialize)]
struct Event<'a> {
    id: Uuid,
    #[serde(rename = "type")]
    kind: &'a str,
    at: Timestamp,
    source: &'a str,
}

/// What a timeline needs of an envelope.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    event_id: Uuid,
    event_type: &'a str,
    occurred_at: Timestamp,
    source: &'a str,
}

/// The document of an order. An event that can't be read is left out.
pub fn of(order: &Order, history: &[Bytes]) -> Document {
    let placed = &*order.placed;
    let texts = |text: fn(&cartwright_core::domain::order::Shipment) -> Option<&str>| {
        order.shipments.iter().filter_map(text).filter(|text| !text.is_empty())
    };
    let searched = Searched {
        id: order.id.as_str(),
        number: order.number.to_string(),
        external_id: placed.external_id.as_deref(),
        dialect: placed.dialect.as_deref(),
        channel: placed.channel.as_deref(),
        version: order.version,
        flow: &placed.flow,
        status: dialects::word(order),
        order_status: order.status,
        milestone: order.milestone,
        on_hold: order.on_hold,
        payment_status: order.payment_status(),
        fulfillment_status: order.fulfillment_status(),
        customer_id: &placed.customer.id,
        customer_email: placed.customer.email.as_deref(),
        customer_name: placed.customer.name.as_deref(),
        product_type: placed.lines.first().and_then(|line| line.name.as_deref()),
        country: placed.ship_to.as_ref().and_then(|to| to.country.as_deref()),
        currency: placed.currency.code(),
        total: placed.totals.total,
        skus: placed.lines.iter().map(|line| line.sku.as_str()).collect(),
        products: placed.lines.iter().filter_map(|line| line.name.as_deref()).collect(),
        quantity: placed.lines.iter().map(|line| u64::from(line.quantity)).sum(),
        tracking_number: texts(|shipment| shipment.tracking_number.as_deref()).collect(),
        carrier: texts(|shipment| shipment.carrier.as_deref()).collect(),
        payment_scenario: placed
            .metadata
            .get(dialects::PAYMENT_SCENARIO)
            .or(order.intent.scenario.as_ref())
            .map(String::as_str),
        correlation_id: order.correlation_id,
        created_at: order.created_at,
        updated_at: order.updated_at,
        metadata: &placed.metadata,
        events: history.iter().filter_map(|event| Event::of(event)).collect(),
    };
    let mut source = Vec::with_capacity(2048);
    // Plain structs with text keys: writing them into memory has no way to fail.
    serde_json::to_writer(&mut source, &searched).unwrap_or_default();
    // Rises with every event, also with those that leave the order's version as it is, such as a step that is asked for again.
    Document { id: order.id.as_str().to_owned(), version: order.sequence, source }
}

/// What stands in the place of a document that the index does not take, or of an order that can't be read: it can be found,
/// and says why it holds no more.
/// `version`: the document's.
pub fn instead(id: &OrderId, version: u64, reason: &str) -> Document {
    let reason: String = reason.chars().take(MAX_REASON).collect();
    let source = serde_json::json!({"id": id.as_str(), "version": version, "refused": reason}).to_string();
    Document { id: id.as_str().to_owned(), version, source: source.into_bytes() }
}

impl<'a> Event<'a> {
    fn of(event: &'a [u8]) -> Option<Self> {
        let Envelope { event_id, event_type, occurred_at, source } = serde_json::from_slice(event).ok()?;
        Some(Self { id: event_id, kind: event_type, at: occurred_at, source })
    }
}

#[cfg(test)]
mod tests {
    use cartwright_core::domain::{
        frozen::Frozen,
        money::Currency,
        order::{Customer, Line, PaymentIntent, Placed, PlacedBy, Totals},
    };
    use cartwright_search::fields;
    use serde_json::{Value, json};

    use super::*;

    fn order(dialect: Option<&str>) -> Order {
        let line = |id: &str, sku: &str, name: &str| Line {
            id: id.to_owned(),
            sku: sku.to_owned(),
            name: Some(name.to_owned()),
            quantity: 2,
            unit_price: Some(5_00),
            discount: 0,
            tax: 0,
            total: 10_00,
        };
        let placed = Placed {
            dialect: dialect.map(str::to_owned),
            taken_at: None,
            external_id: Some("E-1".to_owned()),
            channel: Some("web".to_owned()),
            flow: "standard".to_owned(),
            customer: Customer {
                id: "c-1".to_owned(),
                name: Some("Ada".to_owned()),
                email: Some("ada@example.com".to_owned()),
            },
            currency: Currency::parse("USD").unwrap(),
            scale: None,
            lines: vec![
                line("1", "CHAIR", "Blue chair"),
                line("2", "TABLE", "Table"),
                line("3", "CHAIR", "Blue chair"),
            ],
            charges: vec![],
            totals: Totals { lines: 30_00, charges: 0, tax: 0, total: 30_00 },
            ship_to: None,
            bill_to: None,
            metadata: BTreeMap::from([("gift".to_owned(), "yes".to_owned())]),
        };
        let by = PlacedBy { caller: "test".to_owned(), key: None, fingerprint: "f".to_owned() };
        let (id, at) = (OrderId::parse("a").unwrap(), Timestamp::from_micros(1_000_000));
        Order::place(id, 1001, Frozen::new(placed), PaymentIntent::default(), by, Uuid::nil(), at)
    }

    fn source(document: &Document) -> Value {
        serde_json::from_slice(&document.source).unwrap()
    }

    #[test]
    fn all_that_a_document_holds_can_be_searched() {
        let event = json!({"eventId": Uuid::from_u128(1), "eventType": "OrderCreatedV1", "eventVersion": 1,
            "occurredAt": "2026-01-01T00:00:00Z", "source": "orders", "payload": {}});
        let document = of(&order(None), &[event.to_string().into(), "damaged".into()]);
        let mut found = BTreeSet::new();
        paths(&source(&document), "", &mut found);
        for path in &found {
            let kept = [fields::NOT_SEARCHED, "events.id"].contains(&&**path);
            assert!(kept || fields::find(path).is_some(), "{path} has no field");
        }
        let instead = source(&instead(&OrderId::parse("a").unwrap(), 3, &"x".repeat(300)));
        paths(&instead, "", &mut found);
        assert_eq!(instead["refused"].as_str().unwrap().len(), MAX_REASON);
        let unused = fields::FIELDS.iter().map(|field| field.path).filter(|path| !found.contains(*path));
        let unused: Vec<&str> = unused.filter(|path| !LATER.contains(path)).collect();
        assert_eq!(unused, Vec::<&str>::new());
    }

    /// Fields that an order of the test has no use for.
    const LATER: [&str; 5] = ["dialect", "country", "trackingNumber", "carrier", "paymentScenario"];

    #[test]
    fn an_order_is_told_in_the_word_of_its_dialect() {
        let document = of(&Order { sequence: 7, ..order(Some("order-fulfilment")) }, &[]);
        let shown = source(&document);
        assert_eq!((&shown["status"], &shown["orderStatus"]), (&json!("Created"), &json!("open")));
        assert_eq!(shown["skus"], json!(["CHAIR", "TABLE"]));
        assert_eq!((&shown["quantity"], &shown["total"]), (&json!(6), &json!(30_00)));
        assert_eq!((document.id.as_str(), document.version, &shown["version"]), ("a", 7, &json!(1)));
        assert_eq!(source(&of(&order(None), &[]))["status"], "open");
    }

    /// Every path of a document, without places in arrays.
    fn paths(value: &Value, at: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) if at != fields::NOT_SEARCHED => {
                for (name, value) in fields {
                    let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    paths(value, &at, into);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| paths(item, at, into)),
            _ => drop(into.insert(at.to_owned())),
        }
    }
}
