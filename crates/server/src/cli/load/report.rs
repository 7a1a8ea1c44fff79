//! What a load found out, as a table and as JSON.

use serde::{Deserialize, Serialize};

use super::{
    super::{
        out,
        style::{align_right, count, table},
    },
    Shared,
    follow::Followed,
};

/// The result of `cartwright load --json`, one line on stdout. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// Orders answered, and noted durably unless `--no-answered`.
    pub orders: u64,
    /// From the first order to the last one noted.
    pub seconds: f64,
    /// Orders per second.
    pub per_second: f64,
    /// Orders that were never answered.
    pub errors: u64,
    /// Attempts that were repeated: lost connections, 503 and the like.
    pub retries: u64,
    /// Half of the orders were answered within this.
    pub p50_ms: f64,
    /// 90 % of the orders were answered within this.
    pub p90_ms: f64,
    /// 99 % of the orders were answered within this.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// With `--follow`: half of the orders were shipped (or completed) within this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_to_shipped_p50_ms: Option<f64>,
    /// With `--follow`: 99 % of the orders were shipped (or completed) within this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_to_shipped_p99_ms: Option<f64>,
    /// With `--follow`: orders shipped or completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped: Option<u64>,
    /// With `--follow`: the same per second, by the events' own times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped_per_second: Option<f64>,
}

impl LoadReport {
    pub(super) fn new(shared: &Shared, orders: u64, seconds: f64) -> Self {
        let latencies = shared.latencies.borrow();
        let at = |quantile: f64| ms(latencies.value_at_quantile(quantile));
        Self {
            orders,
            seconds: rounded(seconds),
            per_second: per_second(orders, seconds),
            errors: shared.given_up.get(),
            retries: shared.retries.get(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: ms(latencies.max()),
            created_to_shipped_p50_ms: None,
            created_to_shipped_p99_ms: None,
            shipped: None,
            shipped_per_second: None,
        }
    }

    pub(super) fn add_followed(&mut self, followed: &Followed) {
        self.created_to_shipped_p50_ms = Some(ms(followed.latencies.value_at_quantile(0.5)));
        self.created_to_shipped_p99_ms = Some(ms(followed.latencies.value_at_quantile(0.99)));
        self.shipped = Some(followed.shipped);
        self.shipped_per_second = Some(per_second(followed.shipped, followed.seconds()));
    }

    pub(super) fn print(&self, json: bool) {
        if json {
            match serde_json::to_string(self) {
                Ok(line) => out::line(line),
                Err(error) => eprintln!("the report can't be written: {error}"),
            }
        } else {
            out::line(self.table());
        }
    }

    fn table(&self) -> String {
        let mut rows = table(&[]);
        let mut row = |name: &str, value: String| {
            rows.add_row([name.to_owned(), value]);
        };
        row("orders answered", count(self.orders));
        row("seconds", format!("{:.2}", self.seconds));
        row("orders per second", format!("{:.0}", self.per_second));
        row("repeated attempts", count(self.retries));
        row("never answered", count(self.errors));
        row("answered within, p50", format!("{:.2} ms", self.p50_ms));
        row("p90", format!("{:.2} ms", self.p90_ms));
        row("p99", format!("{:.2} ms", self.p99_ms));
        row("max", format!("{:.2} ms", self.max_ms));
        if let (Some(shipped), Some(rate), Some(p50), Some(p99)) = (
            self.shipped,
            self.shipped_per_second,
            self.created_to_shipped_p50_ms,
            self.created_to_shipped_p99_ms,
        ) {
            row("orders shipped", count(shipped));
            row("shipped per second", format!("{rate:.0}"));
            row("created to shipped, p50", format!("{p50:.2} ms"));
            row("p99", format!("{p99:.2} ms"));
        }
        align_right(&mut rows, &[1]);
        rows.trim_fmt()
    }
}

fn per_second(number: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { rounded(number as f64 / seconds) } else { 0.0 }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
