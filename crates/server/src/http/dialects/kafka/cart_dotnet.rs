//! `cart-dotnet` on Kafka: the whole order when it was made, and again whenever its client calls its state by a word.

use cartwright_core::{
    domain::{
        ids::OrderId,
        money::Currency,
        order::{MAX_QUANTITY, Order, PaymentIntent, Placed},
    },
    events::{Envelope, Payload},
    services::{Said, Saying},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    super::{
        cart_dotnet::{MAX_STATUS, NAME, Shown, View},
        carts::{self, NEW},
        goods::Item,
    },
    Form, Letters, Message, Written, dates,
    fields::{Fields, Names, amount, any_text, count, currency, moment, number, order_id, text},
    heard::Taken,
};

const CREATED: &str = "order-created-topic";
const UPDATED: &str = "order-updated-topic";
/// Characters of the ids that this system makes for customers and articles, at most.
const MAX_NAME: usize = 200;

/// How this system speaks.
pub const FORM: Form = Form { front: &[CREATED, UPDATED], back: &[], write, read };

/// An order as this system writes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    order_date: String,
    items: Vec<Article<'a>>,
    total_amount: Box<RawValue>,
    currency: &'static str,
    status: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Article<'a> {
    product_id: &'a str,
    quantity: u32,
    price: Box<RawValue>,
}

fn write(event: &Envelope, order: &Order, _: Letters) -> Vec<Written> {
    let (topic, status) = match &event.payload {
        Payload::OrderCreated(created) => (CREATED, created.at.word.as_deref().unwrap_or(NEW)),
        Payload::OrderProgressed(at) => match &at.word {
            Some(word) => (UPDATED, &**word),
            None => return vec![],
        },
        _ => return vec![],
    };
    let View { order_id, customer_id, order_date, items, total_amount, currency, .. } = View::of(order);
    let article = |Shown { product_id, quantity, price }| Article { product_id, quantity, price };
    let items = items.into_iter().map(article).collect();
    let order_date = dates::invariant(order_date);
    let record = Record { order_id, customer_id, order_date, items, total_amount, currency, status };
    vec![Written::about(order, topic, &record)]
}

fn read(message: &Message<'_>) -> Result<Said, String> {
    let fields = Fields::of(message.value, Names::AnyCase)?;
    let read_id = |text: &str| OrderId::parse(text).ok().filter(|_| !text.trim().is_empty());
    let order = fields.get("OrderId", order_id("an order id", read_id))?;
    message.has_key_of(&order, read_id)?;
    let taken_at = fields.get_if_any("OrderDate", moment(dates::dotnet))?;
    // Both topics carry the whole order, which must be well whichever part of it counts.
    let placed = read_placed(&fields)?;
    if message.topic == UPDATED {
        let what = Saying::Word(fields.get("Status", text(MAX_STATUS))?);
        // A word that is given again is other news, though the message reads the same.
        return Ok(Said { event_id: message.place, order, dialect: NAME, what });
    }
    let event_id = message.derived_id(&order);
    // Here the old consumer takes every order for new.
    fields.get_if_any("Status", any_text())?;
    let (intent, word) = (PaymentIntent::default(), Some(NEW.to_owned()));
    Ok(Taken { dialect: NAME, event_id, order, correlation_id: None, taken_at, placed, intent, word }.said())
}

fn read_placed(fields: &Fields<'_>) -> Result<Placed, String> {
    fields.get_if_any("TotalAmount", number())?;
    let customer = fields.get("CustomerId", text(MAX_NAME))?;
    let dollars = || Currency::parse("USD").unwrap_or(Currency::NONE);
    let currency = fields.get_if_any("Currency", currency())?.unwrap_or_else(dollars);
    let item = |item: &Fields<'_>| -> Result<Item, String> {
        Ok(Item {
            sku: item.get("ProductId", text(MAX_NAME))?,
            name: None,
            quantity: item.get("Quantity", count(MAX_QUANTITY))?,
            price: Some(item.get("Price", amount())?),
        })
    };
    let items = fields.list("Items")?.iter().map(item).collect::<Result<_, _>>()?;
    carts::placed(NAME, customer, currency, items)
        .ok_or_else(|| "Items must be worth what an order can hold".to_owned())
}
