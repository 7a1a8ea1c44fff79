//! What holds work back although nothing is broken: an operator, or a provider that does not answer.

use serde_json::Value;

use super::{
    super::{
        api::Api,
        obstacles::{Obstacle, Standing},
        put_command,
    },
    Check, server,
};
use crate::{
    config::Config,
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
        let standing = Standing::ask(&api).await;
        checks.extend(standing.limits().map(limited));
        checks.extend(standing.parked().map(|(name, count)| parked(name, count, operator)));
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

/// A provider that is called at a rate.
fn limited(limit: Obstacle) -> Check {
    let advice = limit.undo.map(|undo| format!("without a limit: {undo}"));
    Check::warn("providers", limit.what, advice.unwrap_or_default())
}

/// Events that could not be applied.
fn parked(name: &str, count: u64, operator: &str) -> Check {
    let found = format!("{name} could not apply {count} and has parked them; their orders may wait for them");
    Check::warn("events", found, format!("cartwright parked list --server {operator}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_circuit_is_to_be_looked_at_and_what_is_well_is_not() {
        let part = |name, says| part(name, says, "http://x", "http://y");
        let open = part("carrier", "the circuit is open: carrier does not answer").unwrap();
        assert!(open.advice.unwrap().contains("waiting --service fulfillment --server http://x"));
        assert!(part("carrier", "ok").is_none() && part("disk", "ok").is_none());
    }
}
