//! Reading the parameters of a call, so that all bad ones are named at once, unknown ones included.

use crate::http::problem::{FieldError, Problem};

/// Parameters that may be given once.
pub struct Query {
    given: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Query {
    /// Reads a query string; `known` are the names that mean something.
    pub fn read(text: Option<&str>, known: &[&str]) -> Self {
        let mut query = Self { given: vec![], errors: vec![] };
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                query.bad(&name, "is not a parameter of this call");
            } else if query.given.iter().any(|(given, _)| *given == name) {
                query.bad(&name, "must be given once");
            } else {
                query.given.push((name.into_owned(), value.into_owned()));
            }
        }
        query
    }

    /// What `read` makes of a parameter; `must` says what it has to be.
    pub fn text_of<T>(&mut self, name: &str, must: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.given.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())?;
        let read = read(&value);
        if read.is_none() {
            self.bad(name, &format!("must be {must}"));
        }
        read
    }

    /// The same for what has an error of its own.
    pub fn text<T, E>(
        &mut self,
        name: &str,
        must: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.text_of(name, must, |value| read(value).ok())
    }

    /// One of several words.
    pub fn word(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let must = format!("one of {}", words.join(", "));
        self.text_of(name, &must, |value| words.contains(&value).then(|| value.to_owned()))
    }

    /// A whole number in a range.
    pub fn number(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        let must = format!("a whole number between {min} and {max}");
        self.text_of(name, &must, |value| value.parse().ok().filter(|number| (min..=max).contains(number)))
    }

    /// Whether all was well.
    ///
    /// # Errors
    /// 400 naming each bad parameter.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::fields(self.errors)) }
    }

    fn bad(&mut self, name: &str, message: &str) {
        self.errors.push(FieldError { field: name.to_owned(), message: message.to_owned() });
    }
}
