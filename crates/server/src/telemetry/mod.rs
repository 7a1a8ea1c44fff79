//! What the system tells about itself: logs and metrics.
//!
//! Logs go to stderr. What goes wrong, or needs somebody, is told at `warn` and `error`; what happens to the whole
//! system at `info`. Each step of each order is told at `debug`, with order and correlation id, and costs nothing while
//! nobody listens: a disabled line formats and copies nothing.

pub mod metrics;
mod store;

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

pub use self::store::Watched;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Text for people.
    Text,
    /// An object a line.
    Json,
}

/// Never told, whatever the filter says: at `debug`, the database's library tells what every statement is given, and
/// that may be a means of payment.
const QUIET: &str = "tokio_postgres=info,tokio_postgres::query=info";
/// Told only if somebody asks for it by name: the search library warns of parts that a merge or a rebuild has overtaken,
/// which harms nobody.
const HARMLESS: &str = "tantivy::indexer::segment_manager=error";

/// Starts logging to stderr. `filter` has the form of `RUST_LOG`.
pub fn start_logging(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(format!("{HARMLESS},{filter},{QUIET}"));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("info,{HARMLESS},{QUIET}")));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    match (format, terminal) {
        (LogFormat::Text, _) | (LogFormat::Auto, true) => {
            logs.compact().with_target(false).with_ansi(terminal).init();
        }
        (LogFormat::Json, _) | (LogFormat::Auto, false) => logs.json().flatten_event(true).init(),
    }
}
