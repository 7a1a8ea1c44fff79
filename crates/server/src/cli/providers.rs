//! `cartwright providers`: whether the payment provider and the carrier are called and how fast; switching them.

use std::process::ExitCode;

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::{Value, json};

use super::{
    ServerArg,
    api::{Api, ApiError},
    orders::text,
    out,
    style::{Paint, count, table},
};
use crate::control::PROVIDERS;

/// `cartwright providers …`
#[derive(Args, Debug)]
#[command(after_help = "Without a command: the list.\n\n\
    Examples:\n  cartwright providers\n  cartwright providers off payments")]
pub struct ProvidersArgs {
    #[command(subcommand)]
    command: Option<ProvidersCommand>,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with the providers.
#[derive(Subcommand, Debug)]
pub enum ProvidersCommand {
    /// Show whether they are called, how fast, and whether they answer
    #[command(after_help = "Example:\n  cartwright providers list --json")]
    List,
    /// Call one no more, also after a restart: orders are taken as ever, and their calls wait
    #[command(after_help = "Example:\n  cartwright providers off payments")]
    Off(ProviderArg),
    /// Call one again, without a limit unless --rate sets one
    #[command(
        after_help = "Examples:\n  cartwright providers on payments\n  cartwright providers on payments --rate 10"
    )]
    On {
        #[command(flatten)]
        which: ProviderArg,
        /// At most so many calls per second
        #[arg(long, value_name = "CALLS")]
        rate: Option<f64>,
    },
}

/// Names a provider.
#[derive(Args, Debug)]
pub struct ProviderArg {
    /// payments or carrier
    #[arg(value_name = "PROVIDER", value_parser = PossibleValuesParser::new(PROVIDERS))]
    provider: String,
}

/// Runs `cartwright providers …`.
pub async fn run(args: ProvidersArgs) -> ExitCode {
    match perform(&args).await {
        Ok(shown) => {
            out::line(shown);
            ExitCode::SUCCESS
        }
        Err(error) => error.report(),
    }
}

async fn perform(args: &ProvidersArgs) -> Result<String, ApiError> {
    let api = Api::new(args.server.url())?;
    let (provider, wish) = match args.command.as_ref().unwrap_or(&ProvidersCommand::List) {
        ProvidersCommand::List => {
            let all: Value = api.get("/v1/admin/providers", &[]).await?;
            return Ok(if args.json { all.to_string() } else { list(&all, &Paint::stdout()) });
        }
        ProvidersCommand::Off(which) => (&which.provider, json!({"enabled": false})),
        ProvidersCommand::On { which, rate } => (&which.provider, json!({"enabled": true, "rate": rate})),
    };
    let state: Value = api.put(&format!("/v1/admin/providers/{provider}"), &wish).await?;
    Ok(if args.json { state.to_string() } else { switched(provider, &state) })
}

fn list(all: &Value, paint: &Paint) -> String {
    let mut rows = table(&["PROVIDER", "KIND", "CALLED", "CALLS PER SECOND", "CIRCUIT", "UNDER WAY"]);
    for name in PROVIDERS {
        let state = &all[name];
        let called = if is_on(state) { paint.green("yes") } else { paint.yellow("no") };
        let rate = state["rate"].as_f64().map_or("without a limit".to_owned(), |rate| rate.to_string());
        let under_way = count(state["underWay"].as_u64().unwrap_or(0));
        let (kind, circuit) = (text(state, "/provider"), text(state, "/breaker"));
        rows.add_row([name, kind, &called, &rate, circuit, &under_way]);
    }
    rows.trim_fmt()
}

fn switched(provider: &str, state: &Value) -> String {
    match (is_on(state), state["rate"].as_f64()) {
        (false, _) => format!(
            "{provider} is switched off: its calls wait; `cartwright providers on {provider}` lets them go on"
        ),
        (true, None) => format!("{provider} is switched on"),
        (true, Some(rate)) => format!("{provider} is switched on, with at most {rate} calls per second"),
    }
}

fn is_on(state: &Value) -> bool {
    state["enabled"].as_bool() == Some(true)
}
