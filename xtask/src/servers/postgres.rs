//! PostgreSQL from this system's packages, with a cluster of its own.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;

use super::{
    Server,
    place::is_root,
    process::{self, Process, Running},
    whole,
};
use crate::Failure;

/// The superuser, and the system's user that runs the server where we are root.
pub const USER: &str = "postgres";

/// What Cartwright promises to run on.
const OLDEST: u32 = 15;

/// Where Debian and its kin keep the programs, each version in a folder of its own.
const PACKAGES: &str = "/usr/lib/postgresql";

/// Written by the server itself: its process in the first line, its port in the fourth.
const PID_FILE: &str = "postmaster.pid";

/// How long a server on this machine may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(2);

/// PostgreSQL in this folder.
pub struct Postgres {
    dir: PathBuf,
}

impl Postgres {
    /// In this folder, whether it is there or not.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The programs that fit the data, or the best if there is no data yet.
    fn programs(&self) -> Result<Programs, Failure> {
        let found = Programs::all();
        match fs::read_to_string(self.data().join("PG_VERSION")) {
            Ok(text) => found.into_iter().find(|programs| programs.major().to_string() == text.trim()).ok_or_else(|| {
                let data = self.data();
                let version = text.trim();
                format!(
                    "{} is of PostgreSQL {version}, which is not installed: install it, or remove that folder",
                    data.display()
                )
                .into()
            }),
            Err(_) => found.into_iter().find(|programs| programs.major() >= OLDEST).ok_or_else(|| {
                format!("PostgreSQL {OLDEST} or newer is missing; on Debian: apt-get install postgresql").into()
            }),
        }
    }

    /// A server that was killed leaves its file behind, and sessions that go on with what they were asked. It looks
    /// itself whether its old process is gone, but takes any process of the same user that has got the number since for
    /// a server; and none starts while there are sessions of another.
    fn forget_the_dead(&self) -> Result<(), Failure> {
        let file = self.data().join(PID_FILE);
        let old = fs::read_to_string(&file).ok().and_then(|text| Running::parse(&text, 3));
        if old.is_some_and(|old| old.process.exists()) {
            fs::remove_file(&file)?;
        }
        let sessions = || process::working_in(&self.data(), "postgres:");
        for session in sessions() {
            let _ = session.send(Signal::KILL); // it may have ended by itself
        }
        process::wait_for_end(|| sessions().is_empty(), PATIENCE)
    }
}

impl Server for Postgres {
    fn version(&self) -> Option<String> {
        self.programs().ok().map(|programs| programs.version)
    }

    fn running(&self) -> Option<Running> {
        let text = fs::read_to_string(self.data().join(PID_FILE)).ok()?;
        Running::parse(&text, 3).filter(|running| running.process.runs_with(&self.data()))
    }

    fn answers(&self, port: u16) -> bool {
        greet(port).is_ok_and(|welcome| welcome)
    }

    fn prepare(&self, port: u16) -> Result<Command, Failure> {
        let programs = self.programs()?;
        let owner = Owner::chosen()?;
        fs::create_dir_all(&self.dir)?;
        owner.own(&self.dir)?;
        whole(&self.data(), |data| {
            eprintln!("postgres: making a cluster of PostgreSQL {}", programs.version);
            let mut command = owner.command(&programs.initdb(), &self.dir);
            // Compares bytes, so that text sorts the same on every machine.
            command
                .args(["--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"])
                .arg(data);
            process::run(&mut command).map(drop)
        })?;
        self.forget_the_dead()?;
        fs::write(self.data().join("postgresql.conf"), settings(port))?;
        let mut command = owner.command(&programs.postgres(), &self.dir);
        command.arg("-D").arg(self.data());
        Ok(command)
    }

    fn started(&self, _: &Running) -> Result<(), Failure> {
        Ok(()) // it notes that itself
    }

    fn stop(&self, process: &Process) -> Result<(), Failure> {
        process.send(Signal::INT) // "fast": it does not wait for clients to leave, as it does after TERM
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }
}

/// One installed version.
struct Programs {
    dir: PathBuf,
    version: String,
}

impl Programs {
    /// The one in `PATH`, then the newest and so on.
    fn all() -> Vec<Self> {
        let in_path = process::in_path("initdb").and_then(|program| fs::canonicalize(program).ok());
        let in_path = in_path.and_then(|program| Self::in_dir(program.parent()?));
        let dirs =
            fs::read_dir(PACKAGES).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        let mut packages: Vec<_> = dirs.filter_map(|dir| Self::in_dir(&dir)).collect();
        packages.sort_by_key(|programs| std::cmp::Reverse(programs.major()));
        in_path.into_iter().chain(packages).collect()
    }

    fn in_dir(dir: &Path) -> Option<Self> {
        let said = process::run(Command::new(dir.join("postgres")).arg("--version")).ok()?;
        Some(Self { dir: dir.to_owned(), version: version_in(&said)? })
    }

    fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default()
    }

    fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

/// `15.18` in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version_in(said: &str) -> Option<String> {
    let version = said.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len()); // 18beta1
    (end > 0).then(|| version[..end].to_owned())
}

/// Who runs the server: it refuses root.
enum Owner {
    Ourselves,
    Other { user: u32, group: u32 },
}

impl Owner {
    fn chosen() -> Result<Self, Failure> {
        if !is_root() {
            return Ok(Self::Ourselves);
        }
        let id = |which: &str| {
            let said = process::run(Command::new("id").args([which, USER])).ok();
            said.and_then(|said| said.trim().parse().ok()).ok_or_else(|| {
                format!(
                    "PostgreSQL refuses to run as root, and there is no user {USER}: useradd --system {USER}"
                )
            })
        };
        Ok(Self::Other { user: id("-u")?, group: id("-g")? })
    }

    fn own(&self, dir: &Path) -> Result<(), Failure> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { user, group } => Ok(chown(dir, Some(*user), Some(*group))?),
        }
    }

    /// Runs this program in a folder where it may be; ours may be closed to it.
    fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir);
        if let Self::Other { user, group } = self {
            command.uid(*user).gid(*group);
        }
        command
    }
}

/// All settings; what is not here is as the server has it.
fn settings(port: u16) -> String {
    format!(
        "# Written by `cargo xtask servers up` at every start.\n\
         listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         # Tests come over TCP; a socket's path could be too long, too.\n\
         unix_socket_directories = ''\n\
         # Many tests at once, each with pools of its own.\n\
         max_connections = 300\n\
         shared_buffers = '128MB'\n\
         # Durability is what is tested.\n\
         fsync = on\n\
         full_page_writes = on\n\
         synchronous_commit = on\n\
         log_destination = 'stderr'\n\
         log_line_prefix = '%m [%p] '\n\
         log_checkpoints = off\n"
    )
}

/// Opens a session as tests do. `false` while the server is still getting ready.
fn greet(port: u16) -> std::io::Result<bool> {
    const WELCOME: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 0]; // no password is asked for
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&greeting())?;
    let mut answer = [0; WELCOME.len()];
    stream.read_exact(&mut answer)?;
    stream.write_all(&[b'X', 0, 0, 0, 4])?; // good-bye
    Ok(answer == WELCOME)
}

/// The protocol's first message: its length, its version 3.0, who asks for what.
fn greeting() -> Vec<u8> {
    let body = format!("user\0{USER}\0database\0postgres\0\0");
    let length = u32::try_from(8 + body.len()).unwrap_or_default();
    [&length.to_be_bytes()[..], &[0, 3, 0, 0], body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let version = |said: &str| version_in(said);
        assert_eq!(
            version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n").as_deref(),
            Some("15.18")
        );
        assert_eq!(version("postgres (PostgreSQL) 18beta1\n").as_deref(), Some("18"));
        assert_eq!(version("something else"), None);
        let programs = Programs { dir: "/p".into(), version: "15.18".into() };
        assert_eq!(programs.major(), 15);
    }

    #[test]
    fn durability_stays_on_and_only_this_machine_is_let_in() {
        let settings = settings(25432);
        let lines: Vec<_> = settings.lines().collect();
        for line in ["port = 25432", "listen_addresses = '127.0.0.1'", "fsync = on", "max_connections = 300"]
        {
            assert!(lines.contains(&line), "{line}");
        }
    }

    #[test]
    fn the_process_and_the_port_are_read_from_the_servers_own_file() {
        let text = "4711\n/s/postgres/data\n1763739000\n25432\n\n127.0.0.1\n  1234  5\nready   \n";
        assert_eq!(Running::parse(text, 3), Some(Running { process: Process::new(4711), port: 25432 }));
        assert_eq!(Running::parse("4711\n/s/postgres/data\n", 3), None); // it is being written
    }

    #[test]
    fn the_greeting_names_its_own_length() {
        let greeting = greeting();
        assert_eq!(usize::from(greeting[3]), greeting.len());
        assert!(greeting.ends_with(b"database\0postgres\0\0"));
    }
}
