//! Looks at a running system every second: memory, disk, open orders, and how an order that is placed just then fares.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    super::{
        client::Client,
        many::ORDER,
        system::{Memory, Server},
    },
    machine::{Load, Machine},
};
use crate::Failure;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// What was seen in one look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Seconds since the first.
    pub at: f64,
    /// MiB of its own.
    pub memory: f64,
    /// Open orders.
    pub open: f64,
    /// MB of all files.
    pub data_mb: f64,
    /// MB that the disk has left.
    pub free_mb: f64,
    /// How long an order took to be answered, with whatever.
    pub answer_ms: f64,
    /// What the machine did since the look before.
    pub machine: Load,
}

/// Orders of the watcher that were refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refused {
    /// With 503 and a word about when to come again.
    pub told: u64,
    /// In any other way.
    pub otherwise: u64,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Look after look.
    pub seen: Vec<Seen>,
    /// What the watcher was refused.
    pub refused: Refused,
}

/// Somebody who looks, until told to stop.
pub struct Watch {
    stop: Arc<AtomicBool>,
    course: Arc<Mutex<Course>>,
    thread: JoinHandle<Result<(), String>>,
    url: String,
}

impl Watch {
    /// Begins to look at a server whose files are in `dir`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn begin(server: &Server, dir: &Path) -> Result<Self, Failure> {
        let (stop, course) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Course::default())));
        let (url, memory, dir) = (server.url().to_owned(), server.memory(), dir.to_owned());
        let (over, noted, there) = (stop.clone(), course.clone(), url.clone());
        let thread = thread::spawn(move || {
            look_on(&there, memory, &dir, &over, &noted).map_err(|error| error.to_string())
        });
        Ok(Self { stop, course, thread, url })
    }

    /// Looks on until no order is open any more.
    ///
    /// # Errors
    /// That takes too long, or the server does not answer.
    pub fn until_final(self, limit: Duration) -> Result<Course, Failure> {
        let (began, mut client) = (Instant::now(), Client::connect(&self.url)?);
        // Until it says how many are open, nothing is known.
        while !matches!(open_orders(&mut client)?, 0.0..=2.0) {
            if began.elapsed() > limit {
                return Err(format!("after {} s there are still open orders", limit.as_secs()).into());
            }
            thread::sleep(EVERY / 4);
        }
        self.end()
    }

    /// Stops, and tells what was seen.
    ///
    /// # Errors
    /// The server did not answer.
    pub fn end(self) -> Result<Course, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the watcher panicked")??;
        Ok(self.course.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Course {
    /// The highest; `NAN` if nothing was seen, which is no good figure.
    pub fn most(&self, of: impl Fn(&Seen) -> f64) -> f64 {
        self.seen.iter().map(of).fold(f64::NAN, f64::max)
    }

    /// How many times the highest of the last quarter is that of the second.
    pub fn growth(&self, of: impl Fn(&Seen) -> f64) -> f64 {
        let most = |part: &[Seen]| part.iter().map(&of).fold(f64::NAN, f64::max);
        most(self.quarter(3)) / most(self.quarter(1))
    }

    /// How many times the middle of the last quarter is that of the second.
    pub fn growth_of_middle(&self, of: impl Fn(&Seen) -> f64) -> f64 {
        middle(self.quarter(3), &of) / middle(self.quarter(1), &of)
    }

    /// By how much it is more at the end than at the beginning.
    pub fn rise(&self, of: impl Fn(&Seen) -> f64) -> f64 {
        match (self.seen.first(), self.seen.last()) {
            (Some(first), Some(last)) => of(last) - of(first),
            _ => f64::NAN,
        }
    }

    /// How many times the middle of the slowest quarter is that of the quickest.
    pub fn spread_of_middles(&self, of: impl Fn(&Seen) -> f64) -> f64 {
        let middles: Vec<f64> = (0..4).map(|n| middle(self.quarter(n), &of)).collect();
        middles.iter().copied().fold(f64::NAN, f64::max) / middles.iter().copied().fold(f64::NAN, f64::min)
    }

    fn quarter(&self, n: usize) -> &[Seen] {
        let length = self.seen.len();
        &self.seen[n * length / 4..(n + 1) * length / 4]
    }
}

/// The value in the middle.
fn middle(part: &[Seen], of: impl Fn(&Seen) -> f64) -> f64 {
    let mut values: Vec<f64> = part.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn look_on(
    url: &str,
    memory: Memory,
    dir: &Path,
    over: &AtomicBool,
    course: &Mutex<Course>,
) -> Result<(), Failure> {
    let (began, mut client) = (Instant::now(), Client::connect(url)?);
    let mut machine = Machine::now();
    while !over.load(Ordering::Relaxed) {
        let at = began.elapsed();
        let answer = client.ask("POST", "/v1/orders", ORDER)?;
        let seen = Seen {
            at: at.as_secs_f64(),
            memory: memory.own(),
            open: open_orders(&mut client)?,
            data_mb: files(dir)?.iter().map(|(_, mb)| mb).sum(),
            free_mb: free_mb(dir)? as f64,
            answer_ms: answer.took.as_secs_f64() * 1_000.0,
            machine: machine.since(),
        };
        let mut course = course.lock().unwrap_or_else(PoisonError::into_inner);
        course.seen.push(seen);
        match answer.status {
            200 | 201 => {}
            503 if answer.retry_after.is_some() => course.refused.told += 1,
            _ => course.refused.otherwise += 1,
        }
        drop(course);
        thread::sleep(EVERY.saturating_sub(began.elapsed().saturating_sub(at)));
    }
    Ok(())
}

/// `NAN` until it says how many.
fn open_orders(client: &mut Client) -> Result<f64, Failure> {
    Ok(client.metric("cartwright_open_orders")?.unwrap_or(f64::NAN))
}

/// The files of a system, the largest first, in MB.
///
/// # Errors
/// They can't be looked at.
pub fn files(dir: &Path) -> Result<Vec<(String, f64)>, Failure> {
    let mut all = vec![];
    let mut dirs: Vec<(PathBuf, String)> = vec![(dir.join("data"), String::new())];
    while let Some((dir, name)) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let its = entry.file_name().to_string_lossy().into_owned();
            // Files come and go while we look.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                dirs.push((entry.path(), if name.is_empty() { its } else { name.clone() }));
            } else {
                let name = if name.is_empty() { its } else { name.clone() };
                all.push((name, metadata.len() as f64 / 1e6));
            }
        }
    }
    let mut sums = std::collections::BTreeMap::<String, f64>::new();
    for (name, mb) in all {
        *sums.entry(name).or_default() += mb;
    }
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, mb)| *mb >= 0.1).collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(sums)
}

/// MB that are free where this folder is.
///
/// # Errors
/// The system does not say.
pub fn free_mb(dir: &Path) -> Result<u64, Failure> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize) / (1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(values: &[f64]) -> Course {
        let seen = values.iter().map(|memory| Seen { memory: *memory, ..Seen::default() }).collect();
        Course { seen, ..Course::default() }
    }

    #[test]
    fn growth_is_from_the_second_quarter_to_the_last() {
        let memory = |seen: &Seen| seen.memory;
        assert!((course(&[1.0, 9.0, 2.0, 2.0, 3.0, 3.0, 4.0, 1.0]).growth(memory) - 2.0).abs() < 1e-9);
        assert!(
            (course(&[1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]).growth_of_middle(memory) - 2.0).abs() < 1e-9
        );
        assert!(
            (course(&[2.0, 2.0, 6.0, 6.0, 3.0, 3.0, 2.0, 2.0]).spread_of_middles(memory) - 3.0).abs() < 1e-9
        );
        assert!((course(&[1.0, 5.0, 3.0]).rise(memory) - 2.0).abs() < 1e-9);
        assert!(course(&[]).rise(memory).is_nan());
        let nothing = course(&[f64::NAN; 8]);
        assert!(course(&[]).growth(memory).is_nan() && nothing.growth(memory).is_nan());
        assert!(nothing.growth_of_middle(memory).is_nan() && nothing.most(memory).is_nan());
    }

    #[test]
    fn files_are_summed_by_what_they_belong_to() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("data/search/live")).unwrap();
        fs::write(dir.path().join("data/search/live/a"), vec![0; 300_000]).unwrap();
        fs::write(dir.path().join("data/search/b"), vec![0; 300_000]).unwrap();
        fs::write(dir.path().join("data/orders.db"), vec![0; 200_000]).unwrap();
        let names: Vec<_> =
            files(dir.path()).unwrap().into_iter().map(|(name, mb)| (name, mb * 10.0)).collect();
        assert_eq!(
            names.iter().map(|(name, mb)| format!("{name} {mb:.0}")).collect::<Vec<_>>(),
            ["search 6", "orders.db 2"]
        );
    }
}
