//! A system of many processes, and what may be done to them.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::servers;

/// What must come true within it.
const LIMIT: Duration = Duration::from_secs(120);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the services talk through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// The journals in the database.
    Journals,
    Kafka,
}

/// Processes of one system, by name. All are killed when this goes.
pub struct Cluster {
    bus: Bus,
    home: TempDir,
    /// Names its schemas, topics and groups.
    name: String,
    settings: Vec<(String, String)>,
    processes: BTreeMap<String, Process>,
    loads: Vec<PathBuf>,
    runtime: Runtime,
    client: reqwest::Client,
}

struct Process {
    child: Child,
    roles: String,
    port: u16,
}

impl Cluster {
    /// No process runs yet. The servers do.
    pub fn new(bus: Bus) -> Self {
        servers::up();
        Self::without_servers(bus)
    }

    /// The same, whether the servers run or not.
    pub fn without_servers(bus: Bus) -> Self {
        let name = format!("f{}", Uuid::now_v7().simple());
        let home = tempfile::tempdir().unwrap();
        Self {
            bus,
            home,
            name,
            settings: vec![],
            processes: BTreeMap::new(),
            loads: vec![],
            runtime: Runtime::new().unwrap(),
            client: reqwest::Client::new(),
        }
    }

    /// A setting of all processes that start from now on.
    pub fn set(&mut self, setting: &str, value: &str) {
        self.settings.push((setting.to_owned(), value.to_owned()));
    }

    /// One process for each role, named as the role.
    pub fn start_all(&mut self) {
        let relay = (self.bus == Bus::Kafka).then_some("relay");
        for role in ["orders", "payments", "fulfillment"].into_iter().chain(relay) {
            self.spawn(role, role);
        }
        self.wait_until_ready();
    }

    /// Starts a process with these roles; does not wait for it.
    pub fn spawn(&mut self, name: &str, roles: &str) {
        let port = self.processes.get(name).map_or_else(free_port, |process| process.port);
        let listen = format!("127.0.0.1:{port}");
        let mut command = self.cartwright(&["serve", "--role", roles, "--listen", &listen, "--data"]);
        command.arg(self.home.path().join("data"));
        let log = OpenOptions::new().create(true).append(true).open(self.log(name)).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        for (setting, value) in self.all_settings() {
            command.env(format!("CARTWRIGHT__{}", setting.to_uppercase().replace('.', "__")), value);
        }
        let child = command.spawn().unwrap();
        self.processes.insert(name.to_owned(), Process { child, roles: roles.to_owned(), port });
    }

    fn all_settings(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = [
            ("database.url", servers::database()),
            ("database.schema", self.name.clone()),
            ("sweeper.after_seconds", "5".to_owned()),
            ("dialects.ports", "false".to_owned()),
            ("search.listen", String::new()),
            ("dialects.topic_prefix", format!("{}.", self.name)),
            ("providers.retry.quick_wait_ms", "20".to_owned()),
            ("providers.retry.long_wait_ms", "100".to_owned()),
            ("providers.retry.max_wait_ms", "500".to_owned()),
        ]
        .map(|(setting, value)| (setting.to_owned(), value))
        .into();
        for provider in ["payments", "carrier"] {
            for (setting, value) in [
                ("latency_min_ms", "0"),
                ("latency_max_ms", "30"),
                ("failure_rate", "0.05"),
                ("timeout_rate", "0.02"),
            ] {
                all.push((format!("simulated.{provider}.{setting}"), value.to_owned()));
            }
        }
        if self.bus == Bus::Kafka {
            for (setting, value) in [
                ("brokers", servers::broker()),
                ("topic_prefix", self.name.clone()),
                ("group", self.name.clone()),
                ("session_timeout_ms", "6000".to_owned()),
                ("partitions", "4".to_owned()),
            ] {
                all.push((format!("kafka.{setting}"), value));
            }
        }
        all.extend(self.settings.iter().cloned());
        all
    }

    /// Waits until every process says that it is ready.
    pub fn wait_until_ready(&mut self) {
        let names: Vec<String> = self.processes.keys().cloned().collect();
        for name in names {
            self.until(&format!("{name} is ready"), |cluster| {
                cluster.is_alive(&name);
                cluster.get(&name, "/health/ready").is_some_and(|(status, _)| status == 200)
            });
        }
    }

    /// Fails when a process has ended by itself.
    fn is_alive(&mut self, name: &str) {
        let ended = self.processes.get_mut(name).unwrap().child.try_wait().unwrap();
        assert!(ended.is_none(), "{name} has ended ({ended:?}):\n{}", self.log_of(name));
    }

    /// Has a process end at once, or freezes it, or wakes it: `KILL`, `STOP`, `CONT`, `TERM`.
    pub fn signal(&mut self, name: &str, signal: &str) {
        let process = self.processes.get_mut(name).unwrap();
        let pid = process.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
        if ["KILL", "TERM"].contains(&signal) {
            process.child.wait().unwrap();
        }
    }

    /// Starts a process again that has ended.
    pub fn restart(&mut self, name: &str) {
        let roles = self.processes[name].roles.clone();
        self.spawn(name, &roles);
    }

    /// Asks a process over HTTP: status and body. `None`: it does not answer.
    pub fn get(&self, name: &str, path: &str) -> Option<(u16, String)> {
        self.ask(name, "GET", path, "")
    }

    /// Asks a process over HTTP: status and body. `None`: it does not answer.
    pub fn ask(&self, name: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{}{path}", self.processes[name].port);
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, url).timeout(PATIENCE);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        self.runtime.block_on(async {
            let answer = request.send().await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        })
    }

    /// The JSON of a good answer.
    pub fn json(&self, name: &str, path: &str) -> Value {
        let (status, body) = self.get(name, path).unwrap_or_else(|| panic!("{name} does not answer {path}"));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until something holds.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let until = Instant::now() + LIMIT;
        while !holds(self) {
            if Instant::now() >= until {
                let names: Vec<&String> = self.processes.keys().collect();
                let logs: String =
                    names.iter().map(|name| format!("--- {name}\n{}", self.log_of(name))).collect();
                panic!("after {LIMIT:?} it does not hold that {what}\n{logs}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Orders that come at a rate, until all are answered, however often that must be tried.
    pub fn load(&mut self, orders: u32, rate: u32) -> Load {
        let file = self.home.path().join(format!("answered-{}", self.loads.len()));
        self.loads.push(file.clone());
        let mut command = self.cartwright(&["load", "--connections", "16", "--json"]);
        command.args(["--rate", &rate.to_string(), "--orders", &orders.to_string(), "--give-up", "120"]);
        command.args(["--server", &self.url("orders")]).arg("--answered").arg(&file);
        let log = OpenOptions::new().create(true).append(true).open(self.log("load")).unwrap();
        Load { child: command.stdout(Stdio::null()).stderr(log).spawn().unwrap(), answered: file }
    }

    /// Waits until everything is final, and has it judged. Nothing may be lost, or done twice.
    pub fn verify(&mut self) {
        self.wait_until_ready();
        let url = self.url("orders");
        let mut command = self.cartwright(&["verify", "--wait", "--timeout", "180", "--server", &url]);
        command.arg("--data").arg(self.home.path().join("data"));
        for file in &self.loads {
            command.arg("--answered").arg(file);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        println!("{said}");
        if !output.status.success() {
            let logs: Vec<String> =
                self.processes.keys().map(|name| format!("--- {name}\n{}", self.log_of(name))).collect();
            panic!("verify says no:\n{said}\n{}", logs.join("\n"));
        }
    }

    /// The whole name of a topic.
    pub fn topic(&self, short: &str) -> String {
        format!("{}.{short}.v1", self.name)
    }

    /// What the names of schemas, topics and groups begin with.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}", self.processes[name].port)
    }

    fn cartwright(&self, args: &[&str]) -> Command {
        let binary =
            std::env::var_os("CARTWRIGHT_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_cartwright").into());
        let mut command = Command::new(binary);
        command.args(args).current_dir(self.home.path());
        command
    }

    fn log(&self, name: &str) -> PathBuf {
        self.home.path().join(format!("{name}.log"))
    }

    /// The end of what a process has said.
    pub fn log_of(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n") + "\n"
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            let _ = process.child.kill(); // also one that is frozen
            let _ = process.child.wait();
        }
    }
}

/// Orders on their way in.
pub struct Load {
    child: Child,
    answered: PathBuf,
}

impl Load {
    /// How many orders were answered so far.
    pub fn answered(&self) -> usize {
        std::fs::read_to_string(&self.answered).unwrap_or_default().lines().count()
    }

    /// Waits until so many more orders are answered, or all.
    pub fn wait_for_more(&mut self, orders: usize) {
        let (enough, until) = (self.answered() + orders, Instant::now() + LIMIT);
        while self.answered() < enough && self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "after {LIMIT:?} only {} orders are answered", self.answered());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until all are answered.
    pub fn finish(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "load failed: {status}");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
