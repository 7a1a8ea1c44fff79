//! What the tests run on, and what a system there needs and leaves behind.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::block_on;

/// What the tests run on, as `CARTWRIGHT_TEST_STACK` says: the same tests on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Files; if nobody says anything.
    Embedded,
    /// PostgreSQL, without Kafka.
    Postgres,
    /// PostgreSQL and Kafka.
    Kafka,
}

impl Stack {
    pub fn here() -> Self {
        match std::env::var("CARTWRIGHT_TEST_STACK").as_deref() {
            Err(_) | Ok("embedded") => Self::Embedded,
            Ok("postgres") => Self::Postgres,
            Ok("kafka") => Self::Kafka,
            Ok(other) => panic!("CARTWRIGHT_TEST_STACK must be embedded, postgres or kafka, not {other:?}"),
        }
    }

    /// Whether several processes may make up one system.
    pub fn is_shared(self) -> bool {
        self != Self::Embedded
    }

    /// The settings for a system whose files are in this directory.
    pub fn settings(self, dir: &Path) -> Vec<(&'static str, String)> {
        match self {
            Self::Embedded => vec![],
            Self::Postgres => vec![("database.url", database()), ("database.schema", schema(dir))],
            Self::Kafka => vec![
                ("database.url", database()),
                ("database.schema", schema(dir)),
                ("kafka.brokers", brokers()),
                ("kafka.topic_prefix", schema(dir)),
                ("kafka.group", schema(dir)),
                ("kafka.session_timeout_ms", "6000".to_owned()),
                ("kafka.partitions", "2".to_owned()),
                // They would be made for each test; the faults try them.
                ("dialects.order_tracking.topics", "false".to_owned()),
                ("dialects.order_processing.topics", "false".to_owned()),
                ("dialects.order_fulfilment.topics", "false".to_owned()),
                ("dialects.cart_dotnet.topics", "false".to_owned()),
                ("dialects.cart_fastapi.topics", "false".to_owned()),
            ],
        }
    }

    /// The same for a program of its own, by its environment.
    pub fn environment(self, dir: &Path) -> Vec<(String, String)> {
        self.settings(dir).into_iter().map(|(key, value)| (variable(key), value)).collect()
    }

    /// Takes away what a system made outside of its directory.
    fn clear(self, dir: &Path) {
        match self {
            Self::Embedded => {}
            Self::Postgres => clear_schemas(&schema(dir)),
            Self::Kafka => {
                clear_schemas(&schema(dir));
                clear_topics(&schema(dir));
            }
        }
    }
}

/// The variable of a setting.
pub fn variable(setting: &str) -> String {
    format!("CARTWRIGHT__{}", setting.replace('.', "__").to_uppercase())
}

/// The program, as `cargo xtask test` has built it, or as cargo has built it for these tests.
pub fn program() -> OsString {
    std::env::var_os("CARTWRIGHT_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_cartwright").into())
}

/// A directory of a test's own, and whatever a system that starts there makes elsewhere. Nothing of it stays.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        Stack::here().clear(self.0.path());
    }
}

/// The database server of the tests. One that is not there is a failure.
pub fn database() -> String {
    std::env::var("CARTWRIGHT_TEST_POSTGRES").expect(
        "CARTWRIGHT_TEST_POSTGRES names no server: `cargo xtask servers up` starts one, `cargo xtask test` does so itself",
    )
}

/// The broker of the tests. One that is not there is a failure.
fn brokers() -> String {
    std::env::var("CARTWRIGHT_TEST_KAFKA").expect(
        "CARTWRIGHT_TEST_KAFKA names no broker: `cargo xtask servers up` starts one, `cargo xtask test` does so itself",
    )
}

/// Schemas of its own for each directory, so that a system finds its own again.
pub fn schema(dir: &Path) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = dir.display().to_string().chars().map(plain).collect();
    format!("t{}_{}", std::process::id(), &name[name.len().saturating_sub(24)..])
}

/// A connection that knows nothing of us.
pub async fn plain_client() -> Client {
    let (client, connection) =
        tokio_postgres::connect(&database(), NoTls).await.expect("the server of the tests");
    tokio::spawn(connection);
    client
}

/// From a thread of its own: a test's runtime may be at its end. A system may still run on them, and does not mind.
fn clear_schemas(schema: &str) {
    let drop = format!(
        "SET client_min_messages TO warning; SET lock_timeout TO '10s';
         DROP SCHEMA IF EXISTS \"{schema}_orders\", \"{schema}_payments\", \"{schema}_fulfillment\" CASCADE"
    );
    let cleared =
        std::thread::spawn(move || block_on(async { plain_client().await.batch_execute(&drop).await }));
    // A test that has failed must be able to say so.
    if let Ok(Err(error)) = cleared.join() {
        eprintln!("the schemas {schema}_* stay in the database: {error}");
    }
}

fn clear_topics(prefix: &str) {
    let topics = ["orders", "payments", "fulfillment"].map(|topic| format!("{prefix}.{topic}.v1"));
    let cleared = std::thread::spawn(move || {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
        let names = topics.each_ref().map(String::as_str);
        block_on(admin.delete_topics(&names, &AdminOptions::new())).map(drop)
    });
    if let Ok(Err(error)) = cleared.join() {
        eprintln!("topics stay in the broker: {error}");
    }
}
