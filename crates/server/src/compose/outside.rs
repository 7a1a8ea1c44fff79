//! The outside world, as the settings describe it: who takes the money and who carries the goods, each behind a gate.

use std::{sync::Arc, time::Duration};

use cartwright_core::{
    ports::{Carrier, PaymentProvider},
    services::Providers,
};
use cartwright_store::postgres::PostgresStore;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{Held, StartError, stores::Database};
use crate::{
    config::{Config, Provider},
    control::{Control, Controls, Scenarios, Steering},
    http::{Component, State},
    providers::{
        Endpoint, Gate, Gated, HttpCarrier, HttpPayments, Kept, Kind, Ledger, SimulatedCarrier,
        SimulatedPayments, SwitchError, Switches, ledger, simulated::SCENARIOS, switches,
    },
};

/// How often it is looked for what operators have done in other processes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Everything about providers that the rest of the system is given.
pub struct Outside {
    /// What tasks call.
    pub providers: Providers,
    /// What operators change.
    pub controls: Controls,
    /// What health shows. A provider in trouble holds up its steps, and no order from being taken.
    pub components: Vec<Component>,
    /// What holds calls back from the start.
    pub held: Vec<Held>,
    /// The scenarios that orders may ask for.
    pub scenarios: Scenarios,
    switches: Arc<Switches>,
    gates: [Arc<Gate>; 2],
}

/// How operators have switched the providers, where all processes of a system find it.
struct InDatabase {
    store: Arc<PostgresStore>,
    runtime: Handle,
}

impl Kept for InDatabase {
    fn read(&self) -> Result<Option<Vec<u8>>, SwitchError> {
        Ok(self.runtime.block_on(self.store.noted(switches::NOTE))?.map(String::into_bytes))
    }

    fn write(&self, was: Option<&[u8]>, text: &[u8]) -> Result<bool, SwitchError> {
        let (was, text) = (was.map(String::from_utf8_lossy), String::from_utf8_lossy(text));
        Ok(self.runtime.block_on(self.store.note_over(switches::NOTE, was.as_deref(), &text))?)
    }

    fn place(&self) -> String {
        switches::IN_DATABASE.to_owned()
    }
}

impl Outside {
    /// Opens the ledger if it is needed, for this system, and checks the addresses; calls nobody. With so many orders
    /// open, the providers must be those that worked on them so far.
    /// Blocks.
    pub fn open(
        config: &Config,
        database: Option<&Database>,
        system: Uuid,
        open_orders: u64,
    ) -> Result<Self, StartError> {
        let switches = match database {
            None => Switches::open(&config.data.dir)?,
            Some(database) => {
                let (store, runtime) = (database.orders.clone(), Handle::current());
                Switches::kept_in(Box::new(InDatabase { store, runtime }))?
            }
        };
        let switches = Arc::new(switches);
        same_kind("payments", &config.payments, &switches, open_orders)?;
        same_kind("carrier", &config.carrier, &switches, open_orders)?;
        let any_simulated = config.payments.is_simulated() || config.carrier.is_simulated();
        let ledger = any_simulated
            .then(|| Ledger::open(config.data.dir.join(ledger::FILE_NAME), system))
            .transpose()?;
        let (payments, payments_steering) = payments(config, ledger.as_ref())?;
        let (carrier, carrier_steering) = carrier(config, ledger.as_ref())?;
        let gate =
            |name, provider: &Provider| Gate::new(name, provider.gate(&config.providers), switches.clone());
        let (to_payments, to_carrier) =
            (gate("payments", &config.payments), gate("carrier", &config.carrier));
        let control = |gate: &Arc<Gate>, simulated| Control { switch: gate.clone(), simulated };
        let held = [("payments", &config.payments), ("carrier", &config.carrier)];
        let held = held.into_iter().filter_map(|(name, provider)| held_back(name, provider, &switches));
        Ok(Self {
            held: held.collect(),
            switches: switches.clone(),
            gates: [to_payments.clone(), to_carrier.clone()],
            controls: Controls {
                payments: control(&to_payments, payments_steering),
                carrier: control(&to_carrier, carrier_steering),
            },
            components: vec![
                component("payment provider", to_payments.clone()),
                component("carrier", to_carrier.clone()),
            ],
            scenarios: Scenarios {
                payments: config.payments.is_simulated().then_some(&SCENARIOS),
                carrier: config.carrier.is_simulated().then_some(&SCENARIOS),
            },
            providers: Providers {
                payments: Arc::new(Gated::new(payments, to_payments)),
                carrier: Arc::new(Gated::new(carrier, to_carrier)),
            },
        })
    }
}

impl Outside {
    /// Has what operators do in other processes count here, too; for ever.
    pub fn follow_others(&self) -> impl Future<Output = ()> + Send + 'static {
        let (switches, gates) = (self.switches.clone(), self.gates.clone());
        let controls = [&self.controls.payments, &self.controls.carrier];
        let steered: Vec<_> = controls.iter().filter_map(|control| control.simulated.clone()).collect();
        async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                for steered in &steered {
                    steered.look_again().await;
                }
                let looked = {
                    let switches = switches.clone();
                    tokio::task::spawn_blocking(move || switches.look_again()).await
                };
                match looked {
                    Ok(Ok(())) => gates.iter().for_each(|gate| gate.look_again()),
                    Ok(Err(error)) => tracing::debug!(%error, "can't look how the providers are switched"),
                    Err(_) => return, // we are stopping
                }
            }
        }
    }
}

/// An undo goes to whoever is configured: with another provider than the one that took the money, it would be answered,
/// and nothing would be undone.
fn same_kind(
    name: &'static str,
    provider: &Provider,
    switches: &Switches,
    open_orders: u64,
) -> Result<(), StartError> {
    let now = if provider.is_simulated() { Kind::Simulated } else { Kind::Http };
    let was = switches.of(name).kind.unwrap_or_default();
    if now == was {
        return Ok(());
    }
    // Where nobody has noted anything, simulated providers have worked on whatever is open.
    if open_orders > 0 {
        return Err(StartError::ProviderChanged { name, was: was.as_str(), now: now.as_str(), open_orders });
    }
    Ok(switches.use_kind(name, now)?)
}

/// What an operator, or a setting, has made of a provider and may have forgotten. A rate by a setting is meant to stay.
fn held_back(name: &str, provider: &Provider, switches: &Switches) -> Option<Held> {
    let switched = switches.of(name);
    let what = match (switched.enabled, provider.enabled, switched.rate.flatten()) {
        (false, ..) => format!("{name} is switched off by an operator: its calls wait"),
        (true, false, _) => format!("{name} is switched off (setting {name}.enabled): its calls wait"),
        (true, true, Some(rate)) => {
            format!("{name} is limited by an operator to {rate} calls per second: others wait")
        }
        (true, true, None) => return None,
    };
    let path = format!("/v1/admin/providers/{name}");
    Some(Held { what, path, undo: r#"{"enabled":true,"rate":null}"# })
}

type Steered = Option<Arc<dyn Steering>>;

fn payments(
    config: &Config,
    ledger: Option<&Ledger>,
) -> Result<(Arc<dyn PaymentProvider>, Steered), StartError> {
    if let (true, Some(ledger)) = (config.payments.is_simulated(), ledger) {
        let simulated = SimulatedPayments::new(ledger.clone(), config.simulated.payments.clone());
        let steering = simulated.steering();
        return Ok((Arc::new(simulated), Some(steering)));
    }
    Ok((Arc::new(HttpPayments::new(endpoint("payments", &config.payments)?)), None))
}

fn carrier(config: &Config, ledger: Option<&Ledger>) -> Result<(Arc<dyn Carrier>, Steered), StartError> {
    if let (true, Some(ledger)) = (config.carrier.is_simulated(), ledger) {
        let simulated = SimulatedCarrier::new(ledger.clone(), config.simulated.carrier.clone());
        let steering = simulated.steering();
        return Ok((Arc::new(simulated), Some(steering)));
    }
    Ok((Arc::new(HttpCarrier::new(endpoint("carrier", &config.carrier)?)), None))
}

fn endpoint(name: &'static str, provider: &Provider) -> Result<Endpoint, StartError> {
    Endpoint::new(&provider.http()).map_err(|error| StartError::Provider { name, error })
}

fn component(name: &str, gate: Arc<Gate>) -> Component {
    let check = move || gate.trouble().map_or(State::Well, State::Note); // orders are taken without it
    Component { name: name.to_owned(), check: Box::new(check) }
}
