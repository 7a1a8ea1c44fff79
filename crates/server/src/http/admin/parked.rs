//! Parked events: what could not be applied, and what an operator does about it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, RawQuery, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{ListedParked, PAGE_BYTES, ParkedQuery},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::query::Query;
use crate::{
    http::{
        Api,
        form::{Form, read_body},
        problem::Problem,
        v1::headers::{json_body, or_empty},
    },
    redact,
    workers::{
        operator::Handle,
        parked::{
            self, Discarded, Found, MAX_DISCARDED, MAX_RATE, MAX_RETRIED, ParkedId, Progress, Selection, Walk,
        },
    },
};

/// Events per page, unless asked otherwise.
const PAGE: usize = 50;
/// Events per page, at most.
const MAX_PAGE: usize = 500;
/// Orders tried a second, unless asked otherwise.
const RATE: u32 = 50;
/// Names in one request.
const MAX_IDS: usize = 500;
/// Events that a dry run shows.
const SHOWN: usize = 100;
/// So long a retry is waited for before it is left to itself.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(retry, progress))
        .routes(routes!(discard))
        .routes(routes!(show, discard_one))
}

/// A parked event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParkedEvent {
    /// Names it, together with the service.
    id: String,
    /// The service that could not apply it.
    service: &'static str,
    /// The order.
    #[schema(value_type = String)]
    order: OrderId,
    /// Whether the service knows that order; else the event waits for it to come.
    order_known: bool,
    /// The event's own id, if it could be read.
    event_id: Option<Uuid>,
    /// Such as `PaymentAuthorizedV1`, as its header says.
    event_type: Option<String>,
    /// Where it came from: a topic,
    source: String,
    /// a lane of it,
    lane: u32,
    /// and a position there.
    position: u64,
    /// Why it could not be applied.
    reason: String,
    /// Since when it is parked.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Bytes of its value.
    size: usize,
}

/// A page of parked events.
#[derive(Serialize, ToSchema)]
struct ParkedList {
    /// The events, service by service, oldest first.
    parked: Vec<ParkedEvent>,
    /// Give this as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// A parked event with all that is known of it. What stands for a means of payment is blacked out.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ParkedDetail {
    #[serde(flatten)]
    event: ParkedEvent,
    /// Names and values.
    headers: Vec<HeaderView>,
    /// The event, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    value: Option<Box<RawValue>>,
    /// Its bytes in base64, if they are not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// A header of an event.
#[derive(Serialize, ToSchema)]
struct HeaderView {
    /// Its name.
    name: String,
    /// Its value.
    value: String,
}

/// Which parked events to try again. Without a filter: all.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the documentation; requests are read by Form")]
struct RetryRequest {
    /// Of this service only: orders, payments or fulfillment.
    service: Option<String>,
    /// Of this order only.
    order: Option<String>,
    /// With these words in their reason.
    reason: Option<String>,
    /// Exactly these, of the service named.
    ids: Option<Vec<String>>,
    /// Only say what would be tried.
    #[schema(rename = "dryRun")]
    dry_run: Option<bool>,
    /// Orders tried a second, 1 to 1000; 50 if left out.
    rate: Option<u32>,
    /// Orders tried in all, 1 to 10000.
    limit: Option<u32>,
}

/// Which parked events to discard. At least one filter.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the documentation; requests are read by Form")]
struct DiscardRequest {
    /// Of this service only: orders, payments or fulfillment.
    service: Option<String>,
    /// Of this order only.
    order: Option<String>,
    /// With these words in their reason.
    reason: Option<String>,
    /// Exactly these, of the service named.
    ids: Option<Vec<String>>,
    /// Only say what would be discarded.
    #[schema(rename = "dryRun")]
    dry_run: Option<bool>,
    /// How many events that are, as the dry run said. Needed unless it is one.
    confirm: Option<u32>,
}

/// What a retry or a discard would do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DryRun {
    /// Always true.
    dry_run: bool,
    /// Orders concerned.
    orders: usize,
    /// Events selected.
    events: usize,
    /// Whether more are parked than one call looks at.
    more: bool,
    /// The first of the events.
    parked: Vec<ParkedEvent>,
}

/// How a retry goes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RetryView {
    /// `running`, `finished`, or `ended early`.
    state: &'static str,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Why it ended before its time.
    reason: Option<String>,
    /// Orders that were tried.
    orders: usize,
    /// Events that were applied.
    applied: usize,
    /// Events of these orders that still wait.
    left: usize,
    /// Why, for the first of these orders.
    still_parked: Vec<StillParkedView>,
}

/// An order whose events still wait.
#[derive(Serialize, ToSchema)]
struct StillParkedView {
    /// The service.
    service: &'static str,
    /// The order.
    #[schema(value_type = String)]
    order: OrderId,
    /// Why the first of them can't be applied.
    reason: String,
}

/// What was discarded.
#[derive(Serialize, ToSchema)]
struct DiscardView {
    /// Events that are gone.
    discarded: usize,
    /// Events behind them that could be applied then.
    applied: usize,
    /// Events of these orders that still wait.
    left: usize,
}

/// Parked events of all services, oldest first, page by page.
#[utoipa::path(get, path = "/v1/admin/parked", tag = "admin",
    params(("service" = Option<String>, Query, description = "orders, payments or fulfillment"),
        ("order" = Option<String>, Query, description = "those of this order: its id"), ("limit" = Option<u32>, Query, maximum = 500),
        ("cursor" = Option<String>, Query)),
    responses((status = 200, body = ParkedList), (status = 400, body = Problem)))]
async fn list(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Json<ParkedList>, Problem> {
    let mut query = Query::read(query.as_deref(), &["service", "order", "limit", "cursor"]);
    let service = query.word("service", &names(&api.services));
    let order = query.text("order", "the id of an order", OrderId::parse);
    let limit = query.number("limit", 1, MAX_PAGE as u64).map_or(PAGE, |limit| limit as usize);
    let from = query.text_of("cursor", "the next of an earlier page of the same list", |cursor| {
        let (name, after) = cursor.split_once('-')?;
        let at = api.services.iter().position(|handle| handle.name == name)?;
        Some((at, after.parse().ok()?))
    });
    query.finish()?;
    let (first, mut after) = from.unwrap_or((0, 0));
    let mut parked = Vec::new();
    let mut bytes = 0;
    for handle in api.services.iter().skip(first) {
        if service.as_ref().is_some_and(|name| name != handle.name) {
            after = 0;
            continue;
        }
        let room = limit - parked.len();
        // One more tells whether there is a next page.
        let page =
            handle.store.parked_page(&ParkedQuery { order: order.clone(), after, limit: room + 1 }).await?;
        after = 0;
        for listed in page {
            if parked.len() == limit || bytes >= PAGE_BYTES {
                let next =
                    parked.last().map(|(at, last): &(&str, ListedParked)| format!("{at}-{}", last.arrival));
                return Ok(Json(ParkedList { parked: views(parked), next }));
            }
            bytes += listed.parked.delivery.value.len();
            parked.push((handle.name, listed));
        }
        if bytes >= PAGE_BYTES {
            // The store has ended its page for its size: whether there is more, only the next page tells.
            let next =
                parked.last().map(|(at, last): &(&str, ListedParked)| format!("{at}-{}", last.arrival));
            return Ok(Json(ParkedList { parked: views(parked), next }));
        }
    }
    Ok(Json(ParkedList { parked: views(parked), next: None }))
}

/// A parked event with its bytes, its headers and the reason.
#[utoipa::path(get, path = "/v1/admin/parked/{service}/{id}", tag = "admin",
    params(("service" = String, Path, description = "orders, payments or fulfillment"),
        ("id" = String, Path, description = "the id of the parked event, as the list shows it")),
    responses((status = 200, body = ParkedDetail), (status = 404, body = Problem)))]
async fn show(State(api): State<Arc<Api>>, path: OnePath) -> Result<Json<ParkedDetail>, Problem> {
    let Found { handle, listed } = find(&api, path).await?;
    let delivery = &listed.parked.delivery;
    let shown = redact::without_tokens(&delivery.value);
    let value = serde_json::from_slice::<Box<RawValue>>(&shown).ok();
    let base64 = value.is_none().then(|| BASE64_STANDARD.encode(&shown));
    let headers = delivery.headers.iter().map(|(name, value)| HeaderView {
        name: name.to_owned(),
        value: String::from_utf8_lossy(value).into_owned(),
    });
    let headers = headers.collect();
    Ok(Json(ParkedDetail { headers, value, base64, event: ParkedEvent::of(handle.name, listed) }))
}

/// Tries parked events again, in the background; answers at once when that takes no longer than a moment.
#[utoipa::path(post, path = "/v1/admin/parked/retry", tag = "admin", request_body = Option<RetryRequest>,
    responses((status = 200, description = "It is finished, or it was a dry run", body = RetryView),
        (status = 202, description = "It goes on; GET shows how far it is", body = RetryView),
        (status = 400, body = Problem), (status = 409, body = Problem)))]
async fn retry(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let names = names(&api.services);
    let body = or_empty(json_body(&headers, body)?);
    let (selection, dry_run, rate, limit) = read_body(&body, |form| {
        let selection = read_selection(form, &names);
        let dry_run = form.flag("dryRun");
        let rate = form.integer("rate", 1, MAX_RATE.into());
        let limit = form.integer("limit", 1, MAX_RETRIED as i64);
        Some((selection?, dry_run, rate, limit))
    })?;
    let walk = Walk::new(selection, &api.services);
    if dry_run {
        return Ok(Json(gather(walk, usize::MAX).await?.dry_run()).into_response());
    }
    let rate = rate.and_then(|rate| u32::try_from(rate).ok()).unwrap_or(RATE);
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_RETRIED);
    let begun = api.retries.start(walk, rate, limit);
    begun.map_err(|busy| Problem::new(StatusCode::CONFLICT, "not-now", busy.to_string()))?;
    api.retries.wait(PATIENCE).await;
    let progress = api.retries.progress().unwrap_or_default();
    let status = if progress.ended_at.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(RetryView::of(progress))).into_response())
}

/// How the last retry went, or goes.
#[utoipa::path(get, path = "/v1/admin/parked/retry", tag = "admin",
    responses((status = 200, body = RetryView), (status = 404, body = Problem)))]
async fn progress(State(api): State<Arc<Api>>) -> Result<Json<RetryView>, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "not-found", "nothing was retried since the start");
    Ok(Json(RetryView::of(api.retries.progress().ok_or_else(none)?)))
}

/// Discards parked events for good: they are logged whole, and their orders go on without them. No order's history shows it.
#[utoipa::path(post, path = "/v1/admin/parked/discard", tag = "admin", request_body = DiscardRequest,
    responses((status = 200, description = "They are gone, or it was a dry run", body = DiscardView),
        (status = 400, body = Problem), (status = 409, body = Problem)))]
async fn discard(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let names = names(&api.services);
    let (selection, dry_run, confirm) = read_body(&json_body(&headers, body)?, |form| {
        let selection = read_selection(form, &names);
        let dry_run = form.flag("dryRun");
        let confirm = form.integer("confirm", 1, MAX_DISCARDED as i64);
        let selection = selection?;
        let all = selection.service.is_none() && selection.order.is_none() && selection.reason.is_none();
        if all && !form.has_errors() {
            form.bad("service", "is needed, or an order or a reason: say which events are to be discarded");
        }
        Some((selection, dry_run, confirm))
    })?;
    let gathered = gather(Walk::new(selection, &api.services), MAX_DISCARDED).await?;
    if dry_run {
        return Ok(Json(gathered.dry_run()).into_response());
    }
    let events = gathered.found.len();
    let not_now = |detail: String| Problem::new(StatusCode::CONFLICT, "not-now", detail);
    if gathered.more {
        let detail =
            format!("more than {MAX_DISCARDED} events are selected: narrow it, by an order or a reason");
        return Err(not_now(detail));
    }
    if events > 1 && confirm.is_none() {
        return Err(Problem::field("/confirm", format!("must be {events} to discard all that is selected")));
    }
    if confirm.is_some_and(|confirm| usize::try_from(confirm) != Ok(events)) {
        return Err(not_now(format!(
            "{events} events are selected now: look again, then confirm that number"
        )));
    }
    Ok(Json(DiscardView::of(parked::discard(gathered.found).await)?).into_response())
}

/// Discards one parked event for good.
#[utoipa::path(delete, path = "/v1/admin/parked/{service}/{id}", tag = "admin",
    params(("service" = String, Path, description = "orders, payments or fulfillment"),
        ("id" = String, Path, description = "the id of the parked event, as the list shows it")),
    responses((status = 200, body = DiscardView), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn discard_one(State(api): State<Arc<Api>>, path: OnePath) -> Result<Json<DiscardView>, Problem> {
    let found = find(&api, path).await?;
    Ok(Json(DiscardView::of(parked::discard(vec![found]).await)?))
}

type OnePath = Result<Path<(String, String)>, PathRejection>;

async fn find(api: &Api, path: OnePath) -> Result<Found, Problem> {
    let none =
        || Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such parked event (any more)");
    let Path((service, id)) = path.map_err(|_| none())?;
    let handle = api.services.iter().find(|handle| handle.name == service).ok_or_else(none)?;
    let id = ParkedId::parse(&id).ok_or_else(none)?;
    let listed = parked::one(handle, &id).await?.ok_or_else(none)?;
    Ok(Found { handle: handle.clone(), listed })
}

fn names(services: &[Handle]) -> Vec<&'static str> {
    services.iter().map(|handle| handle.name).collect()
}

fn read_selection(form: &mut Form<'_>, names: &[&'static str]) -> Option<Selection> {
    let words: Vec<(&str, &str)> = names.iter().map(|name| (*name, *name)).collect();
    let service = form.word("service", &words).map(str::to_owned);
    let order = form.parsed("order", OrderId::parse);
    let reason = form.text("reason", 1, 200);
    let named = form.has("ids");
    let ids = form.texts("ids", MAX_IDS, "the id of a parked event", ParkedId::parse);
    if named && ids.is_empty() && !form.has_errors() {
        form.bad("ids", "must name at least one event; leave it out to mean all of them");
    }
    if !ids.is_empty() && service.is_none() && !form.has_errors() {
        form.bad("service", "is needed with ids: they are those of one service");
    }
    (!form.has_errors()).then_some(Selection { service, order, reason, ids })
}

struct Gathered {
    found: Vec<Found>,
    events: usize,
    /// An order may have parked events in several services.
    orders: HashSet<OrderId>,
    more: bool,
}

/// What is selected; at most `limit` events are kept, or as many as a dry run shows.
async fn gather(mut walk: Walk, limit: usize) -> Result<Gathered, Problem> {
    let mut all = Gathered { found: vec![], events: 0, orders: HashSet::new(), more: false };
    let kept = if limit == usize::MAX { SHOWN } else { limit };
    while let Some(found) = walk.next().await? {
        for found in found {
            if all.events == limit {
                all.more = true;
                return Ok(all);
            }
            all.events += 1;
            all.orders.insert(found.listed.order.clone());
            if all.found.len() < kept {
                all.found.push(found);
            }
        }
    }
    all.more = walk.is_cut();
    Ok(all)
}

impl Gathered {
    fn dry_run(self) -> DryRun {
        let shown = self.found.into_iter().take(SHOWN);
        let parked = shown.map(|found| ParkedEvent::of(found.handle.name, found.listed)).collect();
        DryRun { dry_run: true, orders: self.orders.len(), events: self.events, more: self.more, parked }
    }
}

fn views(parked: Vec<(&'static str, ListedParked)>) -> Vec<ParkedEvent> {
    parked.into_iter().map(|(service, listed)| ParkedEvent::of(service, listed)).collect()
}

impl ParkedEvent {
    fn of(service: &'static str, listed: ListedParked) -> Self {
        let id = ParkedId::of(&listed).to_string();
        let parked = listed.parked;
        let origin = parked.delivery.origin;
        Self {
            id,
            service,
            order: listed.order,
            order_known: listed.known,
            event_id: parked.event_id,
            event_type: parked.delivery.headers.get("eventType").map(str::to_owned),
            source: origin.source.to_string(),
            lane: origin.lane,
            position: origin.position,
            reason: parked.reason,
            since: parked.parked_at,
            size: parked.delivery.value.len(),
        }
    }
}

impl RetryView {
    fn of(progress: Progress) -> Self {
        let state = match (&progress.ended_at, &progress.ended_early) {
            (None, _) => "running",
            (Some(_), None) => "finished",
            (Some(_), Some(_)) => "ended early",
        };
        let still = progress.reasons.into_iter().map(|still| StillParkedView {
            service: still.service,
            order: still.order,
            reason: still.why,
        });
        Self {
            state,
            started_at: progress.started_at,
            ended_at: progress.ended_at,
            reason: progress.ended_early,
            orders: progress.orders,
            applied: progress.applied,
            left: progress.left,
            still_parked: still.collect(),
        }
    }
}

impl DiscardView {
    fn of(result: Result<Discarded, (Discarded, crate::workers::inbox::NotTaken)>) -> Result<Self, Problem> {
        match result {
            Ok(Discarded { discarded, applied, left }) => Ok(Self { discarded, applied, left }),
            Err((done, why)) => {
                let mut problem = Problem::from(why);
                problem.detail =
                    format!("{}; {} events were discarded before", problem.detail, done.discarded);
                Err(problem)
            }
        }
    }
}
