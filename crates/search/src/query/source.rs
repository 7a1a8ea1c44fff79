//! What is given of each document that is found.

use serde_json::{Map, Value};

/// What is given of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SourceFilter {
    /// All of it.
    #[default]
    All,
    /// Nothing.
    Nothing,
    /// What these paths lead to. `*` stands for any characters.
    Paths {
        /// What is given; empty: everything.
        includes: Vec<String>,
        /// What is left out of that.
        excludes: Vec<String>,
    },
}

impl SourceFilter {
    /// What is left of a document.
    #[must_use]
    pub fn apply(&self, source: Value) -> Option<Value> {
        match self {
            Self::All => Some(source),
            Self::Nothing => None,
            Self::Paths { includes, excludes } => Some(match source {
                Value::Object(object) => {
                    Value::Object(Paths { includes, excludes }.object(object, "", false))
                }
                other => other,
            }),
        }
    }
}

struct Paths<'a> {
    includes: &'a [String],
    excludes: &'a [String],
}

impl Paths<'_> {
    /// `whole`: the object was asked for by its own path, so all of it is wanted.
    fn object(&self, object: Map<String, Value>, path: &str, whole: bool) -> Map<String, Value> {
        let mut kept = Map::new();
        for (key, value) in object {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if self.excludes.iter().any(|pattern| glob(pattern, &path)) {
                continue;
            }
            let whole = whole || self.includes.is_empty() || self.includes.iter().any(|p| glob(p, &path));
            if let Some(value) = self.value(value, &path, whole) {
                kept.insert(key, value);
            }
        }
        kept
    }

    fn value(&self, value: Value, path: &str, whole: bool) -> Option<Value> {
        match value {
            Value::Object(object) => {
                let was_empty = object.is_empty();
                let kept = self.object(object, path, whole);
                (!kept.is_empty() || (whole && was_empty)).then_some(Value::Object(kept))
            }
            Value::Array(items) => {
                let was_empty = items.is_empty();
                let kept: Vec<_> =
                    items.into_iter().filter_map(|item| self.value(item, path, whole)).collect();
                (!kept.is_empty() || (whole && was_empty)).then_some(Value::Array(kept))
            }
            scalar => whole.then_some(scalar),
        }
    }
}

/// Whether a pattern fits a whole text; `*` stands for any characters. Takes time in proportion to both, never more.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return false };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(includes: &[&str], excludes: &[&str]) -> Value {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let filter = SourceFilter::Paths { includes: owned(includes), excludes: owned(excludes) };
        let source = json!({
            "id": "a", "customerName": "Ada", "customerEmail": "ada@example.com", "skus": [],
            "events": [{"type": "OrderCreatedV1", "at": "2026-01-01T00:00:00Z"}, {"type": "ShipmentShippedV1"}],
        });
        filter.apply(source).unwrap()
    }

    #[test]
    fn paths_choose_what_is_given() {
        assert_eq!(kept(&["id"], &[]), json!({"id": "a"}));
        assert_eq!(kept(&["customer*"], &["*Email"]), json!({"customerName": "Ada"}));
        let types = json!({"events": [{"type": "OrderCreatedV1"}, {"type": "ShipmentShippedV1"}]});
        assert_eq!(kept(&["events.type"], &[]), types);
        assert_eq!(kept(&["events"], &["events.at"]), types);
        assert_eq!(kept(&[], &["events", "c*"]), json!({"id": "a", "skus": []}));
        assert_eq!(kept(&["nothing"], &[]), json!({}));
    }

    #[test]
    fn everything_or_nothing_is_given() {
        assert_eq!(SourceFilter::All.apply(json!({"a": 1})), Some(json!({"a": 1})));
        assert_eq!(SourceFilter::Nothing.apply(json!({"a": 1})), None);
    }

    #[test]
    fn stars_stand_for_any_characters() {
        assert!(glob("*", "") && glob("a*", "abc") && glob("*c", "abc") && glob("a*b*c", "aXbYc"));
        assert!(!glob("a", "ab") && !glob("a*b", "a") && !glob("ab*ba", "aba") && !glob("", "a"));
    }
}
