//! The sweeper: looks for orders that have waited for an answer too long, and has them ask again, at a bounded rate.

use std::{sync::Arc, time::Duration};

use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{Clock, Store},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// Orders per look.
const AT_ONCE: usize = 256;
/// Saved answers forgotten in one transaction.
const PURGED_AT_ONCE: usize = 1_000;

/// Sweeps until told to stop. Also forgets saved answers older than `retention`.
pub async fn run(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    to: mpsc::Sender<OrderId>,
    retention: Duration,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match store.due_sweeps(clock.now(), AT_ONCE).await {
            Ok(orders) => {
                for order in orders {
                    if to.try_send(order).is_err() {
                        break; // busy; they are still due at the next look
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "can't look for waiting orders; trying again"),
        }
        let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::from_micros(clock.now().as_micros().saturating_sub(retention));
        loop {
            match store.purge_answers(before, PURGED_AT_ONCE).await {
                Ok(PURGED_AT_ONCE) if !stop.is_cancelled() => {} // there are more
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "can't forget old answers; trying again");
                    break;
                }
            }
        }
    }
}
