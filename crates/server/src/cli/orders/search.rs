//! `cartwright orders search`: orders that hold words.

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

/// `cartwright orders search`
#[derive(Args, Debug)]
#[command(
    after_help = "Words are looked for in id, number, customer, e-mail, product, tracking number and status; all of \
    them must be there. `field:word` looks in one field, such as skus, country or carrier (docs/search.md).\n\n\
    Examples:\n  cartwright orders search gaming laptop\n  cartwright orders search status:FulfillmentScheduled --limit 50\n  \
    cartwright orders search 'customerEmail:\"ada@example.com\"' --json"
)]
pub struct SearchArgs {
    /// What they must hold
    #[arg(value_name = "WORDS", required = true)]
    words: Vec<String>,
    /// At most so many, up to 500
    #[arg(long, value_name = "ORDERS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Continue where another list ended: what it said after `more:`
    #[arg(long)]
    cursor: Option<String>,
}

/// Lists what is found, newest first; with `--json` as the server sends it.
pub async fn run(api: &Api, args: SearchArgs, json: bool) -> Result<ExitCode, ApiError> {
    let mut query = vec![("q", args.words.join(" ")), ("limit", args.limit.to_string())];
    query.extend(args.cursor.map(|cursor| ("cursor", cursor)));
    let page: Value = api.get("/v1/orders", &query).await?;
    if json {
        out::line(page);
    } else {
        out::line(show::list(&page, &Paint::stdout()));
    }
    Ok(ExitCode::SUCCESS)
}
