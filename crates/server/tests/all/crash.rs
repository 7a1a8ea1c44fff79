//! The real binary under load, killed with SIGKILL again and again: `verify` judges whether anything was lost or
//! done twice. Everything goes wrong outside at the same time: calls fail, and time-outs hide calls that succeeded.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::harness::{Home, Stack, program};

/// How often it is killed.
const KILLS: u32 = 20;
/// Orders of one load run; there are as many runs as the kills need.
const ORDERS: u32 = 1_500;

#[test]
fn twenty_kills_lose_nothing_and_do_nothing_twice() {
    let system = System { home: Home::new(), port: free_port() };
    let mut server = system.up();
    let mut dice = Dice(u64::from(std::process::id()) | 1);
    let mut answered = Vec::new();
    let mut load = system.load(&mut answered);
    for kill in 1..=KILLS {
        // The moment is random; nothing waits for it to pass but the kill itself.
        std::thread::sleep(Duration::from_millis(60 + dice.next() % 500));
        server.kill().unwrap();
        server.wait().unwrap();
        server = system.up();
        if let Some(status) = load.try_wait().unwrap() {
            assert!(status.success(), "load failed before kill {kill}: {status}");
            load = system.load(&mut answered);
        }
    }
    let status = load.wait().unwrap();
    assert!(status.success(), "load failed: {status}");
    let verdict = system.verify(&answered);
    server.kill().unwrap();
    server.wait().unwrap();
    verdict.unwrap();
}

struct System {
    home: Home,
    port: u16,
}

impl System {
    /// Starts the server and waits until it is ready.
    fn up(&self) -> Child {
        let mut command = self.cartwright(&["up", "--listen", &format!("127.0.0.1:{}", self.port), "--data"]);
        command.arg(self.home.join("data")).stdout(Stdio::null()).stderr(self.log("server.log"));
        command.envs(Stack::here().environment(self.home.path()));
        for (setting, value) in [
            ("LOG__FILTER", "warn"),
            ("SWEEPER__AFTER_SECONDS", "5"),
            ("PROVIDERS__RETRY__QUICK_WAIT_MS", "20"),
            ("PROVIDERS__RETRY__LONG_WAIT_MS", "100"),
            ("PROVIDERS__RETRY__MAX_WAIT_MS", "500"),
        ] {
            command.env(format!("CARTWRIGHT__{setting}"), value);
        }
        for provider in ["PAYMENTS", "CARRIER"] {
            for (setting, value) in [
                ("LATENCY_MIN_MS", "0"),
                ("LATENCY_MAX_MS", "30"),
                ("FAILURE_RATE", "0.05"),
                ("DECLINE_RATE", "0.05"),
                ("TIMEOUT_RATE", "0.05"),
            ] {
                command.env(format!("CARTWRIGHT__SIMULATED__{provider}__{setting}"), value);
            }
        }
        let mut server = command.spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                server.try_wait().unwrap().is_none(),
                "the server did not start:\n{}",
                self.read("server.log")
            );
            assert!(Instant::now() < limit, "the server does not answer:\n{}", self.read("server.log"));
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    fn load(&self, answered: &mut Vec<PathBuf>) -> Child {
        let file = self.home.join(&format!("answered-{}", answered.len()));
        answered.push(file.clone());
        let mut command = self.cartwright(&["load", "--connections", "16", "--rate", "250", "--json"]);
        command.args(["--orders", &ORDERS.to_string()]).args(["--server", &self.url()]);
        command.arg("--answered").arg(file);
        command.stdout(Stdio::null()).stderr(self.log("load.log")).spawn().unwrap()
    }

    fn verify(&self, answered: &[PathBuf]) -> Result<(), String> {
        let mut command = self.cartwright(&["verify", "--wait", "--timeout", "120", "--server", &self.url()]);
        command.arg("--data").arg(self.home.join("data"));
        for file in answered {
            command.arg("--answered").arg(file);
        }
        let output = command.output().unwrap();
        let report =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        println!("{report}");
        if output.status.success() { Ok(()) } else { Err(format!("verify says no:\n{report}")) }
    }

    fn cartwright(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(args)
            .env("CARTWRIGHT__DIALECTS__PORTS", "false")
            .env("CARTWRIGHT__SEARCH__LISTEN", "")
            .current_dir(self.home.path());
        command
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn log(&self, name: &str) -> Stdio {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.home.join(name));
        Stdio::from(file.unwrap())
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.join(name)).unwrap_or_default()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A little chance (xorshift64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
