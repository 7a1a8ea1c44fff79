//! A payment provider and a carrier over HTTP that keep to the contract, except where they are told not to.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Method, Request, Response, StatusCode},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};

use crate::harness::Setting;

/// What is done about one call instead of what the contract says.
pub enum Act {
    /// This answer, and nothing else.
    Answers(u16, &'static [(&'static str, &'static str)], &'static str),
    /// The operation happens, but the answer breaks off in the middle.
    BreaksOff,
    /// The operation happens, but the answer never comes.
    IsSilent,
    /// Nothing happens, and the connection ends without an answer.
    HangsUp,
    /// The operation happens and is answered so.
    Says(Value),
}

/// Both providers behind one address.
#[derive(Clone)]
pub struct Fake {
    url: String,
    world: Arc<World>,
}

#[derive(Default)]
struct World {
    acts: Mutex<HashMap<String, VecDeque<Act>>>,
    always: Mutex<HashMap<String, u16>>,
    operations: Mutex<HashMap<String, Value>>,
    effects: Mutex<Vec<(String, String)>>,
    requests: Mutex<Vec<Received>>,
    end: Notify,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// `POST /authorize`
    pub what: String,
    /// `Idempotency-Key`
    pub key: String,
    /// `Authorization`
    pub authorization: String,
    pub body: Value,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/shop", listener.local_addr().unwrap());
        let world = Arc::new(World::default());
        let app = Router::new().fallback(answer).with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, world }
    }

    /// Settings under which it takes the money and carries the goods.
    pub fn settings(&self, more: &[Setting]) -> Vec<Setting> {
        // A setting lives as long as the test's process.
        let url: &'static str = self.url.clone().leak();
        let mut all = vec![
            ("payments.provider", "http"),
            ("payments.url", url),
            ("carrier.provider", "http"),
            ("carrier.url", url),
        ];
        all.extend_from_slice(more);
        all
    }

    /// The next calls of `POST authorize`, or however it is called, are taken so.
    pub fn will(&self, what: &str, acts: impl IntoIterator<Item = Act>) {
        self.world.acts.lock().unwrap().entry(what.to_owned()).or_default().extend(acts);
    }

    /// From now on, all such calls are answered with this status; `None`: as they should be.
    pub fn always(&self, what: &str, status: Option<u16>) {
        let mut always = self.world.always.lock().unwrap();
        match status {
            Some(status) => always.insert(what.to_owned(), status),
            None => always.remove(what),
        };
    }

    /// What happened for an order, in order.
    pub fn effects(&self, order: &str) -> Vec<String> {
        let effects = self.world.effects.lock().unwrap();
        effects.iter().filter(|(id, _)| id == order).map(|(_, effect)| effect.clone()).collect()
    }

    /// All requests of this kind so far.
    pub fn requests(&self, what: &str) -> Vec<Received> {
        let requests = self.world.requests.lock().unwrap();
        requests.iter().filter(|request| request.what.starts_with(what)).cloned().collect()
    }
}

async fn answer(State(world): State<Arc<World>>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path().strip_prefix("/shop/").expect("calls follow the URL");
    let what = format!("{} {path}", head.method);
    let header = |name| head.headers.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
    let request = Received {
        what: what.clone(),
        key: header("idempotency-key"),
        authorization: header("authorization"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    world.requests.lock().unwrap().push(request.clone());
    let kind = if head.method == Method::GET { "GET operations".to_owned() } else { what };
    if let Some(status) = world.always.lock().unwrap().get(&kind) {
        return reply(*status, &[], "sorry");
    }
    let act = world.acts.lock().unwrap().get_mut(&kind).and_then(VecDeque::pop_front);
    match act {
        Some(Act::Answers(status, headers, body)) => reply(status, headers, body),
        Some(Act::HangsUp) => panic!("this ends the connection"),
        Some(Act::Says(answer)) => {
            world.note(&request, Some(answer.clone()));
            reply(200, &[], &answer.to_string())
        }
        Some(Act::IsSilent) => {
            world.note(&request, None);
            world.end.notified().await;
            reply(500, &[], "")
        }
        Some(Act::BreaksOff) => {
            let whole = world.note(&request, None).1;
            let half = whole.as_bytes()[..whole.len() / 2].to_vec();
            let pieces = [Ok(half), Err(std::io::Error::other("cut"))];
            Response::new(Body::from_stream(futures_util::stream::iter(pieces)))
        }
        None => {
            let (status, body) = world.note(&request, None);
            reply(status, &[], &body)
        }
    }
}

impl World {
    /// Does what the contract says, and remembers it.
    fn note(&self, request: &Received, instead: Option<Value>) -> (u16, String) {
        let mut operations = self.operations.lock().unwrap();
        let (order, path) = (request.body["orderId"].as_str().unwrap_or_default(), &*request.what);
        let effect = |kind: &str| self.effects.lock().unwrap().push((order.to_owned(), kind.to_owned()));
        let answer = match path {
            "POST authorize" | "POST shipments" => {
                if let Some(known) = operations.get(&request.key) {
                    let undone = known["status"] == "undone";
                    return if undone {
                        (422, r#"{"reason":"undone"}"#.into())
                    } else {
                        (200, known.to_string())
                    };
                }
                let pays = path == "POST authorize";
                let usual = if pays {
                    json!({"status": "approved", "reference": format!("ref-{order}"), "reason": null})
                } else {
                    json!({"status": "accepted", "carrier": "Post", "trackingNumber": format!("T-{order}")})
                };
                let answer = instead.unwrap_or(usual);
                match answer["status"].as_str() {
                    Some("approved") => effect("authorize"),
                    Some("accepted") => effect("ship"),
                    Some("pending") => return (200, answer.to_string()),
                    _ => effect("refuse"),
                }
                answer
            }
            "POST void" | "POST shipments/cancel" => {
                let pays = path == "POST void";
                let operation = request.body["operation"].as_str().unwrap().to_owned();
                let answer = instead.unwrap_or(json!({"status": if pays { "voided" } else { "cancelled" }}));
                if answer["status"] != "too_late" {
                    let before = operations.insert(operation, json!({"status": "undone"}));
                    if before.is_none_or(|before| before["status"] != "undone") {
                        effect(if pays { "void" } else { "cancel" });
                    }
                }
                answer
            }
            _ => {
                let key = decode(path.strip_prefix("GET operations/").unwrap());
                return match operations.get(&key) {
                    Some(answer) => (200, answer.to_string()),
                    None => (404, String::new()),
                };
            }
        };
        operations.insert(request.key.clone(), answer.clone());
        (200, answer.to_string())
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::from(body.to_owned())).unwrap()
}

fn decode(part: &str) -> String {
    form_urlencoded::parse(format!("k={}", part.replace('+', "%2B")).as_bytes())
        .next()
        .unwrap()
        .1
        .into_owned()
}
