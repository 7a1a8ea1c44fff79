//! Apache Kafka from its published packages: one node that is broker and controller.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::process::Signal;
use uuid::Uuid;

use super::{
    Server,
    java::Java,
    process::{self, Process, Running},
    whole,
};
use crate::Failure;

/// Also in the list of packages; a test compares them.
const VERSION: &str = "4.1.0";

/// The list of packages, from the workspace's directory.
const PACKAGES: &str = "xtask/servers/kafka/pom.xml";

/// How long a server on this machine may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than this is no answer to our question.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Warnings and worse, to the standard output, which is a file.
const LOGGING: &str = "\
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c)%n
";

/// Kafka in this folder.
pub struct Kafka {
    java: Java,
}

impl Kafka {
    /// In this folder, whether it is there or not.
    pub fn new(dir: PathBuf) -> Self {
        Self { java: Java { name: "kafka", dir, version: VERSION, packages: PACKAGES, size: "60 MB" } }
    }

    fn settings(&self) -> PathBuf {
        self.java.dir.join("server.properties")
    }

    fn logging(&self) -> PathBuf {
        self.java.dir.join("log4j2.properties")
    }

    /// Gives the folder of data its identity, without which Kafka does not use it.
    fn format(&self, data: &Path, port: u16) -> Result<(), Failure> {
        let for_this = self.java.dir.join("format.properties");
        fs::write(&for_this, settings(port, data))?;
        let id = URL_SAFE_NO_PAD.encode(Uuid::now_v7().as_bytes());
        let mut command = self.command("kafka.tools.StorageTool")?;
        process::run(command.args(["format", "-t", &id, "-c"]).arg(&for_this))?;
        Ok(fs::remove_file(for_this)?)
    }

    fn command(&self, class: &str) -> Result<Command, Failure> {
        let mut logging = std::ffi::OsString::from("-Dlog4j2.configurationFile=");
        logging.push(self.logging());
        let mut command = self.java.command()?;
        command.arg(logging).arg(class);
        Ok(command)
    }
}

impl Server for Kafka {
    fn version(&self) -> Option<String> {
        Some(VERSION.to_owned())
    }

    fn running(&self) -> Option<Running> {
        self.java.running(&self.settings())
    }

    fn answers(&self, port: u16) -> bool {
        brokers(port).is_ok_and(|brokers| brokers == Some(1))
    }

    fn prepare(&self, port: u16) -> Result<Command, Failure> {
        let mut command = self.command("kafka.Kafka")?; // before the long download
        fs::create_dir_all(&self.java.dir)?;
        self.java.download()?;
        fs::write(self.logging(), LOGGING)?;
        whole(&self.data(), |data| self.format(data, port))?;
        fs::write(self.settings(), settings(port, &self.data()))?;
        command.arg(self.settings());
        Ok(command)
    }

    fn started(&self, running: &Running) -> Result<(), Failure> {
        self.java.started(running)
    }

    fn stop(&self, process: &Process) -> Result<(), Failure> {
        process.send(Signal::TERM)
    }

    fn data(&self) -> PathBuf {
        self.java.dir.join("data")
    }

    fn log(&self) -> PathBuf {
        self.java.dir.join("server.log")
    }
}

/// All settings; what is not here is as Kafka has it. The controller's port is the one above.
fn settings(port: u16, data: &Path) -> String {
    let controller = u32::from(port) + 1;
    let data = data.display();
    format!(
        "# Written by `cargo xtask servers up` at every start.\n\
         process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         log.dirs={data}\n\
         # There is one node. Fewer partitions of its own topics make it start faster.\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         share.coordinator.state.topic.num.partitions=4\n\
         # A test does not wait for consumers that might come, nor long for one that has died.\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n\
         # A topic that nobody made is a mistake; one that a test made goes with it.\n\
         auto.create.topics.enable=false\n\
         delete.topic.enable=true\n"
    )
}

/// How many brokers take part, by what the one on this port says; a broker that is still getting ready counts for none.
fn brokers(port: u16) -> std::io::Result<Option<u32>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&QUESTION)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    let mut answer = vec![0; length.min(LONGEST_ANSWER)];
    stream.read_exact(&mut answer)?;
    Ok(brokers_in(&answer))
}

/// Metadata, version 1, of no topics: length, kind, version, a number that comes back, no name, none of the topics.
const QUESTION: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, NUMBER, 0xff, 0xff, 0, 0, 0, 0];

const NUMBER: u8 = 7;

/// The answer begins with that number, then the brokers are counted and listed.
fn brokers_in(answer: &[u8]) -> Option<u32> {
    let (number, rest) = answer.split_first_chunk::<4>()?;
    let count = u32::from_be_bytes(*rest.first_chunk::<4>()?);
    (*number == [0, 0, 0, NUMBER]).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::root;

    #[test]
    fn the_list_of_packages_has_this_version() {
        let packages = fs::read_to_string(root().join(PACKAGES)).unwrap();
        assert!(packages.contains(&format!("<kafka.version>{VERSION}</kafka.version>")));
    }

    #[test]
    fn settings_keep_to_this_machine_and_to_one_node() {
        let settings = settings(29092, Path::new("/s/kafka/data"));
        for line in [
            "listeners=PLAINTEXT://127.0.0.1:29092,CONTROLLER://127.0.0.1:29093",
            "controller.quorum.voters=1@127.0.0.1:29093",
            "log.dirs=/s/kafka/data",
            "offsets.topic.replication.factor=1",
            "auto.create.topics.enable=false",
        ] {
            assert!(settings.lines().any(|found| found == line), "{line}");
        }
    }

    #[test]
    fn a_broker_is_ready_once_it_counts_itself() {
        let answer = [&[0, 0, 0, NUMBER, 0, 0, 0, 1, 0, 0, 0, 1, 0, 9][..], b"127.0.0.1"].concat();
        assert_eq!(brokers_in(&answer), Some(1));
        assert_eq!(brokers_in(&[0, 0, 0, NUMBER, 0, 0, 0, 0]), Some(0));
        assert_eq!(brokers_in(b"HTTP/1.1 400"), None);
        assert_eq!(brokers_in(&[]), None);
        assert_eq!(usize::from(QUESTION[3]), QUESTION.len() - 4);
    }
}
