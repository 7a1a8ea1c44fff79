//! What FastAPI does around its handlers: binding queries and JSON bodies to models of pydantic (version 2, in its lax
//! mode), and telling as `{"detail": …}` what can't be bound.

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::lenient::{Kind, Object, content_type, kind};

/// Why a call is not answered as it wished.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    detail: Detail,
}

/// A body as a model reads it: what it holds, and what is wrong with that so far.
pub struct Model<'a> {
    body: &'a RawValue,
    fields: Object<'a>,
    wrong: Vec<Error>,
}

/// What is wrong with a value.
#[derive(Debug)]
pub struct Wrong {
    kind: &'static str,
    message: String,
    context: Option<Value>,
}

/// The bytes of a body.
///
/// # Errors
/// It is too large, or did not arrive.
pub fn body(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::of(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
        }
        _ => Refusal::unreadable(),
    })
}

/// A parameter of the query. Of one that comes twice the last counts.
///
/// # Errors
/// It is missing.
pub fn parameter(query: Option<&str>, name: &str) -> Result<String, Refusal> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(sent, _)| sent == name)
        .last()
        .map(|(_, value)| value.into_owned())
        .ok_or_else(|| Refusal::invalid(Wrong::missing(), json!(["query", name]), RawValue::NULL))
}

/// The answer under paths where there is nothing.
pub async fn not_found() -> Refusal {
    Refusal::of(StatusCode::NOT_FOUND, "Not Found")
}

/// The answer to methods that a path does not take.
pub async fn method_not_allowed() -> Refusal {
    Refusal::of(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

impl<'a> Model<'a> {
    /// A model of what was sent.
    ///
    /// # Errors
    /// It is no JSON object, or not said to be JSON.
    pub fn read(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, Refusal> {
        let here = || json!(["body"]);
        if body.is_empty() {
            return Err(Refusal::invalid(Wrong::missing(), here(), RawValue::NULL));
        }
        let text = std::str::from_utf8(body).map_err(|_| Refusal::unreadable())?;
        if !is_json(headers) {
            return Err(Refusal::invalid(Wrong::no_object(), here(), &raw(text)));
        }
        let no_json = |error| Refusal::no_json(text, &error);
        let body: &RawValue = serde_json::from_str(text).map_err(no_json)?;
        match kind(body) {
            Kind::Object => {
                let fields = serde_json::from_str(body.get()).map_err(no_json)?;
                Ok(Self { body, fields, wrong: vec![] })
            }
            Kind::Null => Err(Refusal::invalid(Wrong::missing(), here(), body)),
            _ => Err(Refusal::invalid(Wrong::no_object(), here(), body)),
        }
    }

    /// A field: the first of these names that was sent, or else missing under the last of them. What is wrong with it is noted.
    pub fn field<T>(
        &mut self,
        names: &[&str],
        read: impl FnOnce(&RawValue) -> Result<T, Wrong>,
    ) -> Option<T> {
        let found = names.iter().find_map(|name| self.fields.exact(&[name]));
        let (name, value) = found.map_or((names.last().copied(), self.body), |(n, v)| (Some(n), v));
        let read = if found.is_some() { read(value) } else { Err(Wrong::missing()) };
        match read {
            Ok(read) => Some(read),
            Err(wrong) => {
                self.wrong.push(wrong.at(json!(["body", name]), value));
                None
            }
        }
    }

    /// All that is wrong with it.
    pub fn refusal(self) -> Refusal {
        Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, detail: Detail::Errors(self.wrong) }
    }
}

/// A text.
///
/// # Errors
/// It is something else.
pub fn text(value: &RawValue) -> Result<String, Wrong> {
    if kind(value) != Kind::Text {
        return Err(Wrong::new("string_type", "Input should be a valid string"));
    }
    // A lone surrogate, which is JSON, but no text.
    let why = "Input should be a valid string, unable to parse raw data as a unicode string";
    serde_json::from_str(value.get()).map_err(|_| Wrong::new("string_unicode", why))
}

/// A whole number greater than `above` and up to `most`; also one that comes as text, as bool, or with nothing but zeros
/// behind its point.
///
/// # Errors
/// It is something else.
pub fn int(value: &RawValue, above: i64, most: i64) -> Result<i64, Wrong> {
    let number = match kind(value) {
        Kind::Number => number(value.get())?,
        Kind::Text => digits(&text(value)?)?,
        Kind::Bool => i64::from(value.get() == "true"),
        Kind::Null | Kind::List | Kind::Object => {
            return Err(Wrong::new("int_type", "Input should be a valid integer"));
        }
    };
    if number <= above {
        let why = Wrong::new("greater_than", format!("Input should be greater than {above}"));
        return Err(why.with(json!({"gt": above})));
    }
    if number > most {
        let why = Wrong::new("less_than_equal", format!("Input should be less than or equal to {most}"));
        return Err(why.with(json!({"le": most})));
    }
    Ok(number)
}

/// One of these words.
///
/// # Errors
/// It is something else.
pub fn one_of<'w>(value: &RawValue, words: &[&'w str]) -> Result<&'w str, Wrong> {
    let sent = text(value).unwrap_or_default();
    words.iter().copied().find(|word| *word == sent).ok_or_else(|| {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let expected = match quoted.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => quoted.concat(),
        };
        Wrong::new("enum", format!("Input should be {expected}")).with(json!({"expected": expected}))
    })
}

impl Wrong {
    /// What a validator of the model says.
    pub fn value(message: &str) -> Self {
        Self::new("value_error", format!("Value error, {message}")).with(json!({"error": {}}))
    }

    fn missing() -> Self {
        Self::new("missing", "Field required")
    }

    fn no_object() -> Self {
        let why = "Input should be a valid dictionary or object to extract fields from";
        Self::new("model_attributes_type", why)
    }

    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), context: None }
    }

    fn with(self, context: Value) -> Self {
        Self { context: Some(context), ..self }
    }

    fn at(self, place: Value, input: &RawValue) -> Error {
        let Self { kind, message, context } = self;
        Error { kind, place, message, input: input.to_owned(), context }
    }
}

impl Refusal {
    /// An answer in words.
    pub fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: Detail::Words(detail.into()) }
    }

    fn unreadable() -> Self {
        Self::of(StatusCode::BAD_REQUEST, "There was an error parsing the body")
    }

    fn no_json(text: &str, error: &serde_json::Error) -> Self {
        let wrong = Wrong::new("json_invalid", "JSON decode error");
        let wrong = wrong.with(json!({"error": error.to_string()}));
        Self::invalid(wrong, json!(["body", position(text, error)]), &raw(&json!({})))
    }

    fn invalid(wrong: Wrong, place: Value, input: &RawValue) -> Self {
        let errors = vec![wrong.at(place, input)];
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail: Detail::Errors(errors) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Document {
            detail: Detail,
        }
        (self.status, axum::Json(Document { detail: self.detail })).into_response()
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Detail {
    Words(String),
    Errors(Vec<Error>),
}

/// What is wrong with a value, and where that is.
#[derive(Debug, Serialize)]
struct Error {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "loc")]
    place: Value,
    #[serde(rename = "msg")]
    message: String,
    input: Box<RawValue>,
    #[serde(rename = "ctx", skip_serializing_if = "Option::is_none")]
    context: Option<Value>,
}

/// Whether the body is read as JSON: it is said to be, or nothing is said.
fn is_json(headers: &HeaderMap) -> bool {
    let content = content_type(headers);
    let subtype = content.strip_prefix("application/");
    content.is_empty() || subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// Where a text ceases to be JSON, in characters from 0, as Python counts.
fn position(text: &str, error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return text.chars().count();
    }
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let bytes = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    text.char_indices().take_while(|(at, _)| *at < bytes).count()
}

/// A JSON number.
fn number(text: &str) -> Result<i64, Wrong> {
    if !text.contains(['.', 'e', 'E']) {
        return Ok(bounded(text));
    }
    // To Python it is a float.
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() && float.fract() == 0.0 => Ok(float as i64),
        Ok(float) if float.is_finite() => {
            let why = "Input should be a valid integer, got a number with a fractional part";
            Err(Wrong::new("int_from_float", why))
        }
        _ => Err(Wrong::new("finite_number", "Input should be a finite number")),
    }
}

/// A number in a text.
fn digits(text: &str) -> Result<i64, Wrong> {
    let text = text.trim();
    let (whole, zeros) = text.split_once('.').unwrap_or((text, ""));
    let unsigned = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let is_whole = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit());
    if is_whole && zeros.bytes().all(|b| b == b'0') {
        return Ok(bounded(whole));
    }
    let why = "Input should be a valid integer, unable to parse string as an integer";
    Err(Wrong::new("int_parsing", why))
}

/// What digits stand for; what is too large for us lies at the end of our numbers, where no limit reaches.
fn bounded(digits: &str) -> i64 {
    digits.parse().unwrap_or(if digits.starts_with('-') { i64::MIN } else { i64::MAX })
}

fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn whole_numbers_come_in_many_forms() {
        for (json, expected) in [
            ("3", Ok(3)),
            ("3.0", Ok(3)),
            ("1e2", Ok(100)),
            ("true", Ok(1)),
            ("\"3\"", Ok(3)),
            ("\" +007.00 \"", Ok(7)),
            ("0", Err("greater_than")),
            ("false", Err("greater_than")),
            ("-99999999999999999999", Err("greater_than")),
            ("101", Err("less_than_equal")),
            ("99999999999999999999", Err("less_than_equal")),
            ("1e300", Err("less_than_equal")),
            ("1e999", Err("finite_number")),
            ("3.5", Err("int_from_float")),
            ("\"3.5\"", Err("int_parsing")),
            ("\"\"", Err("int_parsing")),
            ("\"-\"", Err("int_parsing")),
            ("null", Err("int_type")),
            ("[1]", Err("int_type")),
        ] {
            assert_eq!(int(value(json), 0, 100).map_err(|wrong| wrong.kind), expected, "{json}");
        }
    }

    #[test]
    fn an_unknown_word_is_told_which_ones_there_are() {
        let wrong = one_of(value("\"c\""), &["a", "b", "d"]).unwrap_err();
        assert_eq!(wrong.message, "Input should be 'a', 'b' or 'd'");
        assert_eq!(one_of(value("\"b\""), &["a", "b"]).unwrap(), "b");
        assert_eq!(one_of(value("1"), &["1"]).unwrap_err().message, "Input should be '1'");
    }

    #[test]
    fn what_is_no_json_is_told_where() {
        for (text, expected) in [("{bad", 1), ("{", 1), ("{\n \"ä\": x}", 8), ("[1] 2", 4)] {
            let error = serde_json::from_str::<&RawValue>(text).unwrap_err();
            assert_eq!(position(text, &error), expected, "{text}");
        }
    }

    #[test]
    fn of_a_parameter_that_comes_twice_the_last_counts() {
        assert_eq!(parameter(Some("a=1&b=2&a=%203"), "a").unwrap(), " 3");
        assert_eq!(parameter(Some("a="), "a").unwrap(), "");
        assert!(parameter(Some("A=1"), "a").is_err());
        assert!(parameter(None, "a").is_err());
    }
}
