//! `order-processing`: orders that are shipped, and a worker that may be somebody else's and report over HTTP.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Request, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use cartwright_core::{
    domain::{
        flow::{Life, StepKind},
        ids::OrderId,
        money::{Currency, MAX_SCALE},
        order::{
            Customer, Facts, MAX_LINES, MAX_QUANTITY, Order, OrderCommand, OrderStatus, PaymentIntent,
            Placed, Report, StepReport,
        },
        time::Timestamp,
    },
    services::Variation,
};
use serde::Serialize;
use utoipa::openapi::HttpMethod;

use super::{
    Dialect, Refused,
    aspnet::{self, Bound, Invalid, Refusal},
    decimal::Decimal,
    documents::{self, Call},
    goods::{Goods, Item},
    kafka, neighbours,
    orders::{self, New},
    rate,
    settings::{Settings, Stays},
};
use crate::http::{Api, health};

pub const NAME: &str = "order-processing";
/// The flow of its orders.
const FLOW: &str = "ship-only";
/// Characters of ids and of names, at most.
pub(super) const MAX_ID: usize = 100;
/// The same of names.
pub(super) const MAX_NAME: usize = 200;
/// So often the carrier is asked.
const MAX_TRIES: u32 = 3;
/// What an order waits for when its worker says that it tries again and not why.
const NO_REASON: &str = "it is tried again";

/// What it is called, and what it answers.
pub const DIALECT: Dialect = Dialect {
    name: NAME,
    routes,
    any_case: &["api", "v1", "orders", "status", "health", "swagger", "swagger.json"],
    kafka: kafka::order_processing::FORM,
    word: |order| view(order, true).status,
};

const CALLS: [Call; 7] = [
    (HttpMethod::Post, "/api/orders", "Place an order", &[201, 400, 429]),
    (HttpMethod::Post, "/api/v1/orders", "Place an order", &[200, 400, 429]),
    (HttpMethod::Get, "/api/orders/{orderId}", "Where an order stands", &[200, 404]),
    (HttpMethod::Get, "/api/v1/orders/{orderId}", "Where an order stands", &[200, 404]),
    (HttpMethod::Patch, "/api/orders/{orderId}/status", "Report how far an order is", &[204, 400, 404]),
    (HttpMethod::Patch, "/api/v1/orders/{orderId}/status", "Report how far an order is", &[204, 400, 404]),
    (HttpMethod::Get, "/health", "Whether it is well", &[200, 503]),
];

pub fn routes(api: &Arc<Api>, prefix: &str) -> Router<Arc<Api>> {
    let at = |path: &str| format!("{prefix}{path}");
    let document = documents::document("Order processing", prefix, &CALLS);
    let orders =
        Router::new().route(&at("/api/orders"), post(place)).route(&at("/api/orders/{id}"), get(one));
    beside(api, prefix).merge(at_its_rate(api, orders)).merge(documents::at_swagger(prefix, document))
}

/// The calls that it shares with nobody.
pub fn beside(api: &Arc<Api>, prefix: &str) -> Router<Arc<Api>> {
    let at = |path: &str| format!("{prefix}{path}");
    let router = Router::new()
        .route(&at("/api/v1/orders"), post(place_v1))
        .route(&at("/api/v1/orders/{id}"), get(one))
        .route(&at("/api/v1/orders/{id}/status"), patch(report))
        .route(&at("/api/orders/{id}/status"), patch(report))
        .route(&at("/health"), get(how_it_is));
    at_its_rate(api, router)
}

/// The same calls, so often for each client as the setting says.
pub fn at_its_rate(api: &Arc<Api>, router: Router<Arc<Api>>) -> Router<Arc<Api>> {
    match api.dialects.order_processing.rate {
        0 => router,
        rate => router.layer(middleware::from_fn_with_state(rate::Limit::of(rate), limited)),
    }
}

/// Refuses what is over a client's rate.
async fn limited(State(limit): State<Arc<rate::Limit>>, request: Request, next: Next) -> Response {
    if limit.allows(&request) {
        return next.run(request).await;
    }
    let mut refusal = Refusal::of(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests").into_response();
    refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    refusal
}

/// How far an order is, as this system tells it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    order_id: &'a str,
    status: &'static str,
    fulfillment: Option<Fulfillment<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fulfillment<'a> {
    tracking_number: Option<&'a str>,
    carrier: Option<&'a str>,
    shipped_at: Option<Timestamp>,
    error_message: Option<&'a str>,
}

/// The words of this system, and what each means of the step that ships.
const WORDS: [&str; 6] = ["Created", "Pending", "Processing", "Retrying", "Shipped", "Failed"];

pub(super) async fn place(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let id = take(&api, &headers, body).await?;
    let mut response = created(StatusCode::CREATED, &id);
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{id}", uri.path())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn place_v1(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let id = take(&api, &headers, body).await?;
    Ok(created(StatusCode::OK, &id))
}

fn created(status: StatusCode, id: &OrderId) -> Response {
    aspnet::json(status, &serde_json::json!({"orderId": id.as_str(), "status": "Created"}))
}

async fn take(
    api: &Api,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<OrderId, Refused> {
    let body = aspnet::body(headers, body)?;
    let placed = read(&body)?;
    let new = New { id: None, placed, intent: PaymentIntent::default(), variation: variation(&api.dialects) };
    Ok(orders::place(api, new, body.len()).await?.order.id.clone())
}

/// What goes otherwise for its orders than for those of others with the same flow.
pub fn variation(settings: &Settings) -> Variation {
    let theirs = settings.order_processing.stays == Stays::Back;
    Variation {
        announced: true,
        max_tries: Some(MAX_TRIES),
        neighbours: if theirs { vec![StepKind::Ship] } else { vec![] },
        ..Variation::default()
    }
}

fn read(body: &[u8]) -> Result<Placed, Refusal> {
    let body = aspnet::object(body)?;
    let (customer, name) = (body.text("customerId")?, body.text("customerName")?);
    let sent = body.list("items")?.unwrap_or_default();
    let mut items = Vec::with_capacity(sent.len());
    for item in &sent {
        items.push(Sent::bind(item)?);
    }
    let mut invalid = Invalid::default();
    let customer = invalid.text("CustomerId", customer, MAX_ID);
    let name = invalid.text("CustomerName", name, MAX_NAME);
    if items.is_empty() {
        invalid.say("Items", "The Items field must hold at least one item.");
    }
    if items.len() > MAX_LINES {
        invalid.say("Items", format!("The Items field may hold {MAX_LINES} items at most."));
    }
    let items = items.into_iter().enumerate().map(|(n, item)| item.checked(n, &mut invalid)).collect();
    let placed = placed(customer, name, items);
    if placed.is_none() {
        invalid.say("Items", format!("Prices may have {MAX_SCALE} decimals, and their sum has its limits."));
    }
    invalid.check()?;
    // A sum that is none was noted.
    placed.ok_or_else(|| Refusal::of(StatusCode::BAD_REQUEST, "Bad Request"))
}

/// An item as it was sent.
struct Sent {
    product: Option<String>,
    quantity: Option<i32>,
    price: Option<Decimal>,
}

impl Sent {
    fn bind(item: &Bound<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            product: item.text("productId")?,
            quantity: item.int("quantity")?,
            price: item.decimal_or_null("unitPrice")?,
        })
    }

    fn checked(self, n: usize, invalid: &mut Invalid) -> Item {
        let sku = invalid.text(&format!("Items[{n}].ProductId"), self.product, MAX_ID);
        let most = MAX_QUANTITY.cast_signed();
        let quantity = invalid.int(&format!("Items[{n}].Quantity"), self.quantity, 1, most);
        if self.price.is_some_and(|price| price.units < 0) {
            invalid.say(&format!("Items[{n}].UnitPrice"), "The field UnitPrice must not be negative.");
        }
        Item { sku, name: None, quantity, price: self.price }
    }
}

/// An order of this dialect, which knows no currency. `None`: a price has too many decimals, or all of it is worth more
/// than an order can hold.
pub(super) fn placed(customer: String, name: String, items: Vec<Item>) -> Option<Placed> {
    let customer = Customer { id: customer, name: Some(name), email: None };
    Goods { dialect: NAME, flow: FLOW, customer, currency: Currency::NONE, decimals: 0, items }.placed()
}

async fn one(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Response, Refused> {
    let order = orders::find_text(&api, NAME, &id).await?.ok_or_else(unknown)?;
    Ok(show(&api, &order))
}

/// The answer that shows an order.
pub(super) fn show(api: &Api, order: &Order) -> Response {
    aspnet::json(StatusCode::OK, &view(order, health::broker_is_well(api)))
}

/// How an old order service is told where one of its orders stands: the path, and what is sent there.
pub fn told(order: &Order) -> Option<(String, serde_json::Value)> {
    if order.placed_by.caller != neighbours::caller(NAME) {
        return None; // it has never heard of it
    }
    let view = view(order, true);
    let facts = view.fulfillment.as_ref();
    let body = serde_json::json!({
        "status": view.status,
        "trackingNumber": facts.and_then(|facts| facts.tracking_number),
        "carrier": facts.and_then(|facts| facts.carrier),
        "shippedAt": facts.and_then(|facts| facts.shipped_at),
        "errorMessage": facts.and_then(|facts| facts.error_message),
    });
    // That it was taken, it said itself.
    (view.status != "Created").then(|| (format!("/api/orders/{}/status", order.id), body))
}

fn unknown() -> Refusal {
    Refusal::of(StatusCode::NOT_FOUND, "Not Found")
}

fn view(order: &Order, broker_is_well: bool) -> View<'_> {
    let step = order.steps.first();
    let life = step.map_or(Life::Planned, |step| step.life);
    let status = match (order.status, life) {
        (OrderStatus::Failed | OrderStatus::Cancelled, _) | (_, Life::Refused) => "Failed",
        (OrderStatus::Completed, _) | (_, Life::Done) => "Shipped",
        (OrderStatus::Open, Life::Waiting) => "Retrying",
        (OrderStatus::Open, Life::Planned | Life::Requested) if broker_is_well => "Created",
        (OrderStatus::Open, Life::Planned | Life::Requested) => "Pending",
        (OrderStatus::Open, _) => "Processing",
    };
    let shipment = order.shipments.last();
    let reason = step.and_then(|step| step.reason.as_deref());
    let fulfillment = match status {
        "Shipped" => Some((shipment, None)),
        "Failed" => Some((None, reason.or(Some("the order was cancelled")))),
        "Retrying" => Some((None, reason)),
        _ => None,
    };
    let fulfillment = fulfillment.map(|(shipment, error_message)| Fulfillment {
        tracking_number: shipment
            .and_then(|shipment| shipment.tracking_number.as_deref())
            .filter(|text| !text.is_empty()),
        carrier: shipment.and_then(|shipment| shipment.carrier.as_deref()).filter(|text| !text.is_empty()),
        shipped_at: shipment.and_then(|shipment| shipment.shipped_at),
        error_message,
    });
    View { order_id: order.id.as_str(), status, fulfillment }
}

/// A report of the worker: about a step that is its own it counts, about ours it changes nothing.
async fn report(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let body = aspnet::body(&headers, body)?;
    let said = Said::read(&body)?;
    let order = orders::find_text(&api, NAME, &id).await?.ok_or_else(unknown)?;
    if let Some((report, facts)) = said.report(&order, api.clock.now()) {
        let step = order.steps.first().map_or(1, |step| step.number);
        let command = OrderCommand::Report(StepReport { step, report, facts });
        orders::ask(&api, NAME, &order.id, command).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What a worker said.
struct Said {
    status: &'static str,
    tracking_number: Option<String>,
    carrier: Option<String>,
    shipped_at: Option<Timestamp>,
    error: Option<String>,
}

impl Said {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let body = aspnet::object(body)?;
        let status = body.text("status")?;
        let (tracking_number, carrier) = (body.text("trackingNumber")?, body.text("carrier")?);
        let (shipped_at, error) = (body.time("shippedAt")?, body.text("errorMessage")?);
        let word = WORDS.into_iter().find(|word| Some(*word) == status.as_deref());
        let mut invalid = Invalid::default();
        if word.is_none() {
            invalid.say("Status", format!("The Status field must be one of {}.", WORDS.join(", ")));
        }
        invalid.check()?;
        Ok(Self { status: word.unwrap_or("Created"), tracking_number, carrier, shipped_at, error })
    }

    /// What it means for the step that ships; nothing, if the order has only been taken.
    fn report(self, order: &Order, now: Timestamp) -> Option<(Report, Facts)> {
        let none = |report| Some((report, Facts::None));
        match self.status {
            "Processing" => none(Report::Started),
            "Retrying" => none(Report::Waiting {
                reason: self.error.unwrap_or_else(|| NO_REASON.to_owned()),
                next_try_at: None,
                said_at: now,
            }),
            "Failed" => {
                none(Report::Refused { reason: self.error.unwrap_or_else(|| "no reason given".to_owned()) })
            }
            "Shipped" => Some((
                Report::Done,
                Facts::Shipped {
                    id: order.shipment_id(),
                    carrier: self.carrier.unwrap_or_default(),
                    tracking_number: self.tracking_number.unwrap_or_default(),
                    at: self.shipped_at.unwrap_or(now),
                },
            )),
            _ => None,
        }
    }
}

async fn how_it_is(State(api): State<Arc<Api>>) -> Response {
    if health::is_well(&api) && health::broker_is_well(&api) {
        aspnet::text(StatusCode::OK, "Healthy")
    } else {
        aspnet::text(StatusCode::SERVICE_UNAVAILABLE, "Unhealthy")
    }
}
