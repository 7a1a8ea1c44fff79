//! Reading the address of a database. What is said about a wrong one never repeats any of it: it may hold a password,
//! and a password with a character that should have been encoded may turn up in any part of it.

use std::{error::Error, time::Duration};

use tokio_postgres::{
    Config,
    config::{ChannelBinding, Host, SslMode},
};

use super::{PostgresOptions, PostgresTls};

const ENCODE: &str =
    "in a user name or password, the characters @ : / ? # % must be percent-encoded (@ is %40)";

/// Options of libpq for which we have settings.
const OURS: [&str; 4] = ["sslrootcert", "sslcert", "sslkey", "sslcrl"];

impl PostgresOptions {
    /// What is wrong with a URL, if it can't be one. Shows nothing of it.
    pub fn wrong(url: &str) -> Option<String> {
        parse(url).err()
    }

    /// What of a URL contradicts how we should encrypt, in its own words.
    pub fn contradiction(url: &str, tls: &PostgresTls) -> Option<&'static str> {
        match (parse(url).ok()?.get_ssl_mode(), tls) {
            (SslMode::Disable, PostgresTls::Verify { .. }) => Some("sslmode=disable"),
            (SslMode::Require, PostgresTls::Off) => Some("sslmode=require"),
            _ => None,
        }
    }
}

/// The connection that is meant, as we make it.
pub(super) fn read(options: &PostgresOptions) -> Result<Config, String> {
    let mut config = parse(&options.url)?;
    match &options.tls {
        PostgresTls::Off => config.ssl_mode(SslMode::Disable),
        PostgresTls::Prefer => &mut config, // the url may demand more, or less
        PostgresTls::Verify { .. } => config.ssl_mode(SslMode::Require),
    };
    if config.get_application_name().is_none() {
        config.application_name("cartwright");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    // A server that is silently gone is noticed within seconds, not by the system's defaults, which are hours.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(10));
    }
    config.keepalives_idle(Duration::from_secs(10));
    config.keepalives_interval(Duration::from_secs(3));
    config.keepalives_retries(3);
    Ok(config)
}

fn parse(url: &str) -> Result<Config, String> {
    let config = url.parse::<Config>().map_err(|error| meaning(&error))?;
    if config.get_hosts().is_empty() {
        return Err("it names no host".to_owned());
    }
    let strayed = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
    if config.get_hosts().iter().any(strayed) || config.get_dbname().is_some_and(|name| name.contains('@')) {
        return Err(ENCODE.to_owned());
    }
    if config.get_channel_binding() == ChannelBinding::Require {
        return Err("channel_binding=require is not supported; database.tls = \"verify\" checks the server"
            .to_owned());
    }
    Ok(config)
}

fn meaning(error: &tokio_postgres::Error) -> String {
    let says = error.source().map(ToString::to_string).unwrap_or_default();
    let option = |before: &str| says.strip_prefix(before).map(|name| name.trim_matches('`'));
    match (option("invalid value for option "), option("unknown option ")) {
        (Some("sslmode"), _) => {
            "sslmode may be disable, prefer or require; the setting database.tls = \"verify\" has the server checked".to_owned()
        }
        (Some(name), _) => format!("its {name} can't be one; {ENCODE}"), // one of the names that the library knows
        (None, Some(name)) if OURS.contains(&name) => {
            format!("{name} can't be given there; the settings database.tls and database.ca_file say how it is encrypted")
        }
        (None, Some(_)) => format!("it has an option that we don't know; {ENCODE}"),
        (None, None) => format!("it has not that form; {ENCODE}"),
    }
}
