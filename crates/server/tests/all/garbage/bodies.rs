//! Bodies and headers.

use std::cell::Cell;

use cartwright_testkit::garbage;
use proptest::{prelude::*, sample::select};
use serde_json::Value;

use super::sent::{Target, calls, full, names_fields_of, stands};
use crate::harness::ORDERS;

const JSON: (&str, &str) = ("content-type", "application/json");

const HEADERS: [&str; 8] = [
    "idempotency-key",
    "if-match",
    "if-none-match",
    "content-type",
    "accept",
    "x-request-id",
    "traceparent",
    "expect",
];

#[test]
fn any_bytes_are_refused_as_a_body() {
    let target = Target::open();
    let kind = prop_oneof![4 => Just("application/json".to_owned()), 1 => header_value()];
    target.check(
        600,
        &(select(calls().to_vec()), garbage::bytes(), kind),
        async |shop, (call, body, kind)| {
            let (method, path, _) = call;
            let reply = shop.send(method, &path, &[("content-type", &kind)], &body).await;
            let takes_nothing = path.ends_with("/hold") || path.ends_with("/release");
            prop_assert!(reply.status >= 400 || takes_nothing, "{} {}", reply.status, reply.text());
            Ok(reply)
        },
    );
}

#[test]
fn a_spoiled_order_is_refused_by_field_or_taken_as_it_is() {
    let target = Target::open();
    let put = prop::option::of("[a-z]{1,3}");
    let taken = Cell::new(0);
    target.check(1_200, &(garbage::changes(), put), async |shop, (changes, put)| {
        let body = garbage::spoil(&full(), &changes);
        let (method, path) = match put {
            Some(id) => ("PUT", format!("{ORDERS}/{id}")),
            None => ("POST", ORDERS.to_owned()),
        };
        let reply = shop.send(method, &path, &[JSON], body.as_bytes()).await;
        if let Ok(sent) = serde_json::from_str::<Value>(&body) {
            match reply.status {
                200 | 201 => {
                    taken.set(taken.get() + 1);
                    stands(shop, &reply, &sent).await?;
                }
                _ => names_fields_of(&reply, &sent)?,
            }
        }
        Ok(reply)
    });
    assert!(taken.get() > 50, "only {} orders were good enough to be compared", taken.get());
}

#[test]
fn a_spoiled_command_is_refused_by_field_or_done() {
    let target = Target::open();
    target.check(600, &(select(calls()[2..].to_vec()), garbage::changes()), async |shop, (call, changes)| {
        let (method, path, good) = call;
        let body = garbage::spoil(&good, &changes);
        let reply = shop.send(method, &path, &[JSON], body.as_bytes()).await;
        if let Ok(sent) = serde_json::from_str::<Value>(&body) {
            names_fields_of(&reply, &sent)?;
        }
        Ok(reply)
    });
}

#[test]
fn headers_of_anything_are_refused_by_name_or_understood() {
    let target = Target::open();
    let header = (
        select(&HEADERS[..]),
        prop_oneof![header_value(), "\"[0-9]{1,21}\"", "W/\"1\"|\\*|application/json; ?"],
    );
    let headers = prop::collection::vec(header, 1..4);
    let bodies = ("GET", "/v1/orders/m".to_owned(), Value::Null);
    let call = select([&calls()[..], &[bodies]].concat());
    target.check(600, &(call, headers), async |shop, (call, headers)| {
        let (method, path, body) = call;
        let given = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let mut all: Vec<(&str, &str)> = given.clone().collect();
        if !all.iter().any(|(name, _)| *name == JSON.0) {
            all.push(JSON);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = shop.send(method, &path, &all, body.as_bytes()).await;
        if reply.status == 400 {
            let problem = reply.problem(400);
            let named = crate::harness::fields(&problem);
            let sent = |field: &String| given.clone().any(|(name, _)| field.eq_ignore_ascii_case(name));
            prop_assert!(named.iter().all(sent), "{named:?} were not sent");
        }
        Ok(reply)
    });
}

/// What a header can hold at all.
fn header_value() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", "[!-~é😀\t ]{0,300}"].prop_map(|value| value.trim().to_owned())
}
