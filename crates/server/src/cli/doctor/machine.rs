//! The clock and the limits of this machine.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cartwright_store::{StoreKind, sqlite::inspect};
use rustix::process::{Resource, getrlimit};

use super::Check;

/// A clock this far behind what was written is wrong; less is the business of time servers.
const BEHIND: Duration = Duration::from_secs(5);

/// 2025-01-01: no clock that is right is before it.
const BUILT_AFTER: Duration = Duration::from_secs(1_735_689_600);

/// Files that the server needs beside its connections.
const OWN_FILES: u64 = 128;

/// Compares the clock with what was written in the data directory.
pub fn clock(dir: &Path) -> Check {
    let advice =
        "set the clock (timedatectl); orders placed meanwhile have wrong times, but nothing is lost by it";
    let now = SystemTime::now();
    if now < UNIX_EPOCH + BUILT_AFTER {
        return Check::fail("clock", "it is before the year 2025", advice);
    }
    let newest = newest_file(dir).into_iter().chain(newest_order(dir)).max();
    match newest.map(|newest| newest.duration_since(now)) {
        Some(Ok(ahead)) if ahead > BEHIND => {
            let found = format!("it is {} s behind what was written in the data directory", ahead.as_secs());
            Check::warn("clock", found, advice)
        }
        Some(_) => Check::ok("clock", "not behind what was written in the data directory"),
        None => Check::ok("clock", "plausible"),
    }
}

fn newest_file(dir: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(dir).ok()?;
    entries.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok()).max()
}

fn newest_order(dir: &Path) -> Option<SystemTime> {
    let newest = inspect(&dir.join("orders.db"), StoreKind::Orders).ok()?.newest?;
    Some(UNIX_EPOCH + Duration::from_micros(u64::try_from(newest.as_micros()).ok()?))
}

/// Whether the system lets us have as many connections as the settings promise. A start raises the limit as far as
/// it may, so the hard one counts.
pub fn open_files(max_connections: usize) -> Check {
    let needed = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_add(OWN_FILES);
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < needed => Check::warn(
            "open files",
            format!("at most {limit}, but {max_connections} connections need {needed}"),
            "raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd), or lower http.max_connections",
        ),
        Some(limit) => Check::ok("open files", format!("{limit} allowed, {needed} needed")),
        None => Check::ok("open files", "no limit"),
    }
}
