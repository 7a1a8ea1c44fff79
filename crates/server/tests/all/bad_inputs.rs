//! Bad inputs, one a line: each is refused with the field named, and leaves no trace.

use serde_json::{Value, json};

use crate::harness::{ORDERS, PAUSED, Shop, fields, small, small_with};

/// Method, path, headers, body, expected status, the field that must be named ("" for none).
type Row = (&'static str, &'static str, Headers, Body, u16, &'static str);
type Headers = &'static [(&'static str, &'static str)];

enum Body {
    /// As it is.
    Raw(Vec<u8>),
    /// A good order with this raw JSON at this pointer; the last part of the pointer may be new.
    Order(&'static str, String),
}
use Body::Order;

const J: Headers = &[("content-type", "application/json")];
const P: &str = ORDERS;
const PUT: &str = "/v1/orders/put";
/// An open order of the flow `manual`, which takes a cancellation and a milestone.
const M: &str = "/v1/orders/m";
const CANCEL: &str = "/v1/orders/m/cancel";
/// An open order that takes a hold; the one after it is on hold.
const HOLD: &str = "/v1/orders/s/hold";
const RELEASE: &str = "/v1/orders/h/release";

const RETRY: &str = "/v1/admin/parked/retry";
const DISCARD: &str = "/v1/admin/parked/discard";
const PAUSE: &str = "/v1/admin/services/payments";

fn raw(text: impl Into<Vec<u8>>) -> Body {
    Body::Raw(text.into())
}

fn at(pointer: &'static str, json: impl Into<String>) -> Body {
    Order(pointer, json.into())
}

fn bytes(body: &Body) -> Vec<u8> {
    const MARK: &str = "\"@here@\"";
    match body {
        Body::Raw(bytes) => bytes.clone(),
        Order(pointer, json) => {
            let more = json!({
                "charges": [{"type": "shipping", "amount": 5, "tax": 1}], "shipTo": {"city": "x"}, "billTo": {"city": "x"},
                "payment": {"token": "t"}, "metadata": {"a": "b"}, "totals": {"total": 1006}
            });
            let mut order = small_with(more);
            let (parent, last) = pointer.rsplit_once('/').unwrap();
            let mark = Value::from("@here@");
            match order.pointer_mut(parent).unwrap() {
                Value::Array(items) => items[last.parse::<usize>().unwrap()] = mark,
                parent => parent[last] = mark,
            }
            order.to_string().replace(MARK, json).into_bytes()
        }
    }
}

fn long(n: usize) -> String {
    format!("\"{}\"", "é".repeat(n))
}

fn lines(n: usize) -> String {
    format!("[{}]", vec![r#"{"sku":"a","quantity":1,"unitPrice":1}"#; n].join(","))
}

fn keys(n: usize) -> String {
    let keys: Vec<String> = (0..n).map(|i| format!("\"k{i}\":\"\"")).collect();
    format!("{{{}}}", keys.join(","))
}

fn nested(n: usize) -> String {
    "[".repeat(n) + &"]".repeat(n)
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    const MAX: &str = "1000000000000000";
    vec![
        // Bodies that are no JSON object.
        ("POST", P, J, raw(""), 400, ""),
        ("POST", P, J, raw("{"), 400, ""),
        ("POST", P, J, raw("nonsense"), 400, ""),
        ("POST", P, J, raw("[]"), 400, ""),
        ("POST", P, J, raw("[{}]"), 400, ""),
        ("POST", P, J, raw("null"), 400, ""),
        ("POST", P, J, raw("42"), 400, ""),
        ("POST", P, J, raw("\"order\""), 400, ""),
        ("POST", P, J, raw("{} {}"), 400, ""),
        ("POST", P, J, raw("{'a':1}"), 400, ""),
        ("POST", P, J, raw("{\"a\":1,}"), 400, ""),
        ("POST", P, J, raw("{\"a\":NaN}"), 400, ""),
        ("POST", P, J, raw(b"{\"a\":\"\xff\"}".to_vec()), 400, ""),
        ("POST", P, J, raw(b"\xef\xbb\xbf{}".to_vec()), 400, ""),
        ("POST", P, J, raw(nested(200)), 400, ""),
        ("POST", P, J, raw(nested(100_000)), 400, ""),
        ("POST", P, J, at("/metadata", nested(100_000)), 400, ""),
        ("POST", P, J, at("/customer/id", "\"\\ud800\""), 400, ""),
        ("POST", P, J, at("/customer/id", "\"\\udc00\\ud800\""), 400, ""),
        ("POST", P, J, at("/customer/id", "\"a\nb\""), 400, ""),
        ("POST", P, J, at("/lines/0/quantity", "1e999"), 400, ""),
        ("POST", P, J, at("/lines/0/quantity", "01"), 400, ""),
        ("PUT", PUT, J, raw(""), 400, ""),
        ("PUT", PUT, J, raw("[]"), 400, ""),
        // What is needed.
        ("POST", P, J, raw("{}"), 400, "/customer"),
        ("POST", P, J, raw("{}"), 400, "/currency"),
        ("POST", P, J, raw("{}"), 400, "/lines"),
        ("POST", P, J, at("/customer", "null"), 400, "/customer"),
        ("POST", P, J, at("/customer", "{}"), 400, "/customer/id"),
        ("POST", P, J, at("/lines", "null"), 400, "/lines"),
        ("POST", P, J, at("/lines", "[]"), 400, "/lines"),
        ("POST", P, J, at("/lines/0", "{}"), 400, "/lines/0/sku"),
        ("POST", P, J, at("/lines/0", "{}"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0", "{}"), 400, "/lines/0/unitPrice"),
        ("POST", P, J, at("/currency", "null"), 400, "/currency"),
        ("POST", P, J, at("/charges/0", "{}"), 400, "/charges/0/type"),
        ("POST", P, J, at("/charges/0", "{}"), 400, "/charges/0/amount"),
        ("PUT", PUT, J, raw("{}"), 400, "/customer"),
        // Wrong types.
        ("POST", P, J, at("/customer", "\"c\""), 400, "/customer"),
        ("POST", P, J, at("/customer", "[]"), 400, "/customer"),
        ("POST", P, J, at("/customer/id", "7"), 400, "/customer/id"),
        ("POST", P, J, at("/customer/id", "true"), 400, "/customer/id"),
        ("POST", P, J, at("/customer/name", "{}"), 400, "/customer/name"),
        ("POST", P, J, at("/lines", "{}"), 400, "/lines"),
        ("POST", P, J, at("/lines", "\"x\""), 400, "/lines"),
        ("POST", P, J, at("/lines/0", "null"), 400, "/lines/0"),
        ("POST", P, J, at("/lines/0", "[]"), 400, "/lines/0"),
        ("POST", P, J, at("/lines/0/sku", "1"), 400, "/lines/0/sku"),
        ("POST", P, J, at("/lines/0/quantity", "\"2\""), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/quantity", "null"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/quantity", "true"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/charges", "{}"), 400, "/charges"),
        ("POST", P, J, at("/charges/0", "5"), 400, "/charges/0"),
        ("POST", P, J, at("/totals", "1006"), 400, "/totals"),
        ("POST", P, J, at("/totals/total", "\"1006\""), 400, "/totals/total"),
        ("POST", P, J, at("/shipTo", "\"home\""), 400, "/shipTo"),
        ("POST", P, J, at("/shipTo/city", "1"), 400, "/shipTo/city"),
        ("POST", P, J, at("/billTo", "[]"), 400, "/billTo"),
        ("POST", P, J, at("/payment", "\"card\""), 400, "/payment"),
        ("POST", P, J, at("/payment/token", "1"), 400, "/payment/token"),
        ("POST", P, J, at("/metadata", "[]"), 400, "/metadata"),
        ("POST", P, J, at("/metadata", "\"a\""), 400, "/metadata"),
        ("POST", P, J, at("/metadata/a", "1"), 400, "/metadata/a"),
        ("POST", P, J, at("/metadata/a", "null"), 400, "/metadata/a"),
        ("POST", P, J, at("/metadata/a", "{}"), 400, "/metadata/a"),
        ("POST", P, J, at("/id", "1"), 400, "/id"),
        ("POST", P, J, at("/scale", "\"2\""), 400, "/scale"),
        // Numbers.
        ("POST", P, J, at("/lines/0/quantity", "0"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/quantity", "-1"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/quantity", "10001"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/quantity", "2.0"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/quantity", "2e0"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/quantity", "4294967298"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/quantity", "18446744073709551618"), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/quantity", "9".repeat(300)), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/lines/0/unitPrice", "-1"), 400, "/lines/0/unitPrice"),
        ("POST", P, J, at("/lines/0/unitPrice", "-0.0"), 400, "/lines/0/unitPrice"),
        ("POST", P, J, at("/lines/0/unitPrice", "4.99"), 400, "/lines/0/unitPrice"),
        ("POST", P, J, at("/lines/0/unitPrice", "1000000000000001"), 400, "/lines/0/unitPrice"),
        ("POST", P, J, at("/lines/0/unitPrice", "9223372036854775807"), 400, "/lines/0/unitPrice"),
        ("POST", P, J, at("/lines/0/unitPrice", "9223372036854775808"), 400, "/lines/0/unitPrice"),
        ("POST", P, J, at("/lines/0/unitPrice", "-9223372036854775808"), 400, "/lines/0/unitPrice"),
        ("POST", P, J, at("/lines/0/discount", "-1"), 400, "/lines/0/discount"),
        ("POST", P, J, at("/lines/0/tax", "-1"), 400, "/lines/0/tax"),
        ("POST", P, J, at("/lines/0/tax", "0.5"), 400, "/lines/0/tax"),
        ("POST", P, J, at("/charges/0/amount", "-5"), 400, "/charges/0/amount"),
        ("POST", P, J, at("/charges/0/tax", "-1"), 400, "/charges/0/amount"),
        ("POST", P, J, at("/charges/0/amount", "1.5"), 400, "/charges/0/amount"),
        ("POST", P, J, at("/scale", "7"), 400, "/scale"),
        ("POST", P, J, at("/scale", "-1"), 400, "/scale"),
        // Sums.
        ("POST", P, J, at("/totals/total", "1005"), 400, "/totals/total"),
        ("POST", P, J, at("/totals/lines", "1001"), 400, "/totals/lines"),
        ("POST", P, J, at("/totals/tax", "0"), 400, "/totals/tax"),
        ("POST", P, J, at("/totals/charges", "6"), 400, "/totals/charges"),
        ("POST", P, J, at("/lines/0/total", "999"), 400, "/lines/0/total"),
        ("POST", P, J, at("/lines/0/discount", "1001"), 400, "/lines/0/discount"),
        ("POST", P, J, at("/lines/0/unitPrice", MAX), 400, "/lines/0"),
        ("POST", P, J, at("/lines", format!(r#"[{{"sku":"a","quantity":10000,"unitPrice":{MAX}}}]"#)), 400, "/lines/0"),
        ("POST", P, J, at("/lines", lines(1000).replace("\"unitPrice\":1", "\"unitPrice\":1000000000000000")), 400, "/totals"),
        ("POST", P, J, at("/charges", r#"[{"type":"discount","amount":-1001}]"#), 400, "/charges"),
        // Unknown fields, at every depth.
        ("POST", P, J, at("/status", "\"completed\""), 400, "/status"),
        ("POST", P, J, at("/version", "1"), 400, "/version"),
        ("POST", P, J, at("/number", "\"7\""), 400, "/number"),
        ("POST", P, J, at("/Currency", "\"USD\""), 400, "/Currency"),
        ("POST", P, J, at("/external_id", "\"e\""), 400, "/external_id"),
        ("POST", P, J, at("/nothing", "null"), 400, "/nothing"),
        ("POST", P, J, at("/customer/phone", "\"1\""), 400, "/customer/phone"),
        ("POST", P, J, at("/lines/0/quantities", "{}"), 400, "/lines/0/quantities"),
        ("POST", P, J, at("/lines/0/price", "1"), 400, "/lines/0/price"),
        ("POST", P, J, at("/charges/0/name", "\"x\""), 400, "/charges/0/name"),
        ("POST", P, J, at("/totals/discount", "1"), 400, "/totals/discount"),
        ("POST", P, J, at("/shipTo/zip", "\"1\""), 400, "/shipTo/zip"),
        ("POST", P, J, at("/billTo/geo", "{}"), 400, "/billTo/geo"),
        ("POST", P, J, at("/payment/card", "\"4242\""), 400, "/payment/card"),
        ("POST", P, J, at("/customer", r#"{"id":"c","a/b~c":1}"#), 400, "/customer/a~1b~0c"),
        ("PUT", PUT, J, at("/lines/0/price", "1"), 400, "/lines/0/price"),
        // Texts.
        ("POST", P, J, at("/customer/id", "\"\""), 400, "/customer/id"),
        ("POST", P, J, at("/customer/id", long(101)), 400, "/customer/id"),
        ("POST", P, J, at("/customer/id", "\"a\\u0000b\""), 400, "/customer/id"),
        ("POST", P, J, at("/customer/name", long(201)), 400, "/customer/name"),
        ("POST", P, J, at("/customer/email", "\"nobody\""), 400, "/customer/email"),
        ("POST", P, J, at("/customer/email", "\"a b@c\""), 400, "/customer/email"),
        ("POST", P, J, at("/customer/email", "\"@c.d\""), 400, "/customer/email"),
        ("POST", P, J, at("/id", "\"\""), 400, "/id"),
        ("POST", P, J, at("/id", "\"a\\nb\""), 400, "/id"),
        ("POST", P, J, at("/id", "\"\\u007f\""), 400, "/id"),
        ("POST", P, J, at("/id", long(65)), 400, "/id"),
        ("POST", P, J, at("/externalId", "\"\""), 400, "/externalId"),
        ("POST", P, J, at("/externalId", long(129)), 400, "/externalId"),
        ("POST", P, J, at("/channel", long(41)), 400, "/channel"),
        ("POST", P, J, at("/channel", "\"a\\u0007\""), 400, "/channel"),
        ("POST", P, J, at("/flow", "\"express\""), 400, "/flow"),
        ("POST", P, J, at("/flow", "\"Standard\""), 400, "/flow"),
        ("POST", P, J, at("/flow", "\"\""), 400, "/flow"),
        ("POST", P, J, at("/currency", "\"usd\""), 400, "/currency"),
        ("POST", P, J, at("/currency", "\"ABC\""), 400, "/currency"),
        ("POST", P, J, at("/currency", "\"XXX\""), 400, "/lines/0/unitPrice"),
        ("POST", P, J, at("/correlationId", "\"not-a-uuid\""), 400, "/correlationId"),
        ("POST", P, J, at("/lines/0/sku", "\"\""), 400, "/lines/0/sku"),
        ("POST", P, J, at("/lines/0/sku", "\"\\u0085\""), 400, "/lines/0/sku"),
        ("POST", P, J, at("/lines/0/id", long(41)), 400, "/lines/0/id"),
        ("POST", P, J, at("/charges/0/type", "\"gift\""), 400, "/charges/0/type"),
        ("POST", P, J, at("/shipTo/country", "\"us\""), 400, "/shipTo/country"),
        ("POST", P, J, at("/shipTo/country", "\"USA\""), 400, "/shipTo/country"),
        ("POST", P, J, at("/payment/token", long(501)), 400, "/payment/token"),
        // Too many, and not unique.
        ("POST", P, J, at("/lines", lines(1001)), 400, "/lines"),
        ("POST", P, J, at("/lines", r#"[{"id":"1","sku":"a","quantity":1,"unitPrice":1},{"id":"1","sku":"b","quantity":1,"unitPrice":1}]"#), 400, "/lines/1/id"),
        ("POST", P, J, at("/lines", r#"[{"id":"2","sku":"a","quantity":1,"unitPrice":1},{"sku":"b","quantity":1,"unitPrice":1}]"#), 400, "/lines/1/id"),
        ("POST", P, J, at("/charges", format!("[{}]", vec![r#"{"type":"fee","amount":1}"#; 101].join(","))), 400, "/charges"),
        ("POST", P, J, at("/metadata", keys(51)), 400, "/metadata"),
        ("POST", P, J, at("/metadata", format!("{{{}:\"\"}}", long(41))), 400, "/metadata/ééééééééééééééééééééééééééééééééééééééééé"),
        ("POST", P, J, at("/metadata", r#"{"":"x"}"#), 400, "/metadata/"),
        ("POST", P, J, at("/metadata", r#"{"a/b~c":1}"#), 400, "/metadata/a~1b~0c"),
        ("POST", P, J, at("/metadata/a", long(501)), 400, "/metadata/a"),
        ("POST", P, J, at("/metadata/a", "\"x\\u0000y\""), 400, "/metadata/a"),
        ("POST", P, J, at("/metadata", "{\"a\\u0001\":\"x\"}"), 400, "/metadata/a\u{1}"),
        // Headers.
        ("POST", P, &[("content-type", "text/plain")], raw("{}"), 415, ""),
        ("POST", P, &[], raw("{}"), 415, ""),
        ("POST", P, &[("content-type", "application/json"), ("idempotency-key", "")], at("/id", "\"k\""), 400, "Idempotency-Key"),
        ("POST", P, &[("content-type", "application/json"), ("idempotency-key", "ü")], at("/id", "\"k\""), 400, "Idempotency-Key"),
        ("POST", P, &[("content-type", "application/json"), ("idempotency-key", TOO_LONG)], at("/id", "\"k\""), 400, "Idempotency-Key"),
        ("POST", P, &[("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "b")], at("/id", "\"k\""), 400, "Idempotency-Key"),
        ("POST", CANCEL, &[("content-type", "application/json"), ("idempotency-key", "")], raw(r#"{"reason":"other"}"#), 400, "Idempotency-Key"),
        ("PATCH", M, &[("content-type", "application/json"), ("idempotency-key", "ü")], raw(r#"{"milestone":"shipped"}"#), 400, "Idempotency-Key"),
        ("POST", CANCEL, &[("content-type", "application/json"), ("if-match", "1")], raw(r#"{"reason":"other"}"#), 400, "If-Match"),
        ("POST", CANCEL, &[("content-type", "application/json"), ("if-match", "\"one\"")], raw(r#"{"reason":"other"}"#), 400, "If-Match"),
        ("POST", HOLD, &[("content-type", "application/json"), ("if-match", "")], raw("{}"), 400, "If-Match"),
        ("POST", RELEASE, &[("content-type", "application/json"), ("if-match", "ü")], raw("{}"), 400, "If-Match"),
        ("PATCH", M, &[("content-type", "application/json"), ("if-match", "\"-1\"")], raw(r#"{"milestone":"shipped"}"#), 400, "If-Match"),
        ("PATCH", M, &[("content-type", "application/json"), ("if-match", "\"99999999999999999999\"")], raw(r#"{"milestone":"shipped"}"#), 400, "If-Match"),
        ("PATCH", M, &[("content-type", "application/json"), ("if-match", "\"18446744073709551615\"")], raw(r#"{"milestone":"shipped"}"#), 412, ""),
        ("PATCH", M, &[("content-type", "application/json"), ("if-match", "\"1\""), ("if-match", "\"2\"")], raw(r#"{"milestone":"shipped"}"#), 400, "If-Match"),
        ("PUT", PUT, &[("content-type", "application/json"), ("if-match", "\"1\"")], at("/flow", "\"manual\""), 400, "If-Match"),
        ("PUT", PUT, &[("content-type", "application/json"), ("if-match", "*")], at("/flow", "\"manual\""), 400, "If-Match"),
        ("POST", P, &[("content-type", "application/json"), ("if-match", "\"1\"")], at("/flow", "\"manual\""), 400, "If-Match"),
        // Names that stand twice.
        ("POST", P, J, at("/customer", r#"{"id":"a","id":"b"}"#), 400, "/customer/id"),
        ("POST", P, J, at("/customer", r#"{"id":"a","id":"a"}"#), 400, "/customer/id"),
        ("POST", P, J, at("/lines/0", r#"{"sku":"a","quantity":1,"quantity":2,"unitPrice":1}"#), 400, "/lines/0/quantity"),
        ("POST", P, J, at("/metadata", r#"{"a/b":"1","a/b":"2"}"#), 400, "/metadata/a~1b"),
        ("POST", P, J, at("/flow", r#""manual","flow":"standard""#), 400, "/flow"),
        ("PUT", PUT, J, at("/flow", r#""manual","flow":"standard""#), 400, "/flow"),
        ("POST", CANCEL, J, raw(r#"{"reason":"other","reason":"fraud"}"#), 400, "/reason"),
        ("POST", HOLD, J, raw(r#"{"note":"a","note":"b"}"#), 400, "/note"),
        ("PATCH", M, J, raw(r#"{"milestone":"shipped","milestone":"created"}"#), 400, "/milestone"),
        // Commands.
        ("POST", CANCEL, J, raw(""), 400, ""),
        ("POST", CANCEL, J, raw("[]"), 400, ""),
        ("POST", CANCEL, J, raw("{}"), 400, "/reason"),
        ("POST", CANCEL, J, raw(r#"{"reason":null}"#), 400, "/reason"),
        ("POST", CANCEL, J, raw(r#"{"reason":"bored"}"#), 400, "/reason"),
        ("POST", CANCEL, J, raw(r#"{"reason":["other"]}"#), 400, "/reason"),
        ("POST", CANCEL, J, raw(r#"{"reason":"other","note":7}"#), 400, "/note"),
        ("POST", CANCEL, J, raw(format!(r#"{{"reason":"other","note":{}}}"#, long(1001))), 400, "/note"),
        ("POST", CANCEL, J, raw(r#"{"reason":"other","note":"\u0000"}"#), 400, "/note"),
        ("POST", CANCEL, J, raw(r#"{"reason":"other","why":"x"}"#), 400, "/why"),
        ("POST", HOLD, J, raw("{"), 400, ""),
        ("POST", HOLD, J, raw("null"), 400, ""),
        ("POST", HOLD, J, raw(r#"{"note":{}}"#), 400, "/note"),
        ("POST", HOLD, J, raw(r#"{"reason":"other"}"#), 400, "/reason"),
        ("POST", HOLD, &[("content-type", "text/plain")], raw("{}"), 415, ""),
        ("POST", RELEASE, J, raw("7"), 400, ""),
        ("POST", RELEASE, J, raw(r#"{"note":[]}"#), 400, "/note"),
        ("POST", RELEASE, J, raw(r#"{"until":"now"}"#), 400, "/until"),
        ("PATCH", M, J, raw(""), 400, ""),
        ("PATCH", M, J, raw("{}"), 400, "/milestone"),
        ("PATCH", M, J, raw(r#"{"milestone":"lost"}"#), 400, "/milestone"),
        ("PATCH", M, J, raw(r#"{"milestone":3}"#), 400, "/milestone"),
        ("PATCH", M, J, raw(r#"{"milestone":"shipped","status":"completed"}"#), 400, "/status"),
        ("PATCH", M, J, raw(r#"[{"op":"replace","path":"/milestone","value":"shipped"}]"#), 400, ""),
        // Paths.
        ("PUT", "/v1/orders/a%0Ab", J, at("/flow", "\"manual\""), 400, "id"),
        ("PUT", "/v1/orders/%FF", J, at("/flow", "\"manual\""), 400, "id"),
        ("POST", "/v1/orders/%FF/cancel", J, raw(r#"{"reason":"other"}"#), 404, ""),
        ("PATCH", "/v1/orders/%FF", J, raw(r#"{"milestone":"shipped"}"#), 404, ""),
        ("GET", "/v1/orders/%FF", &[], raw(""), 404, ""),
        ("GET", "/v1/orders/%FF/events", &[], raw(""), 404, ""),
        ("GET", "/v1/orders/%00", &[], raw(""), 404, ""),
        // Queries.
        ("GET", "/v1/orders?status=done", &[], raw(""), 400, "status"),
        ("GET", "/v1/orders?status=open&status=", &[], raw(""), 400, "status"),
        ("GET", "/v1/orders?milestone=lost", &[], raw(""), 400, "milestone"),
        ("GET", "/v1/orders?flow=express", &[], raw(""), 400, "flow"),
        ("GET", "/v1/orders?customer=", &[], raw(""), 400, "customer"),
        ("GET", "/v1/orders?externalId=", &[], raw(""), 400, "externalId"),
        ("GET", "/v1/orders?number=one", &[], raw(""), 400, "number"),
        ("GET", "/v1/orders?number=-1", &[], raw(""), 400, "number"),
        ("GET", "/v1/orders?number=18446744073709551616", &[], raw(""), 400, "number"),
        ("GET", "/v1/orders?createdAfter=yesterday", &[], raw(""), 400, "createdAfter"),
        ("GET", "/v1/orders?createdBefore=2026-13-01T00:00:00Z", &[], raw(""), 400, "createdBefore"),
        ("GET", "/v1/orders?updatedAfter=2026-01-01", &[], raw(""), 400, "updatedAfter"),
        ("GET", "/v1/orders?createdAfter=2026-01-01T00:00:00Z&createdAfter=2025-01-01T00:00:00Z", &[], raw(""), 400, "createdAfter"),
        ("GET", "/v1/orders?sort=price", &[], raw(""), 400, "sort"),
        ("GET", "/v1/orders?limit=0", &[], raw(""), 400, "limit"),
        ("GET", "/v1/orders?limit=501", &[], raw(""), 400, "limit"),
        ("GET", "/v1/orders?limit=-5", &[], raw(""), 400, "limit"),
        ("GET", "/v1/orders?limit=ten", &[], raw(""), 400, "limit"),
        ("GET", "/v1/orders?limit=1&limit=2", &[], raw(""), 400, "limit"),
        ("GET", "/v1/orders?cursor=", &[], raw(""), 400, "cursor"),
        ("GET", "/v1/orders?cursor=nonsense", &[], raw(""), 400, "cursor"),
        ("GET", "/v1/orders?cursor=u1-1", &[], raw(""), 400, "cursor"),
        ("GET", "/v1/orders?cursor=c1-1&cursor=c2-2", &[], raw(""), 400, "cursor"),
        ("GET", "/v1/orders?cursor=c99999999999999999999-1", &[], raw(""), 400, "cursor"),
        ("GET", "/v1/orders?page=2", &[], raw(""), 400, "page"),
        ("GET", "/v1/events", &[], raw(""), 400, "topic"),
        ("GET", "/v1/events?topic=everything", &[], raw(""), 400, "topic"),
        ("GET", "/v1/events?topic=orders&topic=payments", &[], raw(""), 400, "topic"),
        ("GET", "/v1/events?topic=orders&after=5", &[], raw(""), 400, "after"),
        ("GET", "/v1/events?topic=orders&after=0198c0de00007000800000000000abcd--1", &[], raw(""), 400, "after"),
        ("GET", "/v1/events?topic=orders&limit=0", &[], raw(""), 400, "limit"),
        ("GET", "/v1/events?topic=orders&limit=1001", &[], raw(""), 400, "limit"),
        ("GET", "/v1/events?topic=orders&type=x", &[], raw(""), 400, "type"),
        // The operator's calls.
        ("GET", "/v1/admin/parked?service=shop", &[], raw(""), 400, "service"),
        ("GET", "/v1/admin/parked?order=", &[], raw(""), 400, "order"),
        ("GET", "/v1/admin/parked?limit=0", &[], raw(""), 400, "limit"),
        ("GET", "/v1/admin/parked?limit=501", &[], raw(""), 400, "limit"),
        ("GET", "/v1/admin/parked?cursor=9", &[], raw(""), 400, "cursor"),
        ("GET", "/v1/admin/parked?cursor=orders--1", &[], raw(""), 400, "cursor"),
        ("GET", "/v1/admin/parked?cursor=orders-1&cursor=orders-2", &[], raw(""), 400, "cursor"),
        ("GET", "/v1/admin/parked?status=open", &[], raw(""), 400, "status"),
        ("GET", "/v1/admin/parked/orders/1", &[], raw(""), 404, ""),
        ("GET", "/v1/admin/parked/orders/1-0011223g", &[], raw(""), 404, ""),
        ("GET", "/v1/admin/parked/shop/1-00112233", &[], raw(""), 404, ""),
        ("GET", "/v1/admin/parked/%FF/1-00112233", &[], raw(""), 404, ""),
        ("DELETE", "/v1/admin/parked/orders/1-00112233", &[], raw(""), 404, ""),
        ("GET", "/v1/admin/parked/retry", &[], raw(""), 404, ""),
        ("POST", RETRY, J, raw("[]"), 400, ""),
        ("POST", RETRY, &[("content-type", "text/plain")], raw("{}"), 415, ""),
        ("POST", RETRY, J, raw(r#"{"service":"shop"}"#), 400, "/service"),
        ("POST", RETRY, J, raw(r#"{"order":""}"#), 400, "/order"),
        ("POST", RETRY, J, raw(r#"{"reason":7}"#), 400, "/reason"),
        ("POST", RETRY, J, raw(r#"{"rate":0}"#), 400, "/rate"),
        ("POST", RETRY, J, raw(r#"{"rate":1001}"#), 400, "/rate"),
        ("POST", RETRY, J, raw(r#"{"limit":10001}"#), 400, "/limit"),
        ("POST", RETRY, J, raw(r#"{"dryRun":"yes"}"#), 400, "/dryRun"),
        ("POST", RETRY, J, raw(r#"{"ids":["1-00112233"]}"#), 400, "/service"),
        ("POST", RETRY, J, raw(r#"{"service":"orders","ids":["17"]}"#), 400, "/ids/0"),
        ("POST", RETRY, J, raw(r#"{"service":"orders","ids":"17"}"#), 400, "/ids"),
        ("POST", RETRY, J, raw(r#"{"confirm":1}"#), 400, "/confirm"),
        ("POST", DISCARD, J, raw(""), 400, ""),
        ("POST", DISCARD, J, raw("{}"), 400, ""),
        ("POST", DISCARD, J, raw(r#"{"dryRun":true}"#), 400, ""),
        ("POST", DISCARD, J, raw(r#"{"service":"orders","confirm":0}"#), 400, "/confirm"),
        ("POST", DISCARD, J, raw(r#"{"service":"orders","confirm":1001}"#), 400, "/confirm"),
        ("POST", DISCARD, J, raw(r#"{"service":"orders","confirm":3}"#), 409, ""),
        ("POST", DISCARD, J, raw(r#"{"service":"orders","rate":3}"#), 400, "/rate"),
        ("PUT", PAUSE, J, raw("{}"), 400, "/paused"),
        ("PUT", PAUSE, J, raw(r#"{"paused":"true"}"#), 400, "/paused"),
        ("PUT", PAUSE, J, raw(r#"{"paused":true,"until":1}"#), 400, "/until"),
        ("PUT", "/v1/admin/services/shop", J, raw(r#"{"paused":true}"#), 404, ""),
        ("PUT", "/v1/admin/services/orders", J, raw(r#"{"paused":true}"#), 409, ""),
        ("GET", "/v1/admin/waiting?service=shop", &[], raw(""), 400, "service"),
        ("GET", "/v1/admin/waiting?kind=walk", &[], raw(""), 400, "kind"),
        ("GET", "/v1/admin/waiting?olderThan=1h", &[], raw(""), 400, "olderThan"),
        ("GET", "/v1/admin/waiting?limit=501", &[], raw(""), 400, "limit"),
        ("GET", "/v1/admin/waiting?cursor=x-1", &[], raw(""), 400, "cursor"),
        ("GET", "/v1/admin/waiting?status=open", &[], raw(""), 400, "status"),
    ]
}

/// One more than a key may have.
const TOO_LONG: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";

#[tokio::test]
async fn every_bad_input_is_refused_by_name_and_leaves_no_trace() {
    assert_eq!(TOO_LONG.len(), 256);
    let shop = Shop::with(&[PAUSED]).await;
    shop.place(&small_with(json!({"id": "m", "flow": "manual"}))).await;
    shop.place(&small_with(json!({"id": "s"}))).await;
    shop.place(&small_with(json!({"id": "h"}))).await;
    shop.command("h", "hold", &json!({})).await.ok(200);
    let mut before = shop.traces().await;
    let mut wrong = Vec::new();
    for (i, (method, path, headers, body, status, field)) in table().into_iter().enumerate() {
        let sent = bytes(&body);
        let reply = shop.send(method, path, headers, &sent).await;
        let shown: String = String::from_utf8_lossy(&sent).chars().take(300).collect();
        let row =
            format!("row {i}: {method} {path} {headers:?} {shown}\n    {} {}", reply.status, reply.text());
        if reply.status != status {
            wrong.push(format!("{row}\n    must be {status}"));
        } else if reply.header("content-type") != "application/problem+json" {
            wrong.push(format!("{row}\n    must be a problem document"));
        } else if !field.is_empty() && !fields(&reply.problem(status)).contains(&field.to_owned()) {
            wrong.push(format!("{row}\n    must name {field}"));
        }
        let after = if method == "GET" { before.clone() } else { shop.traces().await };
        if after != before {
            wrong.push(format!("{row}\n    must leave no trace: {before:?} became {after:?}"));
            before = after;
        }
    }
    assert_eq!(shop.traces().await, before, "the whole table");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table().len(), wrong.join("\n"));
}

#[tokio::test]
async fn the_good_order_of_the_table_is_good() {
    let shop = Shop::with(&[PAUSED]).await;
    for body in [at("/metadata/a", "\"b\""), at("/metadata", keys(50)), at("/customer/id", long(100))] {
        shop.send("POST", P, J, &bytes(&body)).await.ok(201);
    }
}

#[tokio::test]
async fn all_bad_fields_are_named_at_once() {
    let shop = Shop::with(&[PAUSED]).await;
    let body = json!({
        "customer": {"id": "", "email": "x"}, "currency": "usd", "flow": 1, "extra": true, "id": "",
        "lines": [{"sku": "a", "quantity": 0, "unitPrice": 1.5}, 7, {"sku": "", "quantity": 1, "unitPrice": 1, "x": 1}],
        "shipTo": {"country": "usa", "zip": "1"}, "metadata": {"a": 1}
    });
    let problem = shop.post(ORDERS, &body).await.problem(400);
    let mut named = fields(&problem);
    named.sort();
    let mut expected = [
        "/customer/id",
        "/customer/email",
        "/currency",
        "/flow",
        "/extra",
        "/id",
        "/lines/0/quantity",
        "/lines/0/unitPrice",
        "/lines/1",
        "/lines/2/sku",
        "/lines/2/x",
        "/shipTo/country",
        "/shipTo/zip",
        "/metadata/a",
    ];
    expected.sort_unstable();
    assert_eq!(named, expected);
    assert!(
        problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .all(|error| !error["message"].as_str().unwrap().is_empty())
    );
    let query = shop.get("/v1/orders?status=x&limit=0&page=1&cursor=y").await.problem(400);
    assert_eq!(fields(&query), ["status", "limit", "page", "cursor"]);
    let small = small();
    assert_eq!(shop.post(ORDERS, &small).await.status, 201);
}
