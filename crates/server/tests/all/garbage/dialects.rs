//! The calls of the older systems, spoiled: whatever comes, it is no fault of the server, and the next call is answered.

use cartwright_testkit::garbage;
use proptest::{prelude::*, test_runner::TestRunner};
use reqwest::Method;
use serde_json::Value;

use super::sent::Target;
use crate::dialects::TABLES;

const JSON: (&str, &str) = ("content-type", "application/json");

/// A call that is good: its place, and its body.
type Good = (Method, String, Value);

/// All calls with a body in the tables. An id that an earlier answer gave is none here.
fn good() -> Vec<Good> {
    let mut all = vec![];
    for (dialect, table) in TABLES {
        for line in table.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let (Some(body), Some(call)) = (row.get("json"), row["call"].as_str()) else { continue };
            let (method, path) = call.split_once(' ').unwrap();
            let path = path.replace(['{', '}'], "");
            all.push((method.parse().unwrap(), format!("/dialects/{dialect}{path}"), body.clone()));
        }
    }
    assert!(all.len() > 30, "only {} calls are in the tables", all.len());
    all
}

/// Sends so many of them, each made worse.
fn check<S: Strategy>(cases: u32, how: S, spoil: impl Fn(&Value, S::Value) -> Vec<u8>) {
    let (target, all) = (Target::open(), good());
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(cases) };
    let checked = TestRunner::new(config).run(&(0..all.len(), how), |(n, how)| {
        let (method, path, good) = &all[n];
        let body = spoil(good, how);
        let reply = target.run(target.shop.send(method.as_str(), path, &[JSON], &body));
        prop_assert!(reply.status < 500, "{method} {path}: {} {}", reply.status, reply.text());
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(target.run(target.shop.get("/health/live")).status, 200);
}

#[test]
fn any_bytes_are_refused_by_the_older_systems_calls() {
    check(600, garbage::bytes(), |_, bytes| bytes);
}

#[test]
fn a_spoiled_body_is_refused_or_taken_by_the_older_systems_calls() {
    check(1_500, garbage::changes(), |good, changes| garbage::spoil(good, &changes).into_bytes());
}
