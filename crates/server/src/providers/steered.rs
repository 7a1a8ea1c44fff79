//! How a simulated provider behaves just now: as its settings say, or as somebody told it since.

use std::sync::{Arc, PoisonError, RwLock};

use super::simulated::SimulatedSettings;
use crate::control::{Behaviour, BehaviourWish, Mode, Steering};

/// The share of calls that fail in the mode `flaky`, unless it is told.
const FLAKY_FAILURES: f64 = 0.3;

/// The share of answers that get lost in the mode `flaky`, unless it is told.
const FLAKY_TIMEOUTS: f64 = 0.1;

/// The settings of a simulated provider, and what somebody made of them.
pub struct Steered {
    name: &'static str,
    base: SimulatedSettings,
    now: RwLock<Arc<Mood>>,
}

/// How a simulated provider takes one call.
pub struct Mood {
    /// In short.
    pub mode: Mode,
    /// What that means.
    pub settings: SimulatedSettings,
}

impl Steered {
    /// One that behaves as its settings say.
    pub fn new(name: &'static str, base: SimulatedSettings) -> Arc<Self> {
        let now = RwLock::new(Arc::new(Mood { mode: Mode::Up, settings: base.clone() }));
        Arc::new(Self { name, base, now })
    }

    /// How it takes a call that comes now.
    pub fn mood(&self) -> Arc<Mood> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Steering for Steered {
    fn behaviour(&self) -> Behaviour {
        let Mood { mode, settings } = &*self.mood();
        Behaviour {
            mode: *mode,
            latency_min_ms: settings.latency_min_ms,
            latency_max_ms: settings.latency_max_ms,
            failure_rate: settings.failure_rate,
            decline_rate: settings.decline_rate,
            timeout_rate: settings.timeout_rate,
        }
    }

    fn behave(&self, wish: BehaviourWish) -> Result<Behaviour, String> {
        let settings = told(&self.base, &wish);
        settings.check()?;
        let mood = Arc::new(Mood { mode: wish.mode, settings });
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = mood;
        tracing::warn!(
            provider = self.name,
            mode = wish.mode.as_str(),
            "the simulated provider behaves otherwise"
        );
        Ok(self.behaviour())
    }
}

fn told(base: &SimulatedSettings, wish: &BehaviourWish) -> SimulatedSettings {
    let mut settings = base.clone();
    match wish.mode {
        Mode::Up | Mode::Down => {}
        Mode::Slow => (settings.latency_min_ms, settings.latency_max_ms) = (base.slow_ms, base.slow_ms),
        Mode::Decline => settings.decline_rate = 1.0,
        Mode::Timeout => settings.timeout_rate = 1.0,
        Mode::Flaky => (settings.failure_rate, settings.timeout_rate) = (FLAKY_FAILURES, FLAKY_TIMEOUTS),
    }
    // One end of the latency alone moves the other along, where it would be in the way.
    match (wish.latency_min_ms, wish.latency_max_ms) {
        (Some(min), Some(max)) => (settings.latency_min_ms, settings.latency_max_ms) = (min, max),
        (Some(min), None) => {
            (settings.latency_min_ms, settings.latency_max_ms) = (min, settings.latency_max_ms.max(min));
        }
        (None, Some(max)) => {
            (settings.latency_min_ms, settings.latency_max_ms) = (settings.latency_min_ms.min(max), max);
        }
        (None, None) => {}
    }
    settings.failure_rate = wish.failure_rate.unwrap_or(settings.failure_rate);
    settings.decline_rate = wish.decline_rate.unwrap_or(settings.decline_rate);
    settings.timeout_rate = wish.timeout_rate.unwrap_or(settings.timeout_rate);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_a_start_and_what_is_told_beside_it_counts() {
        let base =
            SimulatedSettings { latency_min_ms: 20, latency_max_ms: 80, ..SimulatedSettings::default() };
        let steered = Steered::new("payments", base);
        let told = |wish| steered.behave(wish).unwrap();
        let slow = told(BehaviourWish { mode: Mode::Slow, ..BehaviourWish::default() });
        assert_eq!((slow.latency_min_ms, slow.latency_max_ms), (2_000, 2_000));
        let quick = BehaviourWish { latency_max_ms: Some(5), ..BehaviourWish::default() };
        let quick = told(BehaviourWish { failure_rate: Some(0.9), mode: Mode::Flaky, ..quick });
        assert_eq!((quick.latency_min_ms, quick.latency_max_ms, quick.failure_rate), (5, 5, 0.9));
        let wrong =
            BehaviourWish { latency_min_ms: Some(9), latency_max_ms: Some(1), ..BehaviourWish::default() };
        assert!(steered.behave(wrong).unwrap_err().contains("latency_max_ms"));
        assert_eq!(steered.behaviour(), quick, "what can't be changes nothing");
        let up = told(BehaviourWish::default());
        assert_eq!(
            (up.mode, up.latency_min_ms, up.latency_max_ms),
            (Mode::Up, 20, 80),
            "nothing is left of it"
        );
    }
}
