//! `verify --search`: every order against its document in the search index.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use cartwright_core::domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::api::{Api, ApiError, path_part},
    judge::{Finding, NAMED, ProblemKind},
};
use crate::search::document::MAX_EVENTS;

/// Orders compared at once.
const PAGE: usize = 200;
/// Histories asked for at once.
const HISTORIES: usize = 16;
/// How long a document may take to become what its order is.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where an order and its document say the same, as JSON pointers into the order and names of the document.
const SAME: &[(&str, &str)] = &[
    ("/number", "number"),
    ("/externalId", "externalId"),
    ("/dialect", "dialect"),
    ("/channel", "channel"),
    ("/version", "version"),
    ("/flow", "flow"),
    ("/status", "orderStatus"),
    ("/milestone", "milestone"),
    ("/onHold", "onHold"),
    ("/paymentStatus", "paymentStatus"),
    ("/fulfillmentStatus", "fulfillmentStatus"),
    ("/customer/id", "customerId"),
    ("/customer/email", "customerEmail"),
    ("/customer/name", "customerName"),
    ("/currency", "currency"),
    ("/totals/total", "total"),
    ("/shipTo/country", "country"),
    ("/lines/0/name", "productType"),
    ("/correlationId", "correlationId"),
    ("/createdAt", "createdAt"),
    ("/updatedAt", "updatedAt"),
];

/// What came of the comparison.
#[derive(Default)]
pub struct Compared {
    /// Orders that were compared.
    pub orders: u64,
    /// What is wrong.
    pub problems: BTreeMap<ProblemKind, Finding>,
}

impl Compared {
    fn found(&mut self, problem: ProblemKind, id: &str) {
        let finding = self.problems.entry(problem).or_default();
        finding.count += 1;
        if finding.ids.len() < NAMED {
            finding.ids.push(id.to_owned());
        }
    }
}

/// Compares every order with its document. What differs is given time: the index follows the orders.
pub async fn compare(api: &Api) -> Result<Compared, ApiError> {
    let (mut compared, mut seen, mut suspects) = (Compared::default(), BTreeSet::new(), vec![]);
    let mut cursor = None;
    loop {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page: Value = api.get("/v1/orders", &query).await?;
        let orders = page["orders"].as_array().cloned().unwrap_or_default();
        let documents = documents(api, orders.iter().filter_map(|order| order["id"].as_str())).await?;
        for order in &orders {
            let Some(id) = order["id"].as_str() else { continue };
            compared.orders += u64::from(seen.insert(id.to_owned()));
        }
        let found = stream::iter(&orders)
            .map(|order| differs(api, order, &documents))
            .buffered(HISTORIES)
            .try_collect::<Vec<_>>()
            .await?;
        suspects.extend(found.into_iter().flatten().map(|(id, _)| id));
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    recheck(api, suspects, &mut compared).await?;
    let missing = compared.problems.get(&ProblemKind::NotFound).map_or(0, |missing| missing.count);
    for id in strangers(api, &seen, missing).await? {
        compared.found(ProblemKind::FoundOnly, &id);
    }
    Ok(compared)
}

async fn recheck(api: &Api, mut suspects: Vec<String>, compared: &mut Compared) -> Result<(), ApiError> {
    let begun = Instant::now();
    while !suspects.is_empty() {
        let late = begun.elapsed() > PATIENCE;
        let mut still = vec![];
        for id in suspects {
            let order: Value = match api.get(&format!("/v1/orders/{}", path_part(&id)), &[]).await {
                Err(error) if error.status() == Some(404) => continue, // it is gone by now
                order => order?,
            };
            let documents = documents(api, [&*id].into_iter()).await?;
            match differs(api, &order, &documents).await? {
                Some((id, problem)) if late => compared.found(problem, &id),
                Some((id, _)) => still.push(id),
                None => {}
            }
        }
        suspects = still;
        if !suspects.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

async fn documents<'a>(
    api: &Api,
    ids: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Value>, ApiError> {
    let ids: Vec<&str> = ids.collect();
    let body = json!({"query": {"ids": {"values": ids}}, "size": PAGE,
        "_source": {"excludes": ["metadata"]}});
    let found: Value = api.post("/search/_search", &body, None).await?.body;
    let hits = found["hits"]["hits"].as_array().cloned().unwrap_or_default();
    let named = |mut hit: Value| Some((hit["_id"].as_str()?.to_owned(), hit["_source"].take()));
    Ok(hits.into_iter().filter_map(named).collect())
}

/// The order's id, if something is wrong with its document, and what.
async fn differs(
    api: &Api,
    order: &Value,
    documents: &BTreeMap<String, Value>,
) -> Result<Option<(String, ProblemKind)>, ApiError> {
    let Some(id) = order["id"].as_str() else { return Ok(None) };
    let document = documents.get(id);
    let problem = match (problem(order, document), document) {
        (None, Some(document)) => {
            let history: Value = api.get(&format!("/v1/orders/{}/events", path_part(id)), &[]).await?;
            (!tells(&document["events"], &history["events"])).then_some(ProblemKind::FoundOtherwise)
        }
        (problem, _) => problem,
    };
    Ok(problem.map(|problem| (id.to_owned(), problem)))
}

/// What a timeline says of an event, by its names there or in the history.
#[derive(Deserialize, PartialEq)]
struct Event {
    #[serde(alias = "eventId")]
    id: Uuid,
    #[serde(rename = "type", alias = "eventType")]
    kind: String,
    #[serde(alias = "occurredAt")]
    at: Timestamp,
    source: String,
}

/// Whether a timeline holds the newest events of a history. What can't be read is in none.
fn tells(timeline: &Value, history: &Value) -> bool {
    let (timeline, history) = (events(timeline), events(history));
    let newest = &history[history.len().saturating_sub(MAX_EVENTS)..];
    timeline == newest
}

fn events(items: &Value) -> Vec<Event> {
    items.as_array().into_iter().flatten().filter_map(|item| Event::deserialize(item).ok()).collect()
}

fn problem(order: &Value, document: Option<&Value>) -> Option<ProblemKind> {
    let Some(document) = document else { return Some(ProblemKind::NotFound) };
    let same = SAME.iter().all(|(in_order, name)| {
        let there = order.pointer(in_order).unwrap_or(&Value::Null);
        there == &document[*name]
    });
    let word = order.get("dialectStatus").unwrap_or(&order["status"]);
    let same = same && document["status"] == *word;
    let of_each = |list: &str, name: &str| {
        let items = order[list].as_array().into_iter().flatten();
        items.filter_map(|item| item[name].as_str()).filter(|text| !text.is_empty()).collect::<BTreeSet<_>>()
    };
    let all = |name: &str| {
        let values = document[name].as_array().into_iter().flatten();
        values.filter_map(Value::as_str).filter(|text| !text.is_empty()).collect::<BTreeSet<_>>()
    };
    let lists = [
        ("lines", "sku", "skus"),
        ("lines", "name", "products"),
        ("shipments", "trackingNumber", "trackingNumber"),
        ("shipments", "carrier", "carrier"),
    ];
    let same = same && lists.into_iter().all(|(list, name, there)| of_each(list, name) == all(there));
    (!same).then_some(ProblemKind::FoundOtherwise)
}

/// Documents of orders that there are not, the first few of them.
/// `missing`: so many orders have no document.
async fn strangers(api: &Api, seen: &BTreeSet<String>, missing: u64) -> Result<Vec<String>, ApiError> {
    let count: Value = api.post("/search/_count", &json!({}), None).await?.body;
    if count["count"].as_u64().is_some_and(|count| count + missing <= seen.len() as u64) {
        return Ok(vec![]);
    }
    let mut strangers = vec![];
    let mut after: Option<Value> = None;
    while strangers.len() < NAMED {
        let mut body = json!({"sort": [{"id": "asc"}], "size": PAGE, "_source": false});
        if let Some(after) = after.take() {
            body["search_after"] = after;
        }
        let found: Value = api.post("/search/_search", &body, None).await?.body;
        let hits = found["hits"]["hits"].as_array().cloned().unwrap_or_default();
        let Some(last) = hits.last() else { break };
        after = Some(last["sort"].clone());
        for id in hits.iter().filter_map(|hit| hit["_id"].as_str()).filter(|id| !seen.contains(*id)) {
            // It may be younger than our reading of the list.
            match api.get_bytes(&format!("/v1/orders/{}", path_part(id)), &[]).await {
                Err(error) if error.status() == Some(404) => strangers.push(id.to_owned()),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
    }
    Ok(strangers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Value {
        json!({"id": "a", "number": "1001", "externalId": null, "version": 3, "status": "open", "dialect": "d",
            "dialectStatus": "Created", "totals": {"total": 5},
            "customer": {"id": "c"}, "lines": [{"sku": "s", "name": null}, {"sku": "s", "name": "Chair"}],
            "shipments": [{"trackingNumber": "T-1", "carrier": ""}]})
    }

    fn document() -> Value {
        json!({"id": "a", "number": "1001", "version": 3, "status": "Created", "dialect": "d", "orderStatus": "open", "total": 5,
            "customerId": "c", "skus": ["s"], "products": ["Chair"], "trackingNumber": ["T-1"], "carrier": []})
    }

    #[test]
    fn an_order_and_its_document_say_the_same() {
        assert_eq!(problem(&order(), Some(&document())), None);
        assert_eq!(problem(&order(), None), Some(ProblemKind::NotFound));
        for (name, value) in [
            ("version", json!(2)),
            ("orderStatus", json!("failed")),
            ("status", json!("open")),
            ("skus", json!([])),
        ] {
            let mut document = document();
            document[name] = value;
            assert_eq!(problem(&order(), Some(&document)), Some(ProblemKind::FoundOtherwise), "{name}");
        }
    }

    #[test]
    fn a_timeline_tells_the_newest_events() {
        let id = |n: usize| Uuid::from_u128(n as u128);
        let at = |n: usize| format!("2026-01-01T00:{:02}:{:02}Z", n / 60, n % 60);
        let event = |n: usize| json!({"eventId": id(n), "eventType": "X", "occurredAt": at(n), "source": "orders", "payload": {}});
        let told = |n: usize| json!({"id": id(n), "type": "X", "at": at(n), "source": "orders"});
        let history: Value = (0..MAX_EVENTS + 5).map(event).chain([json!("damaged")]).collect();
        let timeline = |from: usize, to: usize| (from..to).map(told).collect::<Value>();
        assert!(tells(&timeline(5, MAX_EVENTS + 5), &history));
        assert!(!tells(&timeline(4, MAX_EVENTS + 5), &history), "one too many");
        assert!(!tells(&timeline(5, MAX_EVENTS + 4), &history), "the newest is missing");
        let mut other = timeline(5, MAX_EVENTS + 5);
        other[7]["type"] = json!("Y");
        assert!(!tells(&other, &history));
        assert!(tells(&json!([]), &json!([])));
    }
}
