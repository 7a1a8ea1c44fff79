//! The commands of `cartwright`: [`up`] runs the system, the others talk to one that runs: try it, load it, check it.
//!
//! Each command is a struct of arguments with `pub async fn run(args) -> ExitCode` beside it. Results go to stdout,
//! everything else to stderr; `--json` makes the results fit for machines.
#![warn(clippy::print_stdout, reason = "whoever reads may stop at any time: see `out`")]

mod api;
pub mod backup;
mod command;
pub mod completions;
pub mod config;
pub mod copy;
pub mod doctor;
pub mod events;
#[cfg(test)]
mod help_tests;
mod ids;
pub mod index;
pub mod load;
pub mod migrate;
mod obstacles;
pub mod orders;
mod out;
pub mod parked;
pub mod providers;
pub mod serve;
pub mod services;
pub mod simulate;
mod style;
pub mod topics;
pub mod up;
pub mod verify;
pub mod waiting;

use clap::Args;

pub use self::command::main;

use crate::config::SERVER_VARIABLE;

/// Where the server is, if nobody says.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// The exit codes that all commands share; 0 is "all good".
pub mod exit {
    /// The server said no, or what was checked is wrong.
    pub const FAILED: u8 = 1;
    /// The server, or a file that is needed, can't be reached.
    pub const UNREACHABLE: u8 = 2;
    /// Nothing is wrong, but something is not finished yet.
    pub const WAITING: u8 = 3;
}

/// What `cartwright --help` says about exit codes and first steps.
pub const EXIT_CODES: &str = "Examples:
  cartwright up                              run the whole system
  cartwright orders place --sample --watch   in another terminal: an order on its way

Exit codes:
  0  all good
  1  the server said no, what was checked is wrong, or the order that was watched failed or was cancelled
  2  the server, or a file that is needed, can't be reached; or the command line is wrong
  3  nothing is wrong, but something is not finished yet";

/// A call of an operator, ready to paste.
pub fn put_command(server: &str, path: &str, body: &str) -> String {
    format!("curl -X PUT {server}{path} -H 'Content-Type: application/json' -d '{body}'")
}

/// Names the server.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerArg {
    /// The server [env: CARTWRIGHT_SERVER] [default: http://127.0.0.1:8080]
    #[arg(long = "server", value_name = "URL", global = true)]
    pub server: Option<String>,
}

impl ServerArg {
    /// The server's URL without a slash at its end: the argument, else the environment, else our own machine.
    pub fn url(&self) -> String {
        self.named().unwrap_or_else(|| DEFAULT_SERVER.to_owned())
    }

    /// The same, if somebody named one.
    pub fn named(&self) -> Option<String> {
        let named = self.server.clone().or_else(|| std::env::var(SERVER_VARIABLE).ok());
        let url = named.filter(|url| !url.is_empty())?;
        let url = url.trim_end_matches('/');
        Some(if url.contains("://") { url.to_owned() } else { format!("http://{url}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_be_named_without_a_scheme_and_with_a_slash() {
        let arg = |server: &str| ServerArg { server: Some(server.into()) }.url();
        assert_eq!(arg("localhost:9000/"), "http://localhost:9000");
        assert_eq!(arg("https://shop.example"), "https://shop.example");
    }
}
