//! `cartwright events`: the topics as they grow.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    ServerArg,
    api::{Api, ApiError},
    orders, out,
    style::Paint,
};

/// Events asked for at once.
const PAGE: &str = "500";

/// The pause after a page without events, and after a call that nobody answered.
const PAUSE: Duration = Duration::from_millis(200);

/// The topics, in the order in which an order's events usually cause each other.
const TOPICS: [&str; 3] = ["orders", "payments", "fulfillment"];

/// `cartwright events …`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright events tail --topic orders")]
pub struct EventsArgs {
    #[command(subcommand)]
    command: EventsCommand,
    #[command(flatten)]
    server: ServerArg,
    /// Print one JSON document per event and line, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with events.
#[derive(Subcommand, Debug)]
pub enum EventsCommand {
    /// Follow events as they happen, across restarts of the server, until interrupted
    Tail(TailArgs),
}

/// `cartwright events tail`
#[derive(Args, Debug)]
#[command(
    after_help = "Within one topic, events come in the order in which they were committed; nothing is left out \
    and nothing comes twice.\n\n\
    Examples:\n  cartwright events tail\n  \
    cartwright events tail --order 01a1fce9-1000-7528-a0f6-5a034131eab2 --from beginning\n  \
    cartwright events tail --topic payments --from beginning --limit 100 --json"
)]
pub struct TailArgs {
    /// Which topic
    #[arg(long, value_enum, default_value_t = Topic::All)]
    topic: Topic,
    /// Only events of this order, by id or number
    #[arg(long, value_name = "ID")]
    order: Option<String>,
    /// Where to begin
    #[arg(long, value_enum, default_value_t = From::Latest)]
    from: From,
    /// End after so many events
    #[arg(long, value_name = "EVENTS")]
    limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Topic {
    Orders,
    Payments,
    Fulfillment,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum From {
    Beginning,
    Latest,
}

/// Runs `cartwright events …`.
pub async fn run(args: EventsArgs) -> ExitCode {
    let EventsCommand::Tail(tail) = args.command;
    let result = match Api::new(args.server.url()) {
        Ok(api) => follow(&api, &tail, args.json).await,
        Err(error) => Err(error),
    };
    result.map_or_else(|error| error.report(), |()| ExitCode::SUCCESS)
}

/// One topic, and how far it was read.
struct Reader {
    topic: &'static str,
    after: Option<String>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    next: String,
}

async fn follow(api: &Api, args: &TailArgs, json: bool) -> Result<(), ApiError> {
    let order = match &args.order {
        Some(named) => Some(orders::id(api, named, orders::For::Looking).await?),
        None => None,
    };
    let topics: &[&str] = match args.topic {
        Topic::Orders => &TOPICS[..1],
        Topic::Payments => &TOPICS[1..2],
        Topic::Fulfillment => &TOPICS[2..],
        Topic::All => &TOPICS,
    };
    let after = (args.from == From::Latest).then(|| "latest".to_owned());
    let mut readers: Vec<Reader> =
        topics.iter().map(|topic| Reader { topic, after: after.clone() }).collect();
    let paint = Paint::stdout();
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut away = Away::default();
    // A server that is not there at the start is a mistake; one that goes away later is waited for.
    let mut begun = false;
    loop {
        let mut quiet = true;
        for reader in &mut readers {
            let body = match reader.ask(api).await {
                Ok(body) => body,
                Err(error) if begun && error.passes() => {
                    away.note();
                    continue;
                }
                Err(error) => return Err(error),
            };
            begun = true;
            away.over();
            let page: Page<'_> = api.read(&body)?;
            quiet &= page.events.is_empty();
            for event in page.events {
                let Some(line) = line(reader.topic, event, order.as_deref(), json, &paint) else {
                    continue;
                };
                if left == 0 {
                    return Ok(());
                }
                out::line(line);
                left -= 1;
            }
            reader.after = Some(page.next);
        }
        if left == 0 {
            return Ok(());
        }
        if quiet {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Reader {
    async fn ask(&self, api: &Api) -> Result<hyper::body::Bytes, ApiError> {
        let mut query = vec![("topic", self.topic.to_owned()), ("limit", PAGE.to_owned())];
        query.extend(self.after.clone().map(|after| ("after", after)));
        api.get_bytes("/v1/events", &query).await
    }
}

/// Says once that the server went away, and once that it is back.
#[derive(Default)]
struct Away(Option<Instant>);

impl Away {
    fn note(&mut self) {
        if self.0.is_none() {
            self.0 = Some(Instant::now());
            eprintln!("the server does not answer; following on when it is back");
        }
    }

    fn over(&mut self) {
        if let Some(since) = self.0.take() {
            eprintln!("the server is back after {:.1} s", since.elapsed().as_secs_f64());
        }
    }
}

/// The event as a line, unless it is of another order than asked for.
fn line(topic: &str, event: &RawValue, order: Option<&str>, json: bool, paint: &Paint) -> Option<String> {
    let parsed: Value = serde_json::from_str(event.get()).ok()?;
    let text = |pointer: &str| parsed.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    if order.is_some_and(|order| order != text("/payload/orderId")) {
        return None;
    }
    if json {
        // As it came, but in one line whatever its bytes are.
        return Some(parsed.to_string());
    }
    let details = ["/payload/milestone", "/payload/state", "/payload/reason", "/payload/trackingNumber"];
    let details: Vec<&str> = details.into_iter().map(text).filter(|detail| !detail.is_empty()).collect();
    let kind = text("/eventType");
    let ending = match kind {
        "OrderCompletedV1" => "completed",
        "OrderFailedV1" => "failed",
        "OrderCancelledV1" => "cancelled",
        _ => "",
    };
    Some(
        format!(
            "{}  {topic:<11}  {}  {}  {}",
            paint.dim(text("/occurredAt")),
            paint.status(ending, &format!("{kind:<28}")),
            text("/payload/orderId"),
            details.join(", "),
        )
        .trim_end()
        .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_other_orders_are_left_out() {
        let event = r#"{"eventType":"OrderProgressedV1","occurredAt":"2026-01-01T00:00:00Z",
            "payload":{"orderId":"a","milestone":"authorized"}}"#;
        let event: Box<RawValue> = serde_json::from_str(event).unwrap();
        let shown = line("orders", &event, None, false, &Paint::plain()).unwrap();
        assert_eq!(shown, "2026-01-01T00:00:00Z  orders       OrderProgressedV1             a  authorized");
        assert!(!line("orders", &event, Some("a"), true, &Paint::plain()).unwrap().contains('\n'));
        assert_eq!(line("orders", &event, Some("b"), false, &Paint::plain()), None);
    }
}
