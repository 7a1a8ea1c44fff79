//! `order-fulfilment`: orders that are paid and scheduled by workers, and rest there.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
    routing::{get, post},
};
use cartwright_core::{
    domain::{
        flow::StepKind,
        ids::OrderId,
        money::Currency,
        order::{Address, Customer, Milestone, Order, OrderStatus, PaymentIntent, PaymentStatus, Placed},
        time::Timestamp,
    },
    services::Variation,
};
use serde::Serialize;
use utoipa::openapi::HttpMethod;
use uuid::Uuid;

use super::{
    Dialect, Refused,
    aspnet::{self, Refusal},
    documents::{self, Call},
    goods::{Goods, Item},
    kafka,
    orders::{self, New, NotDone},
    settings::Stays,
};
use crate::http::Api;

/// Its name.
pub const NAME: &str = "order-fulfilment";
/// The note in which an order keeps the scenario that its client asked for.
pub const SCENARIO: &str = "paymentScenario";
/// Characters of an address (RFC 5321 has room for no more), at most.
const MAX_EMAIL: usize = 254;
/// Characters of other texts, at most: the old system kept whatever came, but an order has its limits.
const MAX_TEXT: usize = 200;
/// The flow of its orders: pay, then schedule.
const FLOW: &str = "scheduled";

/// What it is called, and what it answers.
pub const DIALECT: Dialect = Dialect {
    name: NAME,
    routes,
    any_case: &["orders", "swagger", "v1", "swagger.json"],
    kafka: kafka::order_fulfilment::FORM,
    word: |order| stands(order),
};

const CALLS: [Call; 2] = [
    (HttpMethod::Post, "/orders", "Place an order", &[201, 400]),
    (HttpMethod::Get, "/orders/{id}", "One order", &[200, 404]),
];

pub fn routes(_: &Arc<Api>, prefix: &str) -> Router<Arc<Api>> {
    Router::new()
        .merge(documents::at_swagger(prefix, documents::document("Order fulfilment", prefix, &CALLS)))
        .route(&format!("{prefix}/orders"), post(place))
        .route(&format!("{prefix}/orders/{{id}}"), get(one))
}

/// An order as this system shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View<'a> {
    id: &'a str,
    pub customer_email: &'a str,
    pub product_type: &'a str,
    pub country: &'a str,
    status: &'static str,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// What a client sent.
pub(super) struct Asked {
    email: String,
    product: String,
    country: String,
    scenario: Option<String>,
}

async fn place(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let body = aspnet::body(&headers, body)?;
    let asked = match read(&body)? {
        Ok(asked) => asked,
        Err(why) => return Ok(aspnet::text(StatusCode::BAD_REQUEST, why)),
    };
    let id = OrderId::from(Uuid::now_v7());
    let intent = asked.intent(&id);
    let placed = placed(asked).ok_or(NotDone::TooMuch)?;
    let neighbours = match api.dialects.order_fulfilment.stays {
        Stays::Back => vec![StepKind::Pay, StepKind::Schedule],
        Stays::None | Stays::Front => vec![],
    };
    let new =
        New { id: Some(id), placed, intent, variation: Variation { neighbours, ..Variation::default() } };
    let answered = orders::place(&api, new, body.len()).await?;
    let order = &*answered.order;
    let answer = serde_json::json!({"id": order.id.as_str(), "correlationId": order.correlation_id});
    let mut response = aspnet::json(StatusCode::CREATED, &answer);
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{}", uri.path(), order.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn read(body: &[u8]) -> Result<Result<Asked, &'static str>, Refusal> {
    let body = aspnet::object(body)?;
    let (email, product) = (body.text("customerEmail")?, body.text("productType")?);
    let (country, scenario) = (body.text("country")?, body.text("paymentScenario")?);
    Ok(Asked::of(email, product, country, scenario))
}

impl Asked {
    /// What was sent, trimmed; or what is wrong with it first, in this system's words.
    pub fn of(
        email: Option<String>,
        product: Option<String>,
        country: Option<String>,
        scenario: Option<String>,
    ) -> Result<Self, &'static str> {
        let trimmed = |text: Option<String>| text.unwrap_or_default().trim().to_owned();
        let (email, product, country) = (trimmed(email), trimmed(product), trimmed(country).to_uppercase());
        if email.is_empty() {
            Err("CustomerEmail required")
        } else if product.is_empty() {
            Err("ProductType required")
        } else if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_alphabetic()) {
            Err("Country must be 2-letter code")
        } else if email.chars().count() > MAX_EMAIL {
            Err("CustomerEmail must have at most 254 characters")
        } else if product.chars().count() > MAX_TEXT {
            Err("ProductType must have at most 200 characters")
        } else if scenario.as_ref().is_some_and(|scenario| scenario.chars().count() > MAX_TEXT) {
            Err("PaymentScenario must have at most 200 characters")
        } else {
            Ok(Self { email, product, country, scenario })
        }
    }

    /// How it is to be paid: what the simulated provider is to answer. Without a wish the last digit of the id decides, by
    /// its character code.
    pub fn intent(&self, id: &OrderId) -> PaymentIntent {
        let authorised = match &self.scenario {
            Some(scenario) => scenario == "success",
            None => id.as_str().bytes().last().is_some_and(|last| last % 2 == 0),
        };
        let scenario = if authorised { "success" } else { "decline" };
        PaymentIntent { scenario: Some(scenario.to_owned()), ..PaymentIntent::default() }
    }
}

/// What was ordered.
pub(super) fn placed(asked: Asked) -> Option<Placed> {
    let Asked { email, product, country, scenario } = asked;
    let goods = Goods {
        dialect: NAME,
        flow: FLOW,
        customer: Customer { id: email.clone(), name: None, email: Some(email) },
        currency: Currency::NONE,
        decimals: 0,
        items: vec![Item { sku: product.clone(), name: Some(product), quantity: 1, price: None }],
    };
    Some(Placed {
        ship_to: Some(Address { country: Some(country), ..Address::default() }),
        metadata: scenario.map(|scenario| (SCENARIO.to_owned(), scenario)).into_iter().collect(),
        ..goods.placed()?
    })
}

async fn one(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Response, Refused> {
    let order = orders::find_text(&api, NAME, &id)
        .await?
        .ok_or_else(|| Refusal::of(StatusCode::NOT_FOUND, "Not Found"))?;
    Ok(aspnet::json(StatusCode::OK, &view(&order)))
}

/// An order as this system shows it.
pub(super) fn view(order: &Order) -> View<'_> {
    let placed = &*order.placed;
    View {
        id: order.id.as_str(),
        customer_email: placed.customer.email.as_deref().unwrap_or_default(),
        product_type: placed.lines.first().and_then(|line| line.name.as_deref()).unwrap_or_default(),
        country: placed.ship_to.as_ref().and_then(|to| to.country.as_deref()).unwrap_or_default(),
        status: stands(order),
        created_at: orders::taken_at(order),
        updated_at: order.updated_at,
    }
}

/// Its word for where an order is. One that was called off through our own API keeps the last one.
fn stands(order: &Order) -> &'static str {
    match (order.payment_status(), order.milestone) {
        (PaymentStatus::Declined, _) => "PaymentFailed",
        _ if order.status == OrderStatus::Failed => "PaymentFailed",
        (_, Milestone::Scheduled | Milestone::Shipped | Milestone::Delivered) => "FulfillmentScheduled",
        (_, Milestone::Authorized) => "PaymentAuthorized",
        _ => "Created",
    }
}
