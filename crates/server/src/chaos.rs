//! What a test may do to this process: have it killed at a durable step, and set its clock.
//!
//! `CARTWRIGHT_KILL_AT=commit-stands@orders:3` kills it, as SIGKILL does, when the service orders reaches the place
//! `commit-stands` for the third time; without `@orders`, whoever reaches it counts. The places are those of
//! [`Failpoint`]. `CARTWRIGHT_CLOCK=FILE` adds the seconds in a file to the time of day, as somebody who sets a clock.

use std::{
    fs, io,
    path::PathBuf,
    str::FromStr,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use cartwright_core::failpoint::{self, Failpoint};
use rustix::process::{Signal, getpid, kill_process};

/// Where to be killed.
pub const KILL_AT: &str = "CARTWRIGHT_KILL_AT";
/// The file with the seconds by which the clock is off.
pub const CLOCK: &str = "CARTWRIGHT_CLOCK";

/// How often that file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Microseconds by which the time of day is off.
static OFF: AtomicI64 = AtomicI64::new(0);

/// Does what the environment asks for.
///
/// # Errors
/// What it asks for can't be read; the text names the variable.
pub fn begin() -> Result<(), String> {
    if let Ok(text) = std::env::var(KILL_AT) {
        kill_at(text.parse().map_err(|what| format!("{KILL_AT} {what}"))?);
        eprintln!("cartwright: {KILL_AT}={text} is set: this process will be killed there, as in a test");
    }
    if let Some(file) = std::env::var_os(CLOCK) {
        eprintln!(
            "cartwright: {CLOCK} is set: the clock is off by what {} says, as in a test",
            file.display()
        );
        follow(PathBuf::from(file)).map_err(|error| format!("{CLOCK}: {error}"))?;
    }
    Ok(())
}

/// Microseconds by which the time of day is off.
pub fn clock_is_off_by() -> i64 {
    OFF.load(Ordering::Relaxed)
}

/// A place, and how often it is reached before the end.
#[derive(Debug, PartialEq, Eq)]
struct KillAt {
    point: Failpoint,
    whose: Option<String>,
    times: u64,
}

impl FromStr for KillAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, times) = text.split_once(':').unwrap_or((text, "1"));
        let (name, whose) = match place.split_once('@') {
            Some((name, whose)) => (name, Some(whose.to_owned())),
            None => (place, None),
        };
        let point = Failpoint::parse(name).ok_or_else(|| {
            let all: Vec<&str> = Failpoint::ALL.into_iter().map(Failpoint::name).collect();
            format!("names no place {name:?}; there are {}", all.join(", "))
        })?;
        let times = times.parse().ok().filter(|times| *times > 0);
        let times = times.ok_or_else(|| "must end in how often, from 1 on, such as :3".to_owned())?;
        Ok(Self { point, whose, times })
    }
}

fn kill_at(at: KillAt) {
    let reached = AtomicU64::new(0);
    failpoint::listen(move |point, whose| {
        let is_it = point == at.point && at.whose.as_deref().is_none_or(|service| service == whose);
        if is_it && reached.fetch_add(1, Ordering::Relaxed) + 1 == at.times {
            let _ = kill_process(getpid(), Signal::KILL);
            loop {
                thread::park(); // nothing comes of this thread before the signal does
            }
        }
    });
}

fn follow(file: PathBuf) -> io::Result<()> {
    let look = move || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if let Ok(seconds) = text.trim().parse::<i64>() {
            OFF.store(seconds.saturating_mul(1_000_000), Ordering::Relaxed);
        }
    };
    look(); // what happens first is timed by it, too
    let follow = move || loop {
        thread::sleep(LOOK_EVERY);
        look();
    };
    thread::Builder::new().name("clock".into()).spawn(follow).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_with_whose_it_is_and_how_often() {
        let at = |text: &str| text.parse::<KillAt>();
        let stands = |whose: Option<&str>, times| KillAt {
            point: Failpoint::CommitStands,
            whose: whose.map(str::to_owned),
            times,
        };
        assert_eq!(at("commit-stands"), Ok(stands(None, 1)));
        assert_eq!(at("commit-stands:7"), Ok(stands(None, 7)));
        assert_eq!(at("commit-stands@orders:3"), Ok(stands(Some("orders"), 3)));
        assert!(at("nowhere:3").unwrap_err().contains("there are commit-begun, "));
        for wrong in ["commit-stands:0", "commit-stands:", "commit-stands:x"] {
            assert!(at(wrong).unwrap_err().contains("how often"), "{wrong}");
        }
    }
}
