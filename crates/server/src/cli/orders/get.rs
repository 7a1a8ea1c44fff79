//! `cartwright orders get`: one order with its history.

use std::process::ExitCode;

use cartwright_core::ports::Clock as _;
use clap::Args;
use serde_json::Value;

use super::{
    super::{
        api::{Api, ApiError},
        out,
        style::Paint,
    },
    OrderArg, find, show,
    watch::History,
};
use crate::clock::SystemClock;

/// `cartwright orders get`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  cartwright orders get 1001\n  \
    cartwright orders get 01a1fce9-1000-7528-a0f6-5a034131eab2 --json")]
pub struct GetArgs {
    #[command(flatten)]
    order: OrderArg,
}

/// Shows the order; with `--json` as the server sends it.
pub async fn run(api: &Api, args: &GetArgs, json: bool) -> Result<ExitCode, ApiError> {
    let path = find::path(api, &args.order.id, find::For::Looking).await?;
    let order: Value = api.get(&path, &[]).await?;
    if json {
        out::line(order);
    } else {
        let history: History = api.get(&format!("{path}/events"), &[]).await?;
        out::line(show::order(&order, &history, SystemClock::start().now(), &Paint::stdout()));
    }
    Ok(ExitCode::SUCCESS)
}
