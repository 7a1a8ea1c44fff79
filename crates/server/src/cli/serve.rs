//! `cartwright serve`: some roles of a system that many processes make up.

use std::process::ExitCode;

use cartwright_store::sqlite::SqliteOptions;
use clap::Args;

use super::{
    config::SettingsArgs,
    up::{fail, until_stopped},
};
use crate::{
    compose::{self, Role, Roles},
    telemetry,
};

/// Run some roles of a system on PostgreSQL, with or without Kafka
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  cartwright serve --role orders --listen 0.0.0.0:8080\n  \
    cartwright serve --role payments,fulfillment,relay --listen 127.0.0.1:8081\n\n\
    Any number of processes may have the same role. Each needs database.url, and kafka.brokers if the services talk\n\
    through Kafka, such as CARTWRIGHT__DATABASE__URL=postgres://user:password@host:5432/shop. They may start in any\n\
    order: whoever misses a database or a broker waits for it.")]
pub struct ServeArgs {
    /// What this process does: orders, payments, fulfillment, relay, indexer
    #[arg(long = "role", value_name = "ROLES", required = true, value_delimiter = ',')]
    roles: Vec<Role>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Runs until SIGTERM or SIGINT; a second signal stops at once.
pub async fn run(args: ServeArgs) -> ExitCode {
    let config = match args.settings.read() {
        Ok(effective) => effective.config,
        Err(error) => return fail(&error),
    };
    telemetry::start_logging(&config.log.filter, config.log.format);
    let (roles, files) = (Roles::new(args.roles), SqliteOptions::default());
    match compose::start_with(&config, &roles, telemetry::metrics::start(), &files).await {
        Ok(system) => until_stopped(system).await,
        Err(error) => fail(&error),
    }
}
