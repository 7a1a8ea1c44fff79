//! Reading orders.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cartwright_core::{
    domain::{
        flow::FLOWS,
        ids::OrderId,
        order::{Milestone, Order, OrderStatus},
        time::Timestamp,
    },
    ports::{OrderQuery, OrderSort, PAGE_BYTES, Store, Stored},
    services::Rejection,
};

use super::{
    docs,
    headers::{self, PathId},
    search::{self, Place},
    view::OrderView,
};
use crate::http::{
    Api,
    problem::{FieldError, Problem},
};

/// Orders per page, unless asked otherwise.
const PAGE: usize = 50;
/// Orders per page, at most.
const MAX_PAGE: usize = 500;
/// Characters of what is searched for, at most.
const MAX_WORDS: usize = 1_000;

/// Parameters of a list that are no filters by value: given twice, one would count and one would not.
const ONCE: [&str; 7] = ["q", "createdAfter", "createdBefore", "updatedAfter", "sort", "limit", "cursor"];

/// One order as it stands.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders",
    params(("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = OrderView), (status = 304), (status = 404, body = Problem)))]
pub async fn get(State(api): State<Arc<Api>>, id: PathId, headers: HeaderMap) -> Result<Response, Problem> {
    let order = load(&*api.store, &headers::path_id(&id)?).await?;
    let tag = HeaderValue::from_str(&headers::etag(&order)).unwrap_or(HeaderValue::from_static("\"0\""));
    if headers::not_modified(&headers, &order) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::ETAG, tag), (header::CONTENT_TYPE, kind)], OrderView::json(&order)).into_response())
}

/// Orders, newest first, page by page. Filters may repeat; then any of their values matches. With `q`, only orders that
/// hold all its words: in id, number, customer, e-mail, product, tracking number or status, or in one field as in
/// `status:shipped`. What has just changed is found within a second.
#[utoipa::path(get, path = "/v1/orders", tag = "orders",
    params(("q" = Option<String>, Query, description = "words that they hold, such as `gaming laptop` or `skus:A-1`"),
        ("status" = Option<Vec<OrderStatus>>, Query, description = "where they stand; several: any of them"),
        ("milestone" = Option<Vec<Milestone>>, Query, description = "what they have reached; several: any of them"),
        ("customer" = Option<Vec<String>>, Query, description = "of these customers: their ids"),
        ("flow" = Option<Vec<String>>, Query, description = "of these flows"),
        ("number" = Option<Vec<String>>, Query, description = "with these numbers"),
        ("externalId" = Option<Vec<String>>, Query, description = "with these ids of yours"),
        ("createdAfter" = Option<String>, Query, description = "placed after this time (RFC 3339)"),
        ("createdBefore" = Option<String>, Query, description = "placed before this time (RFC 3339)"),
        ("updatedAfter" = Option<String>, Query, description = "changed after this time (RFC 3339)"),
        ("sort" = Option<String>, Query, description = "createdAt or updatedAt"),
        ("limit" = Option<u32>, Query, maximum = 500), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = docs::OrderList), (status = 400, body = Problem)))]
pub async fn list(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (mut query, words) = read_query(query.as_deref().unwrap_or_default())?;
    if let Some(Words { text, after }) = words {
        let (found, next) = search::find(&api, &text, &query, after).await?;
        return Ok(page(found.iter(), next.map(|place| place.text())));
    }
    let limit = query.limit;
    query.limit += 1; // one more tells whether there is a next page
    let mut found = api.store.orders(&query).await?;
    let bytes: usize = found.iter().map(|listed| listed.stored.record.as_ref().map_or(0, Vec::len)).sum();
    let more = found.len() > limit || bytes >= PAGE_BYTES;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| write_cursor(query.sort, last.place));
    Ok(page(found.iter().map(|listed| &listed.stored), next))
}

/// A page of orders as the API shows it.
fn page<'a>(found: impl ExactSizeIterator<Item = &'a Stored>, next: Option<String>) -> Response {
    let count = found.len();
    let orders: Vec<Order> = found.filter_map(|stored| parse(stored).ok()).collect();
    let unreadable = count - orders.len();
    let mut body = Vec::with_capacity(2048 * orders.len() + 64);
    body.extend_from_slice(b"{\"orders\":[");
    for (i, order) in orders.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&OrderView::json(order));
    }
    body.extend_from_slice(b"],\"next\":");
    body.extend_from_slice(&serde_json::to_vec(&next).unwrap_or_default());
    if unreadable > 0 {
        body.extend_from_slice(format!(",\"unreadable\":{unreadable}").as_bytes());
    }
    body.push(b'}');
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

/// The record of an order.
///
/// # Errors
/// 404 when there is none.
pub async fn load(store: &dyn Store, id: &OrderId) -> Result<Order, Problem> {
    let stored = store.load(std::slice::from_ref(id)).await?.pop().unwrap_or_default();
    match stored.record {
        Some(_) => parse(&stored).map_err(|error| {
            tracing::error!(order = %id, %error, "the order's record can't be read");
            Rejection::Unreadable(id.clone()).into()
        }),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "no-such-order", format!("there is no order {id}"))),
    }
}

fn parse(stored: &Stored) -> Result<Order, serde_json::Error> {
    serde_json::from_slice(stored.record.as_deref().unwrap_or_default())
}

/// What is searched for, and from where on.
struct Words {
    text: String,
    after: Option<Place>,
}

fn read_query(text: &str) -> Result<(OrderQuery, Option<Words>), Problem> {
    let mut query = OrderQuery { limit: PAGE, ..OrderQuery::default() };
    let mut errors = Vec::new();
    let (mut cursor, mut words) = (None, None);
    let mut given = Vec::with_capacity(ONCE.len());
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let again = given.contains(&name);
        if ONCE.contains(&&*name) && !again {
            given.push(name.clone());
        }
        let bad = match &*name {
            _ if again => Some("given once"),
            "q" => set(&mut words, text_of(&value, MAX_WORDS), "text of 1 to 1,000 characters"),
            "status" => {
                push(&mut query.status, OrderStatus::parse(&value), "open, completed, failed or cancelled")
            }
            "milestone" => {
                let word = Milestone::parse(&value).map(|milestone| milestone.as_str().to_owned());
                push(&mut query.milestone, word, "a milestone such as shipped")
            }
            "flow" => {
                let flow = FLOWS.contains(&&*value).then(|| value.to_string());
                push(&mut query.flow, flow, "the name of a flow such as standard")
            }
            "customer" => push(&mut query.customer, text_of(&value, 100), "text of 1 to 100 characters"),
            "externalId" => push(&mut query.external_id, text_of(&value, 128), "text of 1 to 128 characters"),
            "number" => push(&mut query.number, value.parse().ok(), "a whole number"),
            "createdAfter" => set(&mut query.created_after, Timestamp::parse(&value), "an RFC 3339 time"),
            "createdBefore" => set(&mut query.created_before, Timestamp::parse(&value), "an RFC 3339 time"),
            "updatedAfter" => set(&mut query.updated_after, Timestamp::parse(&value), "an RFC 3339 time"),
            "sort" => match &*value {
                "createdAt" => {
                    query.sort = OrderSort::CreatedAt;
                    None
                }
                "updatedAt" => {
                    query.sort = OrderSort::UpdatedAt;
                    None
                }
                _ => Some("createdAt or updatedAt"),
            },
            "limit" => match value.parse() {
                Ok(limit) if (1..=MAX_PAGE).contains(&limit) => {
                    query.limit = limit;
                    None
                }
                _ => Some("a whole number between 1 and 500"),
            },
            "cursor" => {
                cursor = Some(value.to_string());
                None
            }
            _ => {
                let message = "is not a parameter of this list".to_owned();
                errors.push(FieldError { field: name.to_string(), message });
                None
            }
        };
        if let Some(must) = bad {
            errors.push(FieldError { field: name.to_string(), message: format!("must be {must}") });
        }
    }
    let mut after = None;
    if let Some(cursor) = cursor {
        let read = match &words {
            Some(_) => {
                after = Place::read(&cursor);
                after.is_some()
            }
            None => {
                query.after = read_cursor(query.sort, &cursor);
                query.after.is_some()
            }
        };
        if !read {
            let message = "must be the next of an earlier page of the same list".to_owned();
            errors.push(FieldError { field: "cursor".to_owned(), message });
        }
    }
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    Ok((query, words.map(|text| Words { text, after })))
}

fn push<T>(list: &mut Vec<T>, value: Option<T>, must: &'static str) -> Option<&'static str> {
    match value {
        Some(value) if list.len() < 100 => {
            list.push(value);
            None
        }
        Some(_) => Some("given at most 100 times"),
        None => Some(must),
    }
}

fn set<T>(slot: &mut Option<T>, value: Option<T>, must: &'static str) -> Option<&'static str> {
    *slot = value;
    slot.is_none().then_some(must)
}

fn text_of(value: &str, max: usize) -> Option<String> {
    (1..=max).contains(&value.chars().count()).then(|| value.to_owned())
}

/// Where the next page starts: behind this order. Opaque to clients.
fn write_cursor(sort: OrderSort, (moment, number): (Timestamp, u64)) -> String {
    let micros = moment.as_micros();
    match sort {
        OrderSort::CreatedAt => format!("c{micros}-{number}"),
        OrderSort::UpdatedAt => format!("u{micros}-{number}"),
    }
}

fn read_cursor(sort: OrderSort, text: &str) -> Option<(Timestamp, u64)> {
    let rest = text.strip_prefix(match sort {
        OrderSort::CreatedAt => 'c',
        OrderSort::UpdatedAt => 'u',
    })?;
    let (time, number) = rest.rsplit_once('-')?;
    Some((Timestamp::from_micros(time.parse().ok()?), number.parse().ok()?))
}
