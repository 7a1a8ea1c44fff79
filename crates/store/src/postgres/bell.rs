//! Tells processes of each other's commits: a wake-up only, which carries nothing and may be lost.

use std::{
    future::poll_fn,
    time::{Duration, Instant},
};

use futures_util::future::select_all;
use tokio::sync::{mpsc, watch};
use tokio_postgres::{AsyncMessage, Client, Error};
use uuid::Uuid;

use super::open::{DatabaseError, PostgresOptions, connect, quoted, schema_of};
use crate::StoreKind;

/// How soon a lost connection is made anew.
const AGAIN: Duration = Duration::from_secs(1);
/// How far apart the others are told at least: one word for everything in between.
const PACE: Duration = Duration::from_millis(5);

/// A store's journal, as the bell knows it.
pub struct Rope {
    /// Whose journal.
    pub kind: StoreKind,
    /// Its newest position as this process wrote it: when that changes, the others are told; when they tell us, whoever
    /// watches it is woken.
    pub head: watch::Sender<u64>,
}

/// Rings for ever: tells the other processes when a journal has grown here, and wakes who
/// watches a head when it has grown there. Makes its connection again when it is lost. As words may be lost, everybody
/// is also woken every `look` without any.
pub async fn ring(options: PostgresOptions, ropes: Vec<Rope>, look: Duration) {
    let looks = async {
        loop {
            tokio::time::sleep(look).await;
            wake_all(&ropes);
        }
    };
    let rings = async {
        loop {
            if let Err(error) = connected(&options, &ropes).await {
                tracing::debug!(%error, "the connection that tells of other processes' events is lost; making it again");
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::join!(looks, rings);
}

async fn connected(options: &PostgresOptions, ropes: &[Rope]) -> Result<(), DatabaseError> {
    let unreachable = DatabaseError::Unreachable;
    let (client, mut connection) = connect(options).await?;
    let (heard_to, mut heard) = mpsc::unbounded_channel();
    // Ends with the connection, and the connection with the client.
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(told) = message {
                let _ = heard_to.send(told);
            }
        }
    });
    let channels: Vec<String> = ropes.iter().map(|rope| schema_of(options, rope.kind)).collect();
    let listen: String = channels.iter().map(|channel| format!("LISTEN {};", quoted(channel))).collect();
    // Nothing that is told need outlive a crash, and nobody need wait for the disk.
    let begin = format!("SET synchronous_commit TO off; {listen}");
    client.batch_execute(&begin).await.map_err(unreachable)?;
    wake_all(ropes); // who knows what was not heard so far
    let us = Uuid::now_v7().to_string();
    let mut heads: Vec<_> = ropes.iter().map(|rope| rope.head.subscribe()).collect();
    let mut told: Vec<u64> = heads.iter_mut().map(|head| *head.borrow_and_update()).collect();
    let mut told_at = Instant::now();
    loop {
        let grows = async {
            tokio::time::sleep_until((told_at + PACE).into()).await;
            let waits = heads.iter_mut().map(|head| Box::pin(head.changed()));
            select_all(waits).await
        };
        let message = tokio::select! {
            _ = grows => None,
            message = heard.recv() => Some(message),
        };
        match message {
            None => {
                let ours = heads.iter_mut().zip(&mut told).zip(&channels);
                let grown: Vec<&str> = ours
                    .filter_map(|((head, told), channel)| {
                        let head = *head.borrow_and_update();
                        (head != std::mem::replace(told, head)).then_some(&**channel)
                    })
                    .collect();
                if !grown.is_empty() {
                    tell(&client, &grown, &us).await.map_err(unreachable)?;
                    told_at = Instant::now();
                }
            }
            Some(None) => return Ok(()), // the connection is lost
            Some(Some(message)) if message.payload() != us => {
                let rope = channels.iter().position(|channel| channel == message.channel());
                rope.into_iter().for_each(|rope| wake(&ropes[rope]));
            }
            Some(Some(_)) => {} // what we told ourselves
        }
    }
}

/// In a transaction of its own: in that of the commit, commits of all stores would wait for each other.
async fn tell(client: &Client, channels: &[&str], us: &str) -> Result<(), Error> {
    client.execute("SELECT pg_notify(c, $2) FROM unnest($1::text[]) c", &[&channels, &us]).await.map(drop)
}

fn wake_all(ropes: &[Rope]) {
    ropes.iter().for_each(wake);
}

/// Leaves the position as it is: by that it is told from a commit of this process.
fn wake(rope: &Rope) {
    rope.head.send_modify(|_| {});
}
