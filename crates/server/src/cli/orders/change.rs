//! `cartwright orders cancel`, `hold` and `release`: asking something of an order.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{
    super::{
        api::{Api, ApiError},
        out,
    },
    OrderArg, find, show,
};

/// `cartwright orders cancel`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright orders cancel 1001 --reason stock --note 'sold out'")]
pub struct CancelArgs {
    #[command(flatten)]
    order: OrderArg,
    /// Why: customer, fraud, stock or other
    #[arg(long, default_value = "customer")]
    reason: String,
    /// A note for whoever looks at the order later
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// `cartwright orders hold`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright orders hold 1001 --note 'check the address'")]
pub struct HoldArgs {
    #[command(flatten)]
    order: OrderArg,
    /// A note for whoever looks at the order later
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// `cartwright orders release`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright orders release 1001")]
pub struct ReleaseArgs {
    #[command(flatten)]
    order: OrderArg,
    /// A note for whoever looks at the order later
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Calls an order off.
pub async fn cancel(api: &Api, args: &CancelArgs, json: bool) -> Result<ExitCode, ApiError> {
    let body = json!({"reason": args.reason, "note": args.note});
    ask(api, &args.order, "cancel", &body, json, show::cancelled).await
}

/// Holds back an order's next step.
pub async fn hold(api: &Api, args: &HoldArgs, json: bool) -> Result<ExitCode, ApiError> {
    ask(api, &args.order, "hold", &json!({"note": args.note}), json, show::held).await
}

/// Lets an order on hold go on.
pub async fn release(api: &Api, args: &ReleaseArgs, json: bool) -> Result<ExitCode, ApiError> {
    ask(api, &args.order, "release", &json!({"note": args.note}), json, show::released).await
}

async fn ask(
    api: &Api,
    order: &OrderArg,
    command: &str,
    body: &Value,
    json: bool,
    show: fn(&Value) -> String,
) -> Result<ExitCode, ApiError> {
    let path = find::path(api, &order.id, find::For::Changing).await?;
    let order: Value = api.post(&format!("{path}/{command}"), body, None).await?.body;
    if json {
        out::line(order);
    } else {
        out::line(show(&order));
    }
    Ok(ExitCode::SUCCESS)
}
