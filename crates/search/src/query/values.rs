//! The values of a request as a field of some kind understands them.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::{Edge, Round, Wrong, date};
use crate::fields::Kind;

/// Numbers, dates, yes and no: all of them are numbers, and every question for one is a span, both ends within it.
pub(crate) type Span = Option<(i64, i64)>;

/// A value as text; `None` for objects, lists and null.
pub(crate) fn text(value: &Value) -> Option<String> {
    as_text(value).map(Cow::into_owned)
}

/// The same, borrowed where it can be.
pub(crate) fn as_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(yes) => Some(if *yes { "true" } else { "false" }.into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The span in which this one value lies; `None`: no document can hold it.
pub(crate) fn exactly(kind: Kind, value: &Value, now: i64) -> Result<Span, Wrong> {
    between(kind, &Edge::Including(value.clone()), &Edge::Including(value.clone()), now)
}

/// The span between two ends; `None`: nothing lies there.
pub(crate) fn between(kind: Kind, from: &Edge, to: &Edge, now: i64) -> Result<Span, Wrong> {
    let first = match from {
        Edge::Open => Some(i64::MIN),
        Edge::Including(value) => point(kind, value, now)?.first_from(),
        Edge::Excluding(value) => point(kind, value, now)?.first_after(),
    };
    let last = match to {
        Edge::Open => Some(i64::MAX),
        Edge::Including(value) => point(kind, value, now)?.last_until(),
        Edge::Excluding(value) => point(kind, value, now)?.last_before(),
    };
    Ok(first.zip(last).filter(|(first, last)| first <= last))
}

/// A value between the whole numbers that stand around it, or what it covers: `2026-03-01` is a day, 1.5 covers nothing.
struct Point {
    /// The first whole number that is not below it.
    first: i128,
    /// The last one that is not above it.
    last: i128,
}

impl Point {
    fn first_from(&self) -> Option<i64> {
        low(self.first)
    }

    fn first_after(&self) -> Option<i64> {
        low(self.last + 1)
    }

    fn last_until(&self) -> Option<i64> {
        high(self.last)
    }

    fn last_before(&self) -> Option<i64> {
        high(self.first - 1)
    }
}

fn low(number: i128) -> Option<i64> {
    i64::try_from(number.max(i128::from(i64::MIN))).ok()
}

fn high(number: i128) -> Option<i64> {
    i64::try_from(number.min(i128::from(i64::MAX))).ok()
}

fn point(kind: Kind, value: &Value, now: i64) -> Result<Point, Wrong> {
    let text = text(value).ok_or_else(|| Wrong::parsing(format!("{value} is no value to look for")))?;
    match kind {
        Kind::Date => {
            let end = |round| {
                date(&text, round, now)
                    .map(i128::from)
                    .map_err(|reason| Wrong::Malformed { kind: "parse_exception", reason })
            };
            Ok(Point { first: end(Round::Down)?, last: end(Round::Up)? })
        }
        Kind::Boolean => {
            let number = i128::from(boolean(&text).ok_or_else(|| {
                Wrong::shard(format!("can't parse boolean value [{text}], expected [true] or [false]"))
            })?);
            Ok(Point { first: number, last: number })
        }
        Kind::Long | Kind::Keyword | Kind::Text => number(&text)
            .ok_or_else(|| Wrong::shard(format!("failed to create query: [{text}] is no number"))),
    }
}

fn number(text: &str) -> Option<Point> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Point { first: whole.into(), last: whole.into() });
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    // Far outside of 64 bits it does not matter where exactly; the conversion stops at the ends of 128.
    let limit = |number: f64| (number as i128).clamp(i128::MIN / 2, i128::MAX / 2);
    Some(Point { first: limit(number.ceil()), last: limit(number.floor()) })
}

/// Yes or no, as Elasticsearch reads it.
pub(crate) fn boolean(text: &str) -> Option<i64> {
    match text {
        "true" => Some(1),
        "false" | "" => Some(0),
        _ => None,
    }
}

/// A number of a document as a whole one: what is behind the point is dropped, as Elasticsearch does.
pub(crate) fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| fits(number.as_f64()?))
}

/// A number that a document writes as text.
pub(crate) fn whole_text(text: &str) -> Option<i64> {
    text.trim().parse().ok().or_else(|| fits(text.trim().parse::<f64>().ok()?))
}

fn fits(number: f64) -> Option<i64> {
    let cut = number.trunc();
    // 2^63 is the first that does not fit.
    (cut >= i64::MIN as f64 && cut < 9_223_372_036_854_775_808.0).then_some(cut as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn span(kind: Kind, from: Edge, to: Edge) -> Span {
        between(kind, &from, &to, 0).unwrap()
    }

    #[test]
    fn numbers_between_whole_ones_are_rounded_the_right_way() {
        let above = span(Kind::Long, Edge::Excluding(json!(1.5)), Edge::Open);
        assert_eq!(above, Some((2, i64::MAX)));
        assert_eq!(
            span(Kind::Long, Edge::Including(json!("1.5")), Edge::Including(json!(2.5))),
            Some((2, 2))
        );
        assert_eq!(span(Kind::Long, Edge::Excluding(json!(1)), Edge::Excluding(json!(2))), None);
        assert_eq!(span(Kind::Long, Edge::Including(json!(1e300)), Edge::Open), None);
        assert_eq!(span(Kind::Long, Edge::Including(json!(-1e300)), Edge::Open), Some((i64::MIN, i64::MAX)));
        assert_eq!(exactly(Kind::Long, &json!(1.5), 0), Ok(None));
        assert_eq!(exactly(Kind::Long, &json!("7"), 0), Ok(Some((7, 7))));
    }

    #[test]
    fn a_day_is_left_out_or_taken_whole() {
        let day = json!("1970-01-02");
        let millis = 86_400_000;
        assert_eq!(exactly(Kind::Date, &day, 0), Ok(Some((millis, 2 * millis - 1))));
        let after = span(Kind::Date, Edge::Excluding(day.clone()), Edge::Open);
        assert_eq!(after, Some((2 * millis, i64::MAX)));
        let before = span(Kind::Date, Edge::Open, Edge::Excluding(day));
        assert_eq!(before, Some((i64::MIN, millis - 1)));
    }

    #[test]
    fn what_a_field_can_not_hold_is_refused() {
        assert!(exactly(Kind::Long, &json!("many"), 0).is_err());
        assert!(exactly(Kind::Date, &json!("soon"), 0).is_err());
        assert!(exactly(Kind::Boolean, &json!("perhaps"), 0).is_err());
        assert!(exactly(Kind::Long, &json!(null), 0).is_err());
    }

    #[test]
    fn numbers_of_documents_are_cut() {
        assert_eq!(whole_text(" 12.9 "), Some(12));
        assert_eq!(whole(&Number::from_f64(-12.9).unwrap()), Some(-12));
        assert_eq!(whole(&Number::from(u64::MAX)), None);
    }
}
