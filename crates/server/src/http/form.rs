//! Reading a JSON body field by field, so that all bad fields are named at once, unknown and repeated ones included.

use std::{collections::BTreeMap, fmt::Display};

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::{
    json,
    problem::{FieldError, Problem},
};

/// An object being read. Fields are taken out by name; what is left over is unknown and therefore bad.
pub struct Form<'a> {
    at: String,
    fields: Map<String, Value>,
    errors: &'a mut Vec<FieldError>,
}

/// Reads a body that must be a JSON object with `read`; every complaint ends up in one problem.
///
/// # Errors
/// 400 naming each bad field.
pub fn read_body<T>(body: &[u8], read: impl FnOnce(&mut Form<'_>) -> Option<T>) -> Result<T, Problem> {
    let not_json = |why: String| Problem::new(StatusCode::BAD_REQUEST, "invalid-json", why);
    let mut errors = Vec::new();
    let value = if body.is_empty() {
        return Err(not_json("the body is empty; it must be a JSON object".into()));
    } else {
        json::read(body, &mut errors)
            .map_err(|error| not_json(format!("the body is not valid JSON: {error}")))?
    };
    let Value::Object(fields) = value else {
        return Err(not_json("the body must be a JSON object".into()));
    };
    let mut form = Form { at: String::new(), fields, errors: &mut errors };
    let result = read(&mut form);
    form.finish();
    match (result, errors.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err(Problem::fields(errors)),
    }
}

impl Form<'_> {
    /// Says that a field is bad.
    pub fn bad(&mut self, name: &str, message: impl Into<String>) {
        let field = self.path(name);
        self.errors.push(FieldError { field, message: message.into() });
    }

    /// Whether anything was bad so far, anywhere.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Text of `min` to `max` characters, absent or null allowed.
    pub fn text(&mut self, name: &str, min: usize, max: usize) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if (min..=max).contains(&text.chars().count()) && !has_control(&text) => {
                Some(text)
            }
            _ => {
                self.bad(
                    name,
                    format!("must be text of {min} to {max} characters without control characters"),
                );
                None
            }
        }
    }

    /// Text that `read` understands, absent or null allowed; its error says what it must be.
    pub fn parsed<T, E: Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        // What is no text is as wrong as an empty one.
        match read(self.take(name)?.as_str().unwrap_or_default()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.bad(name, error.to_string());
                None
            }
        }
    }

    /// Text that must be there.
    pub fn needed_text(&mut self, name: &str, min: usize, max: usize) -> Option<String> {
        self.needed(name).then(|| self.text(name, min, max)).flatten()
    }

    /// True or false; false when absent or null.
    pub fn flag(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.bad(name, "must be true or false");
                false
            }
        }
    }

    /// True or false, which must be there.
    pub fn needed_flag(&mut self, name: &str) -> Option<bool> {
        self.needed(name).then(|| self.flag(name))
    }

    /// A list of at most `max` texts that `read` understands, absent or null allowed (then empty).
    pub fn texts<T>(
        &mut self,
        name: &str,
        max: usize,
        must: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let items = match self.take(name) {
            None => return vec![],
            Some(Value::Array(items)) if items.len() <= max => items,
            Some(_) => {
                self.bad(name, format!("must be a list of at most {max} texts"));
                return vec![];
            }
        };
        let mut values = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            match item.as_str().and_then(&read) {
                Some(value) => values.push(value),
                None => self.bad(&format!("{name}/{i}"), format!("must be {must}")),
            }
        }
        values
    }

    /// A whole number in a range, absent or null allowed.
    pub fn integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        let value = self.take(name)?;
        match value.as_i64() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                self.bad(name, format!("must be a whole number between {min} and {max}"));
                None
            }
        }
    }

    /// A whole number that must be there.
    pub fn needed_integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        self.needed(name).then(|| self.integer(name, min, max)).flatten()
    }

    /// One of several words, absent or null allowed.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.take(name)?;
        let found =
            value.as_str().and_then(|word| words.iter().find(|(w, _)| *w == word)).map(|(_, value)| *value);
        if found.is_none() {
            let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.bad(name, format!("must be one of {}", list.join(", ")));
        }
        found
    }

    /// A word that must be there.
    pub fn needed_word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        self.needed(name).then(|| self.word(name, words)).flatten()
    }

    /// An object, absent or null allowed.
    pub fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Form<'_>) -> Option<T>) -> Option<T> {
        match self.take(name)? {
            Value::Object(fields) => {
                let at = self.path(name);
                let mut form = Form { at, fields, errors: self.errors };
                let value = read(&mut form);
                form.finish();
                value
            }
            _ => {
                self.bad(name, "must be an object");
                None
            }
        }
    }

    /// An object that must be there.
    pub fn needed_object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Form<'_>) -> Option<T>,
    ) -> Option<T> {
        if self.needed(name) { self.object(name, read) } else { None }
    }

    /// A list of objects, absent or null allowed (then empty). `None` if it, or any of its items, is bad.
    pub fn list<T>(
        &mut self,
        name: &str,
        min: usize,
        max: usize,
        mut read: impl FnMut(usize, &mut Form<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = match self.take(name) {
            None if min == 0 => return Some(vec![]),
            Some(Value::Array(items)) if (min..=max).contains(&items.len()) => items,
            None => {
                self.bad(name, format!("is needed: a list of {min} to {max} objects"));
                return None;
            }
            Some(_) => {
                self.bad(name, format!("must be a list of {min} to {max} objects"));
                return None;
            }
        };
        let at = self.path(name);
        let mut values = Vec::with_capacity(items.len());
        let mut good = true;
        for (i, item) in items.into_iter().enumerate() {
            let at = format!("{at}/{i}");
            let Value::Object(fields) = item else {
                self.errors.push(FieldError { field: at, message: "must be an object".into() });
                good = false;
                continue;
            };
            let mut form = Form { at, fields, errors: self.errors };
            match read(i, &mut form) {
                Some(value) => values.push(value),
                None => good = false,
            }
            form.finish();
        }
        good.then_some(values)
    }

    /// A map of text to text, absent or null allowed (then empty).
    pub fn map(
        &mut self,
        name: &str,
        keys: usize,
        key_max: usize,
        value_max: usize,
    ) -> BTreeMap<String, String> {
        let message = format!("must be an object of at most {keys} keys with text values");
        let fields = match self.take(name) {
            None => return BTreeMap::new(),
            Some(Value::Object(fields)) if fields.len() <= keys => fields,
            Some(_) => {
                self.bad(name, message);
                return BTreeMap::new();
            }
        };
        let mut map = BTreeMap::new();
        for (key, value) in fields {
            let key_fits = (1..=key_max).contains(&key.chars().count()) && !has_control(&key);
            match value {
                Value::String(text)
                    if key_fits && text.chars().count() <= value_max && !has_control(&text) =>
                {
                    map.insert(key, text);
                }
                _ => {
                    let limits = format!(
                        "a key of 1 to {key_max} characters, a text of at most {value_max}, without control characters"
                    );
                    self.bad(&format!("{name}/{}", escape(&key)), format!("must be {limits}"));
                }
            }
        }
        map
    }

    /// Whether a field is there, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// A number in a range, absent or null allowed; `must` says what it has to be.
    pub fn number(&mut self, name: &str, min: f64, max: f64, must: &str) -> Option<f64> {
        let value = self.take(name)?;
        let number = value.as_f64().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.bad(name, format!("must be {must}"));
        }
        number
    }

    fn needed(&mut self, name: &str) -> bool {
        let there = self.fields.get(name).is_some_and(|value| !value.is_null());
        if !there {
            self.fields.remove(name);
            self.bad(name, "is needed");
        }
        there
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn path(&self, name: &str) -> String {
        pointer(&self.at, name)
    }

    fn finish(self) {
        for name in self.fields.keys() {
            let field = format!("{}/{}", self.at, escape(name));
            self.errors.push(FieldError { field, message: "is not a field that can be set here".into() });
        }
    }
}

fn pointer(at: &str, name: &str) -> String {
    if name.is_empty() { at.to_owned() } else { format!("{at}/{name}") }
}

/// A name as a part of a JSON pointer (RFC 6901).
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
}
