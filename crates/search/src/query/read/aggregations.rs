//! Reads aggregations.

use serde_json::Value;

use super::{Keys, count_of};
use crate::query::{
    Aggregation, Calculation, Interval, MAX_AGGREGATION_DEPTH, MAX_AGGREGATIONS, MAX_TERMS, Metric, Order,
    TermsKey, Unit, Wrong, values,
};

/// How many buckets of values are given where nobody says.
const DEFAULT_BUCKETS: usize = 10;

/// Every kind of aggregation there is, for those who ask for another.
const KINDS: &str = "avg, date_histogram, max, min, sum, terms, value_count";

pub(super) fn read(value: &Value) -> Result<Vec<(String, Aggregation)>, Wrong> {
    let mut reader = Reader { count: 0 };
    reader.all(value, 0)
}

struct Reader {
    count: usize,
}

impl Reader {
    fn all(&mut self, value: &Value, depth: usize) -> Result<Vec<(String, Aggregation)>, Wrong> {
        if depth > MAX_AGGREGATION_DEPTH {
            let reason = format!("aggregations stand at most {MAX_AGGREGATION_DEPTH} deep in one another");
            return Err(Wrong::argument(reason));
        }
        let all = value.as_object().ok_or_else(|| Wrong::parsing("[aggs] must be an object"))?;
        all.iter().map(|(name, body)| Ok((named(name)?, self.one(body, depth)?))).collect()
    }

    fn one(&mut self, body: &Value, depth: usize) -> Result<Aggregation, Wrong> {
        self.count += 1;
        if self.count > MAX_AGGREGATIONS {
            let reason = format!("a search holds at most {MAX_AGGREGATIONS} aggregations");
            return Err(Wrong::argument(reason));
        }
        let mut keys = Keys::of("aggs", body)?;
        let within = keys.take("aggs").or_else(|| keys.take("aggregations"));
        let within = within.map_or(Ok(Vec::new()), |within| self.all(within, depth + 1))?;
        let Some((kind, inner)) = keys.left.pop() else {
            return Err(Wrong::parsing("an aggregation needs its kind"));
        };
        keys.end()?;
        let calculation = calculation(kind, inner)?;
        if let (Calculation::Metric { metric, .. }, false) = (&calculation, within.is_empty()) {
            let reason = format!("aggregation [{}] has no buckets for others within it", metric.name());
            return Err(Wrong::Malformed { kind: "aggregation_initialization_exception", reason });
        }
        Ok(Aggregation { calculation, within })
    }
}

fn named(name: &str) -> Result<String, Wrong> {
    if name.is_empty() || name.contains(['[', ']', '>']) {
        return Err(Wrong::parsing(format!(
            "aggregation names hold no [, ] and >, and are not empty: {name:?}"
        )));
    }
    Ok(name.to_owned())
}

fn calculation(kind: &str, inner: &Value) -> Result<Calculation, Wrong> {
    let mut keys = Keys::of(kind, inner)?;
    let metric = |metric, keys: &mut Keys<'_>| -> Result<_, Wrong> {
        Ok(Calculation::Metric { metric, field: keys.need_text("field")? })
    };
    let calculation = match kind {
        "terms" => terms(&mut keys)?,
        "date_histogram" => date_histogram(&mut keys)?,
        "sum" => metric(Metric::Sum, &mut keys)?,
        "avg" => metric(Metric::Avg, &mut keys)?,
        "min" => metric(Metric::Min, &mut keys)?,
        "max" => metric(Metric::Max, &mut keys)?,
        "value_count" => metric(Metric::ValueCount, &mut keys)?,
        other => {
            let reason = format!("aggregation [{other}] is not supported here; there are: {KINDS}");
            return Err(Wrong::unsupported(reason));
        }
    };
    keys.end()?;
    Ok(calculation)
}

fn terms(keys: &mut Keys<'_>) -> Result<Calculation, Wrong> {
    let field = keys.need_text("field")?;
    let size = keys.take("size").map_or(Ok(DEFAULT_BUCKETS), |size| count_of("size", size))?;
    if size == 0 || size > MAX_TERMS {
        return Err(Wrong::argument(format!(
            "[size] of [terms] must be from 1 to {MAX_TERMS}, but was {size}"
        )));
    }
    let min_doc_count = min_doc_count(keys, 1)?;
    if min_doc_count == 0 {
        return Err(Wrong::unsupported("[min_doc_count] of [terms] must be 1 or more here"));
    }
    let order = match keys.take("order") {
        Some(Value::Array(items)) => items.iter().map(terms_order).collect::<Result<_, _>>()?,
        Some(one) => vec![terms_order(one)?],
        None => vec![(TermsKey::Count, Order::Descending)],
    };
    Ok(Calculation::Terms { field, size, order, min_doc_count })
}

fn terms_order(value: &Value) -> Result<(TermsKey, Order), Wrong> {
    let (key, way) = super::only("order", value)?;
    let key = match key {
        "_count" => TermsKey::Count,
        "_key" | "_term" => TermsKey::Key,
        other => {
            let reason = format!("[order] of [terms] takes [_count] or [_key] here, not [{other}]");
            return Err(Wrong::unsupported(reason));
        }
    };
    Ok((key, order(way)?))
}

fn order(value: &Value) -> Result<Order, Wrong> {
    match value.as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("asc") => Ok(Order::Ascending),
        Some("desc") => Ok(Order::Descending),
        _ => Err(Wrong::argument(format!("[order] must be [asc] or [desc], but was {value}"))),
    }
}

fn min_doc_count(keys: &mut Keys<'_>, usual: u64) -> Result<u64, Wrong> {
    let Some(value) = keys.take("min_doc_count") else { return Ok(usual) };
    value.as_u64().ok_or_else(|| Wrong::argument("[min_doc_count] must be a whole number from 0 on"))
}

fn date_histogram(keys: &mut Keys<'_>) -> Result<Calculation, Wrong> {
    let field = keys.need_text("field")?;
    let interval = match (keys.take("calendar_interval"), keys.take("fixed_interval")) {
        (Some(unit), None) => Interval::Calendar(calendar(unit)?),
        (None, Some(span)) => Interval::Fixed(fixed(span)?),
        _ => {
            let reason = "[date_histogram] needs [calendar_interval] or [fixed_interval], and not both";
            return Err(Wrong::argument(reason));
        }
    };
    let min_doc_count = min_doc_count(keys, 0)?;
    let order = match keys.take("order") {
        None => Order::Ascending,
        Some(value) => match terms_order(value)? {
            (TermsKey::Key, order) => order,
            (TermsKey::Count, _) => {
                return Err(Wrong::unsupported("[order] of [date_histogram] takes [_key] here"));
            }
        },
    };
    if keys.take("time_zone").is_some_and(|zone| !matches!(zone.as_str(), Some("UTC" | "Z" | "+00:00"))) {
        return Err(Wrong::unsupported("[time_zone] of [date_histogram] is always UTC here"));
    }
    Ok(Calculation::DateHistogram { field, interval, min_doc_count, order })
}

fn calendar(value: &Value) -> Result<Unit, Wrong> {
    match value.as_str().unwrap_or("") {
        "minute" | "1m" => Ok(Unit::Minute),
        "hour" | "1h" => Ok(Unit::Hour),
        "day" | "1d" => Ok(Unit::Day),
        "week" | "1w" => Ok(Unit::Week),
        "month" | "1M" => Ok(Unit::Month),
        "quarter" | "1q" => Ok(Unit::Quarter),
        "year" | "1y" => Ok(Unit::Year),
        _ => Err(Wrong::argument(format!(
            "The supplied interval [{value}] could not be parsed as a calendar interval: there are minute, hour, day, \
             week, month, quarter and year"
        ))),
    }
}

fn fixed(value: &Value) -> Result<i64, Wrong> {
    let text = values::text(value).unwrap_or_default();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let millis =
        count.parse::<i64>().ok().and_then(|count| count.checked_mul(unit)).filter(|millis| *millis > 0);
    millis.ok_or_else(|| {
        Wrong::argument(format!(
            "The supplied interval [{text}] could not be parsed as a fixed interval: it is a number and ms, s, m, h or d"
        ))
    })
}
