//! `cartwright index`: how far the search index is, and making it anew.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::{
    ServerArg,
    api::{Api, ApiError},
    exit,
    orders::text,
    out,
    style::{Paint, count, table},
};

/// How often it is asked how far a rebuild is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// `cartwright index …`
#[derive(Args, Debug)]
#[command(after_help = "Without a command: the status.\n\n\
    Examples:\n  cartwright index\n  cartwright index rebuild")]
pub struct IndexArgs {
    #[command(subcommand)]
    command: Option<IndexCommand>,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with the index.
#[derive(Subcommand, Debug)]
pub enum IndexCommand {
    /// Show how far the index is behind the orders
    #[command(after_help = "Example:\n  cartwright index status --json")]
    Status,
    /// Make a new index from the stores, which takes the old one's place; searches are answered all the while
    #[command(after_help = "Examples:\n  cartwright index rebuild\n  cartwright index rebuild --no-wait")]
    Rebuild {
        /// Don't wait for its end
        #[arg(long)]
        no_wait: bool,
    },
}

/// Runs `cartwright index …`.
pub async fn run(args: IndexArgs) -> ExitCode {
    match perform(&args).await {
        Ok((index, well)) => {
            out::line(if args.json { index.to_string() } else { shown(&index, &Paint::stdout()) });
            if well { ExitCode::SUCCESS } else { exit::FAILED.into() }
        }
        Err(error) => error.report(),
    }
}

async fn perform(args: &IndexArgs) -> Result<(Value, bool), ApiError> {
    let api = Api::new(args.server.url())?;
    let Some(IndexCommand::Rebuild { no_wait }) = args.command else {
        return Ok((api.get("/v1/admin/index", &[]).await?, true));
    };
    let mut index: Value = api.post("/v1/admin/index/rebuild", &json!({}), None).await?.body;
    if no_wait {
        return Ok((index, true));
    }
    let bar = bar(args.json);
    // Once another process keeps it, nothing goes on here.
    while matches!(text(&index, "/rebuild/state"), "asked" | "running") && index["keeps"] == true {
        bar.set_length(index["rebuild"]["of"].as_u64().unwrap_or_default());
        bar.set_position(index["rebuild"]["done"].as_u64().unwrap_or_default());
        tokio::time::sleep(LOOK_EVERY).await;
        index = api.get("/v1/admin/index", &[]).await?;
    }
    bar.finish_and_clear();
    let well = text(&index, "/rebuild/state") == "done";
    Ok((index, well))
}

fn shown(index: &Value, paint: &Paint) -> String {
    let number = |pointer: &str| count(index.pointer(pointer).and_then(Value::as_u64).unwrap_or_default());
    let mut rows = table(&[]);
    rows.add_row(["index", text(index, "/name")]);
    rows.add_row(["events behind", &number("/behind")]);
    if index["keeps"].as_bool() == Some(false) {
        rows.add_row(["kept by", "another process"]);
    }
    if index["refused"].as_u64().is_some_and(|refused| refused > 0) {
        let refused = format!("{}, by their ids only: search for refused:*", number("/refused"));
        rows.add_row(["orders not taken", &paint.red(&refused)]);
    }
    if !text(index, "/trouble").is_empty() {
        rows.add_row(["trouble", &paint.red(text(index, "/trouble"))]);
    }
    let seconds = index["rebuild"]["tookMs"].as_u64().unwrap_or_default() as f64 / 1000.0;
    let rebuild = match text(index, "/rebuild/state") {
        "asked" => "will begin".to_owned(),
        "running" => format!("{} of {} orders", number("/rebuild/done"), number("/rebuild/of")),
        "done" => paint.green(&format!("done: {} orders in {seconds:.1} s", number("/rebuild/done"))),
        "failed" => paint.red(&format!("failed, the old index stays: {}", text(index, "/rebuild/error"))),
        _ => "none since the start".to_owned(),
    };
    rows.add_row(["rebuild", &rebuild]);
    rows.trim_fmt()
}

fn bar(json: bool) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    let template = "{bar:30} {human_pos} of {human_len} orders, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_is_told_by_its_end() {
        let index = |rebuild| json!({"name": "orders-v1", "keeps": true, "behind": 3, "refused": 0, "trouble": null, "rebuild": rebuild});
        let plain = Paint::plain();
        let done = json!({"state": "done", "done": 12_345, "of": 12_345, "tookMs": 1_500});
        assert!(shown(&index(done), &plain).contains("12,345 orders in 1.5 s"));
        let failed = json!({"state": "failed", "done": 0, "of": 0, "error": "no room"});
        assert!(shown(&index(failed), &plain).contains("the old index stays: no room"));
    }
}
