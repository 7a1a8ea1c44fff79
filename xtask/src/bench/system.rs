//! Servers in processes of their own.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

/// The file in a server's directory with what it says.
pub const LOG: &str = "server.log";

/// How long a server may take to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs until it is stopped or dropped.
pub struct Server {
    child: Child,
    url: String,
}

/// A process whose memory is looked at.
#[derive(Clone, Copy)]
pub struct Memory(u32);

impl Server {
    /// The whole system with its data in `dir` and these settings in its environment.
    ///
    /// # Errors
    /// It can't be started; the failure holds what it said.
    pub fn cartwright(program: &Path, dir: &Path, settings: &[(&str, &str)]) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        let log = dir.join(LOG);
        let mut command = Command::new(program);
        command.args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(dir.join("data"));
        command
            .env("CARTWRIGHT__DIALECTS__PORTS", "false")
            .env("CARTWRIGHT__SEARCH__LISTEN", "")
            .envs(settings.iter().copied())
            .stderr(File::create(&log)?);
        Self::start(command).map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("cartwright up: {error}\n{said}").into()
        })
    }

    /// A process with these roles of a system whose settings say where its database is.
    ///
    /// # Errors
    /// It can't be started; the failure holds what it said.
    pub fn roles(
        program: &Path,
        dir: &Path,
        roles: &str,
        settings: &[(String, String)],
    ) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        let log = dir.join(LOG);
        let mut command = Command::new(program);
        command.args(["serve", "--role", roles, "--listen", "127.0.0.1:0", "--data"]).arg(dir.join("data"));
        command
            .env("CARTWRIGHT__DIALECTS__PORTS", "false")
            .env("CARTWRIGHT__SEARCH__LISTEN", "")
            .envs(settings.iter().cloned())
            .stderr(File::create(&log)?);
        Self::start(command).map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("cartwright serve --role {roles}: {error}\n{said}").into()
        })
    }

    /// The handler that stores nothing.
    ///
    /// # Errors
    /// It can't be started.
    pub fn bare(xtask: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(xtask);
        command.arg("bare");
        Self::start(command)
    }

    /// `http://…`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its memory.
    pub fn memory(&self) -> Memory {
        Memory(self.child.id())
    }

    /// Asks it to stop, and waits.
    ///
    /// # Errors
    /// It did not stop in time, or failed.
    pub fn stop(mut self) -> Result<(), Failure> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("a process without an id")?;
        kill_process(pid, Signal::TERM)?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("the server ended with {status}").into())
                };
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the server did not stop within {PATIENCE:?}").into())
    }

    fn start(mut command: Command) -> Result<Self, Failure> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        let url = loop {
            match lines.next() {
                Some(line) => {
                    if let Some(url) = url_in(&line?) {
                        break url;
                    }
                }
                None => return Err(format!("it ended at once with {}", child.wait()?).into()),
            }
        };
        // What else it prints is read, or it would wait for somebody to do so.
        thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, url })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

impl Memory {
    /// Resident memory in MiB; not a number once the process is gone.
    pub fn now(self) -> f64 {
        self.line("VmRSS:")
    }

    /// The same without the pages of files that it has mapped, which the system takes back when it needs them.
    pub fn own(self) -> f64 {
        self.line("RssAnon:")
    }

    fn line(self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|kib| kib.trim().parse::<f64>().ok());
        kib.map_or(f64::NAN, |kib| kib / 1024.0)
    }
}

/// The server's URL in a line that names its API, or its health: `  API        http://127.0.0.1:8080/v1/orders`.
fn url_in(line: &str) -> Option<String> {
    let line = line.trim_start();
    let named = |name: &str, path| Some(line.strip_prefix(name)?.trim().strip_suffix(path)?.to_owned());
    named("API", "/v1/orders").or_else(|| named("Health", "/health/ready"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_found_in_the_welcome() {
        let url = url_in("  API        http://127.0.0.1:8080/v1/orders");
        assert_eq!(url.as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(url_in("  curl -s http://127.0.0.1:8080/v1/orders"), None);
    }

    #[test]
    fn memory_is_read() {
        assert!(Memory(std::process::id()).now() > 1.0);
        assert!(Memory(std::process::id()).own() > 0.1);
        assert!(Memory(u32::MAX).now().is_nan());
    }
}
