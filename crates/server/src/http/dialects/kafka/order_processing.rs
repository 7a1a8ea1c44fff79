//! `order-processing` on Kafka: every order that was taken, in one of two spellings.

use cartwright_core::{
    domain::{
        ids::OrderId,
        order::{Line, MAX_QUANTITY, Order, PaymentIntent, Placed},
    },
    events::{Envelope, Payload},
    services::Said,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{
        goods::Item,
        order_processing::{self as room, MAX_ID, MAX_NAME, NAME},
        orders,
    },
    Form, Letters, Message, Written, dates,
    fields::{Fields, Names, amount, any_text, count, moment, one_of, order_id, text},
    heard::{Taken, correlation},
};

const TOPIC: &str = "order-events";
const CREATED: &str = "OrderCreated";

/// How this system speaks.
pub const FORM: Form = Form { front: &[TOPIC], back: &[], write, read };

fn write(event: &Envelope, order: &Order, letters: Letters) -> Vec<Written> {
    let Payload::OrderCreated(_) = &event.payload else { return vec![] };
    let placed = &*order.placed;
    // Prices are not part of the form: the worker only ships.
    let item = |line: &Line| json!({"productId": line.sku, "quantity": line.quantity});
    let value = json!({
        "eventType": CREATED,
        "schemaVersion": 1,
        "orderId": order.id,
        "customer": {"customerId": placed.customer.id, "name": placed.customer.name},
        "items": placed.lines.iter().map(item).collect::<Vec<_>>(),
        "createdAt": orders::taken_at(order),
        "metadata": {"source": "OrderService", "correlationId": order.correlation_id},
    });
    let value = match letters {
        Letters::Camel => value,
        Letters::Pascal => in_pascal(value),
    };
    vec![Written::about(order, TOPIC, &value)]
}

/// The same with names that begin upper-case.
fn in_pascal(value: Value) -> Value {
    let upper = |name: String| name[..1].to_ascii_uppercase() + &name[1..];
    match value {
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (upper(name), in_pascal(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(in_pascal).collect(),
        other => other,
    }
}

fn read(message: &Message<'_>) -> Result<Said, String> {
    let fields = Fields::of(message.value, Names::AnyCase)?;
    fields.get("eventType", one_of(&[CREATED]))?;
    // The old code writes none.
    fields.get_if_any("schemaVersion", count(1))?;
    let read_id = |text: &str| OrderId::parse(text).ok();
    let order = fields.get("orderId", order_id("an order id", read_id))?;
    message.has_key_of(&order, read_id)?;
    let taken_at = fields.get_if_any("createdAt", moment(dates::iso))?;
    let taken = Taken {
        dialect: NAME,
        event_id: message.derived_id(&order),
        order,
        correlation_id: read_correlation(&fields)?,
        taken_at,
        placed: read_placed(&fields)?,
        intent: PaymentIntent::default(),
        word: None,
    };
    Ok(taken.said())
}

/// Its clients may have stated any text, which becomes the same id wherever it stands.
fn read_correlation(fields: &Fields<'_>) -> Result<Option<Uuid>, String> {
    let Some(metadata) = fields.object_if_any("metadata")? else { return Ok(None) };
    let stated = metadata.get_if_any("correlationId", any_text())?;
    Ok(stated.map(|text| Uuid::try_parse(&text).unwrap_or_else(|_| correlation(NAME, &text))))
}

fn read_placed(fields: &Fields<'_>) -> Result<Placed, String> {
    let customer = fields.object("customer")?;
    let (id, name) = (customer.get("customerId", text(MAX_ID))?, customer.get("name", text(MAX_NAME))?);
    let item = |item: &Fields<'_>| -> Result<Item, String> {
        Ok(Item {
            sku: item.get("productId", text(MAX_ID))?,
            name: None,
            quantity: item.get("quantity", count(MAX_QUANTITY))?,
            price: item.get_if_any("unitPrice", amount())?,
        })
    };
    let items = fields.list("items")?.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    room::placed(id, name, items).ok_or_else(|| "items must be worth what an order can hold".to_owned())
}
