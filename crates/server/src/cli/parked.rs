//! `cartwright parked`: look at events that could not be applied, try them again, give them up.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    ServerArg,
    api::{Api, ApiError, path_part},
    exit,
    obstacles::Parked,
    orders::{self, For, text},
    out,
    style::{Paint, align_right, count, table},
};

/// How often a retry is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// `cartwright parked …`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright parked list")]
pub struct ParkedArgs {
    #[command(subcommand)]
    command: ParkedCommand,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with parked events.
#[derive(Subcommand, Debug)]
pub enum ParkedCommand {
    /// List them, oldest first
    #[command(after_help = "Example:\n  cartwright parked list --service orders")]
    List(ListArgs),
    /// Show one with its bytes, its headers and the reason
    #[command(after_help = "Example:\n  cartwright parked show orders 17-3fa9c1d2")]
    Show {
        /// The service that could not apply it
        service: String,
        /// Its id, as the list shows it
        id: String,
    },
    /// Try them again, oldest first for each order
    #[command(after_help = "Examples:\n  cartwright parked retry --dry-run\n  \
        cartwright parked retry --service payments --reason \"newer version\" --rate 200")]
    Retry {
        #[command(flatten)]
        which: Which,
        /// Only say what would be tried
        #[arg(long)]
        dry_run: bool,
        /// Orders tried a second
        #[arg(long)]
        rate: Option<u32>,
        /// Orders tried in all
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Give them up for good; the server's log keeps them, and their orders go on
    #[command(after_help = "Examples:\n  cartwright parked discard --service orders 17-3fa9c1d2\n  \
        cartwright parked discard --order nobody --dry-run\n  cartwright parked discard --order nobody --confirm 3")]
    Discard {
        #[command(flatten)]
        which: Which,
        /// Only say what would be discarded
        #[arg(long)]
        dry_run: bool,
        /// How many events that are, as --dry-run says; needed for more than one
        #[arg(long, value_name = "NUMBER")]
        confirm: Option<u32>,
    },
}

/// `cartwright parked list`
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Of this service only: orders, payments or fulfillment
    #[arg(long)]
    service: Option<String>,
    /// Of this order only, by id or number
    #[arg(long)]
    order: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Continue where another list ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Which parked events.
#[derive(Args, Debug)]
pub struct Which {
    /// Of this service only: orders, payments or fulfillment
    #[arg(long)]
    service: Option<String>,
    /// Of this order only, by id or number
    #[arg(long)]
    order: Option<String>,
    /// With these words in their reason
    #[arg(long)]
    reason: Option<String>,
    /// Exactly these, of the service named
    #[arg(value_name = "ID", requires = "service")]
    ids: Vec<String>,
}

/// Runs `cartwright parked …`.
pub async fn run(args: ParkedArgs) -> ExitCode {
    let result = perform(args).await.map_err(ApiError::in_flags);
    result.unwrap_or_else(|error| error.report())
}

async fn perform(args: ParkedArgs) -> Result<ExitCode, ApiError> {
    let api = Api::new(args.server.url())?;
    match args.command {
        ParkedCommand::List(list) => list_parked(&api, list, args.json).await,
        ParkedCommand::Show { service, id } => show(&api, &service, &id, args.json).await,
        ParkedCommand::Retry { which, dry_run, rate, limit } => {
            let mut body = which.named(&api).await?.body(dry_run);
            body.extend(rate.map(|rate| ("rate".to_owned(), rate.into())));
            body.extend(limit.map(|limit| ("limit".to_owned(), limit.into())));
            retry(&api, body.into(), dry_run, args.json).await
        }
        ParkedCommand::Discard { which, dry_run, confirm } => {
            let mut body = which.named(&api).await?.body(dry_run);
            body.extend(confirm.map(|confirm| ("confirm".to_owned(), confirm.into())));
            discard(&api, body.into(), dry_run, args.json).await
        }
    }
}

/// The id of the order that is named so. One that orders does not know may have parked events all the same, and a
/// listener of the operator's own knows of no orders.
async fn order_id(api: &Api, named: String, purpose: For) -> Result<String, ApiError> {
    match orders::id(api, &named, purpose).await {
        Err(error) if error.status() == Some(404) => {
            let served = error.is("no-such-order");
            if served && Parked::of_order(api, &named).await.is_empty() { Err(error) } else { Ok(named) }
        }
        found => found,
    }
}

impl Which {
    async fn named(self, api: &Api) -> Result<Self, ApiError> {
        let order = match self.order {
            Some(named) => Some(order_id(api, named, For::Changing).await?),
            None => None,
        };
        Ok(Self { order, ..self })
    }

    fn body(self, dry_run: bool) -> Map<String, Value> {
        let mut body = Map::new();
        for (name, value) in [("service", self.service), ("order", self.order), ("reason", self.reason)] {
            body.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        if !self.ids.is_empty() {
            body.insert("ids".to_owned(), json!(self.ids));
        }
        if dry_run {
            body.insert("dryRun".to_owned(), true.into());
        }
        body
    }
}

async fn list_parked(api: &Api, args: ListArgs, json: bool) -> Result<ExitCode, ApiError> {
    let mut query = vec![("limit", args.limit.to_string())];
    let order = match args.order {
        Some(named) => Some(order_id(api, named, For::Looking).await?),
        None => None,
    };
    for (name, value) in [("service", args.service), ("order", order), ("cursor", args.cursor)] {
        query.extend(value.map(|value| (name, value)));
    }
    let page: Value = api.get("/v1/admin/parked", &query).await?;
    out::line(if json { page.to_string() } else { list_text(&page, &Paint::stdout()) });
    Ok(ExitCode::SUCCESS)
}

async fn show(api: &Api, service: &str, id: &str, json: bool) -> Result<ExitCode, ApiError> {
    let path = format!("/v1/admin/parked/{}/{}", path_part(service), path_part(id));
    let event: Value = api.get(&path, &[]).await?;
    out::line(if json { event.to_string() } else { event_text(&event, &Paint::stdout()) });
    Ok(ExitCode::SUCCESS)
}

/// Begins a retry and sees it through.
async fn retry(api: &Api, body: Value, dry_run: bool, json: bool) -> Result<ExitCode, ApiError> {
    let mut progress = api.post::<Value>("/v1/admin/parked/retry", &body, None).await?.body;
    while !dry_run && text(&progress, "/state") == "running" {
        eprintln!("{} orders tried", count(progress["orders"].as_u64().unwrap_or(0)));
        tokio::time::sleep(LOOK_EVERY).await;
        progress = api.get("/v1/admin/parked/retry", &[]).await?;
    }
    let shown = match (json, dry_run) {
        (true, _) => progress.to_string(),
        (false, true) => dry_run_text(&progress, "tried again", &Paint::stdout()),
        (false, false) => retry_text(&progress),
    };
    out::line(shown);
    let whole = dry_run || text(&progress, "/state") == "finished";
    Ok(if whole { ExitCode::SUCCESS } else { exit::FAILED.into() })
}

async fn discard(api: &Api, body: Value, dry_run: bool, json: bool) -> Result<ExitCode, ApiError> {
    let done = api.post::<Value>("/v1/admin/parked/discard", &body, None).await?.body;
    let number = |name: &str| count(done[name].as_u64().unwrap_or(0));
    let shown = match (json, dry_run) {
        (true, _) => done.to_string(),
        (false, true) => dry_run_text(&done, "discarded", &Paint::stdout()),
        (false, false) => format!(
            "{} discarded, {} behind them applied, {} still parked",
            number("discarded"),
            number("applied"),
            number("left"),
        ),
    };
    out::line(shown);
    if !dry_run && done["discarded"].as_u64() == Some(0) {
        return Err(ApiError::Wrong("nothing that is parked is meant: nothing was discarded".into()));
    }
    Ok(ExitCode::SUCCESS)
}

fn list_text(page: &Value, paint: &Paint) -> String {
    let events = page["parked"].as_array().map(Vec::as_slice).unwrap_or_default();
    if events.is_empty() {
        return "nothing is parked".into();
    }
    let mut shown = events_text(events, paint);
    match text(page, "/next") {
        "" => {}
        next => {
            let _ = write!(shown, "\n{}", paint.dim(&format!(" more: --cursor {next}")));
        }
    }
    shown
}

fn events_text(events: &[Value], paint: &Paint) -> String {
    let mut rows = table(&["SERVICE", "ID", "ORDER", "EVENT", "FROM", "SIZE", "SINCE", "REASON"]);
    for event in events {
        // Elsewhere that only means that the order was not begun there.
        let unknown = text(event, "/service") == "orders" && event["orderKnown"].as_bool() == Some(false);
        let order = match unknown {
            true => format!("{} (unknown)", text(event, "/order")),
            false => text(event, "/order").to_owned(),
        };
        rows.add_row([
            text(event, "/service"),
            text(event, "/id"),
            &order,
            text(event, "/eventType"),
            &from(event),
            &count(event["size"].as_u64().unwrap_or(0)),
            text(event, "/since"),
            text(event, "/reason"),
        ]);
    }
    align_right(&mut rows, &[5]);
    let lines: Vec<String> = rows.lines().map(|line| line.trim_end().to_owned()).collect();
    let header = lines.first().map(|line| paint.bold(line)).unwrap_or_default();
    std::iter::once(header).chain(lines.into_iter().skip(1)).collect::<Vec<_>>().join("\n")
}

fn event_text(event: &Value, paint: &Paint) -> String {
    let mut facts = table(&[]);
    for (name, value) in [
        ("service", text(event, "/service").to_owned()),
        ("order", text(event, "/order").to_owned()),
        ("event", text(event, "/eventType").to_owned()),
        ("event id", text(event, "/eventId").to_owned()),
        ("from", from(event)),
        ("since", text(event, "/since").to_owned()),
        ("reason", text(event, "/reason").to_owned()),
    ] {
        facts.add_row([name.to_owned(), value]);
    }
    for header in event["headers"].as_array().into_iter().flatten() {
        facts.add_row([format!("header {}", text(header, "/name")), text(header, "/value").to_owned()]);
    }
    let value = match text(event, "/base64") {
        "" => serde_json::to_string_pretty(&event["value"]).unwrap_or_default(),
        base64 => format!("{}\n{base64}", paint.dim("not JSON; in base64:")),
    };
    format!(
        "{}\n{}\n\n{value}",
        paint.bold(&format!("parked event {}", text(event, "/id"))),
        facts.trim_fmt()
    )
}

fn dry_run_text(dry: &Value, what: &str, paint: &Paint) -> String {
    let events = dry["events"].as_u64().unwrap_or(0);
    let orders = dry["orders"].as_u64().unwrap_or(0);
    let more = if dry["more"].as_bool() == Some(true) { ", and more than one call takes" } else { "" };
    let mut shown = format!("{} events of {} orders would be {what}{more}", count(events), count(orders));
    let listed = dry["parked"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !listed.is_empty() {
        let _ = write!(shown, "\n\n{}", events_text(listed, paint));
    }
    shown
}

fn retry_text(progress: &Value) -> String {
    let number = |name: &str| count(progress[name].as_u64().unwrap_or(0));
    let mut shown = format!(
        "{} orders tried: {} events applied, {} still parked",
        number("orders"),
        number("applied"),
        number("left")
    );
    for still in progress["stillParked"].as_array().into_iter().flatten() {
        let (service, order) = (text(still, "/service"), text(still, "/order"));
        let _ = write!(shown, "\n  {service} {order}: {}", text(still, "/reason"));
    }
    if !text(progress, "/reason").is_empty() {
        let _ = write!(shown, "\nended early: {}", text(progress, "/reason"));
    }
    shown
}

fn from(event: &Value) -> String {
    let lane = event["lane"].as_u64().filter(|lane| *lane > 0).map(|lane| format!("/{lane}"));
    format!("{}{} {}", text(event, "/source"), lane.unwrap_or_default(), event["position"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Value {
        json!({"service": "orders", "id": "17-3fa9c1d2", "order": "nobody", "orderKnown": false, "eventId": null,
            "eventType": "PaymentAuthorizedV1", "source": "payments", "lane": 0, "position": 9, "size": 1234,
            "reason": "order nobody is not known (yet)", "since": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn a_list_has_a_line_for_each_event_and_says_how_to_go_on() {
        let shown = list_text(&json!({"parked": [event(), event()], "next": "orders-17"}), &Paint::plain());
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert!(shown.contains("nobody (unknown)") && shown.contains("payments 9"), "{shown}");
        assert!(shown.ends_with("more: --cursor orders-17"));
        let mut elsewhere = event();
        elsewhere["service"] = "payments".into();
        let shown = list_text(&json!({"parked": [elsewhere], "next": null}), &Paint::plain());
        assert!(!shown.contains("(unknown)"), "{shown}");
        assert_eq!(list_text(&json!({"parked": [], "next": null}), &Paint::plain()), "nothing is parked");
    }

    #[test]
    fn a_retry_says_what_still_waits_and_why() {
        let progress = json!({"state": "finished", "orders": 2, "applied": 3, "left": 1, "reason": null,
            "stillParked": [{"service": "orders", "order": "nobody", "reason": "not known"}]});
        let expected = "2 orders tried: 3 events applied, 1 still parked\n  orders nobody: not known";
        assert_eq!(retry_text(&progress), expected);
    }
}
