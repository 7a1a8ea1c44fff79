//! The sweeper: looks for orders that have waited for an answer too long, and has them ask again, at a bounded rate.

use std::{sync::Arc, time::Duration};

use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{Clock, DueSweep, Store},
};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// Orders per look.
const AT_ONCE: usize = 256;
/// Saved answers forgotten in one transaction.
const PURGED_AT_ONCE: usize = 1_000;

/// Sweeps until told to stop.
pub async fn run(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    to: mpsc::Sender<OrderId>,
    stop: CancellationToken,
) {
    let mut ticks = ticks();
    let mut after = None;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match store.due_sweeps(clock.now(), after, AT_ONCE).await {
            Ok(due) => after = hand_on(due, after, &to),
            Err(error) => tracing::warn!(%error, "can't look for waiting orders; trying again"),
        }
    }
}

/// Forgets until told to stop: saved answers older than `retention`, and what else a service's store keeps for a while.
pub async fn forget(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    retention: Duration,
    stop: CancellationToken,
) {
    let mut ticks = ticks();
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
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

fn ticks() -> Interval {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Hands due orders on, and says where to look on: behind the last one, so that orders which stay due, because they
/// can't be read say, keep nobody else from his turn; from the beginning again after the last page.
fn hand_on(
    due: Vec<DueSweep>,
    after: Option<(Timestamp, u64)>,
    to: &mpsc::Sender<OrderId>,
) -> Option<(Timestamp, u64)> {
    let last_page = due.len() < AT_ONCE;
    let mut after = after;
    for DueSweep { order, place } in due {
        if to.try_send(order).is_err() {
            return after; // busy; they are still due at the next look
        }
        after = Some(place);
    }
    after.filter(|_| !last_page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(n: usize) -> Vec<DueSweep> {
        let one = |n: usize| DueSweep {
            order: OrderId::parse(&format!("o-{n}")).unwrap(),
            place: (Timestamp::from_micros(1), n as u64),
        };
        (1..=n).map(one).collect()
    }

    #[test]
    fn orders_that_stay_due_keep_nobody_from_his_turn() {
        let (to, _from) = mpsc::channel(2 * AT_ONCE);
        let behind = hand_on(due(AT_ONCE), None, &to);
        assert_eq!(
            behind,
            Some((Timestamp::from_micros(1), AT_ONCE as u64)),
            "the next page is behind this one"
        );
        assert_eq!(hand_on(due(3), behind, &to), None, "after the last page the list begins anew");
    }

    #[test]
    fn what_found_no_room_is_looked_at_next() {
        let (to, _from) = mpsc::channel(2);
        assert_eq!(hand_on(due(AT_ONCE), None, &to), Some((Timestamp::from_micros(1), 2)));
        assert_eq!(
            hand_on(due(1), Some((Timestamp::from_micros(1), 2)), &to),
            Some((Timestamp::from_micros(1), 2))
        );
    }
}
