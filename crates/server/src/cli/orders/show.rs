//! Orders as text for people.

use std::fmt::Write as _;

use cartwright_core::domain::{money::Currency, time::Timestamp};
use serde_json::Value;

use super::{
    super::style::{Paint, align_right, count, table},
    watch::{History, Watched},
};

/// The text at a place in a JSON document; empty when there is none.
pub fn text<'a>(from: &'a Value, pointer: &str) -> &'a str {
    from.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// One line about an order that was just placed.
pub fn placed(order: &Value) -> String {
    format!("order {} placed: {}, {}", text(order, "/number"), text(order, "/id"), total(order))
}

/// One line about an order that was placed before under the same key.
pub fn placed_before(order: &Value) -> String {
    format!(
        "order {} was placed before under this key: {}, {}; it is {} now, and no second one was placed",
        text(order, "/number"),
        text(order, "/id"),
        total(order),
        text(order, "/status")
    )
}

/// One line about an order that was just held.
pub fn held(order: &Value) -> String {
    let number = text(order, "/number");
    match text(order, "/waitingFor/kind") {
        "" => format!("order {number} is on hold; `cartwright orders release {number}` lets it go on"),
        kind => format!(
            "order {number} is on hold: `{kind}` was asked for already and will still finish; nothing further is asked for \
             until `cartwright orders release {number}`"
        ),
    }
}

/// One line about an order that was just released.
pub fn released(order: &Value) -> String {
    format!("order {} goes on", text(order, "/number"))
}

/// One line about an order that was just cancelled.
pub fn cancelled(order: &Value) -> String {
    match text(order, "/status") {
        "cancelled" => format!("order {} is cancelled", text(order, "/number")),
        _ => format!("order {} is being cancelled", text(order, "/number")),
    }
}

/// One line about how an order ended.
pub fn outcome(order: &Value, paint: &Paint) -> String {
    let status = text(order, "/status");
    let shipment = order
        .pointer("/shipments/0")
        .filter(|shipment| !text(shipment, "/trackingNumber").is_empty())
        .map(|shipment| format!(", {} {}", text(shipment, "/carrier"), text(shipment, "/trackingNumber")));
    format!(
        "order {} is {}; payment {}, fulfillment {}{}",
        text(order, "/number"),
        paint.status(status, status),
        text(order, "/paymentStatus"),
        text(order, "/fulfillmentStatus"),
        shipment.unwrap_or_default(),
    )
}

/// A page of orders as a table.
pub fn list(page: &Value, paint: &Paint) -> String {
    let orders = page["orders"].as_array().map(Vec::as_slice).unwrap_or_default();
    if orders.is_empty() {
        return "no orders".into();
    }
    let mut rows = table(&[
        "NUMBER",
        "ID",
        "STATUS",
        "MILESTONE",
        "PAYMENT",
        "FULFILLMENT",
        "TOTAL",
        "CUSTOMER",
        "CREATED",
    ]);
    for order in orders {
        rows.add_row([
            text(order, "/number"),
            text(order, "/id"),
            text(order, "/status"),
            text(order, "/milestone"),
            text(order, "/paymentStatus"),
            text(order, "/fulfillmentStatus"),
            &total(order),
            text(order, "/customer/id"),
            text(order, "/createdAt"),
        ]);
    }
    align_right(&mut rows, &[0, 6]);
    let mut shown = String::new();
    // A row never wraps, so the lines below the header are the orders.
    for (n, line) in rows.lines().enumerate() {
        let line = line.trim_end();
        let painted = match n.checked_sub(1).and_then(|n| orders.get(n)) {
            None => paint.bold(line),
            Some(order) => paint.status(text(order, "/status"), line),
        };
        let _ = writeln!(shown, "{painted}");
    }
    match text(page, "/next") {
        "" => shown.truncate(shown.trim_end().len()),
        next => {
            let _ = write!(shown, "{}", paint.dim(&format!(" more: --cursor {next}")));
        }
    }
    shown
}

/// An order with its lines, its money, its shipments and its history.
pub fn order(order: &Value, history: &History, now: Timestamp, paint: &Paint) -> String {
    let status = text(order, "/status");
    let mut shown = format!("{} {}\n", paint.bold("order"), paint.bold(text(order, "/number")));
    let mut facts = table(&[]);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            facts.add_row([name.to_owned(), value]);
        }
    };
    let held = if order["onHold"].as_bool().unwrap_or(false) { ", on hold" } else { "" };
    fact("id", text(order, "/id").into());
    fact("status", format!("{status} ({}){held}", text(order, "/milestone")));
    fact("waits for", waiting(order, now));
    fact("flow", text(order, "/flow").into());
    fact("customer", join(&[text(order, "/customer/id"), text(order, "/customer/name")]));
    fact("payment", text(order, "/paymentStatus").into());
    fact("fulfillment", text(order, "/fulfillmentStatus").into());
    for payment in order["payments"].as_array().into_iter().flatten() {
        let parts = ["/provider", "/status", "/reference", "/reason"].map(|at| text(payment, at));
        fact("", join(&parts));
    }
    for shipment in order["shipments"].as_array().into_iter().flatten() {
        let parts = ["/status", "/carrier", "/trackingNumber", "/error"].map(|at| text(shipment, at));
        fact("", join(&parts));
    }
    let cancellation = join(&[text(order, "/cancellation/reason"), text(order, "/cancellation/note")]);
    match text(order, "/cancellation/refused") {
        "" => fact("cancelled for", cancellation),
        why => fact("not cancelled", format!("{cancellation}: {why}")),
    }
    fact("created", text(order, "/createdAt").into());
    fact("updated", text(order, "/updatedAt").into());
    let _ = writeln!(shown, "{}\n", facts.trim_fmt());
    let _ = writeln!(shown, "{}\n", lines(order).trim_fmt());
    for line in Watched::default().news(&history.events) {
        let _ = writeln!(shown, "{}", line.render(paint));
    }
    shown.truncate(shown.trim_end().len());
    shown
}

fn lines(order: &Value) -> comfy_table::Table {
    let mut rows = table(&["SKU", "NAME", "QUANTITY", "PRICE", "TOTAL"]);
    for line in order["lines"].as_array().into_iter().flatten() {
        let quantity = line["quantity"].as_u64().unwrap_or(0);
        rows.add_row([
            text(line, "/sku"),
            text(line, "/name"),
            &count(quantity),
            &amount(order, &line["unitPrice"]),
            &amount(order, &line["total"]),
        ]);
    }
    for charge in order["charges"].as_array().into_iter().flatten() {
        rows.add_row([text(charge, "/type"), "", "", "", &amount(order, &charge["amount"])]);
    }
    rows.add_row(["total", "", "", "", &total(order)]);
    align_right(&mut rows, &[2, 3, 4]);
    rows
}

/// When something is tried again; a moment that is over is none to show.
pub fn next_try(at: &str, now: Timestamp) -> &str {
    if Timestamp::parse(at).is_some_and(|at| at <= now) { "due now" } else { at }
}

fn waiting(order: &Value, now: Timestamp) -> String {
    let parts = ["/kind", "/state", "/reason"].map(|at| text(&order["waitingFor"], at));
    let next = match text(&order["waitingFor"], "/nextTryAt") {
        "" => String::new(),
        at => format!("next try {}", next_try(at, now)),
    };
    join(&[parts[0], parts[1], parts[2], &next])
}

fn join(parts: &[&str]) -> String {
    let parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).copied().collect();
    parts.join(", ")
}

/// The order's total with its currency; nothing for an order without prices.
fn total(order: &Value) -> String {
    match text(order, "/currency") {
        "XXX" | "" => String::new(),
        currency => format!("{} {currency}", amount(order, &order["totals"]["total"])),
    }
}

/// An amount with its decimals; integers only, as everywhere with money.
fn amount(order: &Value, amount: &Value) -> String {
    let Some(amount) = amount.as_i64() else { return String::new() };
    let own = Currency::parse(text(order, "/currency")).map_or(0, Currency::scale);
    let scale = order["scale"].as_u64().and_then(|scale| u8::try_from(scale).ok()).unwrap_or(own);
    let scale = usize::from(scale);
    if scale == 0 {
        return amount.to_string();
    }
    let digits = format!("{:0>width$}", amount.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{part}", if amount < 0 { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        let show = |currency: &str, scale: Value, units: i64| {
            amount(&json!({"currency": currency, "scale": scale}), &json!(units))
        };
        assert_eq!(show("USD", Value::Null, 260_498), "2604.98");
        assert_eq!(show("USD", Value::Null, -5), "-0.05");
        assert_eq!(show("JPY", Value::Null, 500), "500");
        assert_eq!(show("USD", json!(4), 15_000), "1.5000");
    }

    #[test]
    fn a_next_try_that_is_over_is_due_now() {
        let order =
            json!({"waitingFor": {"kind": "pay", "state": "waiting", "nextTryAt": "2026-01-01T00:00:10Z"}});
        let at = |second: &str| waiting(&order, Timestamp::parse(second).unwrap());
        assert_eq!(at("2026-01-01T00:00:09Z"), "pay, waiting, next try 2026-01-01T00:00:10Z");
        assert_eq!(at("2026-01-01T00:00:11Z"), "pay, waiting, next try due now");
    }

    #[test]
    fn a_list_has_one_line_for_each_order_and_says_how_to_go_on() {
        let order = json!({"number": "1001", "id": "a", "status": "open", "milestone": "created", "currency": "USD",
            "totals": {"total": 100}, "customer": {"id": "c"}, "paymentStatus": "none", "fulfillmentStatus": "none",
            "createdAt": "2026-01-01T00:00:00Z"});
        let page = json!({"orders": [order.clone(), order], "next": "abc"});
        let shown = list(&page, &Paint::plain());
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert!(shown.ends_with("more: --cursor abc"));
        assert!(shown.contains("1.00 USD"));
        assert_eq!(list(&json!({"orders": [], "next": null}), &Paint::plain()), "no orders");
    }
}
