//! Placing one order over one connection, again and again until it is answered.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::{Failure, Shared};

/// No single attempt takes longer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The first pause after a failed attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause, also when the server asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Where orders are sent.
pub struct Target {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: Uri,
}

impl Target {
    pub fn parse(server: &str) -> Result<Self, Failure> {
        let bad = || Failure::Local(format!("{server} is not the URL of a server"));
        let uri: Uri = server.parse().map_err(|_| bad())?;
        if uri.scheme_str() != Some("http") {
            return Err(Failure::Local(format!("load speaks plain http:// only, not {server}")));
        }
        let authority = uri.authority().ok_or_else(bad)?;
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?,
            path: format!("{}/v1/orders", uri.path().trim_end_matches('/')).parse().map_err(|_| bad())?,
        })
    }
}

/// A connection that takes one request at a time.
pub struct Connection {
    requests: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub async fn open(target: &Target) -> Result<Self, String> {
        let connect = TcpStream::connect((target.host.as_str(), target.port));
        let stream = match tokio::time::timeout(ATTEMPT_TIMEOUT, connect).await {
            Ok(stream) => stream.map_err(|error| error.to_string())?,
            Err(_) => return Err("timed out".into()),
        };
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (requests, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::task::spawn_local(async move {
            // Its end, good or bad, is what the next request sees.
            let _ = connection.await;
        });
        Ok(Self { requests })
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let exchange = async {
            self.requests.ready().await?;
            let response: Response<Incoming> = self.requests.send_request(request).await?;
            let (head, body) = response.into_parts();
            Ok((head.status, head.headers, body.collect().await?.to_bytes()))
        };
        match tokio::time::timeout(ATTEMPT_TIMEOUT, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let error: hyper::Error = error;
                Err(error.to_string())
            }
            Err(_) => Err("timed out".into()),
        }
    }
}

impl Shared {
    /// Places order `n`, however often it takes; gives its id.
    pub(super) async fn place(&self, connection: &mut Option<Connection>, n: u64) -> Result<String, Failure> {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let (why, asked) = match self.attempt(connection, n).await {
                Attempt::Answered(id) => return Ok(id),
                Attempt::Refused(why) => return Err(Failure::Refused(why)),
                Attempt::Again { why, after } => (why, after),
            };
            if self.last_answer.get().max(since).elapsed() >= self.give_up {
                let seconds = self.give_up.as_secs();
                // A connection is kept when an answer came over it.
                return Err(match connection {
                    Some(_) => Failure::Busy(format!("the server took no order for {seconds} s ({why})")),
                    None => Failure::Unreachable(format!("no answer for {seconds} s ({why})")),
                });
            }
            if self.stopped.get() {
                return Err(Failure::Unreachable(format!("stopped before an answer came ({why})")));
            }
            self.retries.set(self.retries.get() + 1);
            tokio::time::sleep(asked.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, connection: &mut Option<Connection>, n: u64) -> Attempt {
        let mut open = match connection.take() {
            Some(open) if !open.requests.is_closed() => open,
            _ => match Connection::open(&self.target).await {
                Ok(open) => open,
                Err(why) => return Attempt::Again { why, after: None },
            },
        };
        let request = match self.request(n) {
            Ok(request) => request,
            Err(why) => return Attempt::Refused(why),
        };
        match open.send(request).await {
            Ok((status, headers, body)) => {
                *connection = Some(open);
                Attempt::of(status, &headers, &body)
            }
            // The connection is dropped: what is left on it belongs to nobody.
            Err(why) => Attempt::Again { why, after: None },
        }
    }

    fn request(&self, n: u64) -> Result<Request<Full<Bytes>>, String> {
        let which = usize::try_from(n % self.bodies.len() as u64).unwrap_or(0);
        let key = format!("load-{}-{n}", self.run.simple());
        let key = HeaderValue::from_str(&key).map_err(|error| error.to_string())?;
        let mut request = Request::new(Full::new(self.bodies[which].clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.target.authority.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IDEMPOTENCY_KEY, key);
        Ok(request)
    }
}

/// What came of one attempt.
#[derive(Debug, PartialEq)]
pub enum Attempt {
    Answered(String),
    Refused(String),
    Again { why: String, after: Option<Duration> },
}

impl Attempt {
    pub fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Placed<'a> {
            #[serde(borrow)]
            id: Cow<'a, str>,
        }
        if status.is_success() {
            return match serde_json::from_slice::<Placed<'_>>(body) {
                Ok(placed) => Self::Answered(placed.id.into_owned()),
                Err(error) => Self::Refused(format!("the server answered {status} without an id: {error}")),
            };
        }
        let passing = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
        if status.is_server_error() || passing {
            let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
            return Self::Again { why: status.to_string(), after };
        }
        let text = String::from_utf8_lossy(body);
        Self::Refused(format!("the server refused an order: {status} {}", text.trim()))
    }
}
