//! `cart-dotnet`: a cart service that makes up orders, and an order service that shows them. Clients call an order's state
//! by whatever word they like.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use cartwright_core::{
    domain::{
        ids::OrderId,
        money::{Amount, Currency},
        order::{Line, MAX_LINES, Order, OrderCommand, Placed},
        time::Timestamp,
    },
    ports::OrderQuery,
    services::Rejection,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::openapi::HttpMethod;
use uuid::Uuid;

use super::{
    Dialect, Refused,
    aspnet::{self, Invalid, Refusal},
    carts,
    decimal::{self, Decimal},
    documents::{self, Call},
    goods::Item,
    kafka,
    orders::{self, NotDone},
};
use crate::http::Api;

/// Its name.
pub const NAME: &str = "cart-dotnet";
/// Characters of a status, at most.
pub(super) const MAX_STATUS: usize = 1_000;

/// What it is called, and what it answers.
pub const DIALECT: Dialect = Dialect {
    name: NAME,
    routes,
    any_case: &[
        "order",
        "create-order",
        "update-order",
        "order-details",
        "getallorderidsfromtopic",
        "health",
        "swagger",
        "v1",
        "swagger.json",
    ],
    kafka: kafka::cart_dotnet::FORM,
    word: carts::status,
};

const CALLS: [Call; 5] = [
    (HttpMethod::Post, "/Order/create-order", "Make up an order", &[200, 400, 409]),
    (HttpMethod::Put, "/Order/update-order", "Call an order's state otherwise", &[200, 400, 404, 409]),
    (HttpMethod::Get, "/order/order-details", "One order", &[200, 400, 404]),
    (HttpMethod::Get, "/order/getAllOrderIdsFromTopic", "The orders in a topic", &[200, 400, 404]),
    (HttpMethod::Get, "/health", "Whether it is well", &[200]),
];

fn routes(_: &Arc<Api>, prefix: &str) -> Router<Arc<Api>> {
    let document = documents::document("Cart", prefix, &CALLS);
    cart(prefix).merge(order_service(prefix)).merge(documents::at_swagger(prefix, document))
}

/// The calls of its cart.
pub fn cart(prefix: &str) -> Router<Arc<Api>> {
    Router::new()
        .route(&format!("{prefix}/order/create-order"), post(create))
        .route(&format!("{prefix}/order/update-order"), put(update))
}

/// The calls of its order service.
pub fn order_service(prefix: &str) -> Router<Arc<Api>> {
    let at = |path: &str| format!("{prefix}{path}");
    Router::new()
        .route(&at("/order/order-details"), get(details))
        .route(&at("/order/getallorderidsfromtopic"), get(in_topic))
        .route(&at("/health"), get(async || StatusCode::OK))
}

/// An order as this system shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View<'a> {
    pub order_id: &'a str,
    pub customer_id: &'a str,
    pub order_date: Timestamp,
    pub items: Vec<Shown<'a>>,
    pub total_amount: Box<RawValue>,
    pub currency: &'static str,
    status: &'a str,
    shipping_cost: Box<RawValue>,
}

/// An article of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    pub product_id: &'a str,
    pub quantity: u32,
    pub price: Box<RawValue>,
}

impl<'a> View<'a> {
    /// The order as it stands.
    pub fn of(order: &'a Order) -> Self {
        let placed = &*order.placed;
        let scale = orders::scale(placed);
        let (shipping, decimals) = carts::shipping(placed.totals.total, scale);
        let item = |line: &'a Line| Shown {
            product_id: &line.sku,
            quantity: line.quantity,
            price: decimal::number(line.unit_price.unwrap_or_default(), scale),
        };
        Self {
            order_id: order.id.as_str(),
            customer_id: &placed.customer.id,
            order_date: orders::taken_at(order),
            items: placed.lines.iter().map(item).collect(),
            total_amount: decimal::number(placed.totals.total, scale),
            currency: placed.currency.code(),
            status: carts::status(order),
            shipping_cost: decimal::number(shipping, decimals),
        }
    }
}

async fn create(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let body = aspnet::body(&headers, body)?;
    let (id, items) = read_new(&body)?;
    let placed = made_up(items).ok_or(NotDone::TooMuch)?;
    match orders::place(&api, carts::new(id, placed), body.len()).await {
        Ok(_) => Ok(aspnet::text(StatusCode::OK, "Order created successfully")),
        Err(NotDone::Rejected(Rejection::IdTaken(_))) => {
            Ok(aspnet::text(StatusCode::CONFLICT, "Order already exists"))
        }
        Err(why) => Err(why.into()),
    }
}

fn read_new(body: &[u8]) -> Result<(OrderId, usize), Refusal> {
    let body = aspnet::object(body)?;
    let (id, items) = (body.text("OrderId")?, body.int("ItemsNum")?);
    let mut invalid = Invalid::default();
    let id = read_id(&mut invalid, id);
    let most = i32::try_from(MAX_LINES).unwrap_or(i32::MAX);
    let items = invalid.int("ItemsNum", items, 1, most);
    invalid.check()?;
    // An id that is none was noted.
    let id = id.ok_or_else(|| Refusal::of(StatusCode::BAD_REQUEST, "Bad Request"))?;
    Ok((id, usize::try_from(items).unwrap_or(1)))
}

fn read_id(invalid: &mut Invalid, id: Option<String>) -> Option<OrderId> {
    let id = id.unwrap_or_default();
    if id.trim().is_empty() {
        invalid.say("OrderId", "The OrderId field is required.");
        return None;
    }
    let parsed = OrderId::parse(&id).ok();
    if parsed.is_none() {
        invalid.say("OrderId", "The OrderId must have 1 to 128 bytes and no control characters.");
    }
    parsed
}

/// An order as the old cart makes one up: so many products, 1 to 4 of each, at 10 to 99 a piece.
pub(super) fn made_up(items: usize) -> Option<Placed> {
    let item = |n: usize| {
        let price = Some(Decimal { units: Amount::from(carts::random(10..=99)), scale: 0 });
        Item { sku: format!("Product{n}"), name: None, quantity: carts::random(1..=4), price }
    };
    let dollars = Currency::parse("USD").unwrap_or(Currency::NONE);
    carts::placed(NAME, guid().to_string(), dollars, (1..=items).map(item).collect())
}

/// A random GUID.
fn guid() -> Uuid {
    uuid::Builder::from_random_bytes(Uuid::now_v7().into_bytes()).into_uuid()
}

async fn update(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let body = aspnet::body(&headers, body)?;
    let (sent, status) = read_update(&body)?;
    let missing = || aspnet::text(StatusCode::NOT_FOUND, format!("Order with ID {sent} not found"));
    let Ok(id) = OrderId::parse(&sent) else { return Ok(missing()) };
    let command = OrderCommand::SetWord { word: status, again: false };
    match orders::change(&api, NAME, &id, command).await {
        Ok(Some(_)) => Ok(aspnet::text(StatusCode::OK, "Order updated successfully")),
        Ok(None) => Ok(missing()),
        // The old system says 500, as if it were its own fault.
        Err(NotDone::Rejected(Rejection::Unchanged)) => {
            Ok(aspnet::text(StatusCode::CONFLICT, "Order status is the same as entered."))
        }
        Err(why) => Err(why.into()),
    }
}

fn read_update(body: &[u8]) -> Result<(String, String), Refusal> {
    let body = aspnet::object(body)?;
    let (id, status) = (body.text("orderId")?, body.text("status")?);
    let mut invalid = Invalid::default();
    let id = id.unwrap_or_default();
    if id.trim().is_empty() {
        invalid.say("OrderId", "The OrderId field is required.");
    }
    let status = invalid.text("Status", status, MAX_STATUS);
    invalid.check()?;
    Ok((id, status))
}

async fn details(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let sent = parameter(query.as_deref(), "orderId")?;
    // Spaces in the id are ignored, as the old system does.
    let id: String = sent.split_whitespace().collect();
    Ok(match orders::find_text(&api, NAME, &id).await? {
        Some(order) => aspnet::json(StatusCode::OK, &View::of(&order)),
        None => aspnet::text(StatusCode::NOT_FOUND, format!("Order with ID {sent} not found.")),
    })
}

async fn in_topic(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let topic = parameter(query.as_deref(), "topicName")?;
    let is_new = match &*topic {
        "order-created-topic" => true,
        "order-updated-topic" => false,
        _ => return Ok(aspnet::text(StatusCode::BAD_REQUEST, "Invalid topic name.")),
    };
    let belongs = move |order: &Order| carts::is_new(carts::status(order)) == is_new;
    let write = Arc::new(move |order: &Order| {
        belongs(order).then(|| serde_json::to_vec(&View::of(order)).ok()).flatten()
    });
    let query = OrderQuery { flow: vec![carts::FLOW.to_owned()], ..OrderQuery::default() };
    let none = || aspnet::text(StatusCode::NOT_FOUND, "No orders found in the specified topic.");
    // How many there are is known at the end, and the order of the names is free.
    let end = move |count: u64| format!("],\"message\":\"Total orders in topic '{topic}': {count}\"}}");
    let list = orders::stream_some(&api, NAME, query, "{\"orders\":[".to_owned(), write, end).await?;
    Ok(list.map_or_else(none, |body| {
        ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
    }))
}

/// A parameter of the query; its name matches in any case.
fn parameter(query: Option<&str>, name: &str) -> Result<String, Refusal> {
    let found = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find(|(sent, _)| sent.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.into_owned());
    found.filter(|value| !value.trim().is_empty()).ok_or_else(|| {
        let mut invalid = Invalid::default();
        invalid.say(name, format!("The {name} field is required."));
        invalid.check().err().unwrap_or_else(|| Refusal::of(StatusCode::BAD_REQUEST, "Bad Request"))
    })
}
