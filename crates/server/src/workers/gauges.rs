//! Looks now and then at what nobody counts as it happens: how far readers are, what waits where, and since when.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use cartwright_core::{
    domain::{flow::step_after, order::Milestone, time::Timestamp},
    events::{self, ORDERS},
    ports::{Clock, OpenCount, Store, StoreError},
};

use super::operator::Handle;
use crate::telemetry::metrics;

/// Open orders are counted at most this often,
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// and with more of them so seldom that counting takes no more than one part in so many of the time.
const COUNT_SHARE: u32 = 50;
/// A reader that is behind by more events, or for longer, shows in health.
const FAR_BEHIND: (u64, Duration) = (10_000, Duration::from_secs(60));

/// Sets the gauges, look by look.
pub struct Gauges {
    services: Vec<Handle>,
    topics: Vec<(&'static str, Arc<dyn Store>)>,
    clock: Arc<dyn Clock>,
    /// Flow and step of what was counted the last time: what is no more is 0 then.
    counted: BTreeSet<(String, &'static str)>,
    count_at: Instant,
}

impl Gauges {
    /// Nothing was looked at yet.
    pub fn new(
        services: Vec<Handle>,
        topics: Vec<(&'static str, Arc<dyn Store>)>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { services, topics, clock, counted: BTreeSet::new(), count_at: Instant::now() }
    }

    /// Looks at everything. What can't be read keeps the value it had.
    pub async fn look(&mut self) {
        for service in &self.services {
            if let Ok(stats) = service.store.stats().await {
                metrics::service(service.name, stats.tasks, stats.parked);
                if service.name == ORDERS {
                    metrics::open_orders(stats.open_orders);
                }
            }
            metrics::condition(service.name, service.is_paused(), service.state.is_failing());
            let _ = self.look_at_readers(service).await;
        }
        let orders = self.services.iter().find(|service| service.name == ORDERS).cloned();
        if let Some(orders) = orders.filter(|_| Instant::now() >= self.count_at) {
            let begun = Instant::now();
            if let Ok(counts) = orders.store.open_counts().await {
                self.count(&counts);
            }
            self.count_at = Instant::now() + COUNT_EVERY.max(begun.elapsed() * COUNT_SHARE);
        }
    }

    async fn look_at_readers(&self, reader: &Handle) -> Result<(), StoreError> {
        let mut far = None;
        for (topic, position) in reader.read_up_to().await? {
            let Some((_, of)) = self.topics.iter().find(|(name, _)| **name == *topic) else { continue };
            let (behind, age) = match reader.state.is_behind(&topic) {
                Some(behind) => (behind, Duration::ZERO), // counted by Kafka, which knows no age
                None => {
                    let behind = of.stats().await?.head.saturating_sub(position);
                    let age =
                        if behind == 0 { Duration::ZERO } else { self.age_of_next(&**of, position).await? };
                    metrics::oldest_unread(reader.name, topic.to_string(), age);
                    (behind, age)
                }
            };
            metrics::lag(reader.name, topic.to_string(), behind);
            if behind > FAR_BEHIND.0 || age > FAR_BEHIND.1 {
                far = Some(format!("{behind} events of {topic} wait, the oldest for {} s", age.as_secs()));
            }
        }
        reader.state.lags(far);
        Ok(())
    }

    /// How long the event behind this position has been waiting.
    async fn age_of_next(&self, store: &dyn Store, position: u64) -> Result<Duration, StoreError> {
        let row = store.journal(position, 1).await?.pop();
        let event = row.and_then(|row| events::decode(&row.message.value).ok());
        Ok(event.map_or(Duration::ZERO, |event| self.clock.now().since(event.occurred_at)))
    }

    fn count(&mut self, counts: &[OpenCount]) {
        let now = self.clock.now();
        let mut gone = std::mem::take(&mut self.counted);
        let mut steps = std::collections::BTreeMap::<_, (u64, Timestamp)>::new();
        for count in counts {
            let next = Milestone::parse(&count.stage.milestone)
                .and_then(|milestone| step_after(&count.stage.flow, milestone));
            let step = (count.stage.flow.clone(), next.map_or("end", |kind| kind.as_str()));
            let (orders, oldest) = steps.entry(step).or_insert((0, count.oldest));
            (*orders, *oldest) = (*orders + count.orders, (*oldest).min(count.oldest));
        }
        for ((flow, step), (orders, oldest)) in steps {
            metrics::orders_at(&flow, step, orders, now.since(oldest));
            gone.remove(&(flow.clone(), step));
            self.counted.insert((flow, step));
        }
        for (flow, step) in gone {
            metrics::orders_at(&flow, step, 0, Duration::ZERO);
            self.counted.insert((flow, step));
        }
    }
}
