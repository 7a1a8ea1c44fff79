//! `cartwright load`: places many orders and measures how long each takes to be answered.
//!
//! One thread sends over plain HTTP/1.1 connections and does little else, so that on a small machine the processor is
//! left to the server. Every order has its `Idempotency-Key` and is repeated under it until it is answered, so a
//! restart of the server costs time and nothing else.

mod answered;
mod follow;
mod report;
mod send;

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use hdrhistogram::Histogram;
use hyper::body::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use self::{answered::read_answered, report::LoadReport};
use self::{
    answered::{AnsweredFile, AnsweredIds},
    follow::{Follower, InFlight},
    send::{Connection, Target},
};
use super::{
    ServerArg,
    api::{Api, ApiError},
    exit,
    orders::sample_order,
    style::Paint,
};
use crate::files;

/// Where the ids of answered orders go, if nobody says.
pub const DEFAULT_ANSWERED: &str = "./cartwright-load.answered";

/// How many orders are placed when neither `--orders` nor `--duration` says it.
const DEFAULT_ORDERS: u64 = 10_000;

/// Different sample orders, so that not all of them are for one customer.
const TEMPLATES: u32 = 16;

/// The longest latency that is told apart from longer ones: an hour.
const MAX_LATENCY_US: u64 = 3_600_000_000;

/// `cartwright load`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  cartwright load --orders 50000\n  \
    cartwright load --rate 500 --duration 60 --follow\n  cartwright load --body order.json --orders 100 --json")]
pub struct LoadArgs {
    /// Place so many orders [default: 10000, without --duration]
    #[arg(long)]
    orders: Option<u64>,
    /// Orders per second; latency then counts from when an order was due. Without it: as fast as it goes
    #[arg(long, value_parser = read_rate)]
    rate: Option<f64>,
    /// Connections to the server
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Append the ids of answered orders to this file, durably, for `cartwright verify`
    #[arg(long, value_name = "FILE", default_value = DEFAULT_ANSWERED)]
    answered: PathBuf,
    /// Keep no file of answered orders
    #[arg(long, conflicts_with = "answered")]
    no_answered: bool,
    /// At most so many orders that are placed but not final yet
    #[arg(long, value_name = "ORDERS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: Option<u32>,
    /// Also measure the time from created to shipped, from the orders' events
    #[arg(long)]
    follow: bool,
    /// With --follow: stop waiting for the last orders after so many seconds without any event of theirs
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain: u64,
    /// Place the order in this JSON file instead of samples
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Give up after so many seconds without any answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    give_up: u64,
    /// Print one line of JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArg,
}

/// Runs `cartwright load`.
pub async fn run(args: LoadArgs) -> ExitCode {
    files::allowed(); // many clients are many connections
    let (done, result) = tokio::sync::oneshot::channel();
    // A thread of its own: the senders share their state without locks, and nothing else runs between them.
    let thread = std::thread::Builder::new().name("load".into()).spawn(move || {
        let json = args.json;
        let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, load(args)),
            Err(error) => Err(Failure::Local(error.to_string())),
        };
        // Nobody waits any more only if the process is on its way out.
        let _ = done.send((outcome, json));
    });
    if let Err(error) = thread {
        return Failure::Local(error.to_string()).report();
    }
    let Ok((outcome, json)) = result.await else { return exit::FAILED.into() };
    match outcome {
        Ok((report, failure)) => {
            report.print(json);
            failure.map_or(ExitCode::SUCCESS, |failure| failure.report())
        }
        Err(failure) => failure.report(),
    }
}

/// Why a load stops before its end.
#[derive(Clone, Debug)]
enum Failure {
    /// The server won't have such orders.
    Refused(String),
    /// Nobody answers.
    Unreachable(String),
    /// The server answers, and takes no orders for long.
    Busy(String),
    /// A file that is needed can't be read.
    Unreadable(String),
    /// Something on this side.
    Local(String),
}

/// Reads orders per second.
fn read_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "must be between 0.001 and 10000000".to_owned())
}

impl Failure {
    fn report(&self) -> ExitCode {
        let error = Paint::stderr().red("error:");
        match self {
            Self::Refused(why) | Self::Local(why) => {
                eprintln!("{error} {why}");
                exit::FAILED.into()
            }
            Self::Unreadable(why) => {
                eprintln!("{error} {why}");
                exit::UNREACHABLE.into()
            }
            Self::Busy(why) => {
                eprintln!(
                    "{error} {why}. `cartwright doctor` says what is in its way; --give-up waits longer."
                );
                exit::FAILED.into()
            }
            Self::Unreachable(why) => {
                eprintln!(
                    "{error} {why}. Start a server with `cartwright up`, or name another with --server."
                );
                exit::UNREACHABLE.into()
            }
        }
    }
}

/// What the senders share.
struct Shared {
    target: Target,
    bodies: Vec<Bytes>,
    run: Uuid,
    limit: u64,
    deadline: Option<Instant>,
    pace: Option<Pace>,
    in_flight: Option<Arc<InFlight>>,
    answered: RefCell<Option<AnsweredIds>>,
    give_up: Duration,
    start: Instant,
    next: Cell<u64>,
    stopped: Cell<bool>,
    placed: Cell<u64>,
    retries: Cell<u64>,
    given_up: Cell<u64>,
    last_answer: Cell<Instant>,
    latencies: RefCell<Histogram<u64>>,
    failure: RefCell<Option<Failure>>,
}

async fn load(args: LoadArgs) -> Result<(LoadReport, Option<Failure>), Failure> {
    let target = Target::parse(&args.server.url())?;
    let bodies = bodies(&args)?;
    drop(Connection::open(&target).await.map_err(|error| {
        Failure::Unreachable(format!("no server answers at {} ({error})", args.server.url()))
    })?);
    let in_flight = args.in_flight.map(|orders| Arc::new(InFlight::new(orders as usize)));
    let follower = if args.follow || in_flight.is_some() {
        Some(Follower::start(args.server.url(), in_flight.clone()).await?)
    } else {
        None
    };
    let file = if args.no_answered {
        None
    } else {
        let system = system(&args.server.url(), Duration::from_secs(args.give_up)).await?;
        Some(AnsweredFile::open(&args.answered, system.as_deref())?)
    };
    let limit = args.orders.or(args.duration.is_none().then_some(DEFAULT_ORDERS));
    let duration = args.duration.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    let start = Instant::now();
    let limit = limit.unwrap_or(u64::MAX);
    let shared = Rc::new(Shared {
        target,
        bodies,
        run: Uuid::now_v7(),
        limit,
        deadline: duration.and_then(|duration| start.checked_add(duration)),
        pace: args.rate.map(|rate| Pace::start(rate, limit, start)).transpose()?,
        in_flight,
        answered: RefCell::new(file.as_ref().map(AnsweredFile::ids)),
        give_up: Duration::from_secs(args.give_up),
        start,
        next: Cell::new(0),
        stopped: Cell::new(false),
        placed: Cell::new(0),
        retries: Cell::new(0),
        given_up: Cell::new(0),
        last_answer: Cell::new(start),
        latencies: RefCell::new(
            Histogram::new_with_max(MAX_LATENCY_US, 3).map_err(|error| Failure::Local(error.to_string()))?,
        ),
        failure: RefCell::new(None),
    });
    let watching = tokio::task::spawn_local(watch_interrupt(shared.clone()));
    let progress = tokio::task::spawn_local(show_progress(shared.clone(), args.json));
    let senders: Vec<_> =
        (0..args.connections).map(|_| tokio::task::spawn_local(send_orders(shared.clone()))).collect();
    for sender in senders {
        // A panic of one is reported by the panic hook; the others carry on.
        let _ = sender.await;
    }
    shared.stop();
    progress.abort();
    watching.abort();
    drop(shared.answered.take());
    let orders = match file {
        Some(file) => file.finish()?,
        None => shared.placed.get(),
    };
    let mut report = LoadReport::new(&shared, orders, start.elapsed().as_secs_f64());
    if let Some(follower) = follower {
        let patience = Duration::from_secs(if args.follow { args.drain } else { 0 });
        let followed = follower.finish(shared.placed.get(), patience).await;
        if args.follow {
            report.add_followed(&follow::lock(&followed));
        }
    }
    let failure = shared.failure.borrow_mut().take();
    Ok((report, failure))
}

/// The identity of the system that answers; asked for until it is given.
async fn system(server: &str, give_up: Duration) -> Result<Option<String>, Failure> {
    let start = Instant::now();
    let text = |error: ApiError| Failure::Unreachable(error.text(&Paint::stderr()));
    let api = Api::new(server.to_owned()).map_err(text)?;
    loop {
        match api.system().await {
            Ok(system) => return Ok(system),
            Err(error) if error.passes() && start.elapsed() < give_up => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(text(error)),
        }
    }
}

/// One connection's work: order after order until there is nothing left to do.
async fn send_orders(shared: Rc<Shared>) {
    let mut connection = None;
    let answered = shared.answered.borrow().clone();
    while let Some((n, start)) = shared.next_order().await {
        match shared.place(&mut connection, n).await {
            Ok(id) => {
                let now = Instant::now();
                shared.placed.set(shared.placed.get() + 1);
                shared.last_answer.set(now);
                let us = u64::try_from(now.duration_since(start).as_micros()).unwrap_or(u64::MAX);
                shared.latencies.borrow_mut().saturating_record(us);
                if let Some(in_flight) = &shared.in_flight {
                    in_flight.placed(&id);
                }
                if let Some(answered) = &answered
                    && answered.add(id).await.is_err()
                {
                    // The file's own error is told at the end.
                    shared.stop();
                }
            }
            Err(failure) => {
                shared.given_up.set(shared.given_up.get() + 1);
                shared.failure.borrow_mut().get_or_insert(failure);
                shared.stop();
            }
        }
    }
}

impl Shared {
    /// The number of the next order and the moment from which its latency counts. `None`: it is over.
    async fn next_order(&self) -> Option<(u64, Instant)> {
        if self.is_over() {
            return None;
        }
        self.wait_for_room().await?;
        if self.is_over() {
            // Not needed here; without it the others would wait for ever.
            if let Some(in_flight) = &self.in_flight {
                in_flight.hand_back();
            }
            return None;
        }
        let n = self.next.replace(self.next.get() + 1);
        let Some(pace) = &self.pace else { return Some((n, Instant::now())) };
        let due = pace.due(n);
        if self.deadline.is_some_and(|deadline| due >= deadline) {
            return None;
        }
        pace.wait().await?;
        (!self.stopped.get()).then_some((n, due))
    }

    /// Waits until one more order may be in flight. `None`: it is over.
    async fn wait_for_room(&self) -> Option<()> {
        let Some(in_flight) = &self.in_flight else { return Some(()) };
        /// How often a sender looks up while it waits.
        const LOOK_UP: Duration = Duration::from_millis(200);
        loop {
            if let Ok(room) = tokio::time::timeout(LOOK_UP, in_flight.admit()).await {
                return room;
            }
            if self.is_over() {
                return None;
            }
            if in_flight.idle_for() >= self.give_up {
                let why = format!("no order became final for {} s", self.give_up.as_secs());
                self.failure.borrow_mut().get_or_insert(Failure::Local(why));
                self.stop();
            }
        }
    }

    fn is_over(&self) -> bool {
        self.stopped.get()
            || self.next.get() >= self.limit
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn stop(&self) {
        self.stopped.set(true);
        if let Some(pace) = &self.pace {
            pace.stop();
        }
        if let Some(in_flight) = &self.in_flight {
            in_flight.stop();
        }
    }
}

/// An open-loop schedule: order `n` is due at `start + n / rate`, however slow the answers are.
///
/// A thread lets the orders go, because a runtime's timers only count whole milliseconds.
struct Pace {
    start: Instant,
    rate: f64,
    due: Arc<Semaphore>,
    stopped: Arc<AtomicBool>,
}

impl Pace {
    /// How long the thread sleeps at most, so that it notices the end.
    const NAP: Duration = Duration::from_millis(50);

    fn start(rate: f64, limit: u64, start: Instant) -> Result<Self, Failure> {
        let pace =
            Self { start, rate, due: Arc::new(Semaphore::new(0)), stopped: Arc::new(AtomicBool::new(false)) };
        let (due, stopped) = (pace.due.clone(), pace.stopped.clone());
        let moment = move |n: u64| start + Duration::from_secs_f64(n as f64 / rate);
        let paced = move || {
            let mut released = 0;
            while released < limit && !stopped.load(Ordering::Relaxed) {
                let now = Instant::now();
                let mut ready = 0;
                while released < limit && moment(released) <= now {
                    released += 1;
                    ready += 1;
                }
                due.add_permits(ready);
                std::thread::sleep(moment(released).saturating_duration_since(now).min(Self::NAP));
            }
        };
        std::thread::Builder::new()
            .name("pace".into())
            .spawn(paced)
            .map_err(|error| Failure::Local(error.to_string()))?;
        Ok(pace)
    }

    fn due(&self, n: u64) -> Instant {
        self.start + Duration::from_secs_f64(n as f64 / self.rate)
    }

    async fn wait(&self) -> Option<()> {
        self.due.acquire().await.ok()?.forget();
        Some(())
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.due.close();
    }
}

async fn watch_interrupt(shared: Rc<Shared>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        shared.stop();
    }
}

/// A bar on the terminal; it hides itself where there is none.
async fn show_progress(shared: Rc<Shared>, json: bool) {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let length = (shared.limit != u64::MAX).then_some(shared.limit);
    let bar = ProgressBar::with_draw_target(length, target);
    let template = match length {
        Some(_) => "{bar:30} {pos}/{len} orders, {msg}",
        None => "{spinner} {pos} orders, {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let mut before = 0;
    let mut rate = 0.0;
    /// How often the bar moves.
    const TICK: Duration = Duration::from_millis(200);
    loop {
        tokio::time::sleep(TICK).await;
        let placed = shared.placed.get();
        rate = 0.7 * rate + 0.3 * (placed - before) as f64 / TICK.as_secs_f64();
        before = placed;
        bar.set_position(placed);
        bar.set_message(format!(
            "{rate:.0}/s, {} retries, {:.0} s",
            shared.retries.get(),
            shared.start.elapsed().as_secs_f64()
        ));
        bar.tick();
    }
}

fn bodies(args: &LoadArgs) -> Result<Vec<Bytes>, Failure> {
    if let Some(file) = &args.body {
        let body = std::fs::read(file)
            .map_err(|error| Failure::Unreadable(format!("{} can't be read: {error}", file.display())))?;
        return Ok(vec![body.into()]);
    }
    Ok((0..TEMPLATES)
        .map(|n| {
            let mut order = sample_order(None);
            order["customer"]["id"] = format!("customer-{}", 100 + n).into();
            order["lines"][0]["sku"] = format!("product-{}", 450 + n).into();
            order["lines"][0]["quantity"] = (1 + n % 3).into();
            order.to_string().into()
        })
        .collect())
}

#[cfg(test)]
mod tests;
