//! Clients that go away in the middle of what they ask.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::system::System;
use crate::harness::wait_within;

/// Requests that nobody waits for to the end.
const REQUESTS: u32 = 10_000;
/// Clients at once.
const CLIENTS: u32 = 64;
/// Within which it must be well.
const LIMIT: Duration = Duration::from_secs(120);

const ORDER: &str =
    r#"{"customer":{"id":"c"},"currency":"USD","lines":[{"sku":"a","quantity":1,"unitPrice":1}]}"#;

/// How far a client comes.
#[derive(Clone, Copy, PartialEq)]
enum Far {
    /// Into the head of its request.
    Head,
    /// Into the body.
    Body,
    /// It asks for all of it, and does not wait for the answer.
    Whole,
    /// It hears the beginning of the answer.
    Answer,
}

impl Far {
    const ALL: [Self; 4] = [Self::Head, Self::Body, Self::Whole, Self::Answer];

    fn of(number: u32) -> Self {
        Self::ALL[number as usize % Self::ALL.len()]
    }

    /// Whether the server has all that it needs to do what is asked.
    fn is_whole(self) -> bool {
        matches!(self, Self::Whole | Self::Answer)
    }
}

#[tokio::test]
async fn ten_thousand_clients_that_go_away_leave_whole_orders_or_none() {
    let system = System::new(0);
    let server = system.up();
    let client = Client::new();
    wait_within(LIMIT, "it is ready", async || {
        let (status, text) = get(&client, &system, "/health/ready").await;
        if status == 200 { Ok(()) } else { Err(text) }
    })
    .await;
    let address = system.url().trim_start_matches("http://").to_owned();
    let next = Arc::new(AtomicU32::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (address, next) = (address.clone(), next.clone());
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= REQUESTS {
                    return;
                }
                go_away(&address, number).await;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    // Whoever comes back with the same key meets the one order that there is.
    let whole: Vec<u32> = (0..REQUESTS).filter(|number| Far::of(*number).is_whole()).collect();
    for number in whole.iter().step_by(25) {
        let again = client.post(format!("{}/v1/orders", system.url()));
        let again = again.header("idempotency-key", format!("gone-{number}"));
        let again = again.header("content-type", "application/json").body(ORDER).send().await.unwrap();
        assert!(again.status().is_success(), "{}", again.status());
    }
    let heard = whole.iter().filter(|number| Far::of(**number) == Far::Answer).count();
    // Nothing is kept of those that have gone.
    let open = "cartwright_open_connections{listener=\"api\"} ";
    wait_within(LIMIT, "connections are closed", async || {
        let metrics = get(&client, &system, "/metrics").await.1;
        let open = metrics.lines().find_map(|line| line.strip_prefix(open)?.parse::<f64>().ok());
        if open.is_some_and(|open| open <= 4.0) { Ok(()) } else { Err(format!("{open:?} are open")) }
    })
    .await;
    let placed = count(&client, &system.url()).await;
    assert!(
        (heard..=whole.len()).contains(&placed),
        "{placed} orders of {} requests that came whole",
        whole.len()
    );
    tokio::task::spawn_blocking(move || system.judge(server, &[])).await.unwrap();
}

async fn go_away(address: &str, number: u32) {
    let far = Far::of(number);
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         idempotency-key: gone-{number}\r\ncontent-length: {}\r\n\r\n{ORDER}",
        ORDER.len()
    );
    let head = request.len() - ORDER.len();
    let sent = match far {
        Far::Head => &request[..head / 2],
        Far::Body => &request[..head + ORDER.len() / 2],
        Far::Whole | Far::Answer => &request[..],
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    if far == Far::Answer {
        let mut beginning = [0; 512];
        let bytes = stream.read(&mut beginning).await.unwrap();
        let beginning = String::from_utf8_lossy(&beginning[..bytes]);
        assert!(beginning.starts_with("HTTP/1.1 201"), "{beginning}");
    }
}

async fn get(client: &Client, system: &System, path: &str) -> (StatusCode, String) {
    let reply = client.get(format!("{}{path}", system.url())).send().await.unwrap();
    (reply.status(), reply.text().await.unwrap())
}

/// How many orders there are.
async fn count(client: &Client, url: &str) -> usize {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let reply = client.get(format!("{url}/v1/orders?limit=200{cursor}")).send().await.unwrap();
        let page: Value = reply.json().await.unwrap();
        count += page["orders"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return count,
        }
    }
}
