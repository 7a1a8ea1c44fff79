//! `order-tracking`: a tracking service with a background consumer. Every answer is wrapped.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cartwright_core::{
    domain::{
        flow::{By, StepKind},
        money::{Currency, MAX_SCALE},
        order::{Customer, Order, OrderStatus, PaymentIntent, Placed},
        time::Timestamp,
    },
    ports::OrderQuery,
    services::Variation,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::openapi::HttpMethod;

use super::{
    Dialect, Refused,
    aspnet::{self, Invalid, Refusal},
    decimal::{self, Decimal},
    documents::{self, Call},
    goods::{Goods, Item},
    kafka,
    orders::{self, New},
    settings::{Settings, Stays},
};
use crate::http::Api;

/// Its name.
pub const NAME: &str = "order-tracking";
/// Characters of a product's name, at most.
pub(super) const MAX_NAME: usize = 200;
/// The largest quantity.
pub(super) const MAX_QUANTITY: u32 = 1_000;
/// The flow of its orders: taken up, worked on for a while, completed.
const FLOW: &str = "processing";

/// What it is called, and what it answers.
pub const DIALECT: Dialect = Dialect {
    name: NAME,
    routes,
    any_case: &["api", "orders", "user", "status", "swagger", "v1", "swagger.json"],
    kafka: kafka::order_tracking::FORM,
    word: |order| stands(order).0,
};

const CALLS: [Call; 5] = [
    (HttpMethod::Post, "/api/orders", "Place an order", &[200, 400]),
    (HttpMethod::Get, "/api/orders", "All orders, newest first", &[200]),
    (HttpMethod::Get, "/api/orders/{orderId}", "One order", &[200, 404]),
    (HttpMethod::Get, "/api/orders/user/{userId}", "The orders of a user", &[200, 400]),
    (HttpMethod::Get, "/api/orders/status/{status}", "The orders with a status", &[200]),
];

pub fn routes(_: &Arc<Api>, prefix: &str) -> Router<Arc<Api>> {
    let at = |path: &str| format!("{prefix}{path}");
    beside(prefix).route(&at("/api/orders"), post(place).get(all)).route(&at("/api/orders/{id}"), get(one))
}

/// The calls that it shares with nobody.
pub fn beside(prefix: &str) -> Router<Arc<Api>> {
    let at = |path: &str| format!("{prefix}{path}");
    let document = documents::document("Order tracking", prefix, &CALLS);
    Router::new()
        .merge(documents::at_swagger(prefix, document))
        .merge(documents::page(prefix))
        .route(&at("/api/orders/user/{user}"), get(of_user))
        .route(&at("/api/orders/status/{status}"), get(with_status))
}

/// What surrounds every answer.
#[derive(Serialize)]
struct Wrapped<T> {
    success: bool,
    message: String,
    data: T,
    timestamp: Timestamp,
}

/// An order as this system shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View<'a> {
    pub order_id: &'a str,
    pub user_id: u32,
    pub product_name: &'a str,
    pub quantity: u32,
    pub price: Box<RawValue>,
    total_amount: Box<RawValue>,
    status: &'static str,
    pub created_at: Timestamp,
    processed_at: Option<Timestamp>,
}

impl<'a> View<'a> {
    /// The order as it stands.
    pub fn of(order: &'a Order) -> Self {
        let placed = &*order.placed;
        let scale = orders::scale(placed);
        let line = placed.lines.first();
        let (status, processed_at) = stands(order);
        Self {
            order_id: order.id.as_str(),
            user_id: placed.customer.id.parse().unwrap_or_default(),
            product_name: line.and_then(|line| line.name.as_deref()).unwrap_or_default(),
            quantity: line.map_or(0, |line| line.quantity),
            price: decimal::number(line.and_then(|line| line.unit_price).unwrap_or_default(), scale),
            total_amount: decimal::number(placed.totals.total, scale),
            status,
            created_at: orders::taken_at(order),
            processed_at,
        }
    }
}

/// Its word for where an order is, and since when it is worked on: an order waits from its beginning.
fn stands(order: &Order) -> (&'static str, Option<Timestamp>) {
    let since = Some(order.created_at);
    match order.status {
        // Nobody tells us when somebody else takes it up.
        OrderStatus::Open if order.awaited().is_some_and(|step| step.by == By::Neighbour) => ("PLACED", None),
        OrderStatus::Open => ("PROCESSING", since),
        OrderStatus::Completed => ("COMPLETED", since),
        OrderStatus::Failed => ("FAILED", since),
        OrderStatus::Cancelled => ("CANCELLED", since),
    }
}

pub(super) async fn place(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let body = aspnet::body(&headers, body)?;
    let placed = read(&body)?;
    let new = New { id: None, placed, intent: PaymentIntent::default(), variation: variation(&api.dialects) };
    let answered = orders::place(&api, new, body.len()).await?;
    // As it was accepted, however far it has come since.
    let data = View { status: "PLACED", processed_at: None, ..View::of(&answered.order) };
    Ok(wrapped(&api, StatusCode::OK, "Order created and published successfully".to_owned(), data))
}

/// What goes otherwise for its orders than for those of others with the same flow.
pub fn variation(settings: &Settings) -> Variation {
    let theirs = settings.order_tracking.stays == Stays::Back;
    Variation {
        wait_ms: Some(settings.order_tracking.processing_ms),
        neighbours: if theirs { vec![StepKind::Wait] } else { vec![] },
        ..Variation::default()
    }
}

fn read(body: &[u8]) -> Result<Placed, Refusal> {
    let body = aspnet::object(body)?;
    let (user, name) = (body.int("userId")?, body.text("productName")?);
    let (quantity, price) = (body.int("quantity")?, body.decimal("price")?);
    let mut invalid = Invalid::default();
    let user = invalid.int("UserId", user, 1, i32::MAX);
    let name = invalid.text("ProductName", name, MAX_NAME);
    let quantity = invalid.int("Quantity", quantity, 1, MAX_QUANTITY.cast_signed());
    let price = price.unwrap_or(Decimal { units: 0, scale: 0 });
    let placed = placed(user, name, quantity, price).map_err(|why| invalid.say("Price", why));
    invalid.check()?;
    // A price that is none was noted.
    placed.map_err(|()| Refusal::of(StatusCode::BAD_REQUEST, "Bad Request"))
}

/// What was ordered; or what is wrong with its price.
pub(super) fn placed(user: u32, name: String, quantity: u32, price: Decimal) -> Result<Placed, &'static str> {
    // Without cents any price above nothing is enough.
    let least = 10_i64.checked_pow(u32::from(price.scale).saturating_sub(2)).unwrap_or(i64::MAX);
    if price.units < least || price.scale > MAX_SCALE {
        return Err("Price must be at least 0.01, with at most 6 decimals.");
    }
    let goods = Goods {
        dialect: NAME,
        flow: FLOW,
        customer: Customer { id: user.to_string(), name: None, email: None },
        currency: Currency::parse("USD").unwrap_or(Currency::NONE),
        decimals: 0,
        items: vec![Item { sku: name.clone(), name: Some(name), quantity, price: Some(price) }],
    };
    goods.placed().ok_or("The price times the quantity is more than an order can hold.")
}

pub(super) async fn one(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Response, Refused> {
    Ok(match orders::find_text(&api, NAME, &id).await? {
        Some(order) => show(&api, &order),
        None => wrapped(&api, StatusCode::NOT_FOUND, "Order not found".to_owned(), None::<View<'_>>),
    })
}

/// The answer that shows an order.
pub(super) fn show(api: &Api, order: &Order) -> Response {
    wrapped(api, StatusCode::OK, "Order retrieved successfully".to_owned(), View::of(order))
}

pub(super) async fn all(State(api): State<Arc<Api>>) -> Result<Response, Refused> {
    list(&api, OrderQuery::default(), None, String::new()).await
}

async fn of_user(State(api): State<Arc<Api>>, Path(user): Path<String>) -> Result<Response, Refused> {
    let Ok(number) = user.parse::<i32>() else { return Err(Refusal::parameter("userId", &user).into()) };
    let query = OrderQuery { customer: vec![number.to_string()], ..OrderQuery::default() };
    list(&api, query, None, format!(" for user {number}")).await
}

async fn with_status(State(api): State<Arc<Api>>, Path(status): Path<String>) -> Result<Response, Refused> {
    let words = [
        ("PLACED", OrderStatus::Open),
        ("PROCESSING", OrderStatus::Open),
        ("COMPLETED", OrderStatus::Completed),
        ("FAILED", OrderStatus::Failed),
        ("CANCELLED", OrderStatus::Cancelled),
    ];
    let behind = format!(" with status '{status}'");
    match words.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(&status)) {
        Some((word, status)) => {
            let query = OrderQuery { status: vec![status], ..OrderQuery::default() };
            list(&api, query, Some(word), behind).await
        }
        None => Ok(wrapped(&api, StatusCode::OK, format!("Retrieved 0 orders{behind}"), [(); 0])),
    }
}

async fn list(
    api: &Arc<Api>,
    query: OrderQuery,
    word: Option<&'static str>,
    behind: String,
) -> Result<Response, Refused> {
    let query = OrderQuery { flow: vec![FLOW.to_owned()], ..query };
    let stands_so = move |view: &View<'_>| word.is_none_or(|word| view.status == word);
    let write = Arc::new(move |order: &Order| {
        Some(View::of(order)).filter(stands_so).and_then(|view| serde_json::to_vec(&view).ok())
    });
    let clock = api.clock.clone();
    // How many there are is known at the end, and the order of the names is free.
    let end = move |count: u64| {
        let message = serde_json::to_string(&format!("Retrieved {count} orders{behind}")).unwrap_or_default();
        format!("],\"message\":{message},\"timestamp\":\"{}\"}}", clock.now())
    };
    let body =
        orders::stream(api, NAME, query, "{\"success\":true,\"data\":[".to_owned(), write, end).await?;
    Ok(([(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response())
}

fn wrapped(api: &Api, status: StatusCode, message: String, data: impl Serialize) -> Response {
    let (success, timestamp) = (status.is_success(), api.clock.now());
    aspnet::json(status, &Wrapped { success, message, data, timestamp })
}
