//! The readers alone: texts, headers, events.

use bytes::Bytes;
use cartwright_core::{
    domain::{
        ids::{MAX_ID_BYTES, OrderId, StepId},
        money::Currency,
        time::Timestamp,
    },
    events,
    ports::Headers,
};
use cartwright_testkit::garbage;
use proptest::prelude::*;
use serde_json::Value;

use super::world::golden;

/// Texts that look like what is read, and any others.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
        "[ -~é😀]{0,140}",
        "[-+]?[0-9]{4,6}-[0-9]{1,2}-[0-9]{1,2}[Tt ][0-9]{1,2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,10})?([Zz]|[-+][0-9]{2}:?[0-9]{2})?",
        "[a-zA-Z]{3}",
        ".{0,9}:[0-9]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_text_that_is_read_reads_back_the_same(text in text()) {
        if let Ok(id) = OrderId::parse(&text) {
            prop_assert!((1..=MAX_ID_BYTES).contains(&id.as_str().len()) && !id.as_str().contains(char::is_control));
            prop_assert_eq!(OrderId::parse(id.as_str()), Ok(id));
        }
        if let Ok(step) = serde_json::from_value::<StepId>(Value::from(text.clone())) {
            prop_assert_eq!(serde_json::from_value::<StepId>(step.to_string().into()).unwrap(), step);
        }
        if let Some(moment) = Timestamp::parse(&text) {
            prop_assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
        }
        if let Some(currency) = Currency::parse(&text) {
            prop_assert_eq!(currency.code(), text);
        }
    }

    #[test]
    fn headers_are_read_whole_or_refused(
        bytes in prop::collection::vec(prop_oneof![4 => 0..16_u8, 1 => any::<u8>()], 0..48),
    ) {
        if let Ok(headers) = Headers::from_bytes(Bytes::from(bytes.clone())) {
            prop_assert_eq!(headers.as_bytes(), &bytes[..], "passed on as they came");
            let again: Headers = headers.iter().collect();
            prop_assert!(again.iter().eq(headers.iter()), "nothing is left out: {:?}", headers);
        }
    }

    #[test]
    fn headers_that_were_damaged_are_read_whole_or_refused(edits in garbage::edits()) {
        let good: Headers = [("ce_id", "1"), ("eventType", "OrderHeldV1"), ("", "")].into_iter().collect();
        if let Ok(headers) = Headers::from_bytes(garbage::edit(good.as_bytes(), &edits).into()) {
            let again: Headers = headers.iter().collect();
            prop_assert!(again.iter().eq(headers.iter()), "nothing is left out: {:?}", headers);
        }
    }

    #[test]
    fn what_is_read_as_an_event_is_written_and_read_again_as_the_same(
        which in any::<prop::sample::Index>(), changes in garbage::changes(),
    ) {
        let spoiled = garbage::spoil(which.get(golden()), &changes);
        if let Ok(event) = events::decode(spoiled.as_bytes()) {
            let again = events::decode(&events::encode(&event));
            prop_assert_eq!(again.ok(), Some(event), "{}", spoiled);
        }
    }

    #[test]
    fn bytes_that_are_no_event_are_refused(
        bytes in garbage::bytes(), which in any::<prop::sample::Index>(), edits in garbage::edits(),
    ) {
        prop_assert!(events::decode(&bytes).is_err(), "{}", String::from_utf8_lossy(&bytes));
        let damaged = garbage::edit(which.get(golden()).to_string().as_bytes(), &edits);
        if let Ok(event) = events::decode(&damaged) {
            prop_assert_eq!(events::decode(&events::encode(&event)).ok(), Some(event));
        }
    }
}
