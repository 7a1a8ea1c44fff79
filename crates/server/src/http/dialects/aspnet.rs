//! What ASP.NET Core does around the handlers of an API controller: binding a JSON body with the web defaults (names in any
//! case, numbers also in texts), and its problem documents for what can't be bound or is not valid.

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use cartwright_core::domain::time::Timestamp;

use super::{
    dates,
    decimal::Decimal,
    lenient::{Kind, Object, content_type, kind},
};

/// Why a request can't be handled: a problem document.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    title: &'static str,
    errors: Vec<(String, Vec<String>)>,
}

/// An object of the body, and where it stands there.
pub struct Bound<'a> {
    fields: Object<'a>,
    path: String,
}

/// What is not valid, by the names of the properties.
#[derive(Default)]
pub struct Invalid(Vec<(String, Vec<String>)>);

/// The bytes of a JSON body.
///
/// # Errors
/// It is not said to be JSON, is too large, or did not arrive.
pub fn body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    let content = content_type(headers);
    let is_json = matches!(&*content, "application/json" | "text/json")
        || (content.starts_with("application/") && content.ends_with("+json"));
    if !is_json {
        return Err(Refusal::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type"));
    }
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::of(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large"),
        _ => Refusal::of(StatusCode::BAD_REQUEST, "Bad Request"),
    })
}

/// The object that is the body.
///
/// # Errors
/// It is none.
pub fn object(body: &[u8]) -> Result<Bound<'_>, Refusal> {
    if body.trim_ascii().is_empty() || body.trim_ascii() == b"null" {
        return Err(Refusal::unbound("", "A non-empty request body is required."));
    }
    let fields = serde_json::from_slice(body)
        .map_err(|error| Refusal::unbound("$", &format!("The JSON value could not be read: {error}.")))?;
    Ok(Bound { fields, path: "$".to_owned() })
}

impl<'a> Bound<'a> {
    /// A text; `None` where it is null or missing.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let Some((sent, value)) = self.fields.any_case(name) else { return Ok(None) };
        match kind(value) {
            Kind::Null => Ok(None),
            Kind::Text => serde_json::from_str(value.get()).map(Some).map_err(|_| self.wrong(sent, "String")),
            _ => Err(self.wrong(sent, "String")),
        }
    }

    /// A whole number of 32 bits; `None` where it is missing.
    ///
    /// # Errors
    /// It is something else, or null.
    pub fn int(&self, name: &str) -> Result<Option<i32>, Refusal> {
        self.number(name, "Int32", |text| text.parse().ok())
    }

    /// A number; `None` where it is missing.
    ///
    /// # Errors
    /// It is something else, or null.
    pub fn decimal(&self, name: &str) -> Result<Option<Decimal>, Refusal> {
        self.number(name, "Decimal", Decimal::parse)
    }

    /// The same, where null stands for nothing.
    ///
    /// # Errors
    /// It is something else.
    pub fn decimal_or_null(&self, name: &str) -> Result<Option<Decimal>, Refusal> {
        match self.fields.any_case(name) {
            Some((_, value)) if kind(value) == Kind::Null => Ok(None),
            _ => self.decimal(name),
        }
    }

    /// A moment; `None` where it is null or missing.
    ///
    /// # Errors
    /// It is something else.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let Some((sent, value)) = self.fields.any_case(name) else { return Ok(None) };
        let text = match kind(value) {
            Kind::Null => return Ok(None),
            Kind::Text => serde_json::from_str::<String>(value.get()).ok(),
            _ => None,
        };
        let time = text.and_then(|text| dates::iso(&text));
        time.map(Some).ok_or_else(|| self.wrong(sent, "DateTime"))
    }

    /// A list of objects; `None` where it is null or missing.
    ///
    /// # Errors
    /// It is something else.
    pub fn list(&self, name: &str) -> Result<Option<Vec<Bound<'a>>>, Refusal> {
        let Some((sent, value)) = self.fields.any_case(name) else { return Ok(None) };
        match kind(value) {
            Kind::Null => return Ok(None),
            Kind::List => {}
            _ => return Err(self.wrong(sent, "List")),
        }
        let items: Vec<&RawValue> =
            serde_json::from_str(value.get()).map_err(|_| self.wrong(sent, "List"))?;
        let item = |(n, item): (usize, &'a RawValue)| {
            let path = format!("{}.{sent}[{n}]", self.path);
            match kind(item) {
                Kind::Null => Ok(Bound { fields: Object::default(), path }),
                Kind::Object => serde_json::from_str(item.get())
                    .map(|fields| Bound { fields, path: path.clone() })
                    .map_err(|_| Refusal::unbound(&path, "The JSON value could not be converted.")),
                _ => Err(Refusal::unbound(&path, "The JSON value could not be converted.")),
            }
        };
        items.into_iter().enumerate().map(item).collect::<Result<_, _>>().map(Some)
    }

    /// Whether it has a field of this name, whatever it holds.
    pub fn has(&self, name: &str) -> bool {
        self.fields.any_case(name).is_some()
    }

    fn number<T>(
        &self,
        name: &str,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some((sent, value)) = self.fields.any_case(name) else { return Ok(None) };
        let number = match kind(value) {
            Kind::Number => parse(value.get()),
            Kind::Text => serde_json::from_str::<String>(value.get()).ok().and_then(|text| parse(&text)),
            _ => None,
        };
        number.map(Some).ok_or_else(|| self.wrong(sent, what))
    }

    fn wrong(&self, sent: &str, what: &str) -> Refusal {
        let path = format!("{}.{sent}", self.path);
        let why = format!("The JSON value could not be converted to System.{what}. Path: {path}.");
        Refusal::unbound(&path, &why)
    }
}

impl Invalid {
    /// Notes what is wrong with a property.
    pub fn say(&mut self, property: &str, message: impl Into<String>) {
        self.0.push((property.to_owned(), vec![message.into()]));
    }

    /// A required text of so many characters; an empty one where it is not valid.
    pub fn text(&mut self, property: &str, text: Option<String>, most: usize) -> String {
        let text = text.unwrap_or_default();
        if text.trim().is_empty() {
            self.say(property, format!("The {property} field is required."));
        } else if text.chars().count() > most {
            let why = format!("The field {property} must be a string with a length between 1 and {most}.");
            self.say(property, why);
        } else {
            return text;
        }
        String::new()
    }

    /// A number in a range; the least where it is not valid.
    pub fn int(&mut self, property: &str, number: Option<i32>, least: i32, most: i32) -> u32 {
        let number = number.unwrap_or_default();
        if (least..=most).contains(&number) {
            return number.unsigned_abs();
        }
        self.say(property, format!("The field {property} must be between {least} and {most}."));
        least.unsigned_abs()
    }

    /// Refuses the request if anything is not valid.
    ///
    /// # Errors
    /// Everything that was noted.
    pub fn check(self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal::invalid(self.0)) }
    }
}

impl Refusal {
    /// A value of the path or the query that can't be bound.
    pub fn parameter(name: &str, value: &str) -> Self {
        Self::invalid(vec![(name.to_owned(), vec![format!("The value '{value}' is not valid.")])])
    }

    /// A problem document without fields.
    pub fn of(status: StatusCode, title: &'static str) -> Self {
        Self { status, title, errors: vec![] }
    }

    fn unbound(path: &str, why: &str) -> Self {
        Self::invalid(vec![(path.to_owned(), vec![why.to_owned()])])
    }

    fn invalid(errors: Vec<(String, Vec<String>)>) -> Self {
        Self { errors, ..Self::of(StatusCode::BAD_REQUEST, "One or more validation errors occurred.") }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let section = match self.status {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "15.5.16",
            StatusCode::PAYLOAD_TOO_LARGE => "15.5.14",
            StatusCode::NOT_FOUND => "15.5.5",
            _ => "15.5.1",
        };
        let mut document = json!({
            "type": format!("https://tools.ietf.org/html/rfc9110#section-{section}"),
            "title": self.title,
            "status": self.status.as_u16(),
        });
        if !self.errors.is_empty() {
            document["errors"] =
                self.errors.into_iter().map(|(name, why)| (name, json!(why))).collect::<Value>();
        }
        (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json; charset=utf-8")],
            document.to_string(),
        )
            .into_response()
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let body = to_raw_value(value).map(|json| json.get().to_owned()).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}

/// A text as answer.
pub fn text(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.into()).into_response()
}
