//! An order's history, and the topics.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cartwright_core::ports::{Store, StoreError};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    docs,
    headers::{self, PathId},
    lists,
};
use crate::http::{
    Api,
    problem::{FieldError, Problem},
};

/// Events read from the history at once.
const HISTORY_PAGE: usize = 1_000;
/// Events per page of a topic, unless asked otherwise.
const PAGE: usize = 100;
/// Events per page of a topic, at most.
const MAX_PAGE: usize = 1_000;

/// Everything that happened to an order, across all services, in order.
#[utoipa::path(get, path = "/v1/orders/{id}/events", tag = "events", params(("id" = String, Path)),
    responses((status = 200, body = docs::EventList), (status = 404, body = Problem)))]
pub async fn history(State(api): State<Arc<Api>>, id: PathId) -> Result<Response, Problem> {
    let id = headers::path_id(&id)?;
    let first = api.store.history(&id, 0, HISTORY_PAGE).await?;
    if first.is_empty() {
        lists::load(&*api.store, &id).await?;
    }
    let pages = futures_util::stream::try_unfold(Some((0_u64, false, first)), move |page| {
        let (store, id) = (api.store.clone(), id.clone());
        async move {
            let Some((before, mut comma, page)) = page else { return Ok(None) };
            let mut part = Vec::new();
            part.extend_from_slice(if before == 0 { b"{\"events\":[" } else { b"" });
            write_events(&page, &mut comma, &mut part);
            let read = before + page.len() as u64;
            let next = if page.is_empty() { page } else { store.history(&id, read, HISTORY_PAGE).await? };
            let more = !next.is_empty();
            part.extend_from_slice(if more { b"" } else { b"]}" });
            Ok::<_, StoreError>(Some((Bytes::from(part), more.then_some((read, comma, next)))))
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(pages)).into_response())
}

/// A topic, from its beginning or from a position.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("topic" = String, Query, description = "orders, payments or fulfillment"),
        ("after" = Option<String>, Query, description = "the next of an earlier page, or latest for what comes from now on"),
        ("limit" = Option<u32>, Query, maximum = 1000)),
    responses((status = 200, body = docs::EventList), (status = 400, body = Problem), (status = 410, body = Problem)))]
pub async fn topic(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let asked = read_query(query.as_deref().unwrap_or_default(), &api.topics)?;
    let incarnation = asked.store.incarnation();
    let position = match asked.after {
        None => 0,
        Some(After::Latest) => asked.store.journal_bounds().await?.1,
        Some(After::Position(of, position)) => {
            let (oldest, head) = asked.store.journal_bounds().await?;
            if of != incarnation || position > head || position + 1 < oldest {
                let first = write_cursor(incarnation, oldest.saturating_sub(1));
                let detail = format!("this position is gone; the oldest that is kept is after={first}");
                return Err(Problem::new(StatusCode::GONE, "position-gone", detail));
            }
            position
        }
    };
    let rows = asked.store.journal(position, asked.limit).await?;
    let next = rows.last().map_or(position, |row| row.position);
    let events: Vec<Bytes> = rows.into_iter().map(|row| row.message.value).collect();
    Ok(answer(&events, &write_cursor(incarnation, next)))
}

struct TopicQuery {
    store: Arc<dyn Store>,
    after: Option<After>,
    limit: usize,
}

/// Where to go on.
enum After {
    /// Behind what is there now.
    Latest,
    /// Behind this position of this journal.
    Position(Uuid, u64),
}

fn read_query(text: &str, topics: &[(&'static str, Arc<dyn Store>)]) -> Result<TopicQuery, Problem> {
    let (mut store, mut after, mut limit) = (None, None, PAGE);
    let mut errors = Vec::new();
    let mut bad = |field: &str, message: &str| {
        errors.push(FieldError { field: field.to_owned(), message: message.to_owned() });
    };
    let mut given = Vec::with_capacity(3);
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if given.contains(&name) {
            bad(&name, "must be given once");
            continue;
        }
        match &*name {
            "topic" => {
                store = topics.iter().find(|(topic, _)| *topic == value).map(|(_, store)| store.clone())
            }
            "after" => match read_cursor(&value) {
                Some(cursor) => after = Some(cursor),
                None => bad("after", "must be the next of an earlier page, or latest"),
            },
            "limit" => match value.parse() {
                Ok(number) if (1..=MAX_PAGE).contains(&number) => limit = number,
                _ => bad("limit", "must be a whole number between 1 and 1000"),
            },
            other => {
                bad(other, "is not a parameter of this call");
                continue;
            }
        }
        given.push(name);
    }
    if store.is_none() {
        bad("topic", "must be orders, payments or fulfillment");
    }
    match store {
        Some(store) if errors.is_empty() => Ok(TopicQuery { store, after, limit }),
        _ => Err(Problem::fields(errors)),
    }
}

/// A position with the journal that it belongs to. Opaque to clients.
fn write_cursor(incarnation: Uuid, position: u64) -> String {
    format!("{}-{position}", incarnation.simple())
}

fn read_cursor(text: &str) -> Option<After> {
    if text == "latest" {
        return Some(After::Latest);
    }
    let (incarnation, position) = text.rsplit_once('-')?;
    Some(After::Position(Uuid::try_parse(incarnation).ok()?, position.parse().ok()?))
}

fn answer(events: &[Bytes], next: &str) -> Response {
    let mut body = Vec::with_capacity(events.iter().map(|event| event.len() + 1).sum::<usize>() + 80);
    body.extend_from_slice(b"{\"events\":[");
    write_events(events, &mut false, &mut body);
    body.extend_from_slice(b"],\"next\":\"");
    body.extend_from_slice(next.as_bytes());
    body.extend_from_slice(b"\"}");
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

/// The events' bytes, exactly as they were sent but for what stands for the means of payment: that is for the
/// payments service alone. One that was damaged in its file is left out: it would make the whole answer unreadable.
fn write_events(events: &[Bytes], comma: &mut bool, into: &mut Vec<u8>) {
    for event in events {
        if let Err(error) = serde_json::from_slice::<&RawValue>(event) {
            tracing::error!(%error, "a stored event is damaged and left out of an answer");
            continue;
        }
        if std::mem::replace(comma, true) {
            into.push(b',');
        }
        match without_token(event) {
            Some(event) => into.extend_from_slice(&event),
            None => into.extend_from_slice(event),
        }
    }
}

/// The event with its token blacked out; `None` when it has none.
fn without_token(event: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"\"token\"";
    if !event.windows(NAME.len()).any(|window| window == NAME) {
        return None;
    }
    let mut json: serde_json::Value = serde_json::from_slice(event).ok()?;
    let token = json.pointer_mut("/payload/work/token").filter(|token| token.is_string())?;
    *token = "***".into();
    serde_json::to_vec(&json).ok()
}
