//! `cart-fastapi` on Kafka: an order when it was made, and each word by which its client calls its state.

use cartwright_core::{
    domain::{
        ids::OrderId,
        order::{Line, MAX_QUANTITY, Order, PaymentIntent, Placed},
        time::Timestamp,
    },
    events::{Envelope, Payload},
    services::{Said, Saying},
};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    super::{
        cart_fastapi::{CURRENCIES, NAME, STATUSES, id_of},
        carts::{self, NEW},
        decimal,
        goods::Item,
        orders,
    },
    Form, Letters, Message, Written, dates,
    fields::{Fields, Names, amount, count, currency, guid, moment, number, one_of, order_id, text},
    heard::Taken,
};

const TOPIC: &str = "orders.events";
const CREATED: &str = "ORDER_CREATED";
const UPDATED: &str = "ORDER_STATUS_UPDATED";
/// Characters of the ids that this system makes for customers and articles, at most.
const MAX_NAME: usize = 200;

/// How this system speaks.
pub const FORM: Form = Form { front: &[TOPIC], back: &[], write, read };

/// A message.
#[derive(Serialize)]
struct Event<'a> {
    event_id: Uuid,
    event_type: &'static str,
    timestamp: Timestamp,
    order_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Record<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
}

/// An order as this system writes it.
#[derive(Serialize)]
struct Record<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    order_date: Timestamp,
    items: Vec<Article<'a>>,
    total_amount: Box<RawValue>,
    currency: &'static str,
    status: &'a str,
}

#[derive(Serialize)]
struct Article<'a> {
    item_id: &'a str,
    quantity: u32,
    price: Box<RawValue>,
}

fn write(event: &Envelope, order: &Order, _: Letters) -> Vec<Written> {
    let (event_type, created, status) = match &event.payload {
        Payload::OrderCreated(created) => {
            (CREATED, Some(record(order, created.at.word.as_deref().unwrap_or(NEW))), None)
        }
        Payload::OrderProgressed(at) if at.word.is_some() => (UPDATED, None, at.word.as_deref()),
        _ => return vec![],
    };
    let said = Event {
        event_id: event.event_id,
        event_type,
        timestamp: event.occurred_at,
        order_id: order.id.as_str(),
        order: created,
        status,
    };
    vec![Written::about(order, TOPIC, &said)]
}

fn record<'a>(order: &'a Order, status: &'a str) -> Record<'a> {
    let placed = &*order.placed;
    let scale = placed.scale.unwrap_or_else(|| placed.currency.scale());
    let article = |line: &'a Line| Article {
        item_id: &line.sku,
        quantity: line.quantity,
        price: decimal::number(line.unit_price.unwrap_or_default(), scale),
    };
    Record {
        order_id: order.id.as_str(),
        customer_id: &placed.customer.id,
        order_date: orders::taken_at(order),
        items: placed.lines.iter().map(article).collect(),
        total_amount: decimal::number(placed.totals.total, scale),
        currency: placed.currency.code(),
        status,
    }
}

fn read(message: &Message<'_>) -> Result<Said, String> {
    let fields = Fields::of(message.value, Names::Exact)?;
    let kind = fields.get("event_type", one_of(&[CREATED, UPDATED]))?;
    let order = read_order(&fields)?;
    message.has_key_of(&order, id_of)?;
    fields.get_if_any("timestamp", moment(dates::iso))?;
    let stated = fields.get_if_any("event_id", guid())?;
    let event_id = stated.unwrap_or_else(|| message.derived_id(&order));
    if kind == UPDATED {
        let what = Saying::Word(fields.get("status", one_of(&STATUSES))?);
        return Ok(Said { event_id, order, dialect: NAME, what });
    }
    let record = fields.object("order")?;
    if read_order(&record)? != order {
        return Err(format!("order.order_id must be the event's order_id, {order}"));
    }
    let word = Some(record.get("status", one_of(&STATUSES))?);
    let taken_at = Some(record.get("order_date", moment(dates::iso))?);
    let (placed, intent) = (read_placed(&record)?, PaymentIntent::default());
    Ok(Taken { dialect: NAME, event_id, order, correlation_id: None, taken_at, placed, intent, word }.said())
}

fn read_order(fields: &Fields<'_>) -> Result<OrderId, String> {
    fields.get("order_id", order_id("digits, or ORD- and digits", id_of))
}

fn read_placed(record: &Fields<'_>) -> Result<Placed, String> {
    // Binary arithmetic may have left it beside the cent: what counts is the sum of the items.
    record.get("total_amount", number())?;
    let item = |item: &Fields<'_>| -> Result<Item, String> {
        Ok(Item {
            sku: item.get("item_id", text(MAX_NAME))?,
            name: None,
            quantity: item.get("quantity", count(MAX_QUANTITY))?,
            price: Some(item.get("price", amount())?),
        })
    };
    record.get("currency", one_of(&CURRENCIES))?;
    let currency = record.get("currency", currency())?;
    let customer = record.get("customer_id", text(MAX_NAME))?;
    let items = record.list("items")?.iter().map(item).collect::<Result<_, _>>()?;
    carts::placed(NAME, customer, currency, items)
        .ok_or_else(|| "order.items must be worth what an order can hold".to_owned())
}
