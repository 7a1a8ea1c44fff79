//! PostgreSQL and Kafka of these tests, which may be stopped.

use std::{
    env,
    path::PathBuf,
    process::Command,
    sync::{Mutex, OnceLock},
};

const POSTGRES_PORT: &str = "25433";
const KAFKA_PORT: &str = "29192";

/// One of the servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Postgres,
    Kafka,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
        }
    }

    /// Starts it and waits until it answers.
    pub fn start(self) {
        xtask(&["servers", "up", self.name()]);
    }

    /// Has it end in peace.
    pub fn stop(self) {
        xtask(&["servers", "down", self.name()]);
    }

    /// Has it end at once.
    pub fn kill(self) {
        let status = xtask(&["servers", "status", "--json"]);
        let servers: serde_json::Value = serde_json::from_str(&status).unwrap();
        let found = servers.as_array().unwrap().iter().find(|server| server["server"] == self.name());
        let pid = found.unwrap()["pid"].as_u64().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    }
}

/// Both are up from now on.
pub fn up() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        xtask(&["servers", "up", Server::Postgres.name(), Server::Kafka.name()]);
    });
}

/// Where the database is.
pub fn database() -> String {
    format!("postgres://postgres@127.0.0.1:{POSTGRES_PORT}/postgres")
}

/// Where the broker is.
pub fn broker() -> String {
    format!("127.0.0.1:{KAFKA_PORT}")
}

/// Where Kafka's own programs are.
pub fn kafka_libs() -> PathBuf {
    home().join("kafka/libs-4.1.0")
}

fn home() -> PathBuf {
    env::var_os("CARTWRIGHT_SERVERS")
        .map_or_else(|| PathBuf::from("/var/tmp/cartwright-servers"), PathBuf::from)
        .join("faults")
}

fn xtask(args: &[&str]) -> String {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--profile", "ci", "--package", "xtask", "--"])
        .args(args)
        .env("CARTWRIGHT_SERVERS", home())
        .env("CARTWRIGHT_SERVERS_POSTGRES_PORT", POSTGRES_PORT)
        .env("CARTWRIGHT_SERVERS_KAFKA_PORT", KAFKA_PORT)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "xtask {args:?}: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
