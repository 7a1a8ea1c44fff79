//! The JSON of a message, field by field. What is wrong is said with the name of the field and what it must be.

use std::borrow::Cow;

use cartwright_core::domain::{ids::OrderId, money::Currency, order::MAX_LINES, time::Timestamp};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::{
    decimal::Decimal,
    lenient::{Kind, Object, kind},
};

/// An object of a message.
pub struct Fields<'a> {
    object: Object<'a>,
    /// Where it stands, with a dot behind; nothing for the message itself.
    path: String,
    names: Names,
}

/// How names are told from each other.
#[derive(Clone, Copy)]
pub enum Names {
    /// In whatever case.
    AnyCase,
    /// As they stand.
    Exact,
}

/// What a field must be: in words, and as a reader that answers nothing to everything else.
pub struct Must<R> {
    be: Cow<'static, str>,
    read: R,
}

impl<'a> Fields<'a> {
    /// The fields of a message.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn of(value: &'a [u8], names: Names) -> Result<Self, String> {
        match serde_json::from_slice(value) {
            Ok(object) => Ok(Self { object, path: String::new(), names }),
            Err(error) => Err(format!("the value must be a JSON object: {error}")),
        }
    }

    /// A field that must be there.
    ///
    /// # Errors
    /// It is missing, null, or not what it must be.
    pub fn get<T>(&self, name: &str, must: Must<impl Fn(&RawValue) -> Option<T>>) -> Result<T, String> {
        let found = self.find(name).and_then(|value| (must.read)(value));
        found.ok_or_else(|| self.wrong(name, &must.be))
    }

    /// A field that may be missing or null.
    ///
    /// # Errors
    /// It is not what it must be.
    pub fn get_if_any<T>(
        &self,
        name: &str,
        must: Must<impl Fn(&RawValue) -> Option<T>>,
    ) -> Result<Option<T>, String> {
        if self.find(name).is_none() { Ok(None) } else { self.get(name, must).map(Some) }
    }

    /// An object within this one.
    ///
    /// # Errors
    /// It is missing, null, or something else.
    pub fn object(&self, name: &str) -> Result<Self, String> {
        let found = self.find(name).and_then(|value| self.within(value, name));
        found.ok_or_else(|| self.wrong(name, "an object"))
    }

    /// The same, if it is there.
    ///
    /// # Errors
    /// It is something else.
    pub fn object_if_any(&self, name: &str) -> Result<Option<Self>, String> {
        if self.find(name).is_none() { Ok(None) } else { self.object(name).map(Some) }
    }

    /// A list of objects, as many as an order may have lines.
    ///
    /// # Errors
    /// It is missing, null, something else, empty or too long.
    pub fn list(&self, name: &str) -> Result<Vec<Self>, String> {
        let items: Option<Vec<&'a RawValue>> =
            self.find(name).and_then(|value| serde_json::from_str(value.get()).ok());
        let items = items.filter(|items| (1..=MAX_LINES).contains(&items.len()));
        let items = items.and_then(|items| {
            let item = |(n, item)| self.within(item, &format!("{name}[{n}]"));
            items.into_iter().enumerate().map(item).collect()
        });
        items.ok_or_else(|| self.wrong(name, &format!("a list of 1 to {MAX_LINES} objects")))
    }

    fn within(&self, value: &'a RawValue, name: &str) -> Option<Self> {
        let object = serde_json::from_str(value.get()).ok()?;
        Some(Self { object, path: format!("{}{name}.", self.path), names: self.names })
    }

    /// The value of a field; none, if it is null.
    fn find(&self, name: &str) -> Option<&'a RawValue> {
        let found = match self.names {
            Names::AnyCase => self.object.any_case(name),
            Names::Exact => self.object.exact(&[name]),
        };
        found.map(|(_, value)| value).filter(|value| kind(value) != Kind::Null)
    }

    fn wrong(&self, name: &str, must_be: &str) -> String {
        format!("{}{name} must be {must_be}", self.path)
    }
}

/// A text of at most so many characters, and not only spaces.
pub fn text(most: usize) -> Must<impl Fn(&RawValue) -> Option<String>> {
    let fits = move |text: &String| !text.trim().is_empty() && text.chars().count() <= most;
    must(format!("a text of 1 to {most} characters"), move |value| read_text(value).filter(fits))
}

/// Any text.
pub fn any_text() -> Must<impl Fn(&RawValue) -> Option<String>> {
    must("a text", read_text)
}

/// One of these words.
pub fn one_of(words: &[&str]) -> Must<impl Fn(&RawValue) -> Option<String>> {
    must(words.join(" or "), |value| read_text(value).filter(|text| words.contains(&&**text)))
}

/// The id of an order, as this reads it.
pub fn order_id(
    be: &'static str,
    read: impl Fn(&str) -> Option<OrderId>,
) -> Must<impl Fn(&RawValue) -> Option<OrderId>> {
    must(be, move |value| read(&read_text(value)?))
}

/// A UUID.
pub fn guid() -> Must<impl Fn(&RawValue) -> Option<Uuid>> {
    must("a UUID", |value| Uuid::try_parse(&read_text(value)?).ok())
}

/// A moment, as this reads it.
pub fn moment(read: fn(&str) -> Option<Timestamp>) -> Must<impl Fn(&RawValue) -> Option<Timestamp>> {
    must("a date and time", move |value| read(&read_text(value)?))
}

/// A whole number from 1 to so many.
pub fn count(most: u32) -> Must<impl Fn(&RawValue) -> Option<u32>> {
    let whole = |number: Decimal| number.at(0).and_then(|number| u32::try_from(number).ok());
    let fits = move |number: &u32| (1..=most).contains(number);
    must(format!("a whole number from 1 to {most}"), move |value| {
        read_number(value).and_then(whole).filter(fits)
    })
}

/// A number of at least nothing.
pub fn amount() -> Must<impl Fn(&RawValue) -> Option<Decimal>> {
    must("a number of at least 0", |value| read_number(value).filter(|number| number.units >= 0))
}

/// A number that only must be one.
pub fn number() -> Must<impl Fn(&RawValue) -> Option<()>> {
    must("a number", |value| (kind(value) == Kind::Number).then_some(()))
}

/// A currency.
pub fn currency() -> Must<impl Fn(&RawValue) -> Option<Currency>> {
    must("an ISO 4217 code", |value| Currency::parse(&read_text(value)?))
}

fn must<T, R: Fn(&RawValue) -> Option<T>>(be: impl Into<Cow<'static, str>>, read: R) -> Must<R> {
    Must { be: be.into(), read }
}

fn read_text(value: &RawValue) -> Option<String> {
    // Only a JSON text is one here.
    serde_json::from_str(value.get()).ok()
}

fn read_number(value: &RawValue) -> Option<Decimal> {
    (kind(value) == Kind::Number).then(|| Decimal::parse(value.get())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_the_name_of_the_field() {
        let json = br#"{"A": {"b": [{"c": 1.5}, {"C": "x"}]}, "n": null, "t": " "}"#;
        let fields = Fields::of(json, Names::AnyCase).unwrap();
        let list = fields.object("a").unwrap().list("b").unwrap();
        assert_eq!(list[0].get("c", count(5)).unwrap_err(), "a.b[0].c must be a whole number from 1 to 5");
        assert_eq!(list[1].get("c", any_text()).as_deref(), Ok("x"));
        assert_eq!(fields.get_if_any("n", guid()), Ok(None));
        assert_eq!(fields.get("n", guid()).unwrap_err(), "n must be a UUID");
        assert_eq!(fields.get("t", text(9)).unwrap_err(), "t must be a text of 1 to 9 characters");
        assert_eq!(fields.list("t").err().unwrap(), "t must be a list of 1 to 1000 objects");
        assert!(Fields::of(json, Names::Exact).unwrap().object("a").is_err(), "its name is A");
        assert!(
            Fields::of(b"[]", Names::Exact).err().unwrap().starts_with("the value must be a JSON object")
        );
    }
}
