//! A payment provider and a carrier that live in this process, but behave like ones far away: they are slow, they
//! decline, they fail, and they do what they were asked for while their answer gets lost.
//!
//! What happens to a call depends on its key, the settings and the ledger alone, so that repeats agree, also after a
//! restart.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cartwright_core::{
    domain::ids::digest,
    ports::{
        AuthorizeCall, CallOutcome, CancelOutcome, Carrier, PaymentProvider, ShipCall, Shipped, UndoCall,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    ledger::{Answer, Effect, Kind, Ledger, LedgerError, Operation, Undo, UndoAnswer},
    steered::{Mood, Steered},
};
use crate::control::{DECLINED, Mode, Steering};

/// The longest time that an answer may take, in milliseconds: a caller gives up before.
const MAX_LATENCY_MS: u64 = 3_600_000;

/// The carriers that goods go with.
pub const CARRIERS: [&str; 4] = ["FedEx", "UPS", "USPS", "DHL"];

/// The `scenario`s that a call may ask for.
pub const SCENARIOS: [&str; 6] = ["success", "decline", "timeout", "pending", "error", "slow"];

/// Calls that fail first in the scenario `error`.
const ERRORS_FIRST: u32 = 2;

/// How a simulated provider behaves. Rates are between 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedSettings {
    /// The shortest time that an answer takes.
    pub latency_min_ms: u64,
    /// The longest time that an answer takes.
    pub latency_max_ms: u64,
    /// How long an answer takes in the scenario `slow`.
    pub slow_ms: u64,
    /// The share of calls that fail without any effect; each repeat has its own luck.
    pub failure_rate: f64,
    /// The share of operations that are declined (payments) or rejected (carrier).
    pub decline_rate: f64,
    /// The share of operations that happen while the first answer gets lost.
    pub timeout_rate: f64,
    /// How long after shipping a shipment may still be cancelled (carrier only).
    pub cancel_window_ms: u64,
    /// Another seed gives other luck.
    pub seed: u64,
}

impl Default for SimulatedSettings {
    fn default() -> Self {
        Self {
            latency_min_ms: 0,
            latency_max_ms: 0,
            slow_ms: 2_000,
            failure_rate: 0.0,
            decline_rate: 0.0,
            timeout_rate: 0.0,
            cancel_window_ms: 0,
            seed: 0,
        }
    }
}

impl SimulatedSettings {
    /// Whether a provider can behave so.
    ///
    /// # Errors
    /// Names the first that is wrong, and what it must be.
    pub fn check(&self) -> Result<(), String> {
        let rates = [
            ("failure_rate", self.failure_rate),
            ("decline_rate", self.decline_rate),
            ("timeout_rate", self.timeout_rate),
        ];
        if let Some((name, _)) = rates.iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            return Err(format!("{name} must be between 0 and 1"));
        }
        let times = [("latency_max_ms", self.latency_max_ms), ("slow_ms", self.slow_ms)];
        if let Some((name, _)) = times.iter().find(|(_, ms)| *ms > MAX_LATENCY_MS) {
            return Err(format!("{name} must be at most {MAX_LATENCY_MS} (an hour)"));
        }
        if self.latency_min_ms > self.latency_max_ms {
            let (min, max) = (self.latency_min_ms, self.latency_max_ms);
            return Err(format!(
                "latency_max_ms must be at least latency_min_ms, but {max} is less than {min}"
            ));
        }
        Ok(())
    }
}

/// A payment provider.
pub struct SimulatedPayments {
    ledger: Ledger,
    steered: Arc<Steered>,
}

/// A carrier.
pub struct SimulatedCarrier {
    ledger: Ledger,
    steered: Arc<Steered>,
}

impl SimulatedPayments {
    /// A provider that writes into this ledger.
    pub fn new(ledger: Ledger, settings: SimulatedSettings) -> Self {
        let steered = Steered::new("payments", settings, ledger.clone());
        Self { ledger, steered }
    }

    /// What makes it behave otherwise.
    pub fn steering(&self) -> Arc<dyn Steering> {
        self.steered.clone()
    }
}

impl SimulatedCarrier {
    /// A carrier that writes into this ledger.
    pub fn new(ledger: Ledger, settings: SimulatedSettings) -> Self {
        let steered = Steered::new("carrier", settings, ledger.clone());
        Self { ledger, steered }
    }

    /// What makes it behave otherwise.
    pub fn steering(&self) -> Arc<dyn Steering> {
        self.steered.clone()
    }
}

#[async_trait]
impl PaymentProvider for SimulatedPayments {
    async fn authorize(&self, call: &AuthorizeCall, _: bool) -> CallOutcome<String> {
        let mood = self.steered.mood();
        let plan = Plan::new(&mood.settings, &call.key, call.scenario.as_deref());
        let effect = Effect {
            kind: if plan.decline { Kind::Decline } else { Kind::Authorize },
            order: call.order_id.clone(),
            amount: Some(call.amount),
            currency: Some(call.currency.code().to_owned()),
            reference: Some(format!("sim_{}", hex(&hash(&mood.settings, "reference", &call.key, 0)[..12]))),
            carrier: None,
        };
        let same = (effect.order.clone(), effect.amount, effect.currency.clone());
        match operate(&self.ledger, &mood, &plan, "payments", "authorize", &call.key, effect).await {
            Ok(effect)
                if (&effect.order, &effect.amount, &effect.currency) != (&same.0, &same.1, &same.2) =>
            {
                other_operation()
            }
            Ok(Effect { kind: Kind::Authorize, reference: Some(reference), .. }) => {
                CallOutcome::Done(reference)
            }
            Ok(Effect { kind: Kind::Decline, .. }) => CallOutcome::Refused(DECLINED.into()),
            Ok(_) => other_operation(),
            Err(outcome) => outcome.into(),
        }
    }

    async fn void(&self, call: &UndoCall, _: bool) -> CallOutcome<()> {
        match undo(&self.ledger, &self.steered.mood(), "payments", "void", Kind::Void, call).await {
            Ok(UndoAnswer::Undone { .. }) => CallOutcome::Done(()),
            Ok(_) => other_operation(),
            Err(outcome) => outcome.into(),
        }
    }
}

#[async_trait]
impl Carrier for SimulatedCarrier {
    async fn ship(&self, call: &ShipCall, _: bool) -> CallOutcome<Shipped> {
        let mood = self.steered.mood();
        let plan = Plan::new(&mood.settings, &call.key, call.scenario.as_deref());
        let luck = hash(&mood.settings, "tracking", &call.key, 0);
        let effect = Effect {
            kind: if plan.decline { Kind::Reject } else { Kind::Ship },
            order: call.order_id.clone(),
            amount: None,
            currency: None,
            reference: Some(format!("TRACK-{}", hex(&luck[..4]).to_ascii_uppercase())),
            carrier: Some(CARRIERS[usize::from(luck[4]) % CARRIERS.len()].to_owned()),
        };
        match operate(&self.ledger, &mood, &plan, "carrier", "ship", &call.key, effect).await {
            Ok(effect) if effect.order != call.order_id => other_operation(),
            Ok(effect) if effect.kind == Kind::Reject => {
                CallOutcome::Refused("rejected by the simulated carrier".into())
            }
            Ok(effect) => shipped(effect).map_or_else(other_operation, CallOutcome::Done),
            Err(outcome) => outcome.into(),
        }
    }

    async fn cancel(&self, call: &UndoCall, _: bool) -> CallOutcome<CancelOutcome> {
        match undo(&self.ledger, &self.steered.mood(), "carrier", "cancel", Kind::Cancel, call).await {
            Ok(UndoAnswer::Undone { .. }) => CallOutcome::Done(CancelOutcome::Cancelled),
            Ok(UndoAnswer::TooLate(effect)) => shipped(effect)
                .map_or_else(other_operation, |shipped| CallOutcome::Done(CancelOutcome::TooLate(shipped))),
            Ok(_) => other_operation(),
            Err(outcome) => outcome.into(),
        }
    }
}

/// What is to become of the calls under one key.
struct Plan {
    /// Calls that have no effect, first of all.
    skip: u32,
    /// Those calls are answered "pending", and not with an error.
    pending: bool,
    decline: bool,
    lose_answer: bool,
    latency: Duration,
}

impl Plan {
    fn new(settings: &SimulatedSettings, key: &str, scenario: Option<&str>) -> Self {
        let latency = latency(settings, key);
        let calm = Self { skip: 0, pending: false, decline: false, lose_answer: false, latency };
        match scenario {
            None | Some("") => Self {
                skip: failures(settings, key),
                decline: happens(settings.decline_rate, settings, "decline", key, 0),
                lose_answer: happens(settings.timeout_rate, settings, "timeout", key, 0),
                ..calm
            },
            Some("decline") => Self { decline: true, ..calm },
            Some("timeout") => Self { lose_answer: true, ..calm },
            Some("pending") => Self { skip: 1, pending: true, ..calm },
            Some("error") => Self { skip: ERRORS_FIRST, ..calm },
            Some("slow") => Self { latency: Duration::from_millis(settings.slow_ms), ..calm },
            Some(_) => calm,
        }
    }
}

/// Why there is no effect to show.
enum NoEffect {
    Refused(String),
    Pending(String),
    Unknown(String),
}

impl<T> From<NoEffect> for CallOutcome<T> {
    fn from(outcome: NoEffect) -> Self {
        match outcome {
            NoEffect::Refused(reason) => Self::Refused(reason),
            NoEffect::Pending(reason) => Self::Pending(reason),
            NoEffect::Unknown(reason) => Self::Unknown { reason, retry_after: None },
        }
    }
}

impl From<LedgerError> for NoEffect {
    fn from(error: LedgerError) -> Self {
        Self::Unknown(error.to_string())
    }
}

async fn operate(
    ledger: &Ledger,
    mood: &Mood,
    plan: &Plan,
    provider: &'static str,
    name: &'static str,
    key: &str,
    effect: Effect,
) -> Result<Effect, NoEffect> {
    reach(mood)?;
    let operation = Operation { provider, name, key: key.to_owned(), skip: plan.skip, effect };
    pass(plan.latency / 2).await;
    let answer = ledger.operate(operation).await;
    pass(plan.latency / 2).await;
    match answer? {
        Answer::Stands { fresh: true, .. } if plan.lose_answer => Err(NoEffect::Unknown("timed out".into())),
        Answer::Stands { effect, .. } => Ok(effect),
        Answer::Undone => Err(NoEffect::Refused("this operation has been undone".into())),
        Answer::Skipped(_) if plan.pending => {
            Err(NoEffect::Pending("the simulated provider is still thinking".into()))
        }
        Answer::Skipped(before) => Err(NoEffect::Unknown(format!("simulated failure {}", before + 1))),
    }
}

async fn undo(
    ledger: &Ledger,
    mood: &Mood,
    provider: &'static str,
    name: &'static str,
    kind: Kind,
    call: &UndoCall,
) -> Result<UndoAnswer, NoEffect> {
    reach(mood)?;
    let settings = &mood.settings;
    let plan = Plan::new(settings, &call.key, None);
    let window = settings.cancel_window_ms.saturating_mul(1_000);
    let undo = Undo {
        provider,
        name,
        key: call.key.clone(),
        skip: plan.skip,
        kind,
        order: call.order_id.clone(),
        operation: call.operation.clone(),
        ship_window_us: i64::try_from(window).unwrap_or(i64::MAX),
    };
    pass(plan.latency / 2).await;
    let answer = ledger.undo(undo).await;
    pass(plan.latency / 2).await;
    match answer? {
        UndoAnswer::Undone { fresh: true } if plan.lose_answer => Err(NoEffect::Unknown("timed out".into())),
        UndoAnswer::Skipped(before) => Err(NoEffect::Unknown(format!("simulated failure {}", before + 1))),
        answer => Ok(answer),
    }
}

/// Whether a call gets there at all.
fn reach(mood: &Mood) -> Result<(), NoEffect> {
    if mood.mode == Mode::Down {
        return Err(NoEffect::Unknown("no connection: the simulated provider is down".into()));
    }
    Ok(())
}

/// Half of the time goes by before the call has its effect and half after it: so a caller that gives up early may
/// have caused it or not.
async fn pass(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn shipped(effect: Effect) -> Option<Shipped> {
    match effect {
        Effect { kind: Kind::Ship, carrier: Some(carrier), reference: Some(tracking_number), .. } => {
            Some(Shipped { carrier, tracking_number })
        }
        _ => None,
    }
}

fn other_operation<T>() -> CallOutcome<T> {
    CallOutcome::Refused("this idempotency key was used for another operation".into())
}

/// How many calls under this key fail before one gets through.
fn failures(settings: &SimulatedSettings, key: &str) -> u32 {
    /// Beyond this the rate is so close to 1 that it means "always".
    const MANY: u32 = 1_000;
    let first = (0..MANY).find(|n| !happens(settings.failure_rate, settings, "failure", key, *n));
    first.unwrap_or(u32::MAX)
}

fn happens(rate: f64, settings: &SimulatedSettings, what: &str, key: &str, n: u32) -> bool {
    if rate <= 0.0 {
        return false;
    }
    rate >= 1.0 || share(&hash(settings, what, key, n)) < rate
}

fn latency(settings: &SimulatedSettings, key: &str) -> Duration {
    let (min, max) = (settings.latency_min_ms, settings.latency_max_ms.max(settings.latency_min_ms));
    if min == max {
        return Duration::from_millis(min);
    }
    let span = Duration::from_millis(max - min);
    Duration::from_millis(min) + span.mul_f64(share(&hash(settings, "latency", key, 0)))
}

/// A number in [0, 1).
fn share(hash: &[u8; 32]) -> f64 {
    let mut first = [0; 4];
    first.copy_from_slice(&hash[..4]);
    f64::from(u32::from_be_bytes(first)) / (f64::from(u32::MAX) + 1.0)
}

fn hash(settings: &SimulatedSettings, what: &str, key: &str, n: u32) -> [u8; 32] {
    digest(what, &[&settings.seed.to_string(), key, &n.to_string()])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "simulated_tests.rs"]
mod tests;
