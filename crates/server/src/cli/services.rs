//! `cartwright services`: how the services are; pausing payments or fulfillment.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    ServerArg,
    api::{Api, ApiError, path_part},
    orders::text,
    out,
    style::{Paint, align_right, count, table},
};

/// `cartwright services …`
#[derive(Args, Debug)]
#[command(after_help = "Without a command: the list.\n\n\
    Examples:\n  cartwright services\n  cartwright services pause payments")]
pub struct ServicesArgs {
    #[command(subcommand)]
    command: Option<ServicesCommand>,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with the services.
#[derive(Subcommand, Debug)]
pub enum ServicesCommand {
    /// Show how they are: paused or at work, and what they have before them
    #[command(after_help = "Example:\n  cartwright services list --json")]
    List,
    /// Have one take nothing up until it is resumed, or the server starts again; what is under way is finished
    #[command(after_help = "Example:\n  cartwright services pause payments")]
    Pause {
        /// payments or fulfillment
        service: String,
    },
    /// Have one take work up again
    #[command(after_help = "Example:\n  cartwright services resume payments")]
    Resume {
        /// payments or fulfillment
        service: String,
    },
}

/// Runs `cartwright services …`.
pub async fn run(args: ServicesArgs) -> ExitCode {
    match perform(&args).await {
        Ok(shown) => {
            out::line(shown);
            ExitCode::SUCCESS
        }
        Err(error) => error.report(),
    }
}

async fn perform(args: &ServicesArgs) -> Result<String, ApiError> {
    let api = Api::new(args.server.url())?;
    let (service, paused) = match args.command.as_ref().unwrap_or(&ServicesCommand::List) {
        ServicesCommand::List => {
            let all: Value = api.get("/v1/admin/services", &[]).await?;
            return Ok(if args.json { all.to_string() } else { list(&all, &Paint::stdout()) });
        }
        ServicesCommand::Pause { service } => (service, true),
        ServicesCommand::Resume { service } => (service, false),
    };
    let path = format!("/v1/admin/services/{}", path_part(service));
    let state: Value = api.put(&path, &json!({"paused": paused})).await?;
    Ok(match (args.json, paused) {
        (true, _) => state.to_string(),
        (false, true) => format!(
            "{service} is paused: orders wait for it; `cartwright services resume {service}` lets them go on"
        ),
        (false, false) => format!("{service} goes on"),
    })
}

fn list(all: &Value, paint: &Paint) -> String {
    let mut rows = table(&["SERVICE", "STATE", "EVENTS TO READ", "TASKS", "PARKED"]);
    for service in all["services"].as_array().into_iter().flatten() {
        let is = |what: &str| service[what].as_bool() == Some(true);
        let state = match (is("failing"), is("paused")) {
            (true, _) => paint.red("its store can't be written"),
            (false, true) => paint.yellow("paused"),
            (false, false) => paint.green("at work"),
        };
        let behind = service["reads"].as_array().into_iter().flatten();
        let behind: u64 = behind.filter_map(|read| read["behind"].as_u64()).sum();
        let number = |what: &str| count(service[what].as_u64().unwrap_or(0));
        let name = text(service, "/name");
        rows.add_row([name, &state, &count(behind), &number("tasks"), &number("parked")]);
    }
    align_right(&mut rows, &[2, 3, 4]);
    rows.trim_fmt()
}
