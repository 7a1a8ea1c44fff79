//! The commands of `cartwright`: [`up`] runs the system, the others talk to one that runs: try it, load it, check it.
//!
//! Each command is a struct of arguments with `pub async fn run(args) -> ExitCode` beside it. Results go to stdout,
//! everything else to stderr; `--json` makes the results fit for machines.

mod api;
pub mod backup;
mod ids;
pub mod load;
pub mod orders;
pub mod simulate;
mod style;
pub mod up;
pub mod verify;

use clap::Args;

/// Where the server is, if nobody says.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// The variable that says where the server is.
pub const SERVER_VARIABLE: &str = "CARTWRIGHT_SERVER";

/// The exit codes that all commands share; 0 is "all good".
pub mod exit {
    /// The server said no, or what was checked is wrong.
    pub const FAILED: u8 = 1;
    /// The server, or a file that is needed, can't be reached.
    pub const UNREACHABLE: u8 = 2;
    /// Nothing is wrong, but something is not finished yet.
    pub const WAITING: u8 = 3;
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
        let named = self.server.clone().or_else(|| std::env::var(SERVER_VARIABLE).ok());
        let url = named.filter(|url| !url.is_empty()).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let url = url.trim_end_matches('/');
        if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
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
