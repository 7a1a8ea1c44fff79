//! Query strings, cursors and ids in paths.

use cartwright_testkit::garbage::{self, Edit};
use proptest::{prelude::*, sample::select};
use serde_json::Value;

use super::sent::Target;
use crate::harness::{ORDERS, Shop, fields, text};

const FILTERS: [&str; 17] = [
    "status",
    "milestone",
    "customer",
    "flow",
    "number",
    "externalId",
    "createdAfter",
    "createdBefore",
    "updatedAfter",
    "sort",
    "limit",
    "cursor",
    "after",
    "service",
    "kind",
    "order",
    "olderThan",
];

#[test]
fn a_query_of_anything_is_refused_by_name_or_answered() {
    let target = Target::open();
    let value = prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        "(%[0-9a-fA-Fg-z]{0,2}){1,4}|-?[0-9]{1,21}|[cu]-?[0-9]{1,21}-[0-9]{1,21}|latest|orders|open|createdAt",
        "-?[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|%2B[0-9]{2}:[0-9]{2})",
    ];
    let name = prop_oneof![9 => select(&FILTERS[..]).prop_map(str::to_owned), 1 => any::<String>()];
    let pairs = prop::collection::vec((name, value), 0..4);
    let start = select(vec![
        "/v1/orders?",
        "/v1/events?topic=orders&",
        "/v1/events?",
        "/v1/orders/m/events?",
        "/v1/admin/parked?",
        "/v1/admin/waiting?",
    ]);
    target.check(1_000, &(start, pairs), async |shop, (start, pairs)| {
        let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        // What would end the query is no part of it, nor are spaces at the end of an address.
        let query = query.replace('#', "%23");
        let query = query.trim_end_matches(|c: char| c <= ' ');
        let reply = shop.get(&format!("{start}{query}")).await;
        match reply.status {
            200 => {
                let page = reply.ok(200);
                let lists = ["orders", "events", "parked", "waiting"];
                prop_assert!(lists.iter().any(|list| page[list].is_array()), "{page}");
            }
            _ if start == "/v1/events?" => {} // the topic is missing
            400 => {
                let sent: Vec<String> =
                    form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect();
                let named = fields(&reply.problem(400));
                prop_assert!(
                    named.iter().all(|field| named_in(field, &sent)),
                    "{named:?} are not among {sent:?}"
                );
            }
            _ => {}
        }
        Ok(reply)
    });
}

/// A client's library may escape a name in another way; what it can't change is whether there is one.
fn named_in(field: &str, sent: &[String]) -> bool {
    sent.iter().any(|name| name == field || !name.is_ascii())
}

#[test]
fn an_altered_cursor_is_refused_or_a_place_like_any_other() {
    let target = Target::open();
    let lists =
        ["/v1/orders?limit=1", "/v1/orders?limit=1&sort=updatedAt", "/v1/events?topic=orders&limit=1"];
    let pages: Vec<(String, String)> = target.run(async {
        let mut pages = Vec::new();
        for list in lists {
            let next = text(&target.shop.get(list).await.ok(200)["next"]);
            let parameter = if list.starts_with(ORDERS) { "cursor" } else { "after" };
            pages.push((format!("{list}&{parameter}="), next));
        }
        pages
    });
    target.check(600, &(select(pages), garbage::edits()), async |shop, (page, edits)| {
        let (start, cursor) = page;
        good(shop, &start, &cursor).await;
        let altered = garbage::edit(cursor.as_bytes(), &edits);
        let escaped: String = altered.iter().map(|byte| format!("%{byte:02X}")).collect();
        Ok(shop.get(&format!("{start}{escaped}")).await)
    });
}

async fn good(shop: &Shop, start: &str, cursor: &str) {
    shop.get(&format!("{start}{cursor}")).await.ok(200);
}

#[test]
fn an_id_of_anything_is_refused_or_found_again() {
    let target = Target::open();
    let id = prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..140),
        garbage::edits()
            .prop_map(|edits: Vec<Edit>| garbage::edit(b"0198C0DE-0000-7000-8000-00000000000A", &edits)),
    ];
    let whole = super::sent::full().to_string();
    let after = select(vec![
        ("GET", ""),
        ("GET", "/events"),
        ("PUT", ""),
        ("PATCH", ""),
        ("POST", "/cancel"),
        ("POST", "/hold"),
    ]);
    target.check(600, &(id, after), async |shop, (id, (method, after))| {
        let escaped: String = id.iter().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("{ORDERS}/{escaped}");
        let json = [("content-type", "application/json")];
        let body = if method == "PUT" { whole.as_str() } else { "" };
        let reply = shop.send(method, &format!("{path}{after}"), &json, body.as_bytes()).await;
        if method == "PUT" && reply.status < 300 {
            let placed: Value = reply.ok(reply.status);
            let sent = String::from_utf8(id).unwrap_or_default();
            prop_assert!(text(&placed["id"]).eq_ignore_ascii_case(&sent), "{placed} is not {sent}");
            prop_assert_eq!(shop.get(&path).await.ok(200), placed);
        }
        Ok(reply)
    });
}
