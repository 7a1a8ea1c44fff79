//! `cart-fastapi`: a cart service that makes up orders and moves them on, and an order service that shows them.

mod topic;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post, put},
};
use cartwright_core::{
    domain::{
        ids::OrderId,
        money::{Amount, Currency},
        order::{Line, MAX_LINES, Order, OrderCommand, Placed},
        time::Timestamp,
    },
    services::Rejection,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::openapi::HttpMethod;

use super::{
    Dialect, carts,
    decimal::{self, Decimal},
    documents::{self, Call},
    goods::Item,
    kafka,
    orders::{self, NotDone},
    pydantic::{self, Model, Refusal, Wrong},
};
use crate::http::Api;

pub const NAME: &str = "cart-fastapi";
/// What every id begins with; clients may leave it out.
const PREFIX: &str = "ORD-";
/// Decimals of its amounts, whatever the currency has.
const SCALE: u8 = 2;
/// The currencies that it makes orders up in.
pub(super) const CURRENCIES: [&str; 11] =
    ["USD", "EUR", "GBP", "JPY", "KRW", "CNY", "INR", "BRL", "MXN", "ARS", "COP"];
/// The statuses that an order may have.
pub(super) const STATUSES: [&str; 6] = ["new", "pending", "confirmed", "processing", "shipped", "cancelled"];
/// The two spellings of a field; the first one counts where both are there.
const ORDER_ID: [&str; 2] = ["orderId", "order_id"];
const ITEMS: [&str; 2] = ["numberOfItems", "number_of_items"];

/// What it is called, and what it answers.
pub const DIALECT: Dialect =
    Dialect { name: NAME, routes, any_case: &[], kafka: kafka::cart_fastapi::FORM, word: carts::status };

const CALLS: [Call; 4] = [
    (HttpMethod::Post, "/create-order", "Make up an order", &[200, 409, 422, 503]),
    (HttpMethod::Put, "/update-order", "Move an order on", &[200, 404, 422, 503]),
    (HttpMethod::Get, "/order-details", "One order", &[200, 400, 404]),
    (HttpMethod::Get, "/getAllOrderIdsFromTopic", "The ids of the orders in a topic", &[200]),
];

fn routes(_: &Arc<Api>, prefix: &str) -> Router<Arc<Api>> {
    on_its_own(prefix, cart(prefix).merge(order_service(prefix)))
}

/// The calls of its cart.
pub fn cart(prefix: &str) -> Router<Arc<Api>> {
    let no_other = pydantic::method_not_allowed;
    Router::new()
        .route(&format!("{prefix}/create-order"), post(create).fallback(no_other))
        .route(&format!("{prefix}/update-order"), put(update).fallback(no_other))
}

/// The calls of its order service.
pub fn order_service(prefix: &str) -> Router<Arc<Api>> {
    let no_other = pydantic::method_not_allowed;
    Router::new()
        .route(&format!("{prefix}/order-details"), get(details).fallback(no_other))
        .route(&format!("{prefix}/getAllOrderIdsFromTopic"), get(in_topic).fallback(no_other))
}

/// These calls with what FastAPI has beside them: its document, and its words for what is not there.
pub fn on_its_own(prefix: &str, calls: Router<Arc<Api>>) -> Router<Arc<Api>> {
    let document = documents::document("Cart (FastAPI)", prefix, &CALLS);
    calls
        .merge(documents::at_openapi(prefix, document))
        .route(&format!("{prefix}/"), any(pydantic::not_found))
        .route(&format!("{prefix}/{{*path}}"), any(pydantic::not_found))
}

/// An order as this system shows it, and what it costs to send it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    order: View<'a>,
    shipping_cost: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    order_date: Timestamp,
    items: Vec<Shown<'a>>,
    // The old system's readme has the one name, its code the other.
    total_amount: Box<RawValue>,
    #[serde(rename = "total_amount")]
    total_amount_in_code: Box<RawValue>,
    currency: &'static str,
    status: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    item_id: &'a str,
    quantity: u32,
    price: Box<RawValue>,
}

impl<'a> Details<'a> {
    fn of(order: &'a Order) -> Self {
        let placed = &*order.placed;
        let (total, scale) = (placed.totals.total, orders::scale(placed));
        let (shipping, decimals) = carts::shipping(total, scale);
        let (shipping, decimals) = decimal::rounded(shipping, decimals, SCALE);
        let item = |line: &'a Line| Shown {
            item_id: &line.sku,
            quantity: line.quantity,
            price: decimal::number(line.unit_price.unwrap_or_default(), scale),
        };
        let view = View {
            order_id: order.id.as_str(),
            customer_id: &placed.customer.id,
            order_date: orders::taken_at(order),
            items: placed.lines.iter().map(item).collect(),
            total_amount: decimal::number(total, scale),
            total_amount_in_code: decimal::number(total, scale),
            currency: placed.currency.code(),
            status: carts::status(order),
        };
        Self { order: view, shipping_cost: decimal::number(shipping, decimals) }
    }
}

async fn create(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = pydantic::body(body)?;
    let (id, items) = read_new(&headers, &body)?;
    let failed = |why| unavailable(format!("Failed to publish order event: {}", reason(why)));
    let placed = made_up(items).ok_or_else(|| failed(NotDone::TooMuch))?;
    match orders::place(&api, carts::new(id.clone(), placed), body.len()).await {
        Ok(_) => Ok(done("order created and published successfully", id.as_str())),
        Err(NotDone::Rejected(Rejection::IdTaken(_))) => {
            Err(Refusal::of(StatusCode::CONFLICT, format!("Order {id} already exists.")))
        }
        Err(why) => Err(failed(why)),
    }
}

fn read_new(headers: &HeaderMap, body: &[u8]) -> Result<(OrderId, usize), Refusal> {
    let mut model = Model::read(headers, body)?;
    let most = i64::try_from(MAX_LINES).unwrap_or(i64::MAX);
    let id = model.field(&ORDER_ID, read_id);
    let items = model.field(&ITEMS, |value| pydantic::int(value, 0, most));
    let (Some((id, _)), Some(items)) = (id, items) else { return Err(model.refusal()) };
    Ok((id, usize::try_from(items).unwrap_or(1)))
}

/// An id with its prefix, and as it was sent.
fn read_id(value: &RawValue) -> Result<(OrderId, String), Wrong> {
    let sent = pydantic::text(value)?;
    let why = "order_id must be a numeric string, also behind 'ORD-', of 128 characters at most";
    id_of(&sent).map(|id| (id, sent)).ok_or_else(|| Wrong::value(why))
}

/// The id of digits, with or without the prefix, which the id has with us in either case.
pub(super) fn id_of(text: &str) -> Option<OrderId> {
    let digits = text.strip_prefix(PREFIX).unwrap_or(text);
    is_number(digits).then(|| OrderId::parse(&format!("{PREFIX}{digits}")).ok()).flatten()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// An order as the old cart makes one up: so many items, 1 to 10 of each, at 10.00 to 100.00 a piece.
fn made_up(items: usize) -> Option<Placed> {
    let item = |_| {
        let price = Decimal { units: Amount::from(carts::random(1_000..=10_000)), scale: SCALE };
        let sku = format!("ITEM-{:03}", carts::random(0..=999));
        Item { sku, name: None, quantity: carts::random(1..=10), price: Some(price) }
    };
    let code = CURRENCIES[carts::random(0..=10) as usize];
    let currency = Currency::parse(code).unwrap_or(Currency::NONE);
    let customer = format!("CUST-{:05}", carts::random(0..=99_999));
    carts::placed(NAME, customer, currency, (1..=items).map(item).collect())
}

async fn update(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = pydantic::body(body)?;
    let (id, sent, status) = read_update(&headers, &body)?;
    // The old system publishes whatever status it is told, also the one that the order has.
    let command = OrderCommand::SetWord { word: status.to_owned(), again: true };
    match orders::change(&api, NAME, &id, command).await {
        Ok(Some(_)) => Ok(done("order status updated and published successfully", &sent)),
        Ok(None) => Err(Refusal::of(StatusCode::NOT_FOUND, format!("Order {id} not found."))),
        // Somebody has called it off by our own API: no use in trying again.
        Err(NotDone::Rejected(Rejection::NotNow(why))) => Err(Refusal::of(StatusCode::CONFLICT, why)),
        Err(why) => {
            let text = format!("Failed to publish order status update event: {}", reason(why));
            Ok((StatusCode::SERVICE_UNAVAILABLE, text).into_response())
        }
    }
}

fn read_update(headers: &HeaderMap, body: &[u8]) -> Result<(OrderId, String, &'static str), Refusal> {
    let mut model = Model::read(headers, body)?;
    let id = model.field(&ORDER_ID, read_id);
    let status = model.field(&["status"], |value| pydantic::one_of(value, &STATUSES));
    let (Some((id, sent)), Some(status)) = (id, status) else { return Err(model.refusal()) };
    Ok((id, sent, status))
}

fn done(message: &'static str, order_id: &str) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Done<'a> {
        message: &'static str,
        order_id: &'a str,
    }
    Json(Done { message, order_id }).into_response()
}

async fn details(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let mut id = pydantic::parameter(query.as_deref(), "orderId")?;
    if is_number(&id) {
        id.insert_str(0, PREFIX);
    }
    if !id.starts_with(PREFIX) {
        let why = "orderId must be a numeric string or start with 'ORD-'";
        return Err(Refusal::of(StatusCode::BAD_REQUEST, why));
    }
    let found = orders::find_text(&api, NAME, &id).await;
    let order = found
        .map_err(|why| unavailable(reason(why)))?
        .ok_or_else(|| Refusal::of(StatusCode::NOT_FOUND, "order not found"))?;
    Ok(Json(Details::of(&order)).into_response())
}

async fn in_topic(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let topic = pydantic::parameter(query.as_deref(), "topicName")?;
    let list = topic::stream(&api, &topic).await.map_err(|error| unavailable(reason(error.into())))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], list).into_response())
}

fn unavailable(detail: String) -> Refusal {
    Refusal::of(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// Why something was not done, as a client may hear it.
fn reason(why: NotDone) -> String {
    match why {
        NotDone::Store(error) => {
            tracing::error!(%error, "can't read the store");
            "the store is not available".to_owned()
        }
        why => why.to_string(),
    }
}
