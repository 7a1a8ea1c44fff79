//! Runs seeds through the simulator: `cargo xtask sim`.

use std::{
    io::IsTerminal as _,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cartwright_testkit::sim::{Bug, Coverage, Keep, Micros, Plan, kept_seeds, run, shrink, story};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// Failing seeds that are shown; the others are only counted.
const SHOWN: usize = 3;

/// Run the whole system in one thread, with everything going wrong that a seed decides
#[derive(Parser)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them; with --minutes it is taken from the time
    #[arg(long)]
    from: Option<u64>,
    /// Run this one seed, and show everything that happens if it fails
    #[arg(long)]
    seed: Option<u64>,
    /// Only this shape of the system: embedded or distributed
    #[arg(long, value_parser = ["embedded", "distributed"])]
    shape: Option<String>,
    /// Plant a bug
    #[arg(long, value_parser = Bug::ALL.map(Bug::name))]
    bug: Option<String>,
    /// Run fresh seeds for so long instead of counting them
    #[arg(long)]
    minutes: Option<f64>,
    /// Run all seeds that ever failed, too
    #[arg(long)]
    kept: bool,
    /// Runs side by side
    #[arg(long)]
    jobs: Option<usize>,
    /// Show what was reached
    #[arg(long)]
    coverage: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let task = Task::of(&args);
    let began = Instant::now();
    let sum = task.run(&args, began);
    sum.show(&task, &args, began.elapsed());
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Which seeds to run.
struct Task {
    kept: Vec<(u64, bool)>,
    from: u64,
    count: u64,
    distributed: Option<bool>,
    bug: Option<Bug>,
}

/// What came of them.
#[derive(Default)]
struct Sum {
    seeds: u64,
    virtual_time: Micros,
    coverage: Coverage,
    failed: Vec<(u64, Option<bool>)>,
}

impl Task {
    fn of(args: &Args) -> Self {
        let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() << 20);
        let from = args.from.unwrap_or_else(|| if args.minutes.is_some() { fresh() } else { 0 });
        Self {
            kept: if args.kept { kept_seeds() } else { Vec::new() },
            from: args.seed.unwrap_or(from),
            count: match (args.seed, args.minutes) {
                (Some(_), _) => 1,
                (None, Some(_)) => u64::MAX >> 1,
                (None, None) => args.seeds,
            },
            distributed: args.shape.as_ref().map(|shape| shape == "distributed"),
            bug: args.bug.as_deref().and_then(Bug::parse),
        }
    }

    /// The `n`-th run: its seed, and the shape if it is not the seed's own.
    fn nth(&self, n: u64) -> Option<(u64, Option<bool>)> {
        let kept = self.kept.len() as u64;
        if let Some((seed, distributed)) = self.kept.get(n as usize) {
            return Some((*seed, Some(*distributed)));
        }
        (n - kept < self.count).then(|| (self.from + (n - kept), self.distributed))
    }

    fn run(&self, args: &Args, began: Instant) -> Sum {
        let limit = args.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
        let jobs = args.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let bar = progress(self, limit);
        let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let over = limit.is_some_and(|limit| began.elapsed() > limit);
                        let Some((seed, shape)) = self.nth(n).filter(|_| !over || n < self.kept.len() as u64)
                        else {
                            return;
                        };
                        let ran = run(seed, &Plan::from_seed(seed, shape), self.bug, Keep::Nothing);
                        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                        sum.seeds += 1;
                        sum.virtual_time += ran.virtual_time;
                        sum.coverage.add(&ran.coverage);
                        if ran.violation.is_some() {
                            sum.failed.push((seed, shape));
                        }
                        let done = limit.map_or(sum.seeds, |_| began.elapsed().as_secs());
                        bar.set_message(format!("{} seeds, {} failed", sum.seeds, sum.failed.len()));
                        bar.set_position(done);
                    }
                });
            }
        });
        bar.finish_and_clear();
        sum.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sum {
    fn show(&self, task: &Task, args: &Args, took: Duration) {
        for (seed, shape) in self.failed.iter().take(SHOWN) {
            let plan = shrink(*seed, &Plan::from_seed(*seed, *shape), task.bug);
            let shape = shape.map_or("", |d| if d { " --shape distributed" } else { " --shape embedded" });
            let bug = task.bug.map_or(String::new(), |bug| format!(" --bug {}", bug.name()));
            println!("{}", story(*seed, &plan, task.bug));
            println!("again: cargo xtask sim --seed {seed}{shape}{bug}\n");
        }
        if args.coverage {
            for (name, count) in self.coverage.fields() {
                println!("{count:>12} {}", name.replace('_', " "));
            }
        }
        let seconds = took.as_secs_f64();
        println!(
            "{} seeds, {} orders, {:.0} orders/s, {:.1} days of virtual time in {seconds:.1} s, {} failed",
            self.seeds,
            self.coverage.orders,
            self.coverage.orders as f64 / seconds,
            self.virtual_time as f64 / 86_400e6,
            self.failed.len(),
        );
    }
}

fn progress(task: &Task, limit: Option<Duration>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let length = limit.map_or(task.count + task.kept.len() as u64, |limit| limit.as_secs());
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}% {msg}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
