//! `cartwright topics`: what the topics hold, and how far each reader is behind.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    ServerArg,
    api::{Api, ApiError},
    out,
    style::{Paint, align_right, count, table},
};

/// `cartwright topics …`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright topics list")]
pub struct TopicsArgs {
    #[command(subcommand)]
    command: TopicsCommand,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with topics.
#[derive(Subcommand, Debug)]
pub enum TopicsCommand {
    /// List the topics: events, oldest and newest position, and how far behind each reader is
    #[command(
        after_help = "LAG: events behind the position that a reader has noted. It notes it with its next write, so \
        on a quiet system the last few events, if they don't concern it, still count. With Kafka the reader is the relay that forwards \
        the events; how far services are behind is in the metric cartwright_lag_events.\n\n\
        Example:\n  cartwright topics list --json"
    )]
    List,
}

/// Runs `cartwright topics …`.
pub async fn run(args: TopicsArgs) -> ExitCode {
    let TopicsCommand::List = args.command;
    let result = match Api::new(args.server.url()) {
        Ok(api) => list(&api, args.json).await,
        Err(error) => Err(error),
    };
    result.map_or_else(|error| error.report(), |()| ExitCode::SUCCESS)
}

async fn list(api: &Api, json: bool) -> Result<(), ApiError> {
    let topics: Value = api.get("/v1/admin/topics", &[]).await.inspect_err(|error| {
        if error.status() == Some(404) {
            eprintln!(
                "the calls for operators may have a listener of their own there; name that one with --server"
            );
        }
    })?;
    if json {
        out::line(topics);
    } else {
        out::line(show(&topics, &Paint::stdout()));
    }
    Ok(())
}

fn show(topics: &Value, paint: &Paint) -> String {
    let mut rows = table(&["TOPIC", "EVENTS", "OLDEST", "NEWEST", "READER", "READ TO", "LAG"]);
    let number = |of: &Value| of.as_u64().map(count).unwrap_or_default();
    for topic in topics["topics"].as_array().into_iter().flatten() {
        let name = topic["name"].as_str().unwrap_or_default().to_owned();
        let facts = [name, number(&topic["events"]), number(&topic["oldest"]), number(&topic["newest"])];
        let readers = topic["readers"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (n, reader) in readers.iter().enumerate() {
            let mut row = if n == 0 { facts.to_vec() } else { vec![String::new(); facts.len()] };
            let name = reader["name"].as_str().unwrap_or_default();
            row.extend([name.to_owned(), number(&reader["position"]), number(&reader["lag"])]);
            rows.add_row(row);
        }
        if readers.is_empty() {
            rows.add_row(facts.to_vec());
        }
    }
    align_right(&mut rows, &[1, 2, 3, 5, 6]);
    let mut lines: Vec<String> = rows.lines().map(|line| line.trim_end().to_owned()).collect();
    if let Some(head) = lines.first_mut() {
        *head = paint.bold(head);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_reader_has_a_line_and_the_topic_is_named_once() {
        let reader = |name: &str| json!({"name": name, "position": 1000, "lag": 234});
        let topics = json!({"topics": [
            {"name": "orders", "events": 1234, "oldest": 1, "newest": 1234, "readers": [reader("payments"), reader("fulfillment")]},
            {"name": "payments", "events": 0, "oldest": 1, "newest": 0, "readers": []},
        ]});
        let shown = show(&topics, &Paint::plain());
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert_eq!(shown.matches("orders").count(), 1);
        assert!(shown.contains("1,234"));
    }
}
