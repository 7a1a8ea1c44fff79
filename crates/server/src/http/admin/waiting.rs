//! Open orders that wait: for what, since when, and when it will be tried again.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{RawQuery, State},
};
use cartwright_core::{
    domain::{
        flow::{By, FLOWS, Life, MANUAL_FLOW, StepKind, steps_of},
        ids::OrderId,
        order::{Milestone, Order},
        time::Timestamp,
    },
    ports::{Listed, OpenQuery, Stage, Store},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::query::Query;
use crate::http::{Api, problem::Problem};

/// Orders per page, unless asked otherwise.
const PAGE: usize = 50;
/// Orders per page, at most.
const MAX_PAGE: usize = 500;
/// Orders that one page looks at: a filter that few match gives short pages, not long waits.
const LOOKED_AT: usize = 2_000;
/// Orders read at once from each place where they stand.
const CHUNK: usize = 64;
/// Who answers for a step that the half of an older system does.
const NEIGHBOUR: &str = "neighbour";
/// The kinds of steps that can be waited for.
const KINDS: [StepKind; 4] = [StepKind::Pay, StepKind::Schedule, StepKind::Ship, StepKind::Wait];

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A page of waiting orders.
#[derive(Serialize, ToSchema)]
struct WaitingList {
    /// The orders, the one that was placed first comes first.
    waiting: Vec<WaitingOrder>,
    /// Give this as `cursor` to look on; null when all were looked at. With filters, a page may hold few orders or none
    /// and still have a next one.
    next: Option<String>,
    /// Open orders of this page that can't be read.
    #[serde(skip_serializing_if = "is_zero")]
    unreadable: usize,
}

/// An open order, and what it waits for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct WaitingOrder {
    /// Its id.
    #[schema(value_type = String)]
    order: OrderId,
    /// Its number.
    number: String,
    /// Its flow.
    flow: String,
    /// The last milestone it reached.
    milestone: Milestone,
    /// Whether it waits for somebody to release it.
    on_hold: bool,
    /// The kind of step that it waits for; null while it only waits to be released.
    kind: Option<StepKind>,
    /// Whose answer it waits for: a service, or `neighbour`, the half of an older system that stays.
    service: Option<&'static str>,
    /// How far that step is.
    state: Option<Life>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Why, as the service said.
    reason: Option<String>,
    /// When the service will try again.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_try_at: Option<Timestamp>,
    /// How often the order has asked again.
    asked_again: u32,
    /// When it was placed.
    #[schema(value_type = String, format = DateTime)]
    placed_at: Timestamp,
}

/// Which orders are asked for.
struct Wanted {
    service: Option<String>,
    kind: Option<StepKind>,
    /// Waiting since before.
    before: Option<Timestamp>,
}

/// Open orders that wait, the oldest order first, page by page. Orders of the flow `manual` wait for nothing of ours.
#[utoipa::path(get, path = "/v1/admin/waiting", tag = "admin",
    params(("service" = Option<String>, Query, description = "wait for this service: orders, payments or fulfillment; or for a neighbour"),
        ("kind" = Option<String>, Query, description = "wait for such a step: pay, schedule, ship or wait"),
        ("olderThan" = Option<u64>, Query, description = "wait longer than so many seconds"),
        ("limit" = Option<u32>, Query, maximum = 500), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = WaitingList), (status = 400, body = Problem)))]
async fn list(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Json<WaitingList>, Problem> {
    let mut query = Query::read(query.as_deref(), &["service", "kind", "olderThan", "limit", "cursor"]);
    let names: Vec<&str> = api.services.iter().map(|service| service.name).chain([NEIGHBOUR]).collect();
    let service = query.word("service", &names);
    let kind = query.word("kind", &KINDS.map(StepKind::as_str));
    let kind = kind.and_then(|word| KINDS.into_iter().find(|kind| kind.as_str() == word));
    let older_than = query.number("olderThan", 0, 10 * 365 * 24 * 3600);
    let limit = query.number("limit", 1, MAX_PAGE as u64).map_or(PAGE, |limit| limit as usize);
    let after = query.text_of("cursor", "the next of an earlier page of the same list", |cursor| {
        let (moment, number) = cursor.rsplit_once('-')?;
        Some((Timestamp::from_micros(moment.parse().ok()?), number.parse().ok()?))
    });
    query.finish()?;
    let before = older_than.map(|seconds| api.clock.now().minus(Duration::from_secs(seconds)));
    Ok(Json(page(&*api.store, &Wanted { service, kind, before }, after, limit).await?))
}

async fn page(
    store: &dyn Store,
    wanted: &Wanted,
    after: Option<(Timestamp, u64)>,
    limit: usize,
) -> Result<WaitingList, Problem> {
    let mut oldest = Oldest::new(wanted.before, after);
    let mut list = WaitingList { waiting: vec![], next: None, unreadable: 0 };
    let mut looked_at = 0;
    let mut last = None;
    while let Some(listed) = oldest.next(store).await? {
        if list.waiting.len() == limit || looked_at == LOOKED_AT {
            list.next =
                last.map(|(moment, number): (Timestamp, u64)| format!("{}-{number}", moment.as_micros()));
            break;
        }
        looked_at += 1;
        last = Some(listed.place);
        match serde_json::from_slice::<Order>(listed.stored.record.as_deref().unwrap_or_default()) {
            Ok(order) => list.waiting.extend(WaitingOrder::of(order).filter(|order| wanted.is(order))),
            Err(_) => list.unreadable += 1,
        }
    }
    Ok(list)
}

/// Open orders of all flows, the oldest first: each place where they can stand is read by itself, in order.
struct Oldest {
    stages: Vec<Reading>,
}

/// One place where orders can stand, and how far it is read.
struct Reading {
    query: OpenQuery,
    /// Read ahead, the oldest last.
    ahead: Vec<Listed>,
    at_end: bool,
}

impl Oldest {
    fn new(placed_before: Option<Timestamp>, after: Option<(Timestamp, u64)>) -> Self {
        let reading = |stage| Reading {
            query: OpenQuery { stage, placed_before, after, limit: CHUNK },
            ahead: vec![],
            at_end: false,
        };
        Self { stages: stages().map(reading).collect() }
    }

    async fn next(&mut self, store: &dyn Store) -> Result<Option<Listed>, Problem> {
        for stage in &mut self.stages {
            if stage.ahead.is_empty() && !stage.at_end {
                stage.ahead = store.open_orders(&stage.query).await?;
                stage.query.after = stage.ahead.last().map(|last| last.place).or(stage.query.after);
                stage.at_end = stage.ahead.is_empty();
                stage.ahead.reverse();
            }
        }
        let oldest = self.stages.iter_mut().filter(|stage| !stage.ahead.is_empty());
        let oldest = oldest.min_by_key(|stage| stage.ahead.last().map(|listed| listed.place));
        Ok(oldest.and_then(|stage| stage.ahead.pop()))
    }
}

/// Every place where an order can stand that waits for a step.
fn stages() -> impl Iterator<Item = Stage> {
    FLOWS.into_iter().filter(|flow| *flow != MANUAL_FLOW).flat_map(|flow| {
        let reached = steps_of(flow).unwrap_or_default().into_iter().map(|step| step.kind.milestone());
        let milestones = std::iter::once(Milestone::Created).chain(reached);
        milestones.map(|milestone| Stage { flow: flow.to_owned(), milestone: milestone.as_str().to_owned() })
    })
}

impl WaitingOrder {
    /// What an order waits for; `None` if it waits for nothing.
    fn of(order: Order) -> Option<Self> {
        let step = order.awaited().cloned();
        if step.is_none() && !order.on_hold {
            return None;
        }
        Some(Self {
            number: order.number.to_string(),
            milestone: order.milestone,
            on_hold: order.on_hold,
            kind: step.as_ref().map(|step| step.kind),
            service: step.as_ref().map(|step| match step.by {
                By::Us => step.kind.service(),
                By::Neighbour => NEIGHBOUR,
            }),
            state: step.as_ref().map(|step| step.life),
            since: step.as_ref().and_then(|step| step.since).unwrap_or(order.updated_at),
            next_try_at: step.as_ref().and_then(|step| step.next_try_at),
            asked_again: step.as_ref().map_or(0, |step| step.asked_again),
            reason: step.and_then(|step| step.reason),
            placed_at: order.created_at,
            flow: order.placed.flow.clone(),
            order: order.id,
        })
    }
}

impl Wanted {
    fn is(&self, order: &WaitingOrder) -> bool {
        self.service.as_deref().is_none_or(|name| order.service == Some(name))
            && self.kind.is_none_or(|kind| order.kind == Some(kind))
            && self.before.is_none_or(|before| order.since <= before)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
