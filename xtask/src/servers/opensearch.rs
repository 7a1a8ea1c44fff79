//! OpenSearch from its published packages: one node, which is also what the tests take for an Elasticsearch.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use rustix::process::Signal;

use super::{
    Server,
    java::Java,
    process::{Process, Running},
};
use crate::{Failure, cargo::root};

/// Also in the list of packages; a test compares them.
const VERSION: &str = "2.19.1";

/// The list of packages, from the workspace's directory.
const PACKAGES: &str = "xtask/servers/opensearch/pom.xml";

/// What Java runs, from its source, from the workspace's directory.
const LAUNCHER: &str = "xtask/servers/opensearch/Launcher.java";

/// How long a server on this machine may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answered with 200 once every index can be searched and written to, within less than our patience.
const QUESTION: &[u8] =
    b"GET /_cluster/health?wait_for_status=yellow&timeout=1s HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n";

/// How the answer begins then.
const ANSWER: &[u8] = b"HTTP/1.0 200 ";

/// OpenSearch in this folder.
pub struct OpenSearch {
    java: Java,
}

impl OpenSearch {
    /// In this folder, whether it is there or not.
    pub fn new(dir: PathBuf) -> Self {
        Self { java: Java { name: "opensearch", dir, version: VERSION, packages: PACKAGES, size: "53 MB" } }
    }
}

impl Server for OpenSearch {
    fn version(&self) -> Option<String> {
        Some(VERSION.to_owned())
    }

    fn running(&self) -> Option<Running> {
        self.java.running(&self.data())
    }

    fn answers(&self, port: u16) -> bool {
        is_ready(port).is_ok_and(|ready| ready)
    }

    fn prepare(&self, port: u16) -> Result<Command, Failure> {
        let mut command = self.java.command()?; // before the long download
        fs::create_dir_all(&self.java.dir)?;
        self.java.download()?;
        command.arg(root().join(LAUNCHER)).arg(port.to_string()).arg(self.data());
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

fn is_ready(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(QUESTION)?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer == *ANSWER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_packages_has_this_version() {
        let packages = fs::read_to_string(root().join(PACKAGES)).unwrap();
        assert!(packages.contains(&format!("<opensearch.version>{VERSION}</opensearch.version>")));
    }

    #[test]
    fn the_launcher_keeps_to_this_machine() {
        let launcher = fs::read_to_string(root().join(LAUNCHER)).unwrap();
        assert!(launcher.contains("settings.put(\"network.host\", \"127.0.0.1\")"));
    }
}
