//! The binary's own load generator.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// A server to be loaded.
pub struct Load<'a> {
    /// The binary.
    pub program: &'a Path,
    /// `http://…`
    pub server: &'a str,
}

/// What `cartwright load --json` reports.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// Orders answered with success.
    pub orders: u64,
    /// How long it took.
    pub seconds: f64,
    /// Orders answered per second.
    pub per_second: f64,
    /// Orders that were never answered with success.
    pub errors: u64,
    /// Attempts that had to be repeated.
    #[serde(default)]
    pub retries: u64,
    /// Time to the answer.
    pub p99_ms: f64,
    /// Of those followed, how many were shipped per second.
    pub shipped_per_second: Option<f64>,
    /// From the order's `createdAt` to its `shippedAt`.
    pub created_to_shipped_p50_ms: Option<f64>,
    /// The same.
    pub created_to_shipped_p99_ms: Option<f64>,
}

impl Load<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// It can't be run, failed, or says something else.
    pub fn run(&self, args: &[&str]) -> Result<LoadReport, Failure> {
        self.run_noting(args, None)
    }

    /// The same, and notes in a file what is answered.
    ///
    /// # Errors
    /// As [`Load::run`].
    pub fn run_noting(&self, args: &[&str], answered: Option<&Path>) -> Result<LoadReport, Failure> {
        let mut command = Command::new(self.program);
        command.args(["load", "--server", self.server, "--json"]).args(args);
        match answered {
            Some(file) => command.arg("--answered").arg(file),
            None => command.arg("--no-answered"),
        };
        let output = command.stderr(Stdio::inherit()).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        // It may end with a failure because some orders failed; the report says so, too.
        serde_json::from_str(&said).map_err(|error| {
            format!("cartwright load {}: {error} ({}): {said}", args.join(" "), output.status).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_with_and_without_what_following_adds() {
        let report: LoadReport = serde_json::from_str(
            r#"{"orders":10,"seconds":2.0,"perSecond":5.0,"errors":0,"retries":0,"p50Ms":1.0,"p90Ms":1.5,"p99Ms":2.5,
                "maxMs":3.0,"shipped":10,"shippedPerSecond":4.0,"createdToShippedP50Ms":7.0,"createdToShippedP99Ms":9.0}"#,
        )
        .unwrap();
        assert_eq!((report.p99_ms, report.created_to_shipped_p50_ms), (2.5, Some(7.0)));
        let report: LoadReport = serde_json::from_str(
            r#"{"orders":10,"seconds":2.0,"perSecond":5.0,"errors":0,"p99Ms":2.5,"shipped":null}"#,
        )
        .unwrap();
        assert_eq!(report.shipped_per_second, None);
    }
}
