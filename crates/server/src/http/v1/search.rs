//! Orders by words: found in the search index, shown as they stand in the store.

use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{OrderQuery, OrderSort, Stored},
};
use cartwright_search::{
    Error,
    query::{Edge, Operator, Order, Query, Request, Sort, SourceFilter, Together, words},
};
use serde_json::Value;

use crate::{
    http::{Api, problem::Problem},
    search::Search,
};

/// Seconds after which an index that did not answer may be asked again.
const RETRY_AFTER: u32 = 1;

/// Where a page of found orders begins: behind this one, by its sort time in milliseconds and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    millis: i64,
    id: String,
}

impl Place {
    /// As clients have it.
    pub fn text(&self) -> String {
        format!("q{}-{}", self.millis, self.id)
    }

    /// What [`text`](Self::text) wrote.
    pub fn read(text: &str) -> Option<Self> {
        let (millis, id) = text.strip_prefix('q')?.split_once('-')?;
        Some(Self { millis: millis.parse().ok()?, id: id.to_owned() }).filter(|place| !place.id.is_empty())
    }

    fn of(sort: &[Value]) -> Option<Self> {
        let [millis, id] = sort else { return None };
        Some(Self { millis: millis.as_i64()?, id: id.as_str()?.to_owned() })
    }
}

/// Orders that hold these words and match the query, newest first: at most as many as asked, and where the next page
/// begins. An order that was found and is gone by now is left out.
///
/// # Errors
/// The words are none that can be searched for, or the index does not answer.
pub async fn find(
    api: &Api,
    text: &str,
    query: &OrderQuery,
    after: Option<Place>,
) -> Result<(Vec<Stored>, Option<Place>), Problem> {
    let Some(Search { index, .. }) = &api.search else {
        let detail = "orders can't be searched here: search is switched off (setting search.enabled), or the index is \
            that of another process (setting search.url)";
        return Err(Problem::busy(detail, RETRY_AFTER));
    };
    let request = request(text, query, after)?;
    let failed = |error: Error| match error {
        Error::Wrong(wrong) => Problem::field("q", wrong.reason()),
        Error::Unavailable(_) | Error::Refused(_) => Problem::busy(error.to_string(), RETRY_AFTER),
    };
    let mut found = index.search(&request).await.map_err(failed)?;
    let more = found.hits.len() > query.limit;
    found.hits.truncate(query.limit);
    let next = found.hits.last().filter(|_| more).and_then(|hit| Place::of(&hit.sort));
    let ids: Vec<OrderId> = found.hits.iter().filter_map(|hit| OrderId::parse(&hit.id).ok()).collect();
    let stored = api.store.load(&ids).await?;
    Ok((stored.into_iter().filter(|stored| stored.record.is_some()).collect(), next))
}

fn request(text: &str, query: &OrderQuery, after: Option<Place>) -> Result<Request, Problem> {
    let words = words(text, Operator::And).map_err(|wrong| Problem::field("q", wrong.reason()))?;
    let time = match query.sort {
        OrderSort::CreatedAt => "createdAt",
        OrderSort::UpdatedAt => "updatedAt",
    };
    let together = Together { must: vec![words], filter: filters(query), ..Together::default() };
    Ok(Request {
        query: Query::Bool(Box::new(together)),
        sort: vec![Sort::by(time, Order::Descending), Sort::by("id", Order::Descending)],
        size: query.limit + 1, // one more tells whether there is a next page
        search_after: after.map(|Place { millis, id }| vec![millis.into(), id.into()]),
        source: SourceFilter::Nothing,
        track_total_hits: false,
        ..Request::default()
    })
}

fn filters(query: &OrderQuery) -> Vec<Query> {
    let texts = |values: &[String]| values.iter().map(|value| Value::from(value.as_str())).collect();
    let any: [(&str, Vec<Value>); 6] = [
        ("orderStatus", query.status.iter().map(|status| status.as_str().into()).collect()),
        ("milestone", texts(&query.milestone)),
        ("customerId", texts(&query.customer)),
        ("flow", texts(&query.flow)),
        ("number", query.number.iter().map(|number| number.to_string().into()).collect()),
        ("externalId", texts(&query.external_id)),
    ];
    let any = any.into_iter().filter(|(_, values)| !values.is_empty());
    let any = any.map(|(field, values)| Query::Terms { field: field.to_owned(), values });
    let edge = |at: Option<Timestamp>, edge: fn(Value) -> Edge| {
        at.map_or(Edge::Open, |at| edge(at.to_string().into()))
    };
    let within = [
        (
            "createdAt",
            edge(query.created_after, Edge::Including),
            edge(query.created_before, Edge::Excluding),
        ),
        ("updatedAt", edge(query.updated_after, Edge::Including), Edge::Open),
    ];
    let within = within.into_iter().filter(|(_, from, to)| (from, to) != (&Edge::Open, &Edge::Open));
    any.chain(within.map(|(field, from, to)| Query::Range { field: field.to_owned(), from, to })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { millis: 1_767_225_600_123, id: "0198-c0de".to_owned() };
        assert_eq!(Place::read(&place.text()), Some(place));
        for strange in ["", "q", "q-", "q12-", "c12-3", "qx-a"] {
            assert_eq!(Place::read(strange), None, "{strange}");
        }
    }

    #[test]
    fn filters_of_the_list_hold_for_what_is_found() {
        let query = OrderQuery {
            flow: vec!["standard".to_owned()],
            number: vec![1001],
            updated_after: Timestamp::parse("2026-01-01T00:00:00Z"),
            limit: 50,
            ..OrderQuery::default()
        };
        let request = request("blue chair", &query, None).unwrap();
        assert_eq!(request.size, 51);
        let json = request.to_json();
        let filters = json["query"]["bool"]["filter"].as_array().unwrap();
        assert_eq!(filters.len(), 3, "{json}");
        assert!(json.to_string().contains(r#""number":["1001"]"#), "{json}");
    }
}
