//! What an operator sees and changes of the providers while the system runs. HTTP handlers see these ports; the
//! providers' adapters implement them.

mod held;

use std::sync::Arc;

use async_trait::async_trait;
use cartwright_core::services::SHIP_SCENARIO;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::held::HeldBy;

/// The names of the providers.
pub const PROVIDERS: [&str; 2] = ["payments", "carrier"];

/// Why a simulated provider declined a payment.
pub const DECLINED: &str = "declined by the simulated provider";

/// The calls per second that a provider may be limited to.
pub const MAX_RATE: f64 = 1_000_000.0;

/// Both providers.
#[derive(Clone)]
pub struct Controls {
    /// Who takes the money.
    pub payments: Control,
    /// Who carries the goods.
    pub carrier: Control,
}

impl Controls {
    /// The simulated providers that are told to be otherwise than up.
    pub fn told(&self) -> Vec<(&'static str, Mode)> {
        [("payments", &self.payments), ("carrier", &self.carrier)]
            .into_iter()
            .filter_map(|(name, control)| Some((name, control.simulated.as_ref()?.behaviour().mode)))
            .filter(|(_, mode)| *mode != Mode::Up)
            .collect()
    }
}

/// One provider.
#[derive(Clone)]
pub struct Control {
    /// Lets calls through or holds them back.
    pub switch: Arc<dyn Switch>,
    /// `None` for a provider that is real.
    pub simulated: Option<Arc<dyn Steering>>,
}

/// The scenarios that orders may ask for.
#[derive(Clone, Debug, Default)]
pub struct Scenarios {
    /// Those of the payment provider; `None` if it is real, and heeds none.
    pub payments: Option<&'static [&'static str]>,
    /// Those of the carrier, without [`SHIP_SCENARIO`] before them; `None` if it is real.
    pub carrier: Option<&'static [&'static str]>,
}

impl Scenarios {
    /// Whether an order may ask for this scenario.
    ///
    /// # Errors
    /// Lists those it may.
    pub fn check(&self, scenario: &str) -> Result<(), String> {
        let known = match scenario.strip_prefix(SHIP_SCENARIO) {
            Some(word) => self.carrier.is_none_or(|words| words.contains(&word)),
            None => self.payments.is_none_or(|words| words.contains(&scenario)),
        };
        if known {
            return Ok(());
        }
        let payments = self.payments.into_iter().flatten().map(|word| (*word).to_owned());
        let carrier = self.carrier.into_iter().flatten().map(|word| format!("{SHIP_SCENARIO}{word}"));
        Err(format!("must be one of {}", payments.chain(carrier).collect::<Vec<_>>().join(", ")))
    }
}

/// Lets calls through or holds them back.
#[async_trait]
pub trait Switch: Send + Sync {
    /// How it stands.
    fn state(&self) -> ProviderState;

    /// Switches. Durable once answered.
    ///
    /// # Errors
    /// Why it could not be made durable; then nothing has changed.
    async fn set(&self, wish: SwitchWish) -> Result<ProviderState, String>;
}

/// What becomes of a provider's calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SwitchWish {
    /// Whether calls are made. Off, they wait, and orders are taken as ever.
    pub enabled: bool,
    /// Calls per second, at most; null: without a limit; left out: as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub rate: Option<Option<f64>>,
}

/// How a provider stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderState {
    /// `simulated` or `http`.
    pub provider: String,
    /// Whether calls are made. Off, they wait, and orders are taken as ever.
    pub enabled: bool,
    /// Calls per second, at most; null: without a limit.
    pub rate: Option<f64>,
    /// What the circuit breaker lets through.
    pub breaker: BreakerState,
    /// Calls in a row whose outcome nobody knows.
    pub failures: u32,
    /// Calls under way.
    pub under_way: u64,
}

/// What a circuit breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// One call, to see whether the provider answers again.
    HalfOpen,
    /// Nothing.
    Open,
}

/// Steers a simulated provider.
#[async_trait]
pub trait Steering: Send + Sync {
    /// How it behaves.
    fn behaviour(&self) -> Behaviour;

    /// Makes it behave otherwise, also after a restart; operations that have happened stay.
    ///
    /// # Errors
    /// Why it goes on as before.
    async fn behave(&self, wish: BehaviourWish) -> Result<Behaviour, BehaveError>;

    /// Has what it was told in another process count here, too.
    async fn look_again(&self);
}

/// Why a simulated provider goes on as before.
#[derive(Debug, thiserror::Error)]
pub enum BehaveError {
    /// It can't behave so.
    #[error("{0}")]
    Wrong(String),
    /// It could not be written down.
    #[error("{0}")]
    NotNoted(String),
}

/// How a simulated provider is to behave. What is left out follows from the mode and the settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BehaviourWish {
    /// In short.
    pub mode: Mode,
    /// The shortest time that an answer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_min_ms: Option<u64>,
    /// The longest time that an answer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_max_ms: Option<u64>,
    /// The share of calls that fail without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<f64>,
    /// The share of operations that are declined or rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decline_rate: Option<f64>,
    /// The share of operations that happen while the first answer gets lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_rate: Option<f64>,
}

/// How a simulated provider behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behaviour {
    /// In short.
    pub mode: Mode,
    /// The shortest time that an answer takes.
    pub latency_min_ms: u64,
    /// The longest time that an answer takes.
    pub latency_max_ms: u64,
    /// The share of calls that fail without effect.
    pub failure_rate: f64,
    /// The share of operations that are declined or rejected.
    pub decline_rate: f64,
    /// The share of operations that happen while the first answer gets lost.
    pub timeout_rate: f64,
}

/// How a simulated provider behaves, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As its settings say.
    #[default]
    Up,
    /// No call reaches it.
    Down,
    /// Every answer takes as long as in the scenario `slow`.
    Slow,
    /// Every new operation is declined.
    Decline,
    /// Every operation happens, but its first answer gets lost.
    Timeout,
    /// Some calls fail, and some answers get lost.
    Flaky,
}

impl Mode {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 6] = [
        ("up", Self::Up),
        ("down", Self::Down),
        ("slow", Self::Slow),
        ("decline", Self::Decline),
        ("timeout", Self::Timeout),
        ("flaky", Self::Flaky),
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, mode)| *mode == self).map_or("up", |(word, _)| word)
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Up => "as its settings say",
            Self::Down => "no call reaches it",
            Self::Slow => "every answer takes long",
            Self::Decline => "every new operation is declined",
            Self::Timeout => "operations happen, but their first answer gets lost",
            Self::Flaky => "some calls fail, and some answers get lost",
        }
    }
}

impl BreakerState {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}
