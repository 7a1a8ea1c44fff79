//! How a provider is asked over HTTP, and what its answer, or the lack of one, means.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use cartwright_core::ports::CallOutcome;
use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};
use serde::Serialize;

use super::answer::{Answer, MAX_ANSWER, refusal, unknown};

/// Where a provider is, and how it is asked.
#[derive(Clone)]
pub struct HttpSettings {
    /// The URL that the calls' paths follow.
    pub url: String,
    /// How long one exchange may take, from connecting to the answer's last byte.
    pub timeout: Duration,
    /// Sent as `Authorization: Bearer …`; empty: not sent.
    pub token: String,
    /// Further headers of every request.
    pub headers: BTreeMap<String, String>,
}

/// Why a provider can't be asked with these settings.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// The URL.
    #[error("url {0}")]
    Url(String),
    /// The token, or a header; its value is not shown.
    #[error("{0} can't be sent in an HTTP header: only visible ASCII characters and spaces can")]
    Header(String),
    /// The client.
    #[error("url can't be used: {0}")]
    Client(reqwest::Error),
}

/// One provider's address and the way to it.
pub struct Endpoint {
    base: Url,
    http: Client,
    timeout: Duration,
    /// Whether it may have `GET operations/{key}`: until it says that it hasn't.
    has_operations: AtomicBool,
}

/// A call that is made once, however often it is sent.
pub struct Call<'a, B> {
    /// Below the provider's URL.
    pub path: &'a str,
    /// The key that the core gave it.
    pub key: &'a str,
    /// What is asked for.
    pub body: B,
}

/// What came over the wire.
enum Heard {
    /// 2xx and a body.
    Answer(Vec<u8>),
    /// Another status that is the provider's own word, with its body.
    Refused(StatusCode, Vec<u8>),
    /// Not now.
    Later(StatusCode, Option<Duration>),
    /// A status that says nothing about the operation.
    Failed(StatusCode, Option<Duration>),
    /// No answer, or not all of it.
    Nothing(String),
}

impl HttpSettings {
    /// All that makes them useless: the setting, as it is called below the provider's, and what about it.
    pub fn wrong(&self) -> Vec<(String, UrlError)> {
        let unsendable = |key: String| (key.clone(), UrlError::Header(key));
        let url = base_url(&self.url).err().map(|error| ("url".to_owned(), error));
        let token = bearer(&self.token).is_none().then(|| unsendable("token".to_owned()));
        let unsendables = self.headers.iter().filter(|(name, value)| header(name, value).is_none());
        let headers = unsendables.map(|(name, _)| unsendable(format!("headers.{name}")));
        url.into_iter().chain(token).chain(headers).collect()
    }
}

impl Endpoint {
    /// Checks the settings; no connection is made.
    ///
    /// # Errors
    /// [`UrlError`] names what is wrong.
    pub fn new(settings: &HttpSettings) -> Result<Self, UrlError> {
        let base = base_url(&settings.url)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let (key, value) =
                header(name, value).ok_or_else(|| UrlError::Header(format!("headers.{name}")))?;
            headers.insert(key, value);
        }
        if !settings.token.is_empty() {
            let bearer = bearer(&settings.token).ok_or_else(|| UrlError::Header("token".to_owned()))?;
            headers.insert(AUTHORIZATION, bearer);
        }
        let http = Client::builder()
            .user_agent(concat!("cartwright/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(settings.timeout)
            .tcp_nodelay(true)
            // A redirect would turn a POST into something else, or carry the token elsewhere.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(UrlError::Client)?;
        Ok(Self { base, http, timeout: settings.timeout, has_operations: AtomicBool::new(true) })
    }

    /// Makes a call; `read` says what its answer means. `again`: it may have been made before, so what came of that is
    /// asked for first.
    pub async fn call<T, B: Serialize + Sync>(
        &self,
        call: Call<'_, B>,
        again: bool,
        read: fn(Answer) -> CallOutcome<T>,
    ) -> CallOutcome<T> {
        if again && let Some(known) = self.find(call.key, read).await {
            return known;
        }
        let request = self.http.post(self.url(call.path)).json(&call.body);
        match self.send(request, call.key).await {
            Heard::Answer(body) => Answer::read(&body).map_or_else(unknown, read),
            Heard::Refused(status, body) => CallOutcome::TurnedAway(refusal(status.as_u16(), &body)),
            Heard::Later(status, retry_after) | Heard::Failed(status, retry_after) => {
                CallOutcome::Unknown { reason: format!("answered {status}"), retry_after }
            }
            Heard::Nothing(reason) => unknown(reason),
        }
    }

    /// What came of an operation that was asked for before. `None` when the provider hasn't seen it yet or can't say:
    /// that is no outcome, and asking for the operation again is safe.
    pub async fn find<T>(&self, key: &str, read: fn(Answer) -> CallOutcome<T>) -> Option<CallOutcome<T>> {
        if !self.has_operations.load(Relaxed) {
            return None;
        }
        let request = self.http.get(self.url(&format!("operations/{}", path_part(&wire_key(key)))));
        match self.send(request, key).await {
            // Without a status it says nothing, although that is enough for some calls when they are made.
            Heard::Answer(body) => {
                match Answer::read(&body).ok().filter(|answer| answer.status.is_some()).map(read) {
                    Some(CallOutcome::Unknown { .. }) | None => None,
                    known => known,
                }
            }
            Heard::Refused(status, _) | Heard::Failed(status, _) => {
                let never = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
                if never.contains(&status) && self.has_operations.swap(false, Relaxed) {
                    tracing::info!(url = %self.base, %status, "the provider has no operations to be looked up");
                }
                None
            }
            // Whoever doesn't answer now, or asks for a rest, needn't be asked a second time at once.
            Heard::Later(status, retry_after) => {
                Some(CallOutcome::Unknown { reason: format!("answered {status}"), retry_after })
            }
            Heard::Nothing(reason) => Some(unknown(reason)),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base.as_str().trim_end_matches('/'))
    }

    async fn send(&self, request: RequestBuilder, key: &str) -> Heard {
        let response = match request.header("idempotency-key", wire_key(key)).send().await {
            Ok(response) => response,
            Err(error) => return Heard::Nothing(self.says(&error)),
        };
        let (status, retry_after) = (response.status(), retry_after(response.headers(), Timestamp::now()));
        match status {
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Heard::Later(status, retry_after),
            _ if status.is_success() => match self.body(response).await {
                Ok(body) => Heard::Answer(body),
                Err(reason) => Heard::Nothing(reason),
            },
            _ if status.is_client_error() => {
                Heard::Refused(status, self.body(response).await.unwrap_or_default())
            }
            _ => Heard::Failed(status, retry_after),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.says(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("an answer of more than {MAX_ANSWER} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn says(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {} ms", self.timeout.as_millis());
        }
        let what = if error.is_connect() { "can't connect" } else { "the connection broke" };
        format!("{what}: {}", innermost(error))
    }
}

fn base_url(text: &str) -> Result<Url, UrlError> {
    let wrong = |why: &str| Err(UrlError::Url(why.to_owned()));
    if text.is_empty() {
        return wrong("is missing: it says where the provider is, for example \"http://127.0.0.1:9090\"");
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return wrong(&format!("is not a URL ({error}), such as \"http://127.0.0.1:9090\"")),
    };
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
        return wrong("must begin with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("must hold no user or password: give a token or headers instead");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("must end with a path: the calls' paths follow it");
    }
    Ok(url)
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::try_from(name).ok()?, secret(value)?))
}

fn bearer(token: &str) -> Option<HeaderValue> {
    secret(&format!("Bearer {token}"))
}

fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A key as it goes over the wire: visible ASCII, whatever the order's id is made of.
pub fn wire_key(key: &str) -> String {
    encode(key, |byte| byte.is_ascii_graphic() && byte != b'%')
}

/// A key as one part of a path.
fn path_part(key: &str) -> String {
    encode(key, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn encode(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// How long we are asked to wait: seconds or a date (RFC 9110).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

/// The cause at the bottom says what is wrong; the layers above only say that something is.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> HttpSettings {
        let timeout = Duration::from_secs(1);
        HttpSettings { url: url.into(), timeout, token: String::new(), headers: BTreeMap::new() }
    }

    #[test]
    fn a_wrong_url_or_header_is_named_and_no_secret_is_shown() {
        for url in ["", "shop", "ftp://x", "http://u:p@x", "http://x/?a=1", "http://"] {
            let error =
                Endpoint::new(&settings(url)).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with("url "), "{url}: {error}");
        }
        let token = HttpSettings { token: "hush\n".into(), ..settings("http://x/pay") };
        let error = Endpoint::new(&token).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("token") && !error.contains("hush"), "{error}");
        assert_eq!(Endpoint::new(&settings("http://x/pay/")).unwrap().url("void"), "http://x/pay/void");
    }

    #[test]
    fn keys_are_visible_ascii_and_one_part_of_a_path() {
        assert_eq!(wire_key("payments/o-1:1/authorize/1"), "payments/o-1:1/authorize/1");
        assert_eq!(wire_key("größe 1%"), "gr%C3%B6%C3%9Fe%201%25");
        assert_eq!(path_part("a/b:1%20"), "a%2Fb%3A1%2520");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            retry_after(&headers, "1994-11-06T08:49:30Z".parse().unwrap())
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:07 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
    }
}
