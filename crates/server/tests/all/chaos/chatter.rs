//! Orders by way of the older systems, from clients that take an answer that does not come for no answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use reqwest::Client;
use serde_json::Value;

use crate::{
    dialects::{Create, DIALECTS},
    harness::{LIMIT, block_on, wait_within},
};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it rests after each.
const REST: Duration = Duration::from_millis(15);

/// An order that was answered: its dialect and its id.
type Answered = (&'static str, String);

/// Clients of all five systems.
pub struct Chatter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Answered>>,
}

impl Chatter {
    /// They begin to ask the system there, whether it is there or not.
    pub fn with(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (url, over) = (url.to_owned(), stop.clone());
        let thread = std::thread::spawn(move || block_on(talk(&url, &over)));
        Self { stop, thread }
    }

    /// They ask no more. Whatever was answered is there, and nothing of it is stuck.
    pub fn end(self, url: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.thread.join().unwrap();
        block_on(async {
            let client = Client::new();
            for dialect in DIALECTS {
                assert!(
                    answered.iter().any(|(name, _)| *name == dialect),
                    "nothing came by way of {dialect}"
                );
            }
            for (dialect, id) in answered {
                until_it_rests(&client, url, dialect, &id).await;
            }
        });
    }
}

async fn talk(url: &str, over: &AtomicBool) -> Vec<Answered> {
    let client = Client::builder().timeout(PATIENCE).build().unwrap();
    let mut answered = vec![];
    for (number, dialect) in (1..).zip(DIALECTS.into_iter().cycle()) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let ask = Create::of(dialect, number);
        let reply = client.post(format!("{url}{}", ask.path)).json(&ask.body).send().await;
        // What is half answered is not answered.
        if let Ok(reply) = reply
            && reply.status().is_success()
            && let Ok(body) = reply.text().await
        {
            answered.push((dialect, ask.id_in(body.as_bytes())));
        }
        tokio::time::sleep(REST).await;
    }
    answered
}

/// Carts are left as they are; all others go on by themselves.
async fn until_it_rests(client: &Client, url: &str, dialect: &str, id: &str) {
    wait_within(4 * LIMIT, &format!("{dialect} order {id} rests"), async || {
        let reply = client.get(format!("{url}/v1/orders/{id}")).send().await.unwrap();
        let (status, order) = (reply.status(), reply.json::<Value>().await.unwrap());
        if status == 503 {
            return Err(format!("{order:#}"));
        }
        assert_eq!(status, 200, "{dialect} order {id} was answered, and is not there: {order:#}");
        assert_eq!(order["dialect"], dialect, "{order:#}");
        let rests = dialect.starts_with("cart-") || order["milestone"] == "scheduled";
        if rests || order["status"] != "open" { Ok(()) } else { Err(format!("{order:#}")) }
    })
    .await;
}
