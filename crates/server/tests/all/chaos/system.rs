//! The real binary as a test has it: started, killed and started again on what it left behind, under load, and judged.

use std::{
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::harness::{Home, Setting, Stack, program, variable};

/// Orders of one load run; there are as many runs as are needed.
const ORDERS: u32 = 1_500;

/// Everything is quick, and much goes wrong.
const SETTINGS: &[Setting] = &[
    ("log.filter", "warn"),
    ("sweeper.after_seconds", "5"),
    ("providers.retry.quick_wait_ms", "20"),
    ("providers.retry.long_wait_ms", "100"),
    ("providers.retry.max_wait_ms", "500"),
    ("simulated.payments.latency_min_ms", "0"),
    ("simulated.payments.latency_max_ms", "30"),
    ("simulated.payments.failure_rate", "0.05"),
    ("simulated.payments.decline_rate", "0.05"),
    ("simulated.payments.timeout_rate", "0.05"),
    ("simulated.carrier.latency_min_ms", "0"),
    ("simulated.carrier.latency_max_ms", "30"),
    ("simulated.carrier.failure_rate", "0.05"),
    ("simulated.carrier.decline_rate", "0.05"),
    ("simulated.carrier.timeout_rate", "0.05"),
];

/// A system in one process, and how it is loaded.
pub struct System {
    home: Home,
    port: u16,
    rate: u32,
    settings: Vec<Setting>,
    loads: Vec<PathBuf>,
    load: Option<Child>,
}

impl System {
    /// One that does not run yet; it will get so many orders a second.
    pub fn new(rate: u32) -> Self {
        Self::with(rate, &[])
    }

    /// The same, with other settings.
    pub fn with(rate: u32, settings: &[Setting]) -> Self {
        let (home, port) = (Home::new(), free_port());
        Self { home, port, rate, settings: settings.to_vec(), loads: vec![], load: None }
    }

    /// Starts it and waits until it answers.
    pub fn up(&self) -> Server {
        self.up_with(&[])
    }

    /// The same, with more in its environment.
    pub fn up_with(&self, environment: &[(&str, &str)]) -> Server {
        let mut server = self.spawn(environment);
        let limit = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(server.ended().is_none(), "it did not start:\n{}", self.log_of("server.log"));
            assert!(Instant::now() < limit, "it does not answer:\n{}", self.log_of("server.log"));
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Starts it; it may end before it answers.
    pub fn spawn(&self, environment: &[(&str, &str)]) -> Server {
        let mut command = self.cartwright(&["up", "--listen", &format!("127.0.0.1:{}", self.port), "--data"]);
        command.arg(self.home.join("data")).stdout(Stdio::null()).stderr(self.log("server.log"));
        command.envs(Stack::here().environment(self.home.path())).envs(environment.iter().copied());
        for (setting, value) in SETTINGS.iter().chain(&self.settings) {
            command.env(variable(setting), value);
        }
        Server(command.spawn().unwrap())
    }

    /// Sees to it that orders come in.
    pub fn keep_loaded(&mut self) {
        if let Some(load) = &mut self.load {
            let Some(status) = load.try_wait().unwrap() else { return };
            self.load_ended(status);
            self.load = None;
        }
        if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            self.load = Some(self.start_load());
        }
    }

    /// Waits until so many more orders are answered.
    pub fn wait_for_more(&mut self, orders: usize) {
        let (enough, limit) = (self.answered() + orders, Instant::now() + Duration::from_secs(120));
        while self.answered() < enough {
            assert!(
                Instant::now() < limit,
                "no orders are answered any more:\n{}",
                self.log_of("server.log")
            );
            self.keep_loaded();
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn answered(&self) -> usize {
        let lines = |file| std::fs::read_to_string(file).unwrap_or_default().lines().count();
        self.loads.iter().map(lines).sum()
    }

    /// Waits until all orders under way are answered, and everything is final, and has it judged. Then the server is ended.
    pub fn judge(mut self, mut server: Server, also: &[&str]) {
        if let Some(mut load) = self.load.take() {
            let status = load.wait().unwrap();
            self.load_ended(status);
        }
        self.verify(also).unwrap();
        server.end();
    }

    /// One that meets no server at its beginning has not begun, and has no file. Any other must have gone well.
    fn load_ended(&self, status: ExitStatus) {
        let begun = self.loads.last().is_some_and(|file| file.exists());
        assert!(status.success() || !begun, "load failed: {status}\n{}", self.log_of("load.log"));
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A file of this test's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// What it has said.
    pub fn log_of(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.join(name)).unwrap_or_default()
    }

    fn start_load(&mut self) -> Child {
        let file = self.home.join(&format!("answered-{}", self.loads.len()));
        self.loads.push(file.clone());
        let mut command = self.cartwright(&["load", "--connections", "16", "--json"]);
        command.args(["--rate", &self.rate.to_string()]).args(["--orders", &ORDERS.to_string()]);
        command.args(["--server", &self.url()]).arg("--answered").arg(file);
        command.stdout(Stdio::null()).stderr(self.log("load.log")).spawn().unwrap()
    }

    fn verify(&self, also: &[&str]) -> Result<(), String> {
        let mut command = self.cartwright(&["verify", "--wait", "--timeout", "120", "--server", &self.url()]);
        command.args(also).arg("--data").arg(self.home.join("data"));
        // A load that met no server has not begun, and has no file.
        for file in self.loads.iter().filter(|file| file.exists()) {
            command.arg("--answered").arg(file);
        }
        let output = command.output().unwrap();
        let report =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        println!("{report}");
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("verify says no:\n{report}\n{}", self.log_of("server.log")))
        }
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

    fn log(&self, name: &str) -> Stdio {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.home.join(name));
        Stdio::from(file.unwrap())
    }
}

/// Its process, which ends with its test.
pub struct Server(Child);

impl Server {
    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Ends it at once.
    pub fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(load) = &mut self.load {
            let _ = load.kill();
            let _ = load.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A little chance (xorshift64).
pub struct Dice(u64);

impl Dice {
    /// Of this process.
    pub fn thrown_here() -> Self {
        Self(u64::from(std::process::id()) | 1)
    }

    /// The next throw.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
