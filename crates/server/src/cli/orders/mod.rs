//! `cartwright orders`: place, look at, list and change orders; one file per command.

mod change;
mod explain;
mod find;
mod get;
mod list;
mod place;
mod search;
mod show;
mod watch;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub use self::{
    find::{For, id},
    place::sample_order,
};
use super::{ServerArg, api::Api};

pub(super) use self::show::{next_try, text};

/// `cartwright orders …`
#[derive(Args, Debug)]
#[command(
    after_help = "An order is named by its id or by its number; in '#1001', with quotes, 1001 is the number in any case.\n\n\
    Example:\n  cartwright orders place --sample --watch"
)]
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
    Place(place::PlaceArgs),
    /// Show an order and its history
    Get(get::GetArgs),
    /// List orders, newest first
    List(list::ListArgs),
    /// Search orders by words, newest first
    Search(search::SearchArgs),
    /// Watch an order until it is final, across restarts of the server
    Watch(watch::WatchArgs),
    /// Say what an order waits for and what may be done, or why it ended as it did
    Explain(explain::ExplainArgs),
    /// Call an order off: what was done is undone
    Cancel(change::CancelArgs),
    /// Hold back an order's next step; open steps finish
    Hold(change::HoldArgs),
    /// Let an order on hold go on
    Release(change::ReleaseArgs),
}

/// Names an order.
#[derive(Args, Clone, Debug)]
pub struct OrderArg {
    /// The order's id, or its number (also as '#1001')
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs `cartwright orders …`.
pub async fn run(args: OrdersArgs) -> ExitCode {
    let json = args.json;
    let result = match Api::new(args.server.url()) {
        Ok(api) => match args.command {
            OrdersCommand::Place(args) => place::run(&api, args, json).await,
            OrdersCommand::Get(args) => get::run(&api, &args, json).await,
            OrdersCommand::List(args) => list::run(&api, args, json).await,
            OrdersCommand::Search(args) => search::run(&api, args, json).await,
            OrdersCommand::Watch(args) => watch::run(&api, &args, json).await,
            OrdersCommand::Explain(args) => explain::run(&api, &args, json).await,
            OrdersCommand::Cancel(args) => change::cancel(&api, &args, json).await,
            OrdersCommand::Hold(args) => change::hold(&api, &args, json).await,
            OrdersCommand::Release(args) => change::release(&api, &args, json).await,
        },
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| error.report())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(parse("orders hold 1001 --note address --json").is_ok());
    }
}
