//! The port, and the server behind it.

use std::{io::ErrorKind, net::TcpListener};

use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{
        ServerArg,
        api::{Api, ApiError},
        style::Paint,
    },
    Check, held,
};
use crate::config::Config;

/// Looks at the port that the settings name, and at the server that the commands talk to. `runs`: a process works on the
/// stores of the settings.
pub async fn check(config: &Config, named: &ServerArg, runs: bool) -> Vec<Check> {
    let listen = &*config.http.listen;
    let ours = url(listen);
    let answers = health(&ours).await;
    let mut checks = vec![port(listen, &answers, runs)];
    // Another server than the one of the settings, if one was named.
    let (server, health) = match named.named() {
        Some(other) if other != ours => (other.clone(), health(&other).await),
        named => (ours, if named.is_some() || runs || answers.is_some() { answers } else { None }),
    };
    if let Some(Ok(health)) = &health {
        let is_ours = server == url(listen) && config.admin.enabled && !config.admin.listen.is_empty();
        let operator = if is_ours { url(&config.admin.listen) } else { server.clone() };
        checks.extend(held::now(&server, &operator, health).await);
    }
    checks.push(match health {
        Some(Ok(health)) => healthy(&server, &health),
        Some(Err(why)) => Check::fail("server", format!("{server}: {why}"), "the server's log says more"),
        None if runs || named.named().is_some() => {
            let advice = "is it still starting? Its log says; --listen or --server may name another address";
            Check::fail("server", format!("nothing answers at {server}"), advice)
        }
        None => Check::ok("server", "none runs; start it with `cartwright up`"),
    });
    checks
}

fn port(listen: &str, answers: &Option<Result<Value, String>>, runs: bool) -> Check {
    let error = match TcpListener::bind(listen) {
        Ok(_) if runs => {
            let advice =
                "start `doctor` with the settings of that cartwright, so that it looks at the right port";
            return Check::warn(
                "port",
                format!("{listen} is free, but a cartwright has the data directory"),
                advice,
            );
        }
        Ok(_) => return Check::ok("port", format!("{listen} is free")),
        Err(error) => error,
    };
    match (error.kind(), answers) {
        (ErrorKind::AddrInUse, Some(Ok(_))) if runs => Check::ok("port", format!("{listen} is ours")),
        (ErrorKind::AddrInUse, Some(Ok(_))) => Check::warn(
            "port",
            format!("{listen} belongs to a cartwright with other stores"),
            "name its stores (--data, database.url), or choose another port with --listen",
        ),
        (ErrorKind::AddrInUse, _) => Check::fail(
            "port",
            format!("another program uses {listen}"),
            "stop that one, or choose another port with --listen (setting http.listen)",
        ),
        _ => Check::fail(
            "port",
            format!("can't listen on {listen}: {error}"),
            "choose an address of this machine with --listen (setting http.listen)",
        ),
    }
}

fn healthy(server: &str, health: &Value) -> Check {
    let status = health["status"].as_str().unwrap_or("unknown");
    let bad: Vec<String> = health["components"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, state)| *state != "ok")
        .map(|(name, state)| format!("{name}: {}", state.as_str().unwrap_or("unknown")))
        .collect();
    if status == "ok" {
        Check::ok("server", format!("{server} is healthy"))
    } else {
        let found = format!("{server} is {status}: {}", bad.join(", "));
        Check::fail("server", found, "orders are refused meanwhile; the server's log says more")
    }
}

/// The identity of the system that a server there belongs to, if one answers.
pub async fn system_at(listen: &str) -> Option<Uuid> {
    let health = health(&url(listen)).await?.ok()?;
    Uuid::parse_str(health["system"].as_str()?).ok()
}

/// `None` if nobody answers, an error if it is not one of ours.
async fn health(server: &str) -> Option<Result<Value, String>> {
    let api = Api::new(server.to_owned()).ok()?;
    match api.get_whatever("/health/ready").await {
        Ok(body) => Some(match serde_json::from_slice::<Value>(&body) {
            Ok(health) if health["components"].is_object() => Ok(health),
            _ => Err("what answers there is no cartwright".to_owned()),
        }),
        Err(ApiError::Unreachable { .. }) => None,
        Err(error) => Some(Err(error.text(&Paint::stderr()))),
    }
}

/// Where a server that listens so is reached from here.
pub fn url(listen: &str) -> String {
    let (host, port) = listen.rsplit_once(':').unwrap_or((listen, "8080"));
    match host {
        "0.0.0.0" => format!("http://127.0.0.1:{port}"),
        "[::]" => format!("http://[::1]:{port}"),
        host => format!("http://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_reached_on_this_machine() {
        assert_eq!(url("0.0.0.0:9000"), "http://127.0.0.1:9000");
        assert_eq!(url("[::]:9000"), "http://[::1]:9000");
        assert_eq!(url("shop.example:9000"), "http://shop.example:9000");
    }

    #[test]
    fn a_server_that_fails_is_told_by_its_parts() {
        let health =
            serde_json::json!({"status": "failing", "components": {"orders": "ok", "disk": "nearly full"}});
        let check = healthy("http://x", &health);
        assert_eq!(check.state, super::super::State::Fail);
        assert!(check.found.contains("disk: nearly full") && !check.found.contains("orders"), "{check:?}");
    }
}
