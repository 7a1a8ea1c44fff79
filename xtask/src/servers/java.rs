//! Servers written in Java: finding Java, downloading published packages, knowing a process again.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use super::{
    process::{self, Running},
    whole,
};
use crate::{Failure, cargo::root};

/// What these versions of the servers need.
const OLDEST_JAVA: u32 = 17;

/// A server in a folder.
pub struct Java {
    /// What it is called, also in the names of its files.
    pub name: &'static str,
    /// Its folder.
    pub dir: PathBuf,
    /// The version of its packages.
    pub version: &'static str,
    /// The list of its packages, from the workspace's directory.
    pub packages: &'static str,
    /// How much there is to download, for people.
    pub size: &'static str,
}

impl Java {
    /// Java, with the packages and with no more memory than tests need.
    ///
    /// # Errors
    /// There is no Java, or only an old one.
    pub fn command(&self) -> Result<Command, Failure> {
        let java =
            process::in_path("java").filter(|java| java_version(java) >= OLDEST_JAVA).ok_or_else(|| {
                format!(
                    "Java {OLDEST_JAVA} or newer is missing; on Debian: apt-get install default-jdk-headless"
                )
            })?;
        let mut command = Command::new(java);
        command.current_dir(&self.dir).arg("-Xmx512m").arg("-cp").arg(self.programs().join("*"));
        Ok(command)
    }

    /// Downloads the packages if they are not there.
    ///
    /// # Errors
    /// There is no Maven, or it can't get them.
    pub fn download(&self) -> Result<(), Failure> {
        whole(&self.programs(), |libs| {
            let mvn = process::in_path("mvn").ok_or("Maven is missing; on Debian: apt-get install maven")?;
            let Self { name, version, size, .. } = self;
            eprintln!("{name}: downloading version {version}, {size}, only this once");
            let began = Instant::now();
            let mut command = Command::new(mvn);
            command.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
            let mut to = OsString::from("-DoutputDirectory=");
            to.push(libs);
            process::run(command.arg(to).arg("-f").arg(root().join(self.packages)))?;
            eprintln!("{name}: downloaded after {:.0} s", began.elapsed().as_secs_f64());
            Ok(())
        })
    }

    /// Notes its process.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn started(&self, running: &Running) -> Result<(), Failure> {
        Ok(fs::write(self.pid_file(), running.text())?)
    }

    /// The process that was noted, if it runs with this argument.
    pub fn running(&self, argument: &Path) -> Option<Running> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        Running::parse(&text, 1).filter(|running| running.process.runs_with(argument))
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join(format!("{}.pid", self.name))
    }

    fn programs(&self) -> PathBuf {
        self.dir.join(format!("libs-{}", self.version))
    }
}

/// 0 if it can't be told.
fn java_version(java: &Path) -> u32 {
    let said = Command::new(java).arg("-version").output();
    said.ok().and_then(|said| java_version_in(&String::from_utf8_lossy(&said.stderr))).unwrap_or_default()
}

/// 17 in `openjdk version "17.0.15" 2025-04-15`.
fn java_version_in(said: &str) -> Option<u32> {
    let version = said.split('"').nth(1)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::process::Process;

    #[test]
    fn javas_version_is_read() {
        assert_eq!(java_version_in("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(java_version_in("openjdk version \"25-ea\" 2025-09-16\n"), Some(25));
        assert_eq!(java_version_in("java version \"1.8.0_402\"\n"), Some(1));
        assert_eq!(java_version_in("no such file"), None);
    }

    #[test]
    fn what_is_noted_is_read_again() {
        let running = Running { process: Process::new(4711), port: 29092 };
        assert_eq!(Running::parse(&running.text(), 1), Some(running));
        assert!(
            ["", "4711", "x\n29092", "0\n29092", "4711\n70000"]
                .iter()
                .all(|text| Running::parse(text, 1).is_none())
        );
    }
}
