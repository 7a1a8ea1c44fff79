//! `cartwright waiting`: open orders, what they wait for and since when.

use std::{fmt::Write as _, process::ExitCode};

use cartwright_core::{domain::time::Timestamp, ports::Clock as _};
use clap::Args;
use serde_json::Value;

use super::{
    ServerArg,
    api::{Api, ApiError},
    obstacles::{Parked, Standing},
    orders::{next_try, text},
    out,
    style::{Paint, table},
};
use crate::clock::SystemClock;

/// `cartwright waiting`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright waiting --service payments --older-than 300")]
pub struct WaitingArgs {
    /// For this service: orders, payments or fulfillment; or `neighbour`, the half of an older system that stays
    #[arg(long)]
    service: Option<String>,
    /// For such a step: pay, schedule, ship or wait
    #[arg(long)]
    kind: Option<String>,
    /// For longer than so many seconds
    #[arg(long, value_name = "SECONDS")]
    older_than: Option<u64>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Continue where another list ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Runs `cartwright waiting`.
pub async fn run(args: WaitingArgs) -> ExitCode {
    let result = match Api::new(args.server.url()) {
        Ok(api) => list(&api, args).await,
        Err(error) => Err(error),
    };
    result.map_err(ApiError::in_flags).unwrap_or_else(|error| error.report())
}

async fn list(api: &Api, args: WaitingArgs) -> Result<ExitCode, ApiError> {
    let mut query = vec![("limit", args.limit.to_string())];
    let older_than = args.older_than.map(|seconds| seconds.to_string());
    let filters =
        [("service", args.service), ("kind", args.kind), ("olderThan", older_than), ("cursor", args.cursor)];
    for (name, value) in filters {
        query.extend(value.map(|value| (name, value)));
    }
    let page: Value = api.get("/v1/admin/waiting", &query).await?;
    if args.json {
        out::line(page);
        return Ok(ExitCode::SUCCESS);
    }
    let standing = Standing::ask(api).await;
    let parked = if standing.has_parked() { Parked::first(api).await } else { vec![] };
    out::line(shown(&page, &standing, &parked, SystemClock::start().now(), &Paint::stdout()));
    Ok(ExitCode::SUCCESS)
}

fn shown(page: &Value, standing: &Standing, parked: &[Parked], now: Timestamp, paint: &Paint) -> String {
    let orders = page["waiting"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut shown = match orders {
        [] => "no order waits".to_owned(),
        orders => rows(orders, parked, now, paint),
    };
    for obstacle in standing.all() {
        let _ = write!(shown, "\n{}", paint.yellow(&obstacle.line()));
    }
    if !text(page, "/next").is_empty() {
        let _ = write!(shown, "\n{}", paint.dim(&format!(" more: --cursor {}", text(page, "/next"))));
    }
    shown
}

fn rows(orders: &[Value], parked: &[Parked], now: Timestamp, paint: &Paint) -> String {
    let mut rows = table(&["NUMBER", "ID", "FLOW", "WAITS FOR", "STATE", "SINCE", "NEXT TRY", "REASON"]);
    for order in orders {
        let held = order["onHold"].as_bool() == Some(true);
        let waits_for = match (text(order, "/kind"), held) {
            ("", _) => "release".to_owned(),
            (kind, true) => format!("{kind}, then release"),
            (kind, false) => kind.to_owned(),
        };
        let waits_for = match text(order, "/service") {
            "neighbour" => format!("{waits_for} (neighbour)"),
            _ => waits_for,
        };
        rows.add_row([
            text(order, "/number"),
            text(order, "/order"),
            text(order, "/flow"),
            &waits_for,
            text(order, "/state"),
            text(order, "/since"),
            next_try(text(order, "/nextTryAt"), now),
            &reason(order, parked),
        ]);
    }
    let lines: Vec<String> = rows.lines().map(|line| line.trim_end().to_owned()).collect();
    let header = lines.first().map(|line| paint.bold(line)).unwrap_or_default();
    std::iter::once(header).chain(lines.into_iter().skip(1)).collect::<Vec<_>>().join("\n")
}

/// Why an order waits: events that could not be applied come before all that its service says.
fn reason(order: &Value, parked: &[Parked]) -> String {
    match parked.iter().find(|parked| parked.order == text(order, "/order")) {
        Some(first) => format!("parked in {}: {}", first.service, first.line()),
        None => text(order, "/reason").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_767_268_800_000_000);

    #[test]
    fn a_try_that_is_due_is_said_to_be_due() {
        for (next, shown_as) in
            [("2026-01-01T11:00:00Z", "due now"), ("2026-01-01T13:00:00Z", "2026-01-01T13:00:00Z")]
        {
            let order = json!({"number": "1001", "order": "a", "flow": "standard", "onHold": false, "kind": "pay",
                "state": "waiting", "since": "2026-01-01T00:00:00Z", "nextTryAt": next, "reason": null});
            let page = json!({"waiting": [order], "next": null});
            let text = shown(&page, &Standing::default(), &[], NOON, &Paint::plain());
            assert!(text.contains(shown_as), "{text}");
        }
    }

    #[test]
    fn an_order_on_hold_waits_for_its_release() {
        let order = json!({"number": "1001", "order": "a", "flow": "standard", "onHold": true, "kind": null,
            "state": null, "since": "2026-01-01T00:00:00Z", "nextTryAt": null, "reason": null});
        let none = Standing::default();
        let text = shown(&json!({"waiting": [order], "next": null}), &none, &[], NOON, &Paint::plain());
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("release"), "{text}");
        assert_eq!(
            shown(&json!({"waiting": [], "next": null}), &none, &[], NOON, &Paint::plain()),
            "no order waits"
        );
    }

    #[test]
    fn what_holds_orders_up_is_said_with_the_word_that_undoes_it() {
        let order = json!({"number": "1001", "order": "a", "flow": "standard", "onHold": false, "kind": "pay",
            "state": "requested", "since": "2026-01-01T00:00:00Z", "nextTryAt": null, "reason": null});
        let parked = Parked {
            order: "a".into(),
            service: "payments".into(),
            event_type: "StepRequestedV1".into(),
            reason: "too new".into(),
        };
        let services = json!({"services": [{"name": "payments", "paused": true, "parked": 1}]});
        let standing = Standing::given(json!({}), services);
        assert!(standing.has_parked());
        let page = json!({"waiting": [order], "next": null});
        let text = shown(&page, &standing, &[parked], NOON, &Paint::plain());
        assert!(text.contains("parked in payments: StepRequestedV1: too new"), "{text}");
        assert!(text.contains("cartwright services resume payments"), "{text}");
    }
}
