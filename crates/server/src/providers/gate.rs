//! The gate that every call to a provider passes: the operator's switch, the rate, the circuit breaker, and the clock
//! that measures it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use cartwright_core::ports::{
    AuthorizeCall, CallOutcome, CancelOutcome, Carrier, HeldBack, PaymentProvider, ShipCall, Shipped,
    UndoCall,
};

use super::{
    breaker::{Breaker, BreakerSettings, Pass},
    pace::{Pace, Queue},
    switches::{SwitchError, Switched, Switches},
};
use crate::{
    control::{BreakerState, HeldBy, ProviderState, Switch, SwitchWish},
    telemetry::metrics,
};

/// How a gate behaves.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// What kind of provider is behind it, for people.
    pub provider: &'static str,
    /// Whether it is open at the start, and how fast. It is only if nobody has switched it off before.
    pub at_start: SwitchWish,
    /// When the breaker opens.
    pub breaker: BreakerSettings,
    /// The shortest wait of a call that is held back.
    pub shortest_wait: Duration,
}

/// One provider's gate.
pub struct Gate {
    name: &'static str,
    provider: &'static str,
    switches: Arc<Switches>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    /// As it was switched when it was last looked at.
    switched: Switched,
    enabled: bool,
    pace: Pace,
    breaker: Breaker,
    queue: Queue,
    under_way: u64,
}

impl Inner {
    fn switch(&mut self, enabled: bool, rate: Option<Option<f64>>) {
        let now = Instant::now();
        self.enabled = enabled;
        if let Some(rate) = rate {
            self.pace = Pace::new(rate, now);
        }
        self.queue.clear(now);
    }
}

impl Gate {
    /// The gate of the provider called `name`.
    pub fn new(name: &'static str, settings: GateSettings, switches: Arc<Switches>) -> Arc<Self> {
        let now = Instant::now();
        let switched = switches.of(name);
        let Switched { enabled, rate, .. } = switched;
        let inner = Inner {
            switched,
            enabled: enabled && settings.at_start.enabled,
            pace: Pace::new(rate.or(settings.at_start.rate).flatten(), now),
            breaker: Breaker::new(settings.breaker),
            queue: Queue::new(settings.shortest_wait, now),
            under_way: 0,
        };
        if !inner.enabled {
            let why = if enabled { "by its setting" } else { "since an operator did so" };
            tracing::warn!(provider = name, "is switched off {why}: its calls are held back");
        }
        metrics::breaker(name, inner.breaker.state());
        Arc::new(Self { name, provider: settings.provider, switches, inner: Arc::new(Mutex::new(inner)) })
    }

    /// Has what another process has switched count here, too, once the switches were looked at again.
    pub fn look_again(&self) {
        let now = self.switches.of(self.name);
        let mut inner = self.inner();
        let before = std::mem::replace(&mut inner.switched, now);
        if (before.enabled, before.rate) != (now.enabled, now.rate) {
            tracing::warn!(provider = self.name, enabled = now.enabled, "was switched in another process");
            inner.switch(now.enabled, now.rate);
        }
    }

    /// What is wrong with the provider, if anything is.
    pub fn trouble(&self) -> Option<String> {
        let inner = self.inner();
        if !inner.enabled {
            return Some(HeldBy::Switch.reason(self.name));
        }
        (inner.breaker.state() != BreakerState::Closed).then(|| HeldBy::Breaker.reason(self.name))
    }

    /// Lets a call through, or says when to come again.
    fn admit(self: &Arc<Self>, call: &'static str) -> Result<Ticket, HeldBack> {
        let now = Instant::now();
        let mut inner = self.inner();
        let Inner { enabled, pace, breaker, queue, under_way, .. } = &mut *inner;
        let held = |by: HeldBy, wait: Duration, wished: bool| {
            Err(HeldBack { reason: by.reason(self.name), wait, wished })
        };
        if !*enabled {
            return held(HeldBy::Switch, queue.wait(now, None, now), true);
        }
        // The rate first: a probe that is let through has to be made.
        if let Err(next) = pace.take(now) {
            let by = HeldBy::Rate(pace.rate().unwrap_or(0.0));
            return held(by, queue.wait(next, pace.rate(), now), true);
        }
        match breaker.ask(now) {
            Ok(pass) => {
                *under_way += 1;
                if pass == Pass::Probe {
                    metrics::breaker(self.name, breaker.state());
                }
                let gate = self.clone();
                Ok(Ticket { gate, call, pass, since: now, open: true })
            }
            Err(next) => held(HeldBy::Breaker, queue.wait(next, pace.rate(), now), false),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Switch for Gate {
    fn state(&self) -> ProviderState {
        let inner = self.inner();
        ProviderState {
            provider: self.provider.to_owned(),
            enabled: inner.enabled,
            rate: inner.pace.rate(),
            breaker: inner.breaker.state(),
            failures: inner.breaker.failures(),
            under_way: inner.under_way,
        }
    }

    async fn set(&self, wish: SwitchWish) -> Result<ProviderState, String> {
        let (switches, name, inner) = (self.switches.clone(), self.name, self.inner.clone());
        // In one go, which goes on if the caller goes away: file and memory must not disagree.
        let set = move || {
            switches.set(name, wish.enabled, wish.rate, || {
                inner.lock().unwrap_or_else(PoisonError::into_inner).switch(wish.enabled, wish.rate);
            })?;
            inner.lock().unwrap_or_else(PoisonError::into_inner).switched = switches.of(name);
            Ok::<_, SwitchError>(())
        };
        let written = tokio::task::spawn_blocking(set).await;
        written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let state = self.state();
        tracing::warn!(provider = self.name, enabled = wish.enabled, rate = state.rate, "was switched");
        Ok(state)
    }
}

/// A call that was let through. One that is dropped without an outcome was cut off: nobody knows what came of it.
struct Ticket {
    gate: Arc<Gate>,
    call: &'static str,
    pass: Pass,
    since: Instant,
    open: bool,
}

impl Ticket {
    fn came<T>(mut self, outcome: CallOutcome<T>) -> CallOutcome<T> {
        match &outcome {
            CallOutcome::Done(_) => self.close("done", true, None),
            CallOutcome::Refused(_) | CallOutcome::TurnedAway(_) => self.close("refused", true, None),
            CallOutcome::Pending(_) => self.close("pending", true, None),
            CallOutcome::Unknown { retry_after, .. } => self.close("unknown", false, *retry_after),
            CallOutcome::HeldBack(_) => self.close("held-back", true, None),
        }
        outcome
    }

    fn close(&mut self, outcome: &'static str, known: bool, asked: Option<Duration>) {
        self.open = false;
        let (name, now) = (self.gate.name, Instant::now());
        let mut inner = self.gate.inner();
        let before = inner.breaker.state();
        inner.breaker.heard(self.pass, known, asked, now);
        let (after, failures) = (inner.breaker.state(), inner.breaker.failures());
        inner.under_way = inner.under_way.saturating_sub(1);
        drop(inner);
        metrics::provider_call(name, self.call, outcome, now - self.since);
        if before != after {
            metrics::breaker(name, after);
            tracing::warn!(provider = name, state = after.as_str(), failures, "the circuit breaker moved");
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.close("unknown", false, None);
        }
    }
}

/// A provider behind its gate.
pub struct Gated<P> {
    inner: P,
    gate: Arc<Gate>,
}

impl<P> Gated<P> {
    /// Puts a gate before a provider.
    pub const fn new(inner: P, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }
}

#[async_trait]
impl PaymentProvider for Gated<Arc<dyn PaymentProvider>> {
    async fn authorize(&self, call: &AuthorizeCall, again: bool) -> CallOutcome<String> {
        match self.gate.admit("authorize") {
            Ok(ticket) => ticket.came(self.inner.authorize(call, again).await),
            Err(held) => CallOutcome::HeldBack(held),
        }
    }

    async fn void(&self, call: &UndoCall, again: bool) -> CallOutcome<()> {
        match self.gate.admit("void") {
            Ok(ticket) => ticket.came(self.inner.void(call, again).await),
            Err(held) => CallOutcome::HeldBack(held),
        }
    }
}

#[async_trait]
impl Carrier for Gated<Arc<dyn Carrier>> {
    async fn ship(&self, call: &ShipCall, again: bool) -> CallOutcome<Shipped> {
        match self.gate.admit("ship") {
            Ok(ticket) => ticket.came(self.inner.ship(call, again).await),
            Err(held) => CallOutcome::HeldBack(held),
        }
    }

    async fn cancel(&self, call: &UndoCall, again: bool) -> CallOutcome<CancelOutcome> {
        match self.gate.admit("cancel") {
            Ok(ticket) => ticket.came(self.inner.cancel(call, again).await),
            Err(held) => CallOutcome::HeldBack(held),
        }
    }
}
