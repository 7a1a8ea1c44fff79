//! `cartwright orders`: place, look at, list and cancel orders.

mod show;
mod watch;

use std::{io::Read, process::ExitCode};

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::{
    ServerArg,
    api::{Api, ApiError, path_part},
    exit,
    style::Paint,
};

pub(super) use self::show::text;

/// `cartwright orders …`
#[derive(Args, Debug)]
pub struct OrdersArgs {
    #[command(subcommand)]
    command: OrdersCommand,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with orders.
#[derive(Subcommand, Debug)]
pub enum OrdersCommand {
    /// Place an order
    Place(PlaceArgs),
    /// Show an order and its history
    Get {
        /// The order's id
        id: String,
    },
    /// List orders, newest first
    List(ListArgs),
    /// Cancel an order
    Cancel {
        /// The order's id
        id: String,
        /// Why: customer, fraud, stock or other
        #[arg(long, default_value = "customer")]
        reason: String,
        /// A note for whoever looks at the order later
        #[arg(long)]
        note: Option<String>,
    },
}

/// `cartwright orders place`
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").required(true).args(["sample", "file"])))]
pub struct PlaceArgs {
    /// Place a sample order
    #[arg(long)]
    sample: bool,
    /// Place the order in this JSON file; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Steer the simulated provider: success, decline, timeout, pending, error or slow
    #[arg(long)]
    scenario: Option<String>,
    /// The flow of the order: standard, scheduled, ship-only, processing or manual
    #[arg(long)]
    flow: Option<String>,
    /// The Idempotency-Key: the same key places the same order once
    #[arg(long)]
    key: Option<String>,
    /// Watch the order until it is final
    #[arg(long)]
    watch: bool,
    /// Stop watching after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// `cartwright orders list`
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only these statuses: open, completed, failed, cancelled
    #[arg(long)]
    status: Vec<String>,
    /// Only these milestones
    #[arg(long)]
    milestone: Vec<String>,
    /// Only orders of these customers, by id
    #[arg(long)]
    customer: Vec<String>,
    /// Only these flows
    #[arg(long)]
    flow: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Continue where another list ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Runs `cartwright orders …`.
pub async fn run(args: OrdersArgs) -> ExitCode {
    let result = match Api::new(args.server.url()) {
        Ok(api) => match args.command {
            OrdersCommand::Place(place) => place_order(&api, place, args.json).await,
            OrdersCommand::Get { id } => get(&api, &id, args.json).await,
            OrdersCommand::List(list) => list_orders(&api, list, args.json).await,
            OrdersCommand::Cancel { id, reason, note } => {
                cancel(&api, &id, &reason, note.as_deref(), args.json).await
            }
        },
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| error.report())
}

/// An order to try things with: what the old demo shops sold.
pub fn sample_order(scenario: Option<&str>) -> Value {
    let mut order = json!({
        "customer": {"id": "customer-123", "name": "John Doe", "email": "user@example.com"},
        "currency": "USD",
        "lines": [{"sku": "product-456", "name": "Gaming Laptop", "quantity": 2, "unitPrice": 129_999}],
        "charges": [{"type": "shipping", "amount": 500, "tax": 0}],
        "shipTo": {"country": "US"},
        "payment": {"provider": "simulated"},
    });
    if let Some(scenario) = scenario {
        order["payment"]["scenario"] = scenario.into();
    }
    order
}

async fn place_order(api: &Api, args: PlaceArgs, json: bool) -> Result<ExitCode, ApiError> {
    let mut body = match &args.file {
        None => sample_order(None),
        Some(file) => match read_order(file) {
            Ok(body) => body,
            Err(why) => {
                eprintln!("{} {why}", Paint::stderr().red("error:"));
                return Ok(exit::FAILED.into());
            }
        },
    };
    if let Some(scenario) = &args.scenario {
        body["payment"]["scenario"] = scenario.as_str().into();
    }
    if let Some(flow) = &args.flow {
        body["flow"] = flow.as_str().into();
    }
    let order: Value = api.post("/v1/orders", &body, args.key.as_deref()).await?;
    if json && !args.watch {
        println!("{order}");
    } else if !json {
        println!("{}", show::placed(&order));
    }
    if args.watch {
        return watch::watch(api, &order, args.timeout, json).await;
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(api: &Api, id: &str, json: bool) -> Result<ExitCode, ApiError> {
    let path = format!("/v1/orders/{}", path_part(id));
    let order: Value = api.get(&path, &[]).await?;
    if json {
        println!("{order}");
    } else {
        let history: watch::History = api.get(&format!("{path}/events"), &[]).await?;
        println!("{}", show::order(&order, &history, &Paint::stdout()));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_orders(api: &Api, args: ListArgs, json: bool) -> Result<ExitCode, ApiError> {
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
        println!("{page}");
    } else {
        println!("{}", show::list(&page, &Paint::stdout()));
    }
    Ok(ExitCode::SUCCESS)
}

async fn cancel(
    api: &Api,
    id: &str,
    reason: &str,
    note: Option<&str>,
    json: bool,
) -> Result<ExitCode, ApiError> {
    let mut body = json!({"reason": reason});
    if let Some(note) = note {
        body["note"] = note.into();
    }
    let order: Value = api.post(&format!("/v1/orders/{}/cancel", path_part(id)), &body, None).await?;
    if json {
        println!("{order}");
    } else {
        println!("{}", show::cancelled(&order));
    }
    Ok(ExitCode::SUCCESS)
}

fn read_order(file: &str) -> Result<Value, String> {
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(file).map(|content| text = content)
    };
    read.map_err(|error| format!("{file} can't be read: {error}"))?;
    let order: Value = serde_json::from_str(&text).map_err(|error| format!("{file} is not JSON: {error}"))?;
    if order.is_object() { Ok(order) } else { Err(format!("{file} is not an order: it must be an object")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_order_is_what_the_contract_wants() {
        let expected: Value = serde_json::from_str(
            r#"{"customer":{"id":"customer-123","name":"John Doe","email":"user@example.com"},"currency":"USD",
                "lines":[{"sku":"product-456","name":"Gaming Laptop","quantity":2,"unitPrice":129999}],
                "charges":[{"type":"shipping","amount":500,"tax":0}],"shipTo":{"country":"US"},
                "payment":{"provider":"simulated"}}"#,
        )
        .unwrap();
        assert_eq!(sample_order(None), expected);
        assert_eq!(sample_order(Some("decline"))["payment"]["scenario"], "decline");
    }

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        orders: OrdersArgs,
    }

    #[test]
    fn placing_needs_exactly_one_source() {
        let parse = |line: &str| <Cli as clap::Parser>::try_parse_from(line.split(' '));
        assert!(parse("orders place --sample --watch --scenario slow --json").is_ok());
        assert!(parse("orders place --file -").is_ok());
        assert!(parse("orders place").is_err());
        assert!(parse("orders place --sample --file x").is_err());
        assert!(parse("orders --server http://x list --status open --status failed").is_ok());
        assert!(parse("orders list --server http://x").is_ok());
    }
}
