//! JSON objects as ASP.NET and pydantic read them: unknown names are passed over, of a name that comes twice the last
//! counts, and numbers keep their digits.

use std::{borrow::Cow, fmt};

use axum::http::{HeaderMap, header};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// An object: names as they were sent, and what they name.
#[derive(Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// What a value is, at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// A text.
    Text,
    /// A number.
    Number,
    /// `true` or `false`
    Bool,
    /// A list.
    List,
    /// An object.
    Object,
}

impl<'a> Object<'a> {
    /// The last value of this name, in whatever case, with the name as it was sent.
    pub fn any_case(&self, name: &str) -> Option<(&str, &'a RawValue)> {
        self.last(|sent| sent.eq_ignore_ascii_case(name))
    }

    /// The last value of one of these names, as they stand.
    pub fn exact(&self, names: &[&str]) -> Option<(&str, &'a RawValue)> {
        self.last(|sent| names.contains(&sent))
    }

    fn last(&self, is: impl Fn(&str) -> bool) -> Option<(&str, &'a RawValue)> {
        self.0.iter().rev().find(|(sent, _)| is(sent)).map(|(sent, value)| (&**sent, *value))
    }
}

/// What a body is said to be, in lower case and without parameters; empty, if nothing is said.
pub fn content_type(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What a value is.
pub fn kind(value: &RawValue) -> Kind {
    match value.get().as_bytes().first() {
        Some(b'"') => Kind::Text,
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::List,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut all = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(entry) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    all.push(entry);
                }
                Ok(Object(all))
            }
        }
        from.deserialize_map(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_the_last_counts() {
        let object: Object<'_> =
            serde_json::from_str(r#"{"a": 1, "A": 2.50, "b\u0062": "x", "extra": {"deep": [1]}}"#).unwrap();
        assert_eq!(object.any_case("a").map(|(name, value)| (name, value.get())), Some(("A", "2.50")));
        assert_eq!(object.exact(&["a"]).map(|(_, value)| value.get()), Some("1"));
        assert_eq!(object.any_case("BB").map(|(_, value)| kind(value)), Some(Kind::Text));
        assert_eq!(object.any_case("extra").map(|(_, value)| kind(value)), Some(Kind::Object));
        assert!(object.any_case("c").is_none());
    }
}
