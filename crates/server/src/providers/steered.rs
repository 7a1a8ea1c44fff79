//! How a simulated provider behaves just now: as its settings say, or as somebody told it since.
//!
//! What it was told stands in the ledger, since providers are outside of us: our restart changes nothing about them.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{ledger::Ledger, simulated::SimulatedSettings};
use crate::control::{BehaveError, Behaviour, BehaviourWish, Mode, Steering};

/// The share of calls that fail in the mode `flaky`, unless it is told.
const FLAKY_FAILURES: f64 = 0.3;

/// The share of answers that get lost in the mode `flaky`, unless it is told.
const FLAKY_TIMEOUTS: f64 = 0.1;

/// The settings of a simulated provider, and what somebody made of them.
pub struct Steered {
    name: &'static str,
    base: SimulatedSettings,
    now: Arc<RwLock<Arc<Mood>>>,
    /// What it was told last, as the ledger has it.
    told: Arc<RwLock<Option<String>>>,
    /// Held while somebody tells it something, so that what is noted last also counts.
    ledger: Arc<Mutex<Ledger>>,
}

/// How a simulated provider takes one call.
pub struct Mood {
    /// In short.
    pub mode: Mode,
    /// What that means.
    pub settings: SimulatedSettings,
}

impl Steered {
    /// One that behaves as it was told last, according to the ledger, or else as its settings say.
    pub fn new(name: &'static str, base: SimulatedSettings, ledger: Ledger) -> Arc<Self> {
        let wish = ledger.noted(name).map(serde_json::from_str::<BehaviourWish>).and_then(|read| {
            read.inspect_err(
                |error| tracing::warn!(provider = name, %error, "what it was told can't be read"),
            )
            .ok()
        });
        let mood = match &wish {
            Some(wish) => Mood { mode: wish.mode, settings: told(&base, wish) },
            None => Mood { mode: Mode::Up, settings: base.clone() },
        };
        if mood.mode != Mode::Up {
            tracing::warn!(provider = name, mode = mood.mode.as_str(), "the simulated provider is not up");
        }
        let now = Arc::new(RwLock::new(Arc::new(mood)));
        let told = Arc::new(RwLock::new(ledger.noted(name).map(str::to_owned)));
        Arc::new(Self { name, base, now, told, ledger: Arc::new(Mutex::new(ledger)) })
    }

    /// How it takes a call that comes now.
    pub fn mood(&self) -> Arc<Mood> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
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

    async fn behave(&self, wish: BehaviourWish) -> Result<Behaviour, BehaveError> {
        let settings = told(&self.base, &wish);
        settings.check().map_err(BehaveError::Wrong)?;
        let text = serde_json::to_string(&wish).map_err(|error| BehaveError::NotNoted(error.to_string()))?;
        let mood = Arc::new(Mood { mode: wish.mode, settings });
        let (name, now, last) = (self.name, self.now.clone(), self.told.clone());
        let ledger = self.ledger.clone();
        // In a task of its own, which goes on if the caller goes away: ledger and memory must not disagree.
        let noted = tokio::spawn(async move {
            let ledger = ledger.lock().await;
            ledger.note(name, text.clone()).await.map_err(|error| error.to_string())?;
            *last.write().unwrap_or_else(PoisonError::into_inner) = Some(text);
            *now.write().unwrap_or_else(PoisonError::into_inner) = mood;
            Ok(())
        });
        let noted =
            noted.await.map_err(|error| error.to_string()).and_then(|noted: Result<(), String>| noted);
        noted.map_err(BehaveError::NotNoted)?;
        tracing::warn!(
            provider = self.name,
            mode = wish.mode.as_str(),
            "the simulated provider behaves otherwise"
        );
        Ok(self.behaviour())
    }

    async fn look_again(&self) {
        let ledger = self.ledger.lock().await;
        let Ok(Some(text)) = ledger.noted_now(self.name).await else { return };
        let mut last = self.told.write().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() == Some(&text) {
            return;
        }
        if let Ok(wish) = serde_json::from_str::<BehaviourWish>(&text) {
            let mood = Mood { mode: wish.mode, settings: told(&self.base, &wish) };
            *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(mood);
            tracing::warn!(provider = self.name, mode = wish.mode.as_str(), "was told so in another process");
        }
        *last = Some(text);
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

    #[tokio::test]
    async fn a_mode_is_a_start_and_what_is_told_beside_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = || Ledger::open(dir.path().join("ledger.db"), uuid::Uuid::nil()).unwrap();
        let base =
            SimulatedSettings { latency_min_ms: 20, latency_max_ms: 80, ..SimulatedSettings::default() };
        let steered = Steered::new("payments", base.clone(), ledger());
        let told = async |wish| steered.behave(wish).await.unwrap();
        let slow = told(BehaviourWish { mode: Mode::Slow, ..BehaviourWish::default() }).await;
        assert_eq!((slow.latency_min_ms, slow.latency_max_ms), (2_000, 2_000));
        let quick = BehaviourWish { latency_max_ms: Some(5), ..BehaviourWish::default() };
        let quick = told(BehaviourWish { failure_rate: Some(0.9), mode: Mode::Flaky, ..quick }).await;
        assert_eq!((quick.latency_min_ms, quick.latency_max_ms, quick.failure_rate), (5, 5, 0.9));
        let wrong =
            BehaviourWish { latency_min_ms: Some(9), latency_max_ms: Some(1), ..BehaviourWish::default() };
        let error = steered.behave(wrong).await.unwrap_err();
        assert!(matches!(&error, BehaveError::Wrong(why) if why.contains("latency_max_ms")), "{error}");
        assert_eq!(steered.behaviour(), quick, "what can't be changes nothing");
        assert_eq!(
            Steered::new("payments", base.clone(), ledger()).behaviour(),
            quick,
            "a restart changes nothing"
        );
        assert_eq!(
            Steered::new("carrier", base, ledger()).behaviour().mode,
            Mode::Up,
            "it is another provider"
        );
        let up = told(BehaviourWish::default()).await;
        assert_eq!(
            (up.mode, up.latency_min_ms, up.latency_max_ms),
            (Mode::Up, 20, 80),
            "nothing is left of it"
        );
    }
}
