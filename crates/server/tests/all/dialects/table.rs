//! Runs a table: request after request, each answer as it must be.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use cartwright_server::http::dialects::OldPort;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName},
};
use serde::Deserialize;
use serde_json::Value;

use super::pattern;
use crate::harness::{LIMIT, Reply, Shop, pause};

/// One line of a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    why: String,
    call: String,
    /// The old system's port.
    #[serde(default)]
    port: Option<u16>,
    #[serde(default, deserialize_with = "present")]
    json: Option<Value>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    status: u16,
    #[serde(default)]
    text: Option<String>,
    #[serde(default, deserialize_with = "present")]
    answer: Option<Value>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    header: BTreeMap<String, String>,
    #[serde(default)]
    save: BTreeMap<String, String>,
    #[serde(default)]
    until: bool,
    #[serde(default)]
    check: Vec<String>,
}

/// `null` is something else than nothing.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// Runs all rows, one after the other, under the dialect's place on our own port; tells of all that go wrong at once.
pub async fn run(shop: &Shop, dialect: &str, table: &str) {
    let prefix = format!("/dialects/{dialect}");
    rows(shop, dialect, table, BTreeMap::new(), |_| (shop.address(), prefix.clone())).await;
}

/// The same on the old systems' own ports, as each row names it.
pub async fn run_on_ports(shop: &Shop, dialect: &str, table: &str) {
    rows(shop, dialect, table, BTreeMap::new(), |port| (shop.old(old_port(port)), String::new())).await;
}

fn old_port(port: Option<u16>) -> OldPort {
    match port {
        Some(5000) | None => OldPort::Shared,
        Some(7000) => OldPort::CartDotnetOrders,
        Some(5292) => OldPort::OrderFulfilment,
        Some(8000) => OldPort::CartFastapi,
        Some(8001) => OldPort::CartFastapiOrders,
        other => panic!("no old system was on {other:?}"),
    }
}

/// Where the system of a row is: its address, and what stands before its paths.
type Place = (SocketAddr, String);

/// Runs all rows where each one's place is; `saved` is known from the beginning.
pub async fn rows(
    shop: &Shop,
    dialect: &str,
    table: &str,
    mut saved: BTreeMap<String, String>,
    place: impl Fn(Option<u16>) -> Place,
) {
    let mut wrong = Vec::new();
    for (n, line) in table.lines().enumerate() {
        let row: Row = serde_json::from_str(line).unwrap_or_else(|e| panic!("{dialect} row {}: {e}", n + 1));
        let until = Instant::now() + LIMIT;
        let why = loop {
            let reply = send(shop, place(row.port), &row, &saved).await;
            let why = differs(&row, &reply, &saved);
            if why.is_none() {
                let found: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                for (name, at) in &row.save {
                    let value = found.pointer(at).unwrap_or_else(|| panic!("{}: no {at}", row.why));
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    saved.insert(name.clone(), text);
                }
                break None;
            }
            if !row.until || Instant::now() > until {
                break why;
            }
            pause().await;
        };
        wrong.extend(why.map(|why| format!("row {} ({}) {}\n    {why}", n + 1, row.why, row.call)));
    }
    assert!(
        wrong.is_empty(),
        "{} rows of {dialect} are not answered as they must be:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

async fn send(shop: &Shop, (address, prefix): Place, row: &Row, saved: &BTreeMap<String, String>) -> Reply {
    let call = filled(&row.call, saved);
    let (method, path) = call.split_once(' ').unwrap();
    let mut headers: Vec<(&str, &str)> =
        row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = match (&row.json, &row.body) {
        (Some(json), _) => {
            headers.push(("content-type", "application/json"));
            filled(&json.to_string(), saved)
        }
        (None, body) => filled(body.as_deref().unwrap_or_default(), saved),
    };
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    shop.send_to(address, method, &format!("{prefix}{path}"), map, body.as_bytes()).await
}

/// Why an answer is not as it must be.
fn differs(row: &Row, reply: &Reply, saved: &BTreeMap<String, String>) -> Option<String> {
    if reply.status != row.status {
        return Some(format!("expected {}, found {}: {}", row.status, reply.status, reply.text()));
    }
    let content = match (&row.content, &row.answer, &row.text) {
        (Some(content), ..) => content,
        (None, Some(_), _) => "application/json",
        (None, None, Some(_)) => "text/plain",
        (None, None, None) => "",
    };
    let found = reply.headers.get("content-type").map_or("", |value| value.to_str().unwrap());
    if !found.starts_with(content) {
        return Some(format!("expected {content}, found {found}: {}", reply.text()));
    }
    for (name, expected) in &row.header {
        let found = reply.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let differs = pattern::differs(&filled(expected, saved).into(), &found.into(), name);
        if differs.is_some() {
            return differs;
        }
    }
    if let Some(text) = &row.text {
        let expected = filled(text, saved);
        return (reply.text() != expected)
            .then(|| format!("expected {expected:?}, found {:?}", reply.text()));
    }
    let expected: Value = match &row.answer {
        Some(answer) => serde_json::from_str(&filled(&answer.to_string(), saved)).unwrap(),
        None => return None,
    };
    let Ok(found) = serde_json::from_slice(&reply.body) else {
        return Some(format!("no JSON: {}", reply.text()));
    };
    pattern::differs(&expected, &found, "")
        .or_else(|| row.check.iter().find_map(|check| pattern::fails(check, &found)))
}

/// The same with `{name}` replaced by what was saved under that name.
fn filled(text: &str, saved: &BTreeMap<String, String>) -> String {
    saved.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
