//! Reads what sorts.

use serde_json::Value;

use super::{Keys, only};
use crate::query::{MAX_SORTS, Missing, Order, Sort, SortBy, Wrong};

pub(super) fn read(value: &Value) -> Result<Vec<Sort>, Wrong> {
    let sorts: Vec<_> = match value {
        Value::Array(items) => items.iter().map(one).collect::<Result<_, _>>()?,
        other => vec![one(other)?],
    };
    bounded(sorts)
}

pub(super) fn after(value: &Value) -> Result<Vec<Value>, Wrong> {
    let items = value.as_array().ok_or_else(|| Wrong::parsing("[search_after] must be a list"))?;
    if items.iter().any(|item| item.is_array() || item.is_object()) {
        return Err(Wrong::parsing("[search_after] takes text, numbers, true, false and null"));
    }
    Ok(items.clone())
}

pub(super) fn text(text: &str) -> Result<Vec<Sort>, Wrong> {
    let sorts = text.split(',').filter(|part| !part.is_empty()).map(|part| match part.rsplit_once(':') {
        Some((field, way)) => named(field, Some(order(way)?)),
        None => named(part, None),
    });
    bounded(sorts.collect::<Result<_, _>>()?)
}

fn bounded(mut sorts: Vec<Sort>) -> Result<Vec<Sort>, Wrong> {
    if sorts.len() > MAX_SORTS {
        return Err(Wrong::argument(format!(
            "at most {MAX_SORTS} fields sort, but there are {}",
            sorts.len()
        )));
    }
    // This alone is how hits are sorted anyway.
    let usual =
        Sort { by: SortBy::Score, order: Order::Descending, missing: Missing::Last, unmapped_type: None };
    if sorts == [usual] {
        sorts.clear();
    }
    Ok(sorts)
}

fn one(value: &Value) -> Result<Sort, Wrong> {
    if let Some(field) = value.as_str() {
        return named(field, None);
    }
    let (field, inner) = only("sort", value)?;
    if let Some(way) = inner.as_str() {
        return named(field, Some(order(way)?));
    }
    let mut keys = Keys::of("sort", inner)?;
    let way = match keys.take("order") {
        Some(value) => Some(order(value.as_str().unwrap_or(""))?),
        None => None,
    };
    let mut sort = named(field, way)?;
    if let Some(missing) = keys.take("missing") {
        sort.missing = match missing.as_str() {
            Some("_last") => Missing::Last,
            Some("_first") => Missing::First,
            _ => return Err(Wrong::unsupported("[missing] of [sort] takes [_last] or [_first] here")),
        };
    }
    if let Some(unmapped) = keys.take("unmapped_type") {
        let unmapped = unmapped.as_str().ok_or_else(|| Wrong::parsing("[unmapped_type] must be text"))?;
        sort.unmapped_type = Some(unmapped.to_owned());
    }
    keys.end()?;
    Ok(sort)
}

fn named(field: &str, way: Option<Order>) -> Result<Sort, Wrong> {
    let by = match field {
        "_score" => SortBy::Score,
        "_doc" | "_id" | "_script" | "_geo_distance" | "_shard_doc" => {
            return Err(Wrong::unsupported(format!(
                "sort by [{field}] is not supported here; [id] is unique"
            )));
        }
        field => SortBy::Field(field.to_owned()),
    };
    let usual = match by {
        SortBy::Score => Order::Descending,
        SortBy::Field(_) => Order::Ascending,
    };
    Ok(Sort { by, order: way.unwrap_or(usual), missing: Missing::Last, unmapped_type: None })
}

fn order(text: &str) -> Result<Order, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "asc" => Ok(Order::Ascending),
        "desc" => Ok(Order::Descending),
        _ => Err(Wrong::argument(format!("order of [sort] must be [asc] or [desc], but was [{text}]"))),
    }
}
