//! Garbage on the topics of older systems: it is understood or refused with a reason, the same each time.

use cartwright_testkit::garbage;
use proptest::{prelude::*, sample::select, test_runner::TestRunner};

use super::*;

/// A message that is read, and what to do to it.
type Good = (Form, String, Headers, Vec<u8>, Value);

/// The first of them are what was found at first; a new one joins them when it is found.
const FOUND: [&str; 6] =
    ["", "null", "{}", "[]", "{\"eventType\":\"OrderCreated\"}", "{\"orderId\":\"\",\"status\":\"\"}"];

fn good() -> Vec<Good> {
    let all = rows("read").map(|(_, form, row)| {
        let topic = row["topic"].as_str().unwrap().to_owned();
        let key = row["key"].as_str().unwrap().as_bytes().to_vec();
        (form, topic, headers(&row), key, row["value"].clone())
    });
    all.collect()
}

fn read_twice((form, topic, headers, key, _): &Good, value: &[u8]) -> Result<(), TestCaseError> {
    let message = Message { key, ..message(topic, headers, value) };
    match ((form.read)(&message), (form.read)(&message)) {
        (Err(reason), again) => {
            prop_assert!(!reason.is_empty(), "it says why");
            prop_assert_eq!(again.err(), Some(reason));
        }
        (Ok(said), again) => {
            let again = again.map_err(TestCaseError::fail)?;
            prop_assert_eq!((said.event_id, &said.order), (again.event_id, &again.order));
            prop_assert!(OrderId::parse(said.order.as_str()).is_ok());
        }
    }
    Ok(())
}

fn check<S: Strategy>(cases: u32, values: &S, holds: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(cases) };
    TestRunner::new(config).run(values, holds).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn what_was_found_stays_refused_or_understood() {
    for good in good() {
        for value in FOUND {
            read_twice(&good, value.as_bytes()).unwrap();
        }
    }
}

#[test]
fn any_bytes_are_refused_or_understood() {
    check(3_000, &(0..good().len(), garbage::bytes()), |(n, value)| read_twice(&good()[n], &value));
}

#[test]
fn a_spoiled_message_is_refused_or_understood() {
    let all = good();
    check(6_000, &(0..all.len(), garbage::changes()), |(n, changes)| {
        read_twice(&all[n], garbage::spoil(&all[n].4, &changes).as_bytes())
    });
}

#[test]
fn a_key_of_anything_is_refused_or_understood() {
    let all = good();
    let keys = prop_oneof![garbage::bytes(), select(vec![vec![], vec![0xff], b"x".repeat(300)])];
    check(2_000, &(0..all.len(), keys), |(n, key)| {
        let (form, topic, headers, _, value) = all[n].clone();
        let bytes = serde_json::to_vec(&value).unwrap();
        read_twice(&(form, topic, headers, key, value), &bytes)
    });
}
