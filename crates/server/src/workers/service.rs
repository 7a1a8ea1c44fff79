//! A service's loop: while one batch is being made durable, the next one fills.

use std::{sync::Arc, time::Duration};

use cartwright_core::services::{Engine, Logic, StepReport};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    inbox::{Inbox, Taken},
    runner::Orders,
};
use crate::telemetry::metrics;

/// How long a loop rests after its store failed.
const REST: Duration = Duration::from_millis(500);

/// What a loop talks to beside its inbox.
pub struct Surroundings {
    /// Rings when the journal has grown.
    pub head: watch::Sender<u64>,
    /// Makes the bus read anew after a failure.
    pub reading: watch::Sender<u64>,
    /// Carries tasks out.
    pub runner: Orders,
    /// Whether the store works, and how many orders are open.
    pub state: Arc<ServiceState>,
}

/// What others may see of a service.
#[derive(Default)]
pub struct ServiceState {
    failing: std::sync::atomic::AtomicBool,
    open_orders: std::sync::atomic::AtomicU64,
}

impl ServiceState {
    /// Whether its last commit failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Orders that are open.
    pub fn open_orders(&self) -> u64 {
        self.open_orders.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Runs a service until told to stop; then handles what waits and returns.
pub async fn run<L: Logic>(
    mut engine: Engine<L>,
    mut inbox: Inbox<L>,
    around: Surroundings,
    stop: CancellationToken,
) {
    loop {
        let reading = *around.reading.borrow();
        let taken = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            taken = inbox.take(reading) => taken,
        };
        handle(&mut engine, taken, &around).await;
    }
    inbox.close_commands();
    while !inbox.is_empty() {
        let reading = *around.reading.borrow();
        let taken = inbox.take(reading).await;
        if !handle(&mut engine, taken, &around).await {
            return; // nothing is lost: what was not written is read or asked again
        }
    }
}

async fn handle<L: Logic>(engine: &mut Engine<L>, taken: Taken<L>, around: &Surroundings) -> bool {
    let Taken { inputs, mut replies } = taken;
    metrics::batch(L::NAME, inputs.len());
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    match engine.step(inputs, around.runner.room()).await {
        Ok(report) => {
            around.state.failing.store(false, relaxed);
            around.state.open_orders.store(engine.open_orders(), relaxed);
            settle::<L>(report, &mut replies, around);
            true
        }
        Err(error) => {
            around.state.failing.store(true, relaxed);
            tracing::error!(service = L::NAME, %error, "the batch was not written; its inputs will come again");
            drop(replies);
            around.reading.send_modify(|reading| *reading += 1);
            around.head.send_modify(|_| {}); // an earlier round of the batch may stand: readers look again
            tokio::time::sleep(REST).await;
            false
        }
    }
}

fn settle<L: Logic>(
    report: StepReport<L::Answer>,
    replies: &mut [Option<tokio::sync::oneshot::Sender<L::Answer>>],
    around: &Surroundings,
) {
    if let Some(head) = report.head {
        around.head.send_replace(head);
    }
    for (token, answer) in report.answers {
        let reply =
            usize::try_from(token).ok().and_then(|token| replies.get_mut(token)).and_then(Option::take);
        if let Some(reply) = reply {
            let _ = reply.send(answer); // the client may have gone; the order stays
        }
    }
    around.runner.hand_over(report.tasks, report.instead, report.dropped);
    if report.parked > 0 {
        tracing::warn!(service = L::NAME, count = report.parked, "events were parked");
    }
    for (what, took) in report.observations {
        metrics::observe(what, took);
    }
}
