//! A request in its one full form, as it is sent to a search server.

use serde_json::{Map, Value, json};

use super::{
    Aggregation, Calculation, Edge, Interval, Minimum, Missing, Operator, Order, Query, Request, Sort,
    SortBy, SourceFilter, TermsKey, Together,
};

pub(super) fn search(request: &Request) -> Value {
    let mut body = object("query", query(&request.query));
    body.insert("from".to_owned(), json!(request.from));
    body.insert("size".to_owned(), json!(request.size));
    body.insert("track_total_hits".to_owned(), json!(request.track_total_hits));
    body.insert("_source".to_owned(), source(&request.source));
    if !request.sort.is_empty() {
        body.insert("sort".to_owned(), request.sort.iter().map(sort).collect());
    }
    if let Some(after) = &request.search_after {
        body.insert("search_after".to_owned(), json!(after));
    }
    if !request.aggregations.is_empty() {
        body.insert("aggs".to_owned(), aggregations(&request.aggregations));
    }
    Value::Object(body)
}

fn query(query: &Query) -> Value {
    match query {
        Query::MatchAll => json!({"match_all": {}}),
        Query::MatchNone => json!({"match_none": {}}),
        Query::Match { field, text, operator, minimum: at_least } => {
            let mut inner = object("query", text.clone());
            inner.insert("operator".to_owned(), json!(operator_name(*operator)));
            if let Some(at_least) = at_least {
                inner.insert("minimum_should_match".to_owned(), minimum(*at_least));
            }
            json!({"match": object(field, Value::Object(inner))})
        }
        Query::MatchPhrase { field, text } => json!({"match_phrase": object(field, json!({"query": text}))}),
        Query::Term { field, value } => json!({"term": object(field, json!({"value": value}))}),
        Query::Terms { field, values } => json!({"terms": object(field, json!(values))}),
        Query::Range { field, from, to } => json!({"range": object(field, range(from, to))}),
        Query::Exists { field } => json!({"exists": {"field": field}}),
        Query::Prefix { field, value } => json!({"prefix": object(field, json!({"value": value}))}),
        Query::Ids(ids) => json!({"ids": {"values": ids}}),
        Query::Bool(together) => json!({"bool": bool(together)}),
    }
}

fn range(from: &Edge, to: &Edge) -> Value {
    let mut range = Map::new();
    match from {
        Edge::Open => None,
        Edge::Including(value) => range.insert("gte".to_owned(), value.clone()),
        Edge::Excluding(value) => range.insert("gt".to_owned(), value.clone()),
    };
    match to {
        Edge::Open => None,
        Edge::Including(value) => range.insert("lte".to_owned(), value.clone()),
        Edge::Excluding(value) => range.insert("lt".to_owned(), value.clone()),
    };
    Value::Object(range)
}

fn bool(together: &Together) -> Value {
    let lists = [
        ("must", &together.must),
        ("filter", &together.filter),
        ("should", &together.should),
        ("must_not", &together.must_not),
    ];
    let mut body = Map::new();
    for (name, queries) in lists.into_iter().filter(|(_, queries)| !queries.is_empty()) {
        body.insert(name.to_owned(), queries.iter().map(query).collect());
    }
    if let Some(at_least) = together.minimum {
        body.insert("minimum_should_match".to_owned(), minimum(at_least));
    }
    Value::Object(body)
}

fn minimum(minimum: Minimum) -> Value {
    match minimum {
        Minimum::Count(count) => json!(count),
        Minimum::Percent(percent) => json!(format!("{percent}%")),
    }
}

fn sort(sort: &Sort) -> Value {
    let field = match &sort.by {
        SortBy::Score => return json!({"_score": {"order": order_name(sort.order)}}),
        SortBy::Field(field) => field,
    };
    let mut inner = object("order", json!(order_name(sort.order)));
    let missing = match sort.missing {
        Missing::Last => "_last",
        Missing::First => "_first",
    };
    inner.insert("missing".to_owned(), json!(missing));
    if let Some(unmapped) = &sort.unmapped_type {
        inner.insert("unmapped_type".to_owned(), json!(unmapped));
    }
    json!(object(field, Value::Object(inner)))
}

fn source(filter: &SourceFilter) -> Value {
    match filter {
        SourceFilter::All => json!(true),
        SourceFilter::Nothing => json!(false),
        SourceFilter::Paths { includes, excludes } => json!({"includes": includes, "excludes": excludes}),
    }
}

fn aggregations(aggregations: &[(String, Aggregation)]) -> Value {
    let each = |(name, one): &(String, Aggregation)| (name.clone(), aggregation(one));
    Value::Object(aggregations.iter().map(each).collect())
}

fn aggregation(aggregation: &Aggregation) -> Value {
    let (name, inner) = match &aggregation.calculation {
        Calculation::Terms { field, size, order, min_doc_count } => {
            let order: Vec<_> = order.iter().map(|(key, order)| terms_order(*key, *order)).collect();
            ("terms", json!({"field": field, "size": size, "order": order, "min_doc_count": min_doc_count}))
        }
        Calculation::DateHistogram { field, interval, min_doc_count, order } => {
            let mut inner = object("field", json!(field));
            match interval {
                Interval::Calendar(unit) => inner.insert("calendar_interval".to_owned(), json!(unit.name())),
                Interval::Fixed(millis) => {
                    inner.insert("fixed_interval".to_owned(), json!(format!("{millis}ms")))
                }
            };
            inner.insert("min_doc_count".to_owned(), json!(min_doc_count));
            inner.insert("order".to_owned(), json!({"_key": order_name(*order)}));
            ("date_histogram", Value::Object(inner))
        }
        Calculation::Metric { metric, field } => (metric.name(), json!({"field": field})),
    };
    let mut body = object(name, inner);
    if !aggregation.within.is_empty() {
        body.insert("aggs".to_owned(), aggregations(&aggregation.within));
    }
    Value::Object(body)
}

fn terms_order(key: TermsKey, order: Order) -> Value {
    match key {
        TermsKey::Count => json!({"_count": order_name(order)}),
        TermsKey::Key => json!({"_key": order_name(order)}),
    }
}

fn order_name(order: Order) -> &'static str {
    match order {
        Order::Ascending => "asc",
        Order::Descending => "desc",
    }
}

fn operator_name(operator: Operator) -> &'static str {
    match operator {
        Operator::Or => "or",
        Operator::And => "and",
    }
}

fn object(key: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), value)])
}
