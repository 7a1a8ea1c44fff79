//! `cargo xtask servers`: a real PostgreSQL, Kafka and OpenSearch for tests, without containers.
//!
//! They run on 127.0.0.1, each on a port of its own, and outlive the command and the checkout: all checkouts of a user
//! share them, and what was downloaded once stays.

mod java;
mod kafka;
mod opensearch;
mod place;
mod postgres;
pub mod process;
mod python;
mod status;

use std::{
    env, fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use clap::{Args, Subcommand, ValueEnum};

use crate::Failure;
use place::Place;
use process::{Process, Running};

/// How long a server may take until it answers: after a crash it reads its logs again.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How long a server may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct ServersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start what is not up yet, and wait until it answers
    Up {
        /// Which of them; all if none is named
        servers: Vec<Name>,
    },
    /// Stop them; their data stays
    Down {
        /// Which of them; all if none is named
        servers: Vec<Name>,
    },
    /// Show which are up, where, and where their data and logs are
    Status {
        /// For machines
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Postgres,
    Kafka,
    #[value(name = "opensearch")]
    OpenSearch,
}

const ALL: [Name; 3] = [Name::Postgres, Name::Kafka, Name::OpenSearch];

/// Starts, stops or shows them.
///
/// # Errors
/// One can't be started or stopped; the failure says why, and what to do about it.
pub fn run(args: &ServersArgs) -> Result<bool, Failure> {
    match &args.action {
        Action::Up { servers } => up(&chosen(servers))?,
        Action::Down { servers } => down(&chosen(servers))?,
        Action::Status { json } => status::show(*json)?,
    }
    Ok(true)
}

/// Brings up what tests need, and a Python with the clients that they run, and gives the variables that tell them where it is. A variable that is set already names
/// a server of somebody's own: none is started in its place.
///
/// # Errors
/// One can't be started.
pub fn for_tests() -> Result<Vec<(&'static str, String)>, Failure> {
    let missing: Vec<Name> = ALL.into_iter().filter(|name| env::var_os(name.variable()).is_none()).collect();
    up(&missing)?;
    let servers = missing.iter().map(|name| Ok((name.variable(), name.url(name.port()?))));
    let mut all = servers.collect::<Result<Vec<_>, Failure>>()?;
    all.extend(python::for_tests()?);
    Ok(all)
}

/// What each of them can do. Starting, waiting and stopping are the same for all.
trait Server {
    /// Its version, if that can be told.
    fn version(&self) -> Option<String>;

    /// Its process and port, if it runs.
    fn running(&self) -> Option<Running>;

    /// Whether it does on this port what tests want from it.
    fn answers(&self, port: u16) -> bool;

    /// Gets ready whatever is missing, and gives the command that then runs it.
    fn prepare(&self, port: u16) -> Result<Command, Failure>;

    /// Notes that it was just started, where it does not do so itself.
    fn started(&self, running: &Running) -> Result<(), Failure>;

    /// Asks it to end as soon as it can do so cleanly.
    fn stop(&self, process: &Process) -> Result<(), Failure>;

    /// Where its data is.
    fn data(&self) -> PathBuf;

    /// Where it writes what it has to say.
    fn log(&self) -> PathBuf;
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::OpenSearch => "opensearch",
        }
    }

    /// What tests read.
    fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "CARTWRIGHT_TEST_POSTGRES",
            Self::Kafka => "CARTWRIGHT_TEST_KAFKA",
            Self::OpenSearch => "CARTWRIGHT_TEST_SEARCH",
        }
    }

    /// Another port than the usual one.
    fn port_variable(self) -> &'static str {
        match self {
            Self::Postgres => "CARTWRIGHT_SERVERS_POSTGRES_PORT",
            Self::Kafka => "CARTWRIGHT_SERVERS_KAFKA_PORT",
            Self::OpenSearch => "CARTWRIGHT_SERVERS_OPENSEARCH_PORT",
        }
    }

    /// Below the ports that systems choose for whoever asks for any: nobody gets this one by chance while it is down.
    fn usual_port(self) -> u16 {
        match self {
            Self::Postgres => 25432,
            Self::Kafka => 29092,
            Self::OpenSearch => 29200,
        }
    }

    fn port(self) -> Result<u16, Failure> {
        let variable = self.port_variable();
        match env::var(variable) {
            Ok(text) => {
                port_in(&text).ok_or_else(|| format!("{variable} must be a port, not {text:?}").into())
            }
            Err(_) => Ok(self.usual_port()),
        }
    }

    /// All that it takes: Kafka's controller and OpenSearch's transport have the one above.
    fn ports(self, port: u16) -> RangeInclusive<u16> {
        match self {
            Self::Postgres => port..=port,
            Self::Kafka | Self::OpenSearch => port..=port.saturating_add(1),
        }
    }

    /// How tests connect to it.
    fn url(self, port: u16) -> String {
        match self {
            Self::Postgres => format!("postgres://{}@127.0.0.1:{port}/postgres", postgres::USER),
            Self::Kafka => format!("127.0.0.1:{port}"),
            Self::OpenSearch => format!("http://127.0.0.1:{port}"),
        }
    }

    fn server(self, place: &Place) -> Box<dyn Server> {
        let dir = place.of(self.text());
        match self {
            Self::Postgres => Box::new(postgres::Postgres::new(dir)),
            Self::Kafka => Box::new(kafka::Kafka::new(dir)),
            Self::OpenSearch => Box::new(opensearch::OpenSearch::new(dir)),
        }
    }
}

/// A port that leaves room for the one above it.
fn port_in(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| (1..u16::MAX).contains(port))
}

fn chosen(names: &[Name]) -> Vec<Name> {
    ALL.into_iter().filter(|name| names.is_empty() || names.contains(name)).collect()
}

fn up(names: &[Name]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let place = Place::made()?;
    let _lock = place.lock()?; // another checkout may want the same at the same time
    for &name in names {
        bring_up(name, name.server(&place).as_ref())
            .map_err(|error| format!("{} is not up: {error}", name.text()))?;
    }
    Ok(())
}

fn bring_up(name: Name, server: &dyn Server) -> Result<(), Failure> {
    let port = name.port()?;
    let began = Instant::now();
    let child = match server.running() {
        Some(running) if running.port != port => {
            let (other, text) = (running.port, name.text());
            let mend = format!("stop it with `cargo xtask servers down {text}`");
            return Err(format!("it runs on port {other}, not on {port}: {mend}").into());
        }
        Some(_) if server.answers(port) => return Ok(()),
        Some(_) => None, // somebody started it, and did not wait
        None => Some(start(name, server, port)?),
    };
    let ended = process::Ended::new(child, || server.running().is_none());
    process::wait_until(|| server.answers(port), ended, START_LIMIT, &server.log())?;
    eprintln!("{}: up on 127.0.0.1:{port} after {:.1} s", name.text(), began.elapsed().as_secs_f64());
    Ok(())
}

fn start(name: Name, server: &dyn Server, port: u16) -> Result<Child, Failure> {
    for port in name.ports(port) {
        process::port_is_free(port, name.port_variable())?;
    }
    let command = server.prepare(port)?;
    eprintln!("{}: starting", name.text());
    let child = process::start(command, &server.log())?;
    server.started(&Running { process: Process::new(child.id()), port })?;
    Ok(child)
}

fn down(names: &[Name]) -> Result<(), Failure> {
    let place = Place::made()?;
    let _lock = place.lock()?;
    for &name in names {
        let server = name.server(&place);
        let Some(running) = server.running() else { continue };
        server.stop(&running.process)?;
        // A process that ends lets go of its ports last: who starts another at once needs them.
        let variable = name.port_variable();
        let free = || name.ports(running.port).all(|port| process::port_is_free(port, variable).is_ok());
        process::wait_for_end(|| server.running().is_none() && free(), STOP_LIMIT)
            .map_err(|error| format!("{}: {error}; its log is {}", name.text(), server.log().display()))?;
        eprintln!("{}: stopped", name.text());
    }
    Ok(())
}

/// A folder that is wholly there or not at all: it is made under another name, which is a leftover if it is found.
fn whole(dir: &Path, make: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    if dir.exists() {
        return Ok(());
    }
    let partial = dir.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    make(&partial)?;
    Ok(fs::rename(&partial, dir)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_meant_where_none_is_named_and_each_only_once() {
        let names = |names: &[Name]| chosen(names).into_iter().map(Name::text).collect::<Vec<_>>();
        assert_eq!(names(&[]), ["postgres", "kafka", "opensearch"]);
        assert_eq!(names(&[Name::Kafka, Name::Kafka]), ["kafka"]);
    }

    #[test]
    fn a_port_is_a_number_with_one_above_it() {
        assert_eq!(port_in(" 25432"), Some(25432));
        assert!(["", "0", "65535", "65536", "x"].iter().all(|text| port_in(text).is_none()));
    }

    #[test]
    fn a_folder_is_made_whole_or_not_at_all_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        let broken = |partial: &Path| {
            fs::create_dir(partial)?;
            Err("broke off".into())
        };
        assert!(whole(&made, broken).is_err());
        assert!(!made.exists());
        whole(&made, |partial| Ok(fs::create_dir(partial)?)).unwrap();
        whole(&made, |_| Err("made again".into())).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
