//! The README's first minute, typed as it stands there: every command must say what the page says that it says.
//!
//! `cartwright up` runs in a terminal of its own, everything else in one shell. What differs from run to run (ids,
//! times, tracking numbers) is put aside on both sides; what an interactive shell says about its jobs, too.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use cartwright_server::providers::simulated::CARRIERS;

use crate::harness::{self, Home, Stack};

/// The page, and the part of it that is typed.
const PAGE: &str = include_str!("../../../../README.md");
const PART: &str = "## The first minute\n";

/// Nothing on the page takes this long.
const LIMIT: Duration = Duration::from_secs(300);

/// What the shell prints after each command.
const DONE: &str = "<this command has ended>";

#[test]
fn the_first_minute_is_as_the_page_says() {
    let steps = steps();
    assert!(steps.len() >= 10, "the page has too few commands: {steps:?}");
    let mut desk = Desk::new();
    for Step { command, shown } in &steps {
        let said =
            if command == "cartwright up" { desk.up(shown.len()) } else { desk.shell(&typed(command)) };
        let (shown, said) = (put_aside(shown, desk.port), put_aside(&said, desk.port));
        assert_eq!(said, shown, "`{command}` says otherwise; stderr so far:\n{}", desk.stderr());
    }
}

/// As it is typed here. On files, a process that starts has the tasks of the one that was killed to itself; where there may
/// be others, it waits for the end of their leases, which takes up to a minute.
fn typed(command: &str) -> String {
    let waits = Stack::here().is_shared() && command == "cartwright verify --wait";
    if waits { format!("{command} --timeout 180") } else { command.to_owned() }
}

/// A command, and the lines below it.
#[derive(Debug)]
struct Step {
    command: String,
    shown: Vec<String>,
}

fn steps() -> Vec<Step> {
    let (_, part) = PAGE.split_once(PART).expect("the README has its story");
    let part = part.split("\n## ").next().unwrap_or_default();
    let mut steps: Vec<Step> = Vec::new();
    let mut typed = false;
    for line in part.lines() {
        match line {
            "```console" => typed = true,
            "```" => typed = false,
            _ if !typed => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), shown: Vec::new() }),
                // The old systems' ports may be taken.
                None if line.starts_with("  Dialects ") || line.starts_with("  Search ") => {}
                None => steps.last_mut().expect("output follows a command").shown.push(line.to_owned()),
            },
        }
    }
    steps
}

/// Where somebody tries the page.
struct Desk {
    home: Home,
    port: u16,
    shell: Child,
    typed: ChildStdin,
    printed: Receiver<String>,
    server: Option<(Child, Receiver<String>)>,
}

impl Desk {
    fn new() -> Self {
        let home = Home::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut shell = command("sh", home.path(), port).stdin(Stdio::piped()).spawn().unwrap();
        let typed = shell.stdin.take().unwrap();
        let printed = lines(shell.stdout.take().unwrap());
        Self { home, port, shell, typed, printed, server: None }
    }

    /// Starts the server and takes what it prints first.
    fn up(&mut self, lines_shown: usize) -> Vec<String> {
        if let Some((server, _)) = &mut self.server {
            server.wait().unwrap(); // the page has killed it
        }
        let mut server = command("cartwright", self.home.path(), self.port).arg("up").spawn().unwrap();
        let printed = lines(server.stdout.take().unwrap());
        let said = (0..lines_shown).map_while(|_| printed.recv_timeout(LIMIT).ok()).collect();
        self.server = Some((server, printed));
        said
    }

    fn shell(&mut self, command: &str) -> Vec<String> {
        if command.starts_with("cartwright orders explain ") {
            self.settle(command);
        }
        // Who has the data directory to himself is written there; elsewhere we must know whom we mean.
        let server = self.server.as_ref().map_or(0, |(server, _)| server.id());
        let command = match Stack::here().is_shared() {
            true => command.replace("$(cat cartwright-data/LOCK)", &server.to_string()),
            false => command.to_owned(),
        };
        writeln!(self.typed, "{command}\necho '{DONE}'").unwrap();
        let mut said = Vec::new();
        loop {
            let line = self.printed.recv_timeout(LIMIT);
            match line {
                Ok(line) if line == DONE => return said,
                Ok(line) => said.push(line),
                Err(_) => panic!("`{command}` does not end: {said:?}\n{}", self.stderr()),
            }
        }
    }

    /// People take longer than programs do: until the order has heard of its trouble, and waits for a while.
    fn settle(&self, explain: &str) {
        let limit = Instant::now() + LIMIT;
        let number = explain.split_whitespace().last().unwrap_or_default();
        loop {
            let mut command = command("cartwright", self.home.path(), self.port);
            let shown = command.args(["orders", "explain", number, "--json"]).output().unwrap();
            let order: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
            let next_try =
                order["waitingFor"]["nextTryAt"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
            let far = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
            if order["waitingFor"]["said"].is_string() && next_try.is_some_and(|at| at > far) {
                return;
            }
            assert!(Instant::now() < limit, "order {number} has no trouble: {order}\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for child in self.server.iter_mut().map(|(server, _)| server).chain([&mut self.shell]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program on this desk: the page's port is taken by whoever runs it, so another one stands in for it.
fn command(program: &str, home: &Path, port: u16) -> Command {
    let binary = harness::program();
    let dir = Path::new(&binary).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([dir].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let stderr = std::fs::OpenOptions::new().create(true).append(true).open(home.join("stderr")).unwrap();
    let program = if program == "cartwright" { binary } else { program.into() };
    let mut command = Command::new(program);
    command.current_dir(home).env("PATH", path);
    command
        .envs(Stack::here().environment(home))
        .env("CARTWRIGHT__HTTP__LISTEN", format!("127.0.0.1:{port}"))
        .env("CARTWRIGHT__DIALECTS__PORTS", "false") // others run, too
        .env("CARTWRIGHT__SEARCH__LISTEN", "");
    command.env("CARTWRIGHT_SERVER", format!("http://127.0.0.1:{port}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    command
}

/// Reads in a thread, so that whoever waits for a line can give up.
fn lines(from: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// One line per line, each without what differs from run to run.
fn put_aside(lines: &[String], port: u16) -> String {
    let here = format!("127.0.0.1:{port}");
    let mut text = String::new();
    for line in lines.iter().filter(|line| !is_of_the_shell(line) && !is_a_share(line)) {
        // Only another port than usual has to be named.
        let line = line.replace(&format!(" --server http://{here}"), "").replace(&here, "127.0.0.1:8080");
        if Stack::here().is_shared() && line.trim_start().starts_with("Data ") {
            text.push_str("Data ./cartwright-data\n"); // the page is about files
            continue;
        }
        let measured = MEASURED.iter().any(|label| line.trim_start().starts_with(label));
        let mut words: Vec<&str> = line.split_whitespace().map(|word| usual(word, measured)).collect();
        for at in 1..words.len() {
            if words[at - 1] == "+N" && words[at] == "s" {
                words[at] = "ms";
            }
        }
        let _ = writeln!(text, "{}", words.join(" "));
    }
    text.trim_end().to_owned()
}

/// `[1] 4711`, and later `[1]+ Done …`.
fn is_of_the_shell(line: &str) -> bool {
    line.strip_prefix('[').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// How many of the waiting orders `verify` found at which step.
fn is_a_share(line: &str) -> bool {
    ["   pay ", "   schedule ", "   ship "].iter().any(|step| line.starts_with(step))
}

/// Rows that have another figure each time.
const MEASURED: [&str; 8] = [
    "seconds",
    "orders per second",
    "repeated attempts",
    "answered within",
    "p90",
    "p99",
    "max",
    "tries without an outcome",
];

/// What stands for a word that another run would have otherwise.
fn usual(word: &str, measured: bool) -> &str {
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(':');
    if uuid::Uuid::parse_str(word.trim_end_matches([',', ';', ':'])).is_ok() {
        "ID"
    } else if word.parse::<jiff::Timestamp>().is_ok() {
        "TIME"
    } else if word.starts_with("TRACK-") {
        "TRACK"
    } else if CARRIERS.contains(&word) {
        "CARRIER"
    } else if word.strip_prefix('+').is_some_and(is_number) {
        "+N"
    } else if measured && is_number(word) {
        "N"
    } else {
        word
    }
}
