//! JSON in which every name of an object stands once. With two of them, one would count and one would not, and which
//! is nobody's guess to make.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{form::escape, problem::FieldError};

/// Reads a document; names that stand twice in their object are noted as bad fields, and the last of them is read on.
///
/// # Errors
/// When it is no JSON.
pub fn read(body: &[u8], errors: &mut Vec<FieldError>) -> Result<Value, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let repeated = RefCell::new(Vec::new());
    let value = Seed { at: &At::Root, repeated: &repeated }.deserialize(&mut json)?;
    json.end()?;
    let message = "stands more than once in its object; leave one";
    errors.extend(
        repeated.into_inner().into_iter().map(|field| FieldError { field, message: message.to_owned() }),
    );
    Ok(value)
}

/// Where we are in the document: a list on the stack, written out only when there is something to complain about.
enum At<'a> {
    Root,
    Name(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Name(above, name) => write!(f, "{above}/{}", escape(name)),
            Self::Item(above, n) => write!(f, "{above}/{n}"),
        }
    }
}

/// Reads one value.
struct Seed<'a> {
    at: &'a At<'a>,
    repeated: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let item = |n| At::Item(self.at, n);
        while let Some(value) =
            items.next_element_seed(Seed { at: &item(list.len()), repeated: self.repeated })?
        {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let at = At::Name(self.at, &name);
            let value = fields.next_value_seed(Seed { at: &at, repeated: self.repeated })?;
            if object.contains_key(&name) {
                let mut repeated = self.repeated.borrow_mut();
                let field = at.to_string();
                if !repeated.contains(&field) && repeated.len() < MAX_NAMED {
                    repeated.push(field);
                }
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// So many repeated names are listed; who sends more mends these first.
const MAX_NAMED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_stand_twice_are_bad_fields_at_any_depth() {
        let text =
            r#"{"a":1,"a":2,"b":{"c":[{"d/e":1,"d/e":2,"d/e":3}]},"f":"x","g":1.5,"h":null,"i":true,"j":-1}"#;
        let mut errors = Vec::new();
        let value = read(text.as_bytes(), &mut errors).unwrap();
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["/a", "/b/c/0/d~1e"]);
        assert_eq!(value["a"], 2);
        let once = r#"{"a":[1,-2,3.5,18446744073709551615,"é\u00e9",null,true,{}],"b":{"a":1}}"#;
        errors.clear();
        let value = read(once.as_bytes(), &mut errors).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(once).unwrap());
        assert!(errors.is_empty());
        assert!(
            read(b"{} {}", &mut errors).is_err() && read("[".repeat(200).as_bytes(), &mut errors).is_err()
        );
    }
}
