//! What a request asks of fields that can't answer it.

use super::{
    Aggregation, Calculation, MAX_PATHS, MAX_WINDOW, Metric, Query, Request, Sort, SortBy, SourceFilter,
    Wrong, values,
};
use crate::fields::{Kind, Searched, find};

/// Checks a whole request that is read.
pub(super) fn request(request: &Request) -> Result<(), Wrong> {
    window(request)?;
    after(request)?;
    source(&request.source)?;
    request.sort.iter().try_for_each(sort)?;
    request.aggregations.iter().try_for_each(|(_, one)| aggregation(one))
}

/// Checks one query, not those within it.
pub(super) fn query(query: &Query) -> Result<(), Wrong> {
    // What "now" is does not matter for whether something is a date.
    let now = 0;
    match query {
        Query::Match { field, text: value, .. }
        | Query::MatchPhrase { field, text: value }
        | Query::Term { field, value } => one_value(field, value),
        Query::Terms { field, values } => values.iter().try_for_each(|value| one_value(field, value)),
        Query::Range { field, from, to } => match find(field).map(Searched::kind) {
            Some(kind @ (Kind::Long | Kind::Date | Kind::Boolean)) => {
                values::between(kind, from, to, now).map(|_| ())
            }
            Some(Kind::Keyword | Kind::Text) | None => Ok(()),
        },
        Query::Prefix { field, .. } => match find(field).map(Searched::kind) {
            Some(kind @ (Kind::Long | Kind::Date | Kind::Boolean)) => Err(Wrong::shard(format!(
                "can only use prefix queries on keyword and text fields, not on [{field}], which is of type [{}]",
                kind.name(),
            ))),
            Some(Kind::Keyword | Kind::Text) | None => Ok(()),
        },
        Query::MatchAll | Query::MatchNone | Query::Exists { .. } | Query::Ids(_) | Query::Bool(_) => Ok(()),
    }
}

fn one_value(field: &str, value: &serde_json::Value) -> Result<(), Wrong> {
    match find(field).map(Searched::kind) {
        Some(kind @ (Kind::Long | Kind::Date | Kind::Boolean)) => {
            values::exactly(kind, value, 0).map(|_| ()).map_err(|wrong| of_field(field, &wrong))
        }
        Some(Kind::Keyword | Kind::Text) | None => Ok(()),
    }
}

/// The same with the field's name.
fn of_field(field: &str, wrong: &Wrong) -> Wrong {
    Wrong::Malformed { kind: wrong.kind(), reason: format!("[{field}]: {}", wrong.reason()) }
}

fn window(request: &Request) -> Result<(), Wrong> {
    let reach = request.from.saturating_add(request.size);
    if reach <= MAX_WINDOW {
        return Ok(());
    }
    Err(Wrong::argument(format!(
        "Result window is too large, from + size must be less than or equal to: [{MAX_WINDOW}] but was [{reach}]; \
         go on with [search_after]"
    )))
}

fn source(filter: &SourceFilter) -> Result<(), Wrong> {
    let paths = match filter {
        SourceFilter::All | SourceFilter::Nothing => 0,
        SourceFilter::Paths { includes, excludes } => includes.len() + excludes.len(),
    };
    if paths <= MAX_PATHS {
        return Ok(());
    }
    Err(Wrong::argument(format!("[_source] takes at most {MAX_PATHS} paths, but there are {paths}")))
}

fn after(request: &Request) -> Result<(), Wrong> {
    let Some(after) = &request.search_after else { return Ok(()) };
    if request.sort.is_empty() {
        return Err(Wrong::argument("Sort must contain at least one field where [search_after] is used."));
    }
    if request.from > 0 {
        return Err(Wrong::argument("`from` parameter must be set to 0 when `search_after` is used"));
    }
    if after.len() != request.sort.len() {
        return Err(Wrong::argument(format!(
            "search_after has {} value(s) but sort has {}.",
            after.len(),
            request.sort.len(),
        )));
    }
    for (sort, value) in request.sort.iter().zip(after) {
        let fine = match &sort.by {
            SortBy::Score => value.as_f64().is_some(),
            SortBy::Field(field) => match find(field).map(Searched::kind) {
                Some(Kind::Keyword) => value.is_string() || value.is_null(),
                // Hits show times, yes and no as numbers, and where one is missing the largest or smallest.
                Some(kind) => value.is_null() || value.is_i64() || values::exactly(kind, value, 0).is_ok(),
                None => true,
            },
        };
        if !fine {
            return Err(Wrong::argument(format!("Failed to parse search_after value {value} for its sort")));
        }
    }
    Ok(())
}

fn sort(sort: &Sort) -> Result<(), Wrong> {
    let SortBy::Field(field) = &sort.by else { return Ok(()) };
    match find(field) {
        None if sort.unmapped_type.is_none() => {
            Err(Wrong::shard(format!("No mapping found for [{field}] in order to sort on")))
        }
        Some(searched) if searched.kind() == Kind::Text => Err(no_fielddata(field)),
        Some(_) | None => Ok(()),
    }
}

fn aggregation(one: &Aggregation) -> Result<(), Wrong> {
    let (name, field, kinds): (_, _, &[Kind]) = match &one.calculation {
        Calculation::Terms { field, .. } => {
            ("terms", field, &[Kind::Keyword, Kind::Long, Kind::Date, Kind::Boolean])
        }
        Calculation::DateHistogram { field, .. } => ("date_histogram", field, &[Kind::Date]),
        Calculation::Metric { metric: metric @ Metric::ValueCount, field } => {
            (metric.name(), field, &[Kind::Keyword, Kind::Long, Kind::Date, Kind::Boolean])
        }
        Calculation::Metric { metric, field } => {
            (metric.name(), field, &[Kind::Long, Kind::Date, Kind::Boolean])
        }
    };
    match find(field).map(Searched::kind) {
        Some(Kind::Text) => return Err(no_fielddata(field)),
        Some(kind) if !kinds.contains(&kind) => {
            return Err(Wrong::argument(format!(
                "Field [{field}] of type [{}] is not supported for aggregation [{name}]",
                kind.name(),
            )));
        }
        Some(_) | None => {}
    }
    one.within.iter().try_for_each(|(_, one)| aggregation(one))
}

fn no_fielddata(field: &str) -> Wrong {
    let exact = format!("{field}.keyword");
    let instead = match find(&exact) {
        Some(_) => format!("; use [{exact}] instead"),
        None => String::new(),
    };
    Wrong::argument(format!(
        "Fielddata is disabled on [{field}]: text fields neither sort nor aggregate{instead}"
    ))
}
