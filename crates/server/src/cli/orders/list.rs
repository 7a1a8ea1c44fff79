//! `cartwright orders list`: a page of orders.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{
    super::{
        api::{Api, ApiError},
        out,
        style::Paint,
    },
    show,
};

/// `cartwright orders list`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  cartwright orders list --status open --limit 50\n  \
    cartwright orders list --status failed --status cancelled --json")]
pub struct ListArgs {
    /// Only these statuses: open, completed, failed, cancelled
    #[arg(long)]
    status: Vec<String>,
    /// Only these milestones: created, authorized, scheduled, shipped, delivered, processed
    #[arg(long)]
    milestone: Vec<String>,
    /// Only orders of these customers, by id
    #[arg(long, value_name = "ID")]
    customer: Vec<String>,
    /// Only these flows: standard, scheduled, ship-only, processing, manual
    #[arg(long)]
    flow: Vec<String>,
    /// At most so many, up to 500
    #[arg(long, value_name = "ORDERS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Continue where another list ended: what it said after `more:`
    #[arg(long)]
    cursor: Option<String>,
}

/// Lists the orders; with `--json` as the server sends them.
pub async fn run(api: &Api, args: ListArgs, json: bool) -> Result<ExitCode, ApiError> {
    let mut query = vec![("limit", args.limit.to_string())];
    let filters = [
        ("status", args.status),
        ("milestone", args.milestone),
        ("customer", args.customer),
        ("flow", args.flow),
        ("cursor", args.cursor.into_iter().collect()),
    ];
    for (name, values) in filters {
        query.extend(values.into_iter().map(|value| (name, value)));
    }
    let page: Value = api.get("/v1/orders", &query).await?;
    if json {
        out::line(page);
    } else {
        out::line(show::list(&page, &Paint::stdout()));
    }
    Ok(ExitCode::SUCCESS)
}
