//! A client of `/v1` for the commands, and errors that a person can read.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use hyper::body::Bytes;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;

use super::{DEFAULT_SERVER, exit, style::Paint};

/// No single call of a command takes longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Talks to one server.
pub struct Api {
    http: reqwest::Client,
    server: String,
}

/// A good answer, and whether the server had given it before under the same `Idempotency-Key`.
pub struct Answer<T> {
    pub body: T,
    pub replayed: bool,
}

/// Why a call did not succeed.
#[derive(Debug)]
pub enum ApiError {
    /// Nobody answered.
    Unreachable {
        server: String,
        reason: String,
        /// Whether the request may have arrived before.
        sent: bool,
    },
    /// Something answered that is no Cartwright, or none that works.
    Foreign { server: String, status: u16 },
    /// The server explained itself (RFC 9457).
    Problem(Box<Problem>),
    /// An answer that this version does not understand.
    Odd { server: String, what: String },
    /// What was asked for makes no sense on this side.
    Wrong(String),
}

/// RFC 9457, with our `errors`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub errors: Vec<FieldError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

/// How errors are told under `/search`, as Elasticsearch does.
#[derive(Deserialize)]
struct SearchError {
    error: SearchErrorCause,
}

#[derive(Deserialize)]
struct SearchErrorCause {
    #[serde(rename = "type")]
    kind: String,
    reason: String,
}

impl Api {
    pub fn new(server: String) -> Result<Self, ApiError> {
        match reqwest::Client::builder().timeout(CALL_TIMEOUT).tcp_nodelay(true).build() {
            Ok(http) => Ok(Self { http, server }),
            Err(error) => Err(ApiError::Unreachable { server, reason: error.to_string(), sent: false }),
        }
    }

    /// What a command takes to reach the same server: nothing for the usual one.
    pub fn flag(&self) -> String {
        match &*self.server {
            DEFAULT_SERVER => String::new(),
            other => format!(" --server {other}"),
        }
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ApiError> {
        self.read(&self.get_bytes(path, query).await?)
    }

    /// For answers so large that they are better read in place.
    pub async fn get_bytes(&self, path: &str, query: &[(&str, String)]) -> Result<Bytes, ApiError> {
        Ok(self.send(self.http.request(Method::GET, self.url(path)).query(query)).await?.body)
    }

    /// The body of whatever is answered, good or bad.
    pub async fn get_whatever(&self, path: &str) -> Result<Bytes, ApiError> {
        let response = self.http.get(self.url(path)).send().await;
        let unreachable = |error: reqwest::Error| self.unreachable(&error);
        response.map_err(unreachable)?.bytes().await.map_err(unreachable)
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<Answer<T>, ApiError> {
        let mut request = self.http.request(Method::POST, self.url(path)).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let Answer { body, replayed } = self.send(request).await?;
        Ok(Answer { body: self.read(&body)?, replayed })
    }

    /// The identity of the system that answers; `None` if it names none.
    pub async fn system(&self) -> Result<Option<String>, ApiError> {
        #[derive(Deserialize)]
        struct Live {
            #[serde(default)]
            system: Option<String>,
        }
        match self.get::<Live>("/health/live", &[]).await {
            Ok(live) => Ok(live.system),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ApiError> {
        self.read(&self.send(self.http.request(Method::PUT, self.url(path)).json(body)).await?.body)
    }

    /// Reads an answer, or says that it is not one.
    pub fn read<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, ApiError> {
        serde_json::from_slice(body).map_err(|error| {
            let server = self.server.clone();
            match serde_json::from_slice::<IgnoredAny>(body) {
                Ok(_) => {
                    ApiError::Odd { server, what: format!("with something that can't be read: {error}") }
                }
                Err(_) => ApiError::Foreign { server, status: StatusCode::OK.as_u16() },
            }
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer<Bytes>, ApiError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let replayed = response.headers().get("idempotency-replayed").is_some_and(|said| said == "true");
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            return Err(self.refusal(status, &body));
        }
        Ok(Answer { body, replayed })
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ApiError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) if !problem.title.is_empty() || !problem.detail.is_empty() => {
                ApiError::Problem(Box::new(Problem { status: status.as_u16(), ..problem }))
            }
            _ => match serde_json::from_slice::<SearchError>(body) {
                Ok(SearchError { error }) => ApiError::Problem(Box::new(Problem {
                    kind: error.kind,
                    title: "The search was not answered".to_owned(),
                    status: status.as_u16(),
                    detail: error.reason,
                    errors: vec![],
                })),
                Err(_) => ApiError::Foreign { server: self.server.clone(), status: status.as_u16() },
            },
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ApiError {
        ApiError::Unreachable {
            server: self.server.clone(),
            reason: innermost(error),
            sent: !error.is_connect() && !error.is_builder(),
        }
    }
}

impl ApiError {
    /// The status of a refusal; `None` when there was no understandable answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::Foreign { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::Odd { .. } | Self::Wrong(_) => None,
        }
    }

    /// Whether it is a problem of this kind.
    pub fn is(&self, kind: &str) -> bool {
        matches!(self, Self::Problem(problem) if problem.kind.rsplit(':').next() == Some(kind))
    }

    /// Whether it passes by itself: the server is away or busy, so the same call may succeed later.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(_) | Self::Foreign { .. } | Self::Odd { .. } | Self::Wrong(_) => {
                self.status().is_some_and(|status| status >= 500 || status == 429 || status == 408)
            }
        }
    }

    /// Tells the person at the terminal, and the script by an exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("{}", self.text(&Paint::stderr()));
        match self {
            Self::Unreachable { .. } | Self::Foreign { .. } => exit::UNREACHABLE.into(),
            Self::Problem(_) | Self::Odd { .. } | Self::Wrong(_) => exit::FAILED.into(),
        }
    }

    /// Whether what was asked for may have been done all the same.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } => *sent,
            Self::Foreign { status, .. } => *status >= 500,
            Self::Odd { .. } => true,
            Self::Problem(_) | Self::Wrong(_) => false,
        }
    }

    /// The same, with fields named as the command's flags are.
    #[must_use]
    pub fn in_flags(self) -> Self {
        match self {
            Self::Problem(problem) => Self::Problem(Box::new(problem.in_flags())),
            other => other,
        }
    }

    /// What is wrong, for a person.
    pub fn text(&self, paint: &Paint) -> String {
        match self {
            Self::Unreachable { server, reason, .. } => format!(
                "{} no Cartwright answers at {server} ({reason}). Start one with `cartwright up`, or name another with --server.",
                paint.red("error:"),
            ),
            Self::Foreign { server, status } => format!(
                "{} no Cartwright answers at {server}: what is there answered {status}, and not as Cartwright does. Start one with `cartwright up`, or name another with --server.",
                paint.red("error:"),
            ),
            Self::Wrong(what) => format!("{} {what}", paint.red("error:")),
            Self::Odd { server, what } => format!("{} {server} answered {what}", paint.red("error:")),
            Self::Problem(problem) => problem.text(paint),
        }
    }
}

impl Problem {
    fn in_flags(mut self) -> Self {
        for error in &mut self.errors {
            let name = error.field.strip_prefix('/').unwrap_or(&error.field);
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                continue; // a part of something, and no flag of its own
            }
            let mut flag = "--".to_owned();
            for letter in name.chars() {
                if letter.is_ascii_uppercase() {
                    flag.push('-');
                }
                flag.push(letter.to_ascii_lowercase());
            }
            self.detail = self.detail.replace(&error.field, &flag);
            error.field = flag;
        }
        self
    }

    fn text(&self, paint: &Paint) -> String {
        let mut text = format!("{} {} ({})", paint.red("error:"), self.title, self.status);
        if !self.detail.is_empty() && self.detail != self.title {
            let _ = write!(text, "\n  {}", self.detail);
        }
        let width = self.errors.iter().map(|error| error.field.chars().count()).max().unwrap_or(0);
        for FieldError { field, message } in &self.errors {
            let _ = write!(text, "\n  {}  {message}", paint.bold(&format!("{field:width$}")));
        }
        text
    }
}

/// An id as one part of a path.
pub fn path_part(id: &str) -> String {
    let mut part = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            part.push(char::from(byte));
        } else {
            let _ = write!(part, "%{byte:02X}");
        }
    }
    part
}

/// The cause at the bottom says what is wrong; the layers above only say that something is.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_lists_its_bad_fields_in_columns() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"about:blank","title":"Bad order","status":400,"detail":"2 fields are bad",
                "errors":[{"field":"/currency","message":"is needed"},{"field":"/lines/0/quantity","message":"must be between 1 and 10000"}]}"#,
        )
        .unwrap();
        assert_eq!(
            problem.text(&Paint::plain()),
            "error: Bad order (400)\n  2 fields are bad\n  /currency          is needed\n  /lines/0/quantity  must be between 1 and 10000"
        );
    }

    #[test]
    fn fields_are_named_as_flags() {
        let field = |name: &str| FieldError { field: name.into(), message: "must be 2".into() };
        let errors = vec![field("/confirm"), field("olderThan"), field("/ids/0")];
        let problem =
            Problem { detail: "/confirm must be 2".into(), errors, ..Problem::default() }.in_flags();
        assert_eq!(problem.detail, "--confirm must be 2");
        let names: Vec<&str> = problem.errors.iter().map(|error| &*error.field).collect();
        assert_eq!(names, ["--confirm", "--older-than", "/ids/0"]);
    }

    #[test]
    fn ids_are_safe_in_paths() {
        assert_eq!(path_part("0198c0de-aa.b_c~d"), "0198c0de-aa.b_c~d");
        assert_eq!(path_part("a/b?c ä"), "a%2Fb%3Fc%20%C3%A4");
    }
}
