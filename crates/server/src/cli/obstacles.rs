//! What stands in the way of orders and is none of their own doing: paused services, providers that are not called,
//! parked events. Only the operator's side tells, which may have a listener of its own: where it does not answer,
//! commands go without.

use cartwright_core::domain::flow::StepKind;
use serde::Serialize;
use serde_json::Value;

use super::{api::Api, orders::text};
use crate::control::{HeldBy, PROVIDERS};

/// Parked events of one order that are worth showing.
const SHOWN: usize = 5;

/// Parked events that a list of orders looks through.
const LOOKED_THROUGH: usize = 500;

/// Something in the way, and the command that takes it out of the way, if there is one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Obstacle {
    /// What it is, in a sentence.
    pub what: String,
    /// The command.
    pub undo: Option<String>,
}

/// How services and providers stand; `None` for what is not answered.
#[derive(Debug, Default)]
pub struct Standing {
    providers: Option<Value>,
    services: Option<Value>,
    /// What a command takes to reach the same server.
    flag: String,
}

/// A parked event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parked {
    /// Its order.
    pub order: String,
    /// The service that could not apply it.
    pub service: String,
    /// What kind of event it is.
    pub event_type: String,
    /// Why it could not be applied.
    pub reason: String,
}

impl Obstacle {
    /// As one line of text.
    pub fn line(&self) -> String {
        match &self.undo {
            Some(undo) => format!("{} (to undo it: `{undo}`)", self.what),
            None => self.what.clone(),
        }
    }
}

impl Standing {
    /// Asks for it.
    pub async fn ask(api: &Api) -> Self {
        Self {
            providers: api.get("/v1/admin/providers", &[]).await.ok(),
            services: api.get("/v1/admin/services", &[]).await.ok(),
            flag: api.flag(),
        }
    }

    /// All that stands in the way of anything.
    pub fn all(&self) -> Vec<Obstacle> {
        let services = ["payments", "fulfillment"].into_iter().filter_map(|service| self.paused(service));
        let providers = PROVIDERS.into_iter().filter_map(|provider| self.not_called(provider));
        services.chain(providers).collect()
    }

    /// What stands in the way of such a step, of which `reason` was heard last.
    pub fn of(&self, kind: &str, reason: &str) -> Vec<Obstacle> {
        let kinds = [StepKind::Pay, StepKind::Schedule, StepKind::Ship, StepKind::Wait];
        let Some(kind) = kinds.into_iter().find(|known| known.as_str() == kind) else { return vec![] };
        let provider = match kind {
            StepKind::Pay => self.of_provider("payments", reason),
            StepKind::Ship => self.of_provider("carrier", reason),
            StepKind::Schedule | StepKind::Wait => None,
        };
        self.paused(kind.service()).into_iter().chain(provider).collect()
    }

    /// Providers that are called at a rate: what is more waits. Of one that is switched off its rate matters once it is on.
    pub fn limits(&self) -> impl Iterator<Item = Obstacle> {
        let on =
            |provider: &&str| self.providers.as_ref().is_some_and(|all| all[*provider]["enabled"] == true);
        PROVIDERS.into_iter().filter(on).filter_map(|provider| self.limited(provider))
    }

    /// Whether any service has parked something, as far as is known.
    pub fn has_parked(&self) -> bool {
        self.parked().next().is_some()
    }

    /// Services that have parked something, as far as is known, and how many events.
    pub fn parked(&self) -> impl Iterator<Item = (&str, u64)> {
        self.services().filter_map(|service| {
            Some((service["name"].as_str()?, service["parked"].as_u64().filter(|count| *count > 0)?))
        })
    }

    fn of_provider(&self, provider: &str, reason: &str) -> Option<Obstacle> {
        let said = HeldBy::read(reason).filter(|(named, _)| *named == provider).map(|(_, by)| by);
        match (&self.providers, said) {
            (None, Some(by)) => Some(self.held(provider, by)),
            (None, None) => None,
            (Some(_), said) => {
                let limited = matches!(said, Some(HeldBy::Rate(_))).then(|| self.limited(provider)).flatten();
                self.not_called(provider).or(limited)
            }
        }
    }

    fn not_called(&self, provider: &str) -> Option<Obstacle> {
        let state = self.providers.as_ref()?.get(provider)?;
        if state["enabled"].as_bool() == Some(false) {
            return Some(self.held(provider, HeldBy::Switch));
        }
        (text(state, "/breaker") == "open").then(|| self.held(provider, HeldBy::Breaker))
    }

    fn limited(&self, provider: &str) -> Option<Obstacle> {
        let rate = self.providers.as_ref()?.get(provider)?["rate"].as_f64()?;
        Some(self.held(provider, HeldBy::Rate(rate)))
    }

    fn held(&self, provider: &str, by: HeldBy) -> Obstacle {
        let undo = match by {
            HeldBy::Switch | HeldBy::Rate(_) => {
                Some(format!("cartwright providers on {provider}{}", self.flag))
            }
            HeldBy::Breaker => None, // it closes by itself once the provider answers
        };
        Obstacle { what: by.reason(provider), undo }
    }

    fn paused(&self, service: &str) -> Option<Obstacle> {
        let paused = |known: &Value| known["name"] == service && known["paused"].as_bool() == Some(true);
        self.services().find(|known| paused(known)).map(|_| Obstacle {
            what: format!("the service {service} is paused"),
            undo: Some(format!("cartwright services resume {service}{}", self.flag)),
        })
    }

    fn services(&self) -> impl Iterator<Item = &Value> {
        self.services.iter().filter_map(|all| all["services"].as_array()).flatten()
    }
}

impl Parked {
    /// As one line of text, without its order and its service.
    pub fn line(&self) -> String {
        match &*self.event_type {
            "" => self.reason.clone(),
            event_type => format!("{event_type}: {}", self.reason),
        }
    }

    /// The first of an order's parked events.
    pub async fn of_order(api: &Api, order: &str) -> Vec<Self> {
        Self::read(api, &[("order", order.to_owned()), ("limit", SHOWN.to_string())]).await
    }

    /// The first parked events of all orders.
    pub async fn first(api: &Api) -> Vec<Self> {
        Self::read(api, &[("limit", LOOKED_THROUGH.to_string())]).await
    }

    async fn read(api: &Api, query: &[(&str, String)]) -> Vec<Self> {
        let page: Value = api.get("/v1/admin/parked", query).await.unwrap_or_default();
        let events = page["parked"].as_array().into_iter().flatten();
        let part = |event: &Value, at: &str| text(event, at).to_owned();
        events
            .map(|event| Self {
                order: part(event, "/order"),
                service: part(event, "/service"),
                event_type: part(event, "/eventType"),
                reason: part(event, "/reason"),
            })
            .collect()
    }
}

#[cfg(test)]
impl Standing {
    /// For tests: answers as they would come.
    pub fn given(providers: Value, services: Value) -> Self {
        Self { providers: Some(providers), services: Some(services), flag: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn standing(enabled: bool, rate: Option<f64>, breaker: &str) -> Standing {
        let state = json!({"enabled": enabled, "rate": rate, "breaker": breaker});
        Standing::given(json!({"payments": state, "carrier": state}), json!({"services": []}))
    }

    fn whats(obstacles: &[Obstacle]) -> Vec<&str> {
        obstacles.iter().map(|obstacle| &*obstacle.what).collect()
    }

    #[test]
    fn what_was_said_once_counts_only_while_it_holds() {
        let off = HeldBy::Switch.reason("payments");
        assert_eq!(whats(&standing(false, None, "closed").of("pay", "")), [&off]);
        assert!(standing(true, None, "closed").of("pay", &off).is_empty(), "it is on again");
        assert_eq!(whats(&Standing::default().of("pay", &off)), [&off], "nobody says otherwise");
        let limited = HeldBy::Rate(2.0).reason("carrier");
        assert_eq!(whats(&standing(true, Some(2.0), "closed").of("ship", &limited)), [&limited]);
        assert!(standing(true, Some(2.0), "closed").of("ship", "declined").is_empty());
        assert!(standing(false, None, "open").of("schedule", "").is_empty(), "it needs no provider");
    }

    #[test]
    fn a_pause_has_its_word_and_an_open_circuit_none() {
        let paused = json!({"services": [{"name": "payments", "paused": true, "parked": 0}]});
        let open = json!({"payments": {"enabled": true, "breaker": "open"}});
        let all = Standing::given(open, paused).all();
        assert_eq!(
            all[0].line(),
            "the service payments is paused (to undo it: `cartwright services resume payments`)"
        );
        assert_eq!(all[1].line(), "the circuit is open: payments does not answer");
    }

    #[test]
    fn a_command_reaches_the_server_that_was_asked() {
        let elsewhere = Standing { flag: " --server http://x".into(), ..standing(false, None, "closed") };
        let mut undo = elsewhere.all().into_iter().filter_map(|obstacle| obstacle.undo);
        assert_eq!(undo.next_back().unwrap(), "cartwright providers on carrier --server http://x");
    }

    #[test]
    fn a_rate_is_to_be_looked_at_while_calls_go_out() {
        let at = |enabled, rate| {
            let standing =
                Standing { flag: " --server http://y".into(), ..standing(enabled, rate, "closed") };
            standing.limits().next()
        };
        let limited = at(true, Some(2.5)).unwrap();
        assert_eq!(limited.what, "calls to payments are limited to 2.5 per second");
        assert!(limited.undo.unwrap().ends_with("providers on payments --server http://y"));
        assert!(at(true, None).is_none() && at(false, Some(2.5)).is_none());
    }
}
