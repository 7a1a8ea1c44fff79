//! `cartwright orders watch`: an order on its way; its milestones, with the time since it was placed.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use cartwright_core::domain::time::Timestamp;
use clap::Args;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    super::{
        api::{Api, ApiError},
        exit, out,
        style::{Paint, millis},
    },
    OrderArg, find,
    show::{self, text},
};

/// Seconds that `orders place --watch` watches, unless told otherwise.
pub const PATIENCE: u64 = 60;

/// The pause between two looks for a server that is away.
const AWAY_PAUSE: Duration = Duration::from_millis(200);

/// An order's history as the server shows it.
#[derive(Debug, Deserialize)]
pub struct History {
    /// The events of all services, in order.
    pub events: Vec<Event>,
}

/// One event of a history: what of it is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What happened.
    pub event_type: String,
    /// When.
    pub occurred_at: Timestamp,
    /// The rest.
    #[serde(default)]
    pub payload: Value,
}

/// `cartwright orders watch`
#[derive(Args, Debug)]
#[command(
    after_help = "Ends with 0 when the order is completed, with 1 when it failed or was cancelled.\n\n\
    Examples:\n  cartwright orders watch 1001\n  cartwright orders watch 1001 --timeout 30 --json"
)]
pub struct WatchArgs {
    #[command(flatten)]
    order: OrderArg,
    /// Stop watching after so many seconds, with exit code 3 [default: never]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Runs `cartwright orders watch`.
pub async fn run(api: &Api, args: &WatchArgs, json: bool) -> Result<ExitCode, ApiError> {
    let path = find::path(api, &args.order.id, find::For::Looking).await?;
    watch(api, &path, args.timeout, json).await
}

/// Shows the milestones of the order under this path as they come, until it is final. A server that goes away is
/// waited for.
pub async fn watch(api: &Api, path: &str, seconds: Option<u64>, json: bool) -> Result<ExitCode, ApiError> {
    let paint = Paint::stdout();
    let mut patience = Patience::new(seconds);
    let Some(order) = patience.get::<Value>(api, path).await? else { return Ok(exit::WAITING.into()) };
    let (id, manual) = (text(&order, "/id"), text(&order, "/flow") == "manual");
    let events = format!("{path}/events");
    let mut watched = Watched::default();
    loop {
        let Some(history) = patience.get::<History>(api, &events).await? else {
            return Ok(exit::WAITING.into());
        };
        for line in watched.news(&history.events) {
            if json {
                out::line(json!({"id": id, "milestone": line.what, "ms": line.ms, "note": line.note}));
            } else {
                out::line(line.render(&paint));
            }
        }
        if watched.end.is_some() {
            break;
        }
        if manual {
            eprintln!("an order of the flow manual goes on only when its client says so; not watching");
            break;
        }
        if patience.is_over() {
            eprintln!("still open; `cartwright orders explain {id}` says what it waits for");
            return Ok(exit::WAITING.into());
        }
        tokio::time::sleep(pause(patience.start.elapsed())).await;
    }
    if !json && let Some(order) = patience.get::<Value>(api, path).await? {
        out::line(show::outcome(&order, &paint));
    }
    Ok(match watched.end {
        Some(End::Bad) => exit::FAILED.into(),
        Some(End::Good) | None => ExitCode::SUCCESS,
    })
}

/// How long somebody watches, whether or not the server is there.
struct Patience {
    start: Instant,
    limit: Option<Duration>,
    away: bool,
}

impl Patience {
    fn new(seconds: Option<u64>) -> Self {
        Self { start: Instant::now(), limit: seconds.map(Duration::from_secs), away: false }
    }

    fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.start.elapsed() >= limit)
    }

    /// Asks until there is an answer; `None` when the time is over before.
    async fn get<T: DeserializeOwned>(&mut self, api: &Api, path: &str) -> Result<Option<T>, ApiError> {
        loop {
            match api.get(path, &[]).await {
                Ok(answer) => {
                    if std::mem::take(&mut self.away) {
                        eprintln!("the server is back");
                    }
                    return Ok(Some(answer));
                }
                Err(error) if !error.passes() => return Err(error),
                Err(_) if self.is_over() => {
                    eprintln!("the server does not answer; giving up watching");
                    return Ok(None);
                }
                Err(_) => {
                    if !std::mem::replace(&mut self.away, true) {
                        eprintln!("the server does not answer; watching on");
                    }
                    tokio::time::sleep(AWAY_PAUSE).await;
                }
            }
        }
    }
}

/// Something worth a line.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// A milestone, a final status or what the order waits for.
    pub what: String,
    /// Since the order was placed.
    pub ms: f64,
    /// More, if there is more to say.
    pub note: Option<String>,
}

impl Line {
    /// As a line of text.
    pub fn render(&self, paint: &Paint) -> String {
        let name = paint.status(&self.what, &format!("{:<12}", self.what));
        let time = paint.dim(&format!("{:>9} ms", format!("+{}", millis(self.ms))));
        match &self.note {
            Some(note) => format!("  {name} {time}  {note}"),
            None => format!("  {name} {time}"),
        }
    }
}

/// What of a history was shown already.
#[derive(Default)]
pub struct Watched {
    seen: usize,
    placed: Option<Timestamp>,
    milestone: String,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Good,
    Bad,
}

impl Watched {
    /// The lines that the events since the last time are worth. A history only grows at its end.
    pub fn news(&mut self, events: &[Event]) -> Vec<Line> {
        let mut lines = Vec::new();
        for event in events.iter().skip(self.seen) {
            let placed = *self.placed.get_or_insert(event.occurred_at);
            let us = u32::try_from(event.occurred_at.since(placed).as_micros()).unwrap_or(u32::MAX);
            let ms = f64::from(us) / 1_000.0;
            let milestone = text(&event.payload, "/milestone");
            if !milestone.is_empty() && milestone != self.milestone {
                milestone.clone_into(&mut self.milestone);
                lines.push(Line { what: milestone.to_owned(), ms, note: None });
            }
            let reason = Some(text(&event.payload, "/reason")).filter(|reason| !reason.is_empty());
            let mut line = |what: &str| {
                lines.push(Line { what: what.to_owned(), ms, note: reason.map(str::to_owned) });
            };
            match event.event_type.as_str() {
                "OrderCompletedV1" => {
                    line("completed");
                    self.end = Some(End::Good);
                }
                "OrderFailedV1" => {
                    line("failed");
                    self.end = Some(End::Bad);
                }
                "OrderCancelledV1" => {
                    line("cancelled");
                    self.end = Some(End::Bad);
                }
                "OrderHeldV1" => line("held"),
                "OrderReleasedV1" => line("released"),
                "OrderCancellationRequestedV1" => line("cancelling"),
                "StepProgressedV1" => {
                    let state = text(&event.payload, "/state");
                    if matches!(state, "waiting" | "retrying") {
                        line(state);
                    }
                }
                _ => {}
            }
        }
        self.seen = self.seen.max(events.len());
        lines
    }
}

/// Quickly while things happen, and politely when they don't.
fn pause(watched: Duration) -> Duration {
    Duration::from_millis(match watched.as_secs() {
        0 => 2,
        1..10 => 20,
        _ => 250,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: &str, us: i64, payload: Value) -> Event {
        let occurred_at = Timestamp::from_micros(1_700_000_000_000_000 + us);
        Event { event_type: event_type.into(), occurred_at, payload }
    }

    #[test]
    fn each_milestone_is_shown_once_with_the_time_since_placing() {
        let mut events = vec![event("OrderCreatedV1", 0, json!({"milestone": "created"}))];
        let mut watched = Watched::default();
        assert_eq!(watched.news(&events), [Line { what: "created".into(), ms: 0.0, note: None }]);
        events.push(event("StepRequestedV1", 100, json!({"milestone": "created"})));
        events.push(event("StepProgressedV1", 900, json!({"state": "retrying", "reason": "timed out"})));
        events.push(event("OrderProgressedV1", 2_100, json!({"milestone": "authorized"})));
        events.push(event("OrderCompletedV1", 4_000, json!({"milestone": "shipped"})));
        let lines: Vec<_> = watched.news(&events).iter().map(|line| line.render(&Paint::plain())).collect();
        assert_eq!(
            lines,
            [
                "  retrying          +0.9 ms  timed out",
                "  authorized        +2.1 ms",
                "  shipped           +4.0 ms",
                "  completed         +4.0 ms",
            ]
        );
        assert_eq!(watched.end, Some(End::Good));
        assert!(watched.news(&events).is_empty());
    }
}
