//! What holds work back although nothing is broken: an operator, or a provider that does not answer.

use serde_json::Value;

use super::{
    super::{api::Api, put_command},
    Check, server,
};
use crate::{
    config::Config,
    control::{HeldBy, PROVIDERS},
    providers::{SwitchError, Switches},
};

/// What switches a provider on, without a limit.
const ON: &str = r#"{"enabled":true,"rate":null}"#;

/// How the providers were switched, as the next start will find it. Of a system that runs, it says itself how it is now;
/// but what can't be read would stop its next start.
pub fn stored(config: &Config, switches: Result<Switches, SwitchError>, runs: bool) -> Vec<Check> {
    let switches = match switches {
        Ok(switches) => switches,
        Err(error) => {
            let advice = "`cartwright up` refuses to start with it: mend it, or delete it";
            return vec![Check::fail("providers", error.to_string(), advice)];
        }
    };
    let operator = match &*config.admin.listen {
        "" => server::url(&config.http.listen),
        own => server::url(own),
    };
    let off = ["payments", "carrier"].into_iter().filter(|name| !runs && !switches.of(name).enabled);
    off.map(|name| {
        let found = format!("{name} was switched off by an operator, and stays off at the next start");
        let on = put_command(&operator, &format!("/v1/admin/providers/{name}"), ON);
        Check::warn("providers", found, format!("once it runs: {on}"))
    })
    .collect()
}

/// What a server that runs holds back. `operator`: where its operator's calls are.
pub async fn now(server: &str, operator: &str, health: &Value) -> Vec<Check> {
    let parts = health["components"].as_object().into_iter().flatten();
    let mut checks: Vec<Check> =
        parts.filter_map(|(name, says)| part(name, says.as_str()?, server, operator)).collect();
    if let Ok(api) = Api::new(operator.to_owned()) {
        checks.extend(limited(&api, operator).await);
        checks.extend(parked(&api, operator).await);
    }
    checks
}

fn part(name: &str, says: &str, server: &str, operator: &str) -> Option<Check> {
    let (provider, service) = match name {
        "payment provider" => ("payments", "payments"),
        "carrier" => ("carrier", "fulfillment"),
        service if says == "paused" => {
            let on = put_command(operator, &format!("/v1/admin/services/{service}"), r#"{"paused":false}"#);
            return Some(Check::warn(
                "services",
                format!("{service} is paused: what it is asked for waits"),
                on,
            ));
        }
        _ => return None,
    };
    let advice = match says {
        "ok" => return None,
        off if off.contains("switched off") => {
            put_command(operator, &format!("/v1/admin/providers/{provider}"), ON)
        }
        _ => format!(
            "it closes by itself once the provider answers; what waits, and why: cartwright waiting --service {service} \
             --server {server}"
        ),
    };
    Some(Check::warn("providers", says, advice))
}

/// Providers that are called at a rate: what is more waits.
async fn limited(api: &Api, operator: &str) -> Vec<Check> {
    let Ok(all) = api.get::<Value>("/v1/admin/providers", &[]).await else { return vec![] };
    PROVIDERS.into_iter().filter_map(|name| at_a_rate(name, &all[name], operator)).collect()
}

fn at_a_rate(name: &str, state: &Value, operator: &str) -> Option<Check> {
    // Of one that is switched off that is said; its rate matters once it is on.
    let rate = state["rate"].as_f64().filter(|_| state["enabled"] == true)?;
    let advice = format!("without a limit: cartwright providers on {name} --server {operator}");
    Some(Check::warn("providers", HeldBy::Rate(rate).reason(name), advice))
}

/// Events that could not be applied, as far as the server says so.
async fn parked(api: &Api, operator: &str) -> Vec<Check> {
    let Ok(all) = api.get::<Value>("/v1/admin/services", &[]).await else { return vec![] };
    let services = all["services"].as_array().into_iter().flatten();
    let parked = services.filter_map(|service| {
        let (name, count) =
            (service["name"].as_str()?, service["parked"].as_u64().filter(|count| *count > 0)?);
        let found =
            format!("{name} could not apply {count} and has parked them; their orders may wait for them");
        Some(Check::warn("events", found, format!("cartwright parked list --server {operator}")))
    });
    parked.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_open_circuit_is_to_be_looked_at_and_what_is_well_is_not() {
        let part = |name, says| part(name, says, "http://x", "http://y");
        let open = part("carrier", "the circuit is open: carrier does not answer").unwrap();
        assert!(open.advice.unwrap().contains("waiting --service fulfillment --server http://x"));
        assert!(part("carrier", "ok").is_none() && part("disk", "ok").is_none());
    }

    #[test]
    fn a_rate_is_to_be_looked_at_while_calls_go_out() {
        let at = |enabled: bool, rate: Value| {
            at_a_rate("payments", &json!({"enabled": enabled, "rate": rate}), "http://y")
        };
        let limited = at(true, json!(2.5)).unwrap();
        assert_eq!(limited.found, "calls to payments are limited to 2.5 per second");
        assert!(limited.advice.unwrap().ends_with("providers on payments --server http://y"));
        assert!(at(true, Value::Null).is_none() && at(false, json!(2.5)).is_none());
    }
}
