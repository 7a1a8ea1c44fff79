//! What every index does, whichever it is.

pub mod aggregations;
pub mod pages;
pub mod queries;
pub mod writing;

use cartwright_search::{Aim, Document, Found, Progress, SearchIndex, Written, query::Request};
use serde_json::{Value, json};
use uuid::Uuid;

/// An index that nobody else uses, gone when this goes.
pub trait Fresh {
    /// The index, prepared and empty.
    fn index(&self) -> &dyn SearchIndex;
}

/// Runs the whole contract on what an asynchronous function makes.
macro_rules! contract {
    ($fresh:path) => {
        $crate::contract::contract!(@ $fresh, writing:
            a_document_is_found_after_the_commit
            an_older_or_repeated_version_is_not_written
            a_newer_version_takes_the_place_between_commits_and_within_one
            what_no_field_can_hold_is_refused_and_nothing_else
            progress_is_kept_with_the_commit
            a_document_is_given_back_as_it_was_written
            a_next_index_takes_the_place_of_the_live_one
            a_second_attempt_begins_the_next_index_anew
            searches_go_on_while_indexes_are_swapped
        );
        $crate::contract::contract!(@ $fresh, queries:
            words_match_in_any_case_and_any_order
            exact_fields_match_as_a_whole
            terms_compare_with_the_words_of_a_text
            ranges_end_where_they_say
            dates_are_spans
            existence_is_seen_in_fields_and_objects
            prefixes_and_ids_are_found
            bools_join_their_parts
            free_text_is_found_in_many_fields
            words_of_an_address_are_a_query
            what_is_not_mapped_matches_nothing
        );
        $crate::contract::contract!(@ $fresh, pages:
            hits_are_sorted_with_missing_values_where_asked
            pages_follow_one_another
            search_after_goes_on_behind_a_hit
            sources_are_filtered
            the_best_match_comes_first
            an_empty_index_answers
            sort_values_are_shown
        );
        $crate::contract::contract!(@ $fresh, aggregations:
            values_are_counted
            values_are_counted_over_many_commits
            times_are_counted_by_the_calendar
            times_are_counted_by_fixed_spans
            numbers_are_reckoned_in_buckets
            nothing_reckons_to_nothing
        );
    };
    (@ $fresh:path, $module:ident: $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let fresh = $fresh().await;
                $crate::contract::$module::$name($crate::contract::Fresh::index(&fresh)).await;
            }
        )*
    };
}
pub(crate) use contract;

/// A document of this version.
pub fn document(id: &str, version: u64, source: Value) -> Document {
    Document { id: id.to_owned(), version, source: source.to_string().into_bytes() }
}

/// Writes these documents, each in version 1, and commits.
pub async fn filled(index: &dyn SearchIndex, sources: &[(&str, Value)]) {
    let documents: Vec<_> = sources.iter().map(|(id, source)| document(id, 1, source.clone())).collect();
    let written = index.write(Aim::Live, &documents).await.unwrap();
    assert!(written.iter().all(|written| *written == Written::Stored), "{written:?}");
    index.commit(Aim::Live, None).await.unwrap();
}

/// Some orders with all kinds of fields.
pub fn orders() -> Vec<(&'static str, Value)> {
    vec![
        (
            "a",
            json!({
                "id": "a", "number": "N-1", "status": "FulfillmentScheduled", "country": "US", "total": 1_000, "quantity": 1,
                "customerName": "Ada Lovelace", "customerEmail": "ada@example.com", "productType": "Phone",
                "skus": ["S1", "S2"], "products": ["Red phone", "Blue case"], "onHold": false,
                "createdAt": "2026-01-05T10:00:00Z", "metadata": {"note": "hidden"},
                "events": [
                    {"type": "OrderCreatedV1", "at": "2026-01-05T10:00:00.123Z"},
                    {"type": "OrderCompletedV1", "at": "2026-01-06T10:00:00Z"},
                ],
            }),
        ),
        (
            "b",
            json!({
                "id": "b", "number": "N-2", "status": "PaymentFailed", "country": "DE", "total": 2_500, "quantity": 2,
                "customerName": "Grace Hopper", "customerEmail": "grace@example.com", "productType": "Laptop",
                "skus": ["S2"], "products": ["Blue laptop"], "onHold": true, "createdAt": "2026-01-20T23:59:59.999Z",
            }),
        ),
        (
            "c",
            json!({
                "id": "c", "number": "N-3", "status": "Created", "country": "US", "total": 500,
                "customerName": "Alan Turing", "customerEmail": "alan@example.org", "productType": "Phone",
                "skus": [], "products": "Red case", "createdAt": "2026-02-01T00:00:00Z", "trackingNumber": ["TR-9"],
            }),
        ),
        (
            "d",
            json!({"id": "d", "status": "Created", "country": "FR", "createdAt": "2026-04-15T12:30:00+02:00"}),
        ),
    ]
}

/// Searches with this body.
pub async fn search(index: &dyn SearchIndex, body: Value) -> Found {
    let request = Request::from_json(&body).unwrap_or_else(|wrong| panic!("{body}: {wrong}"));
    index.search(&request).await.unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// The ids of all that match this query, sorted.
pub async fn ids(index: &dyn SearchIndex, query: Value) -> Vec<String> {
    let found = search(index, json!({"query": query, "size": 100})).await;
    let mut ids = ordered_ids(&found);
    assert_eq!(found.total, ids.len() as u64, "{query}");
    ids.sort();
    ids
}

/// The ids of the hits in their order.
pub fn ordered_ids(found: &Found) -> Vec<String> {
    found.hits.iter().map(|hit| hit.id.clone()).collect()
}

/// Up to here.
pub fn progress(position: u64) -> Progress {
    Progress { incarnation: Uuid::from_u128(7), position }
}
