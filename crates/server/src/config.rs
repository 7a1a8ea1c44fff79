//! Settings: the documented default file < a file of the user's < the environment < flags.

mod providers;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use cartwright_core::services::{RetryPolicy, Settings};
use config::{Config as Layers, Environment, File, FileFormat};
use serde::Deserialize;

pub use self::providers::{Breaker, Provider, ProviderKind, Secret};
use crate::{providers::SimulatedSettings, telemetry::LogFormat};

/// The default file: it documents every setting.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// Settings that are secret, and the variables that hold them.
const SECRETS: [(&str, &str); 2] =
    [("payments.token", "CARTWRIGHT__PAYMENTS__TOKEN"), ("carrier.token", "CARTWRIGHT__CARRIER__TOKEN")];

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[data]`
    pub data: Data,
    /// `[http]`
    pub http: Http,
    /// `[admin]`
    pub admin: Admin,
    /// `[orders]`
    pub orders: OrderLimits,
    /// `[idempotency]`
    pub idempotency: Idempotency,
    /// `[sweeper]`
    pub sweeper: Sweeper,
    /// `[payments]`
    pub payments: Provider,
    /// `[carrier]`
    pub carrier: Provider,
    /// `[providers]`
    pub providers: ProviderCalls,
    /// `[simulated]`
    pub simulated: Simulated,
    /// `[workers]`
    pub workers: Workers,
    /// `[log]`
    pub log: Log,
}

/// `[data]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Where the files are.
    pub dir: PathBuf,
    /// Free space below which new orders are refused.
    pub min_free_mb: u64,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port.
    pub listen: String,
    /// Connections at once.
    pub max_connections: usize,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Whether there are calls for operators at all.
    pub enabled: bool,
    /// Address and port of their own; empty: on the API's.
    pub listen: String,
}

/// `[orders]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderLimits {
    /// Open orders.
    pub max_open: u64,
}

/// `[idempotency]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// Days.
    pub retention_days: u32,
}

/// `[sweeper]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweeper {
    /// Seconds.
    pub after_seconds: u64,
}

/// `[providers]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderCalls {
    /// Calls under way at once.
    pub max_calls: usize,
    /// Hours, also a part of one.
    pub deadline_hours: f64,
    /// Milliseconds that a call which is held back waits, at least.
    pub held_back_ms: u64,
    /// `[providers.retry]`
    pub retry: Retry,
    /// `[providers.breaker]`
    pub breaker: Breaker,
}

/// `[providers.retry]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries in a row.
    pub quick_tries: u32,
    /// The first wait between them.
    pub quick_wait_ms: u64,
    /// The first of the longer waits.
    pub long_wait_ms: u64,
    /// The longest wait.
    pub max_wait_ms: u64,
}

/// `[simulated]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    /// `[simulated.payments]`
    pub payments: SimulatedSettings,
    /// `[simulated.carrier]`
    pub carrier: SimulatedSettings,
}

/// `[workers]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// Services that do not work.
    pub paused: Vec<String>,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// In the form of `RUST_LOG`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// A setting that is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file, a key or a value.
    #[error(
        "a setting is wrong: {0}. All settings are in the documented default file (`cartwright up --help` says how to give your own)"
    )]
    Wrong(#[from] config::ConfigError),
    /// A value that can't work.
    #[error("the setting {key} {message}")]
    Value {
        /// Which.
        key: String,
        /// What it must be.
        message: String,
    },
}

impl Config {
    /// Reads all layers; `overrides` are the flags, as key and value.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn read(file: Option<&Path>, overrides: &[(&str, String)]) -> Result<Self, ConfigError> {
        Self::read_in(None, file, overrides)
    }

    /// The same in another environment than this process's.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn read_in(
        environment: Option<HashMap<String, String>>,
        file: Option<&Path>,
        overrides: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            layers = layers.add_source(File::from(file).format(FileFormat::Toml).required(true));
        }
        let variables = Environment::with_prefix("CARTWRIGHT").prefix_separator("__").separator("__");
        let lists = variables
            .source(environment.clone())
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("workers.paused");
        layers = layers.add_source(lists);
        // As they are: parsing would turn a token of digits into a number.
        for (key, variable) in SECRETS {
            let given = |all: &HashMap<String, String>| all.get(variable).cloned();
            if let Some(secret) = environment.as_ref().map_or_else(|| std::env::var(variable).ok(), given) {
                layers = layers.set_override(key, secret)?;
            }
        }
        for (key, value) in overrides {
            layers = layers.set_override(*key, value.clone())?;
        }
        let config: Self = layers.build()?.try_deserialize()?;
        config.check()?;
        Ok(config)
    }

    /// The settings of the services.
    pub fn services(&self) -> Settings {
        let retry = &self.providers.retry;
        Settings {
            max_open_orders: self.orders.max_open,
            sweep_after: Duration::from_secs(self.sweeper.after_seconds),
            deadline: Duration::from_secs_f64(self.providers.deadline_hours * 3600.0),
            retry: RetryPolicy {
                quick_tries: retry.quick_tries,
                quick_wait: Duration::from_millis(retry.quick_wait_ms),
                long_wait: Duration::from_millis(retry.long_wait_ms),
                max_wait: Duration::from_millis(retry.max_wait_ms),
            },
            default_provider: self.payments.provider.as_str().to_owned(),
            exclusive: true,
            ..Settings::default()
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: &str| {
            Err(ConfigError::Value { key: key.to_owned(), message: message.to_owned() })
        };
        if self.http.max_connections == 0 {
            return wrong("http.max_connections", "must be at least 1");
        }
        if !(1..=100_000).contains(&self.providers.max_calls) {
            return wrong("providers.max_calls", "must be between 1 and 100000");
        }
        if !(0.0001..=8760.0).contains(&self.providers.deadline_hours) {
            return wrong("providers.deadline_hours", "must be between 0.0001 and 8760");
        }
        if !(1..=30 * 24 * 3600).contains(&self.sweeper.after_seconds) {
            return wrong("sweeper.after_seconds", "must be between 1 and 2592000 (30 days)");
        }
        self.check_providers()?;
        for service in &self.workers.paused {
            if !["payments", "fulfillment"].contains(&service.as_str()) {
                return wrong("workers.paused", "may name payments and fulfillment only");
            }
        }
        Ok(())
    }

    fn check_providers(&self) -> Result<(), ConfigError> {
        let value = |key: String, message: String| ConfigError::Value { key, message };
        if !(1..=60_000).contains(&self.providers.held_back_ms) {
            return Err(value("providers.held_back_ms".into(), "must be between 1 and 60000".into()));
        }
        let within = |name: &str, checked: Result<(), (&str, String)>| {
            checked.map_err(|(key, message)| value(format!("{name}.{key}"), message))
        };
        within("payments", self.payments.check())?;
        within("carrier", self.carrier.check())?;
        within("providers.breaker", self.providers.breaker.check())?;
        let simulated = [("payments", &self.simulated.payments), ("carrier", &self.simulated.carrier)];
        for (name, simulated) in simulated {
            // What is wrong begins with the setting's name.
            simulated.check().map_err(|wrong| {
                let (key, message) = wrong.split_once(' ').unwrap_or((&wrong, "is wrong"));
                value(format!("simulated.{name}.{key}"), message.to_owned())
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_holds_every_setting() {
        let config = Config::read(None, &[]).unwrap();
        assert_eq!(config.http.listen, "127.0.0.1:8080");
        assert_eq!(config.services().sweep_after, Duration::from_secs(300));
    }

    #[test]
    fn flags_win_and_wrong_values_are_named() {
        let config = Config::read(None, &[("http.listen", "127.0.0.1:0".into())]).unwrap();
        assert_eq!(config.http.listen, "127.0.0.1:0");
        let error = Config::read(None, &[("http.lisen", "x".into())]).unwrap_err().to_string();
        assert!(error.contains("lisen"), "{error}");
        let error = Config::read(None, &[("providers.max_calls", "0".into())]).unwrap_err().to_string();
        assert!(error.contains("providers.max_calls"), "{error}");
    }

    #[test]
    fn what_a_provider_can_t_do_is_named() {
        for (key, value, named) in [
            ("simulated.payments.latency_min_ms", "500", "simulated.payments.latency_max_ms"),
            ("simulated.carrier.decline_rate", "1.5", "simulated.carrier.decline_rate"),
            ("payments.timeout_ms", "60000", "payments.timeout_ms"),
            ("carrier.rate", "-1", "carrier.rate"),
            ("carrier.provider", "pigeon", "pigeon"),
            ("providers.breaker.max_open_ms", "1", "providers.breaker.max_open_ms"),
            ("providers.held_back_ms", "0", "providers.held_back_ms"),
        ] {
            let error = Config::read(None, &[(key, value.into())]).unwrap_err().to_string();
            assert!(error.contains(named), "{key} = {value}: {error}");
        }
    }

    #[test]
    fn secrets_are_taken_as_they_are_and_never_shown() {
        let environment = HashMap::from([("CARTWRIGHT__PAYMENTS__TOKEN".to_owned(), "007".to_owned())]);
        let config = Config::read_in(Some(environment), None, &[]).unwrap();
        assert_eq!(config.payments.http().token, "007");
        assert!(!format!("{config:?}").contains("007"), "{config:?}");
    }
}
