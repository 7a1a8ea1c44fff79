//! `order-tracking` on Kafka: every order that was taken.

use cartwright_core::{
    domain::{
        ids::OrderId,
        order::{Order, PaymentIntent},
        time::Timestamp,
    },
    events::{Envelope, Payload},
    services::Said,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    super::order_tracking::{self as room, MAX_NAME, MAX_QUANTITY, NAME, View},
    Form, Letters, Message, Written, dates,
    fields::{Fields, Names, amount, any_text, count, moment, order_id, text},
    heard::Taken,
};

const TOPIC: &str = "orders";

/// How this system speaks.
pub const FORM: Form = Form { front: &[TOPIC], back: &[], write, read };

/// An order as this system writes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    order_id: &'a str,
    user_id: u32,
    product_name: &'a str,
    quantity: u32,
    price: Box<RawValue>,
    status: &'static str,
    created_at: Timestamp,
    processed_at: Option<Timestamp>,
}

fn write(event: &Envelope, order: &Order, _: Letters) -> Vec<Written> {
    let Payload::OrderCreated(_) = &event.payload else { return vec![] };
    let View { order_id, user_id, product_name, quantity, price, created_at, .. } = View::of(order);
    let (status, processed_at) = ("PLACED", None);
    let record =
        Record { order_id, user_id, product_name, quantity, price, status, created_at, processed_at };
    vec![Written::about(order, TOPIC, &record)]
}

fn read(message: &Message<'_>) -> Result<Said, String> {
    let fields = Fields::of(message.value, Names::AnyCase)?;
    let read_id = |text: &str| OrderId::parse(text).ok();
    let order = fields.get("OrderId", order_id("an order id", read_id))?;
    message.has_key_of(&order, read_id)?;
    fields.get_if_any("Status", any_text())?;
    let taken_at = fields.get_if_any("CreatedAt", moment(dates::iso))?;
    fields.get_if_any("ProcessedAt", moment(dates::iso))?;
    let placed = room::placed(
        fields.get("UserId", count(i32::MAX.unsigned_abs()))?,
        fields.get("ProductName", text(MAX_NAME))?,
        fields.get("Quantity", count(MAX_QUANTITY))?,
        fields.get("Price", amount())?,
    )?;
    let taken = Taken {
        dialect: NAME,
        event_id: message.derived_id(&order),
        order,
        correlation_id: None,
        taken_at,
        placed,
        intent: PaymentIntent::default(),
        word: None,
    };
    Ok(taken.said())
}
