//! Processes that outlive us: told apart from others with the same number, started, waited for.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, test_kill_process},
};

use crate::Failure;

/// How many lines of a log a failure shows.
const LAST_LINES: usize = 15;

/// How often is looked whether something has happened.
const PAUSE: Duration = Duration::from_millis(50);

/// A process by its number.
#[derive(Debug, PartialEq, Eq)]
pub struct Process(u32);

/// A server's process, and the port that it was told to take.
#[derive(Debug, PartialEq, Eq)]
pub struct Running {
    /// The process.
    pub process: Process,
    /// On 127.0.0.1.
    pub port: u16,
}

impl Running {
    /// What stands in a file with the process in its first line and the port in line `port_line`, counted from 0.
    pub fn parse(text: &str, port_line: usize) -> Option<Self> {
        let mut lines = text.lines();
        let process = lines.next()?.trim().parse().ok().filter(|id| *id > 0).map(Process)?;
        let port = lines.nth(port_line.checked_sub(1)?)?.trim().parse().ok()?;
        Some(Self { process, port })
    }

    /// As a file that `parse` reads, with the port in line 1.
    pub fn text(&self) -> String {
        format!("{}\n{}\n", self.process.0, self.port)
    }
}

impl Process {
    /// The process with this number.
    pub fn new(id: u32) -> Self {
        Self(id)
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0
    }

    /// Whether it runs and has this argument. Numbers of processes are given again: one in an old file may be anybody's.
    pub fn runs_with(&self, argument: &Path) -> bool {
        let argument = argument.as_os_str().as_encoded_bytes();
        match fs::read(format!("/proc/{}/cmdline", self.0)) {
            Ok(line) => line.split(|byte| *byte == 0).any(|part| part == argument),
            Err(_) if Path::new("/proc/self").exists() => false,
            Err(_) => self.shown_with(argument), // a system without /proc
        }
    }

    /// Whether there is a process with this number, whatever it is.
    pub fn exists(&self) -> bool {
        !matches!(self.pid().map(test_kill_process), None | Some(Err(Errno::SRCH)))
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.0).ok().and_then(Pid::from_raw)
    }

    fn shown_with(&self, argument: &[u8]) -> bool {
        let id = self.0.to_string();
        let shown = Command::new("ps").args(["-ww", "-o", "command=", "-p", &id]).output();
        shown.is_ok_and(|shown| shown.stdout.windows(argument.len()).any(|part| part == argument))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is not ours, or no longer there.
    pub fn send(&self, signal: Signal) -> Result<(), Failure> {
        let id = self.pid().ok_or("a process without a number")?;
        kill_process(id, signal).map_err(|error| format!("process {}: {error}", self.0).into())
    }
}

/// The processes in this folder whose titles begin so; none on a system without /proc.
pub fn working_in(dir: &Path, title: &str) -> Vec<Process> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let here = numbers.filter(|id: &u32| {
        fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd == dir)
            && fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.starts_with(title.as_bytes()))
    });
    here.map(Process).collect()
}

/// Fails if somebody else has the port. `variable` is the one to set to another.
///
/// # Errors
/// It can't be taken.
pub fn port_is_free(port: u16, variable: &str) -> Result<(), Failure> {
    let taken = |error| {
        format!(
            "port {port} on 127.0.0.1 can't be taken ({error}): end the program that has it, or set {variable} to another"
        )
    };
    Ok(TcpListener::bind(("127.0.0.1", port)).map(drop).map_err(taken)?)
}

/// Starts what is to outlive us: with nothing to read, a log of its own, and out of reach of a terminal's signals.
/// The log of the start before is kept as `….old`, so that logs don't grow for ever.
///
/// # Errors
/// It can't be started.
pub fn start(mut command: Command, log: &Path) -> Result<Child, Failure> {
    if log.exists() {
        fs::rename(log, log.with_extension("log.old"))?;
    }
    let out = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
    let program = command.get_program().to_owned();
    Ok(command.spawn().map_err(|error| format!("{}: {error}", program.display()))?)
}

/// Tells when a server has ended: our own child says with what, of another only its absence can be seen.
pub struct Ended<F> {
    child: Option<Child>,
    gone: F,
}

impl<F: Fn() -> bool> Ended<F> {
    /// Of this child, else when `gone` says so.
    pub fn new(child: Option<Child>, gone: F) -> Self {
        Self { child, gone }
    }

    fn how(&mut self) -> Result<Option<String>, Failure> {
        let with = |status: ExitStatus| format!("it ended at once with {status}");
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.map(with)),
            None => Ok((self.gone)().then(|| "it ended".to_owned())),
        }
    }
}

/// Waits until a server answers.
///
/// # Errors
/// It ended, or took too long; the failure has the last lines of its log.
pub fn wait_until<F: Fn() -> bool>(
    answers: impl Fn() -> bool,
    mut ended: Ended<F>,
    limit: Duration,
    log: &Path,
) -> Result<(), Failure> {
    let began = Instant::now();
    let why = loop {
        if let Some(how) = ended.how()? {
            break how;
        }
        if answers() {
            return Ok(());
        }
        if began.elapsed() > limit {
            break format!("it runs, but did not answer within {} s", limit.as_secs());
        }
        thread::sleep(PAUSE);
    };
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    Err(format!("{why}; the end of its log {}:\n{}", log.display(), last_lines(&text)).into())
}

/// Waits until a server that was asked to end is gone.
///
/// # Errors
/// It took too long.
pub fn wait_for_end(gone: impl Fn() -> bool, limit: Duration) -> Result<(), Failure> {
    let began = Instant::now();
    while !gone() {
        if began.elapsed() > limit {
            return Err(format!("it did not stop within {} s", limit.as_secs()).into());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Runs a command to its end. `Err` with what it said if it failed.
///
/// # Errors
/// It can't be run, or failed.
pub fn run(command: &mut Command) -> Result<String, Failure> {
    let program = command.get_program().to_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let said = said + &String::from_utf8_lossy(&output.stderr);
    Err(format!("{} failed with {}:\n{}", program.display(), output.status, last_lines(&said)).into())
}

/// Where a program is that stands in `PATH`.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].iter().fold(String::new(), |mut shown, line| {
        let _ = writeln!(shown, "  {line}"); // writing to a string does not fail
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_arguments_not_by_its_number() {
        let mut child = Command::new("sleep").args(["60", "61"]).spawn().unwrap();
        let process = Process::new(child.id());
        // A process that has just begun has no arguments for a moment.
        wait_for_end(|| process.runs_with(Path::new("61")), Duration::from_secs(20)).unwrap();
        assert!(!process.runs_with(Path::new("6")));
        process.send(Signal::KILL).unwrap();
        // Ended, but not yet waited for, as after a crash while we look on.
        wait_for_end(|| !process.runs_with(Path::new("61")), Duration::from_secs(20)).unwrap();
        child.wait().unwrap();
        assert!(!process.exists());
    }

    #[test]
    fn processes_are_found_by_their_folder_and_their_title() {
        let folder = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(folder.path()).unwrap();
        let mut child = Command::new("sleep").arg("60").current_dir(&dir).spawn().unwrap();
        let found = |title: &str| working_in(&dir, title);
        if Path::new("/proc/self").exists() {
            wait_for_end(|| found("sleep") == [Process(child.id())], Duration::from_secs(20)).unwrap();
        }
        assert_eq!(found("postgres:"), []);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found("sleep"), []);
    }

    #[test]
    fn a_port_of_somebody_else_is_named_with_the_variable_that_avoids_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = port_is_free(port, "OTHER_PORT").unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("OTHER_PORT"), "{error}");
    }

    #[test]
    fn a_server_that_ends_at_once_shows_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("server.log");
        fs::write(&log, "of the start before").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "for i in $(seq 100); do echo line $i; done; echo broken >&2; exit 3"]);
        let child = start(command, &log).unwrap();
        let ended = Ended::new(Some(child), || false);
        let error = wait_until(|| false, ended, Duration::from_secs(20), &log).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("  broken\n"), "{error}");
        assert!(error.contains("line 100\n") && !error.contains("line 50\n"), "{error}");
        assert_eq!(fs::read(dir.path().join("server.log.old")).unwrap(), b"of the start before");
    }
}
