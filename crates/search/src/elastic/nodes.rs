//! One exchange with whichever node answers.

use std::{
    error::Error as _,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::Value;

use super::settings::{self, Settings, SettingsError};
use crate::port::Error;

/// Larger answers are not read: a page of fewer documents is smaller.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// How long a node is left alone that did not answer, while others do.
const REST: Duration = Duration::from_secs(10);

/// How many nodes are asked the same before it is somebody else's turn to wait.
const MAX_TRIES: usize = 3;

/// How much of an answer is shown that is not understood.
const SHOWN: usize = 300;

/// An aggregation that asks for too much: the request's fault, although OpenSearch answers 503.
pub(super) const TOO_MANY_BUCKETS: &str = "too_many_buckets_exception";

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Bulk requests are lines of JSON.
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// The nodes of a search server, any of which can answer.
pub(super) struct Nodes {
    http: Client,
    nodes: Vec<Node>,
    turn: AtomicUsize,
}

struct Node {
    base: Url,
    /// Until when it is left alone.
    rests: Mutex<Option<Instant>>,
}

/// What is sent.
pub(super) enum Body<'a> {
    /// Nothing.
    None,
    /// JSON.
    Json(&'a Value),
    /// Lines of JSON.
    Lines(Vec<u8>),
}

/// What a node answered, whatever it was, except that it can't now.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Nodes {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let bases = settings::bases(settings)?.into_iter();
        let nodes = bases.map(|base| Node { base, rests: Mutex::new(None) }).collect();
        Ok(Self { http: settings::client(settings)?, nodes, turn: AtomicUsize::new(0) })
    }

    /// Asks one node after the other until one answers. All that we send may be sent again: versions guard documents, and
    /// who makes or drops an index looks at what there is.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: none answers, or it has too much to do.
    pub(super) async fn send(&self, method: Method, path: &str, body: Body<'_>) -> Result<Answer, Error> {
        let (kind, bytes) = match body {
            Body::None => (JSON, None),
            Body::Json(value) => (JSON, Some(value.to_string().into_bytes())),
            Body::Lines(lines) => (LINES, Some(lines)),
        };
        let bytes = bytes.map(bytes::Bytes::from);
        let mut last = "no node is known".to_owned();
        for node in self.in_turn() {
            let mut request = self.http.request(method.clone(), node.url(path));
            if let Some(bytes) = &bytes {
                request = request.header(CONTENT_TYPE, kind.clone()).body(bytes.clone());
            }
            match request.send().await {
                Ok(response) => match read(response).await {
                    Ok(None) => {
                        let problem =
                            format!("an answer of more than {MAX_ANSWER} bytes; ask for fewer documents");
                        return Err(Error::Refused(problem));
                    }
                    Ok(Some(answer)) if answer.another_may_know() => last = self.rest(node, &answer.reason()),
                    Ok(Some(answer)) => return node.awake(answer),
                    Err(reason) => last = self.rest(node, &reason),
                },
                Err(error) => last = self.rest(node, &all_of(&error)),
            }
        }
        Err(Error::Unavailable(last))
    }

    /// Those to ask, the one whose turn it is first; those that rest last, so that somebody is asked in any case.
    fn in_turn(&self) -> Vec<&Node> {
        let turn = self.turn.fetch_add(1, Relaxed);
        let (now, count) = (Instant::now(), self.nodes.len());
        let mut nodes: Vec<_> =
            (0..count).filter_map(|step| self.nodes.get(turn.wrapping_add(step) % count)).collect();
        nodes.sort_by_key(|node| node.until(now));
        nodes.truncate(MAX_TRIES);
        nodes
    }

    /// Leaves a node alone for a while; what it said goes on with its address.
    fn rest(&self, node: &Node, reason: &str) -> String {
        let told = format!("{}: {reason}", node.base);
        let mut rests = node.rests.lock().unwrap_or_else(PoisonError::into_inner);
        if rests.is_none() && self.nodes.len() > 1 {
            tracing::warn!(node = %node.base, %reason, "a search node does not answer; others are asked");
        }
        *rests = Some(Instant::now() + REST);
        told
    }
}

impl Node {
    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// When it is asked again, if that is later than now.
    fn until(&self, now: Instant) -> Option<Instant> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner).filter(|until| *until > now)
    }

    fn awake(&self, answer: Answer) -> Result<Answer, Error> {
        *self.rests.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Too much to do is the word of the whole server: another node would only add to it.
        if answer.status == StatusCode::TOO_MANY_REQUESTS || answer.status == StatusCode::REQUEST_TIMEOUT {
            return Err(Error::Unavailable(answer.reason()));
        }
        Ok(answer)
    }
}

impl Answer {
    /// The JSON of an answer that says yes.
    ///
    /// # Errors
    /// It says no, or is not JSON.
    pub(super) fn json(&self) -> Result<Value, Error> {
        if !self.status.is_success() {
            return Err(self.error());
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::Unavailable(format!("its answer is not understood: {error}: {}", self.shown()))
        })
    }

    /// What an answer means that says no.
    pub(super) fn error(&self) -> Error {
        let reason = self.reason();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                Error::Refused(format!("{reason}; check the user and password, or the API key"))
            }
            StatusCode::FORBIDDEN => {
                Error::Refused(format!("{reason}; check the rights of the user or API key"))
            }
            status if status.is_server_error() => Error::Unavailable(reason),
            _ => Error::Refused(reason),
        }
    }

    /// Whether this node, or what stands before it, can't answer now, and another may stand in for it.
    fn another_may_know(&self) -> bool {
        let gone = matches!(
            self.status,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        gone && self.kind().as_deref() != Some(TOO_MANY_BUCKETS)
    }

    /// The server's own name for what is wrong.
    pub(super) fn kind(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(cause(body.get("error")?).get("type")?.as_str()?.to_owned())
    }

    /// The status and the server's own reason.
    pub(super) fn reason(&self) -> String {
        let body: Option<Value> = serde_json::from_slice(&self.body).ok();
        let said = body.as_ref().and_then(|body| said(body.get("error")?)).unwrap_or_else(|| self.shown());
        format!("it answers {}: {said}", self.status)
    }

    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.trim().chars().take(SHOWN).collect()
    }
}

/// What a search fails with stands behind "all shards failed".
fn cause(error: &Value) -> &Value {
    let behind = || error.get("caused_by").filter(|by| by.get("type").is_some());
    error.pointer("/root_cause/0").or_else(behind).unwrap_or(error)
}

/// What an error object says, the cause rather than what failed because of it.
pub(super) fn said(error: &Value) -> Option<String> {
    if let Some(text) = error.as_str() {
        return Some(text.to_owned());
    }
    let cause = cause(error);
    let text = |of: &Value, key| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut told = text(cause, "type")?;
    if let Some(reason) = text(cause, "reason") {
        let _ = write!(told, ": {reason}"); // writing to a string does not fail
    }
    if let Some(reason) = cause.get("caused_by").and_then(|by| text(by, "reason")) {
        let _ = write!(told, " ({reason})");
    }
    Some(told)
}

/// `None`: it is too large.
async fn read(mut response: Response) -> Result<Option<Answer>, String> {
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(part) = response.chunk().await.map_err(|error| all_of(&error))? {
        if body.len() + part.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(Answer { status, body }))
}

/// An error with its causes, without the URL, which is told anyway.
fn all_of(error: &reqwest::Error) -> String {
    let mut told = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "it did not answer in time".to_owned(),
        (false, true) => "it can't be connected to".to_owned(),
        (false, false) => "the exchange broke off".to_owned(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(told, ": {error}"); // writing to a string does not fail
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: body.to_string().into_bytes() }
    }

    #[test]
    fn the_servers_reason_is_told() {
        let error = json!({"error": {"type": "x_exception", "reason": "because"}, "status": 400});
        assert_eq!(answer(400, &error).reason(), "it answers 400 Bad Request: x_exception: because");
        let deep = json!({"error": {
            "root_cause": [{"type": "y_exception", "reason": "the cause"}], "type": "x", "reason": "all shards failed",
        }});
        assert_eq!(answer(400, &deep).reason(), "it answers 400 Bad Request: y_exception: the cause");
        assert_eq!(answer(400, &deep).kind().as_deref(), Some("y_exception"));
        assert_eq!(answer(502, &json!("a proxy")).reason(), "it answers 502 Bad Gateway: \"a proxy\"");
    }

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let empty = json!({});
        assert!(matches!(answer(500, &empty).error(), Error::Unavailable(_)));
        assert!(matches!(answer(400, &empty).error(), Error::Refused(_)));
        assert!(matches!(answer(401, &empty).error(), Error::Refused(reason) if reason.contains("password")));
    }

    #[test]
    fn nodes_take_turns_and_those_that_rest_come_last() {
        let urls = ["http://a", "http://b", "http://c"].map(str::to_owned).to_vec();
        let nodes = Nodes::new(&Settings::new(urls, "orders")).unwrap();
        let turn = || nodes.in_turn().iter().filter_map(|node| node.base.host_str()).collect::<String>();
        assert_eq!([turn(), turn(), turn(), turn()], ["abc", "bca", "cab", "abc"]);
        nodes.rest(&nodes.nodes[1], "gone");
        assert_eq!([turn(), turn()], ["cab", "cab"]);
    }
}
