//! Reads queries.

use serde_json::Value;

use super::{Keys, only, operator};
use crate::query::{
    Edge, MAX_CLAUSES, MAX_DEPTH, MAX_TERMS, Minimum, Operator, Query, Together, Wrong, check, values,
};

/// Every kind of query there is, for those who ask for another.
const KINDS: &str =
    "bool, exists, ids, match, match_all, match_none, match_phrase, prefix, range, term, terms";

pub(super) fn read(value: &Value) -> Result<Query, Wrong> {
    Reader { clauses: 0 }.query(value, 0)
}

struct Reader {
    clauses: usize,
}

impl Reader {
    fn query(&mut self, value: &Value, depth: usize) -> Result<Query, Wrong> {
        self.clauses += 1;
        if self.clauses > MAX_CLAUSES {
            return Err(Wrong::Malformed {
                kind: "too_many_clauses",
                reason: format!("a search holds at most {MAX_CLAUSES} queries; for many values use [terms]"),
            });
        }
        if depth > MAX_DEPTH {
            return Err(Wrong::argument(format!("queries stand at most {MAX_DEPTH} deep in one another")));
        }
        let (kind, body) = only("query", value)?;
        let query = match kind {
            "match_all" => nothing_in("match_all", body, Query::MatchAll)?,
            "match_none" => nothing_in("match_none", body, Query::MatchNone)?,
            "match" => match_words(body)?,
            "match_phrase" => match_phrase(body)?,
            "term" => term(body)?,
            "terms" => terms(body)?,
            "range" => range(body)?,
            "exists" => exists(body)?,
            "prefix" => prefix(body)?,
            "ids" => ids(body)?,
            "bool" => self.together(body, depth)?,
            other => {
                return Err(Wrong::unsupported(format!(
                    "query [{other}] is not supported here; there are: {KINDS}"
                )));
            }
        };
        check::query(&query)?;
        Ok(query)
    }

    fn together(&mut self, body: &Value, depth: usize) -> Result<Query, Wrong> {
        let mut keys = Keys::of("bool", body)?;
        let together = Together {
            must: self.list(keys.take("must"), depth)?,
            filter: self.list(keys.take("filter"), depth)?,
            should: self.list(keys.take("should"), depth)?,
            must_not: self.list(keys.take("must_not"), depth)?,
            minimum: keys.take("minimum_should_match").map(minimum).transpose()?,
        };
        keys.end()?;
        Ok(Query::Bool(Box::new(together)))
    }

    fn list(&mut self, value: Option<&Value>, depth: usize) -> Result<Vec<Query>, Wrong> {
        match value {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| self.query(item, depth + 1)).collect(),
            Some(one) => Ok(vec![self.query(one, depth + 1)?]),
        }
    }
}

fn nothing_in(name: &str, body: &Value, query: Query) -> Result<Query, Wrong> {
    Keys::of(name, body)?.end()?;
    Ok(query)
}

fn match_words(body: &Value) -> Result<Query, Wrong> {
    let (field, inner) = only("match", body)?;
    let field = field.to_owned();
    if !inner.is_object() {
        let text = scalar("match", inner)?;
        return Ok(Query::Match { field, text, operator: Operator::Or, minimum: None });
    }
    let mut keys = Keys::of("match", inner)?;
    let query = Query::Match {
        field,
        text: scalar("match", keys.need("query")?)?,
        operator: keys
            .take("operator")
            .map_or(Ok(Operator::Or), |value| operator(value.as_str().unwrap_or("")))?,
        minimum: keys.take("minimum_should_match").map(minimum).transpose()?,
    };
    keys.end()?;
    Ok(query)
}

fn match_phrase(body: &Value) -> Result<Query, Wrong> {
    let (field, inner) = only("match_phrase", body)?;
    let text = of_key("match_phrase", inner, "query")?;
    Ok(Query::MatchPhrase { field: field.to_owned(), text })
}

fn term(body: &Value) -> Result<Query, Wrong> {
    let (field, inner) = only("term", body)?;
    let value = of_key("term", inner, "value")?;
    // The id of a document is no field of it, but is looked for like one.
    if field == "_id" {
        return Ok(Query::Ids(values::text(&value).into_iter().collect()));
    }
    Ok(Query::Term { field: field.to_owned(), value })
}

fn terms(body: &Value) -> Result<Query, Wrong> {
    let (field, inner) = only("terms", body)?;
    let Value::Array(items) = inner else {
        return Err(Wrong::unsupported("[terms] takes a list of values; it does not look them up here"));
    };
    let values = items.iter().map(|item| scalar("terms", item)).collect::<Result<Vec<_>, _>>()?;
    bounded("terms", values.len())?;
    if field == "_id" {
        return Ok(Query::Ids(values.iter().filter_map(values::text).collect()));
    }
    Ok(Query::Terms { field: field.to_owned(), values })
}

fn range(body: &Value) -> Result<Query, Wrong> {
    let (field, inner) = only("range", body)?;
    let mut keys = Keys::of("range", inner)?;
    let mut edge = |including, excluding| -> Result<Edge, Wrong> {
        let value =
            |value: Option<&Value>| value.filter(|value| !value.is_null()).map(|v| scalar("range", v));
        match (value(keys.take(including)), value(keys.take(excluding))) {
            (None, None) => Ok(Edge::Open),
            (Some(value), None) => Ok(Edge::Including(value?)),
            (None, Some(value)) => Ok(Edge::Excluding(value?)),
            (Some(_), Some(_)) => {
                Err(Wrong::argument(format!("[range] takes [{including}] or [{excluding}], not both")))
            }
        }
    };
    let (from, to) = (edge("gte", "gt")?, edge("lte", "lt")?);
    keys.end()?;
    Ok(Query::Range { field: field.to_owned(), from, to })
}

fn exists(body: &Value) -> Result<Query, Wrong> {
    let mut keys = Keys::of("exists", body)?;
    let field = keys.need_text("field")?;
    keys.end()?;
    Ok(Query::Exists { field })
}

fn prefix(body: &Value) -> Result<Query, Wrong> {
    let (field, inner) = only("prefix", body)?;
    let value = of_key("prefix", inner, "value")?;
    let value = values::text(&value).unwrap_or_default();
    Ok(Query::Prefix { field: field.to_owned(), value })
}

fn ids(body: &Value) -> Result<Query, Wrong> {
    let mut keys = Keys::of("ids", body)?;
    let Value::Array(items) = keys.need("values")? else {
        return Err(Wrong::parsing("[values] of [ids] must be a list"));
    };
    keys.end()?;
    bounded("ids", items.len())?;
    let id = |item| values::text(item).ok_or_else(|| Wrong::parsing("[values] of [ids] takes ids as text"));
    Ok(Query::Ids(items.iter().map(id).collect::<Result<_, _>>()?))
}

/// A value that may stand alone or in an object under this key.
fn of_key(name: &str, inner: &Value, key: &str) -> Result<Value, Wrong> {
    if !inner.is_object() {
        return scalar(name, inner);
    }
    let mut keys = Keys::of(name, inner)?;
    let value = scalar(name, keys.need(key)?)?;
    keys.end()?;
    Ok(value)
}

fn scalar(name: &str, value: &Value) -> Result<Value, Wrong> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(value.clone()),
        Value::Null => Err(Wrong::argument(format!("[{name}] takes no null"))),
        Value::Array(_) | Value::Object(_) => Err(Wrong::parsing(format!(
            "[{name}] takes text, a number, true or false, not a list or an object"
        ))),
    }
}

fn bounded(name: &str, count: usize) -> Result<(), Wrong> {
    if count <= MAX_TERMS {
        return Ok(());
    }
    Err(Wrong::argument(format!("[{name}] takes at most {MAX_TERMS} values, but got {count}")))
}

fn minimum(value: &Value) -> Result<Minimum, Wrong> {
    let text = values::text(value).unwrap_or_default();
    let number = |text: &str| text.trim().parse::<i32>().ok().map(i64::from);
    let minimum = match text.strip_suffix('%') {
        Some(percent) => {
            number(percent).filter(|percent| (-100..=100).contains(percent)).map(Minimum::Percent)
        }
        None => number(&text).map(Minimum::Count),
    };
    minimum.ok_or_else(|| {
        Wrong::unsupported(format!(
            "[minimum_should_match] takes a whole number or a percentage here, but was [{text}]"
        ))
    })
}
