//! Settings: the documented default file < a file of the user's < the environment < flags.

mod checks;
mod kafka;
mod layers;
mod providers;
mod search;

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use cartwright_core::services::{RetryPolicy, Settings};
use cartwright_store::postgres::{PostgresOptions, PostgresTls};
use serde::{Deserialize, Serialize};

use self::layers::Layers;
pub use self::{
    kafka::KafkaSettings,
    layers::{Origin, Setting, Wrong, is_secret},
    providers::{Breaker, Provider, ProviderKind, Secret},
    search::SearchSettings,
};
use crate::{
    bus::kafka::Kafka, http::dialects::settings::Settings as Dialects, providers::SimulatedSettings,
    telemetry::LogFormat,
};

/// The default file: it documents every setting.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// The variable that tells the commands where the server is: ours, but no setting.
pub const SERVER_VARIABLE: &str = "CARTWRIGHT_SERVER";

/// All settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[data]`
    pub data: Data,
    /// `[database]`
    pub database: Database,
    /// `[kafka]`
    pub kafka: KafkaSettings,
    /// `[http]`
    pub http: Http,
    /// `[admin]`
    pub admin: Admin,
    /// `[dialects]`
    pub dialects: Dialects,
    /// `[search]`
    pub search: SearchSettings,
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
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Where the files are.
    pub dir: PathBuf,
    /// Free space below which new orders are refused.
    pub min_free_mb: u64,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Which PostgreSQL; empty: files.
    pub url: Secret,
    /// What the schemas' names begin with.
    pub schema: String,
    /// Connections to each store.
    pub connections: usize,
    /// How they are encrypted.
    pub tls: DatabaseTls,
    /// Whose certificates are good; empty: as the system says.
    pub ca_file: PathBuf,
}

/// How connections to the database are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseTls {
    /// Not at all.
    Off,
    /// If the server offers it; unchecked.
    Prefer,
    /// Always, and only to the server that its certificate says.
    Verify,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port.
    pub listen: String,
    /// Connections at once.
    pub max_connections: usize,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Whether there are calls for operators at all.
    pub enabled: bool,
    /// Address and port of their own; empty: on the API's.
    pub listen: String,
}

/// `[orders]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OrderLimits {
    /// Open orders.
    pub max_open: u64,
}

/// `[idempotency]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// Days.
    pub retention_days: u32,
}

/// `[sweeper]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sweeper {
    /// Seconds.
    pub after_seconds: u64,
}

/// `[providers]`
#[derive(Clone, Debug, Deserialize, Serialize)]
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
#[derive(Clone, Debug, Deserialize, Serialize)]
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
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    /// `[simulated.payments]`
    pub payments: SimulatedSettings,
    /// `[simulated.carrier]`
    pub carrier: SimulatedSettings,
}

/// `[workers]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// Services that do not work.
    pub paused: Vec<String>,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// In the form of `RUST_LOG`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// What is wrong with the settings, all of it at once: where each was set, what it must be.
#[derive(Clone, Debug)]
pub struct ConfigError {
    /// Never empty.
    pub wrong: Vec<Wrong>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wrong.len() {
            1 => write!(f, "a setting is wrong:")?,
            many => write!(f, "{many} settings are wrong:")?,
        }
        for Wrong { origin, what } in &self.wrong {
            write!(f, "\n  {origin}: {what}")?;
        }
        write!(f, "\nAll settings and what they do: cartwright config print --defaults")
    }
}

/// The settings in effect, and where each came from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The settings.
    pub config: Config,
    /// The same, one by one, in the order of the default file.
    pub settings: Vec<Setting>,
}

impl Config {
    /// Reads all layers; `flags` are keys and values.
    ///
    /// # Errors
    /// [`ConfigError`] names every setting that is wrong.
    pub fn read(file: Option<&Path>, flags: &[(&str, String)]) -> Result<Self, ConfigError> {
        Self::read_in(None, file, flags)
    }

    /// The same in another environment than this process's.
    ///
    /// # Errors
    /// [`ConfigError`] names every setting that is wrong.
    pub fn read_in(
        environment: Option<HashMap<String, String>>,
        file: Option<&Path>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        Self::effective(environment, file, flags).map(|effective| effective.config)
    }

    /// The same with where each setting came from.
    ///
    /// # Errors
    /// [`ConfigError`] names every setting that is wrong.
    pub fn effective(
        environment: Option<HashMap<String, String>>,
        file: Option<&Path>,
        flags: &[(&str, String)],
    ) -> Result<Effective, ConfigError> {
        let mut layers = Layers::defaults();
        if let Some(file) = file {
            layers.file(file);
        }
        layers.environment(environment.unwrap_or_else(|| {
            let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
            std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
        }));
        for (key, value) in flags {
            layers.flag(flag_of(key), key, value);
        }
        checks::check(&mut layers);
        let read = serde_path_to_error::deserialize::<_, Self>(toml::Value::Table(layers.table()));
        let checked = read
            .map_err(|error| (error.path().to_string(), error.inner().to_string().trim().to_owned()))
            .and_then(|config| config.check().map(|()| config));
        match checked {
            Ok(config) if layers.wrong().is_empty() => {
                Ok(Effective { config, settings: layers.settings().to_vec() })
            }
            Ok(_) => Err(ConfigError { wrong: layers.wrong().to_vec() }),
            Err((key, message)) => {
                // What is out of its range, or none of its words, does not fit its type either.
                let setting = key.split('[').next().unwrap_or(&key);
                if !layers.wrong().iter().any(|wrong| wrong.what.starts_with(setting)) {
                    layers.complain(&key, format!("{key} {message}"));
                }
                Err(ConfigError { wrong: layers.wrong().to_vec() })
            }
        }
    }

    /// The database that the stores are in, if they are not in files.
    pub fn postgres(&self) -> Option<PostgresOptions> {
        (!self.database.url.is_empty()).then(|| PostgresOptions {
            url: self.database.url.expose().to_owned(),
            schema: self.database.schema.clone(),
            connections: self.database.connections,
            tls: match self.database.tls {
                DatabaseTls::Off => PostgresTls::Off,
                DatabaseTls::Prefer => PostgresTls::Prefer,
                DatabaseTls::Verify => {
                    let file = Some(self.database.ca_file.clone());
                    PostgresTls::Verify { ca_file: file.filter(|file| !file.as_os_str().is_empty()) }
                }
            },
        })
    }

    /// Kafka, if the services talk through it.
    pub fn kafka(&self) -> Option<Kafka> {
        (!self.kafka.brokers.is_empty()).then(|| self.kafka.client())
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
            exclusive: self.database.url.is_empty(),
            keeps_cursors: self.kafka.brokers.is_empty(),
            ..Settings::default()
        }
    }

    /// What `checks` doesn't tell: the first wrong setting, and what is wrong with it.
    fn check(&self) -> Result<(), (String, String)> {
        for (name, simulated) in
            [("payments", &self.simulated.payments), ("carrier", &self.simulated.carrier)]
        {
            // What is wrong begins with the setting's name.
            simulated.check().map_err(|wrong| {
                let (key, message) = wrong.split_once(' ').unwrap_or((&wrong, "is wrong"));
                (format!("simulated.{name}.{key}"), message.to_owned())
            })?;
        }
        Ok(())
    }
}

/// The flag that sets a setting.
fn flag_of(key: &str) -> &str {
    match key {
        "data.dir" => "--data",
        "http.listen" => "--listen",
        "database.url" => "--to",
        other => other,
    }
}

#[cfg(test)]
mod tests;
