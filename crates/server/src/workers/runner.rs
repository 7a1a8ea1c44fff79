//! The task runner: a new task is carried out at once from memory; the table is for crashes and retries.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cartwright_core::{
    failpoint::Failpoint,
    ports::{Clock, Store, Task},
    services::{Providers, Schedule, TaskDone},
};
use futures_util::FutureExt;
use tokio::{
    sync::{
        mpsc::{self, error::SendError},
        watch,
    },
    time::{Instant, MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics;

/// Tasks in memory, at most.
pub const MAX_TASKS: usize = 16_384;
/// How often the table is asked for tasks that nobody holds.
const POLL: Duration = Duration::from_secs(1);
/// How long a call may take in all: less than any lease.
const CALL_LIMIT: Duration = Duration::from_secs(40);
/// Tasks taken from the table at once.
const CLAIM: usize = 256;

/// Where a service's loop hands tasks over. Never blocks: what it may hand over is bounded by [`Orders::room`].
#[derive(Clone)]
pub struct Orders {
    to: mpsc::UnboundedSender<Handed>,
    held: Arc<AtomicUsize>,
}

enum Handed {
    Run(Task),
    Instead(Task),
    Drop(String),
    Settled(Vec<String>),
}

impl Orders {
    /// How many more tasks fit into memory; none, once the runner stops.
    pub fn room(&self) -> usize {
        if self.to.is_closed() {
            return 0;
        }
        MAX_TASKS.saturating_sub(self.held.load(Ordering::Relaxed))
    }

    /// The service is through with the results of these tasks: they stand in its records, or are lost with their batch.
    pub fn settled(&self, tasks: Vec<String>) {
        if !tasks.is_empty() {
            let _ = self.to.send(Handed::Settled(tasks)); // a runner that stops takes nothing from the table
        }
    }

    /// Hands over what a step left to do, and gives what nobody takes any more.
    #[must_use]
    pub fn hand_over(&self, run: Vec<Task>, instead: Vec<Task>, dropped: Vec<String>) -> Vec<Task> {
        self.held.fetch_add(run.len(), Ordering::Relaxed);
        let all = dropped.into_iter().map(Handed::Drop).chain(run.into_iter().map(Handed::Run));
        let mut left = Vec::new();
        for handed in all.chain(instead.into_iter().map(Handed::Instead)) {
            // Nobody has begun what is to be run; of the rest, whoever carries out the old form tells.
            if let Err(SendError(Handed::Run(task))) = self.to.send(handed) {
                left.push(task);
            }
        }
        left
    }
}

/// Ends the leases of tasks that were not begun by a process that stops.
pub async fn give_back(store: &dyn Store, tasks: &[Task]) {
    for part in tasks.chunks(CLAIM) {
        if let Err(error) = store.give_back(part).await {
            tracing::debug!(%error, "leases of tasks can't be given back; they end by themselves");
            return;
        }
    }
}

/// Carries a task out. A call that hangs or panics has an unknown outcome, like any other that is not answered.
async fn within_limit(service: &str, providers: Providers, task: Task, again: bool) -> TaskDone {
    Failpoint::CallBegun.reach(service);
    let done = call(providers, task, again).await;
    Failpoint::CallAnswered.reach(service);
    done
}

async fn call(providers: Providers, task: Task, again: bool) -> TaskDone {
    tracing::debug!(task = task.id, attempts = task.attempts, "the provider is asked");
    let call = AssertUnwindSafe(providers.carry_out(task.clone(), again)).catch_unwind();
    match timeout(CALL_LIMIT, call).await {
        Ok(Ok(done)) => {
            let outcome = done.result.word();
            tracing::debug!(task = done.task.id, order = %done.task.order, outcome, "the provider answered");
            done
        }
        Ok(Err(_)) => {
            tracing::error!(task = task.id, "a provider panicked: please report this");
            TaskDone::unknown(task, "the provider's adapter failed", again)
        }
        Err(_) => TaskDone::unknown(task, "no answer in time", again),
    }
}

/// The settings of a runner.
#[derive(Clone)]
pub struct RunnerSettings {
    /// Whose runner it is.
    pub service: &'static str,
    /// Calls under way at once.
    pub max_calls: usize,
    /// For how long tasks taken from the table are leased.
    pub lease: Duration,
    /// Whether no call is begun.
    pub paused: watch::Receiver<bool>,
}

/// One service's runner.
pub struct Runner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    providers: Providers,
    settings: RunnerSettings,
    results: mpsc::Sender<TaskDone>,
    from: mpsc::UnboundedReceiver<Handed>,
    held: Arc<AtomicUsize>,
    schedule: Schedule,
    under_way: HashSet<String>,
    /// Tasks from the table: whoever held them before may have made the call.
    claimed: HashSet<String>,
}

impl Runner {
    /// A runner, and the handle for its service's loop.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        providers: Providers,
        settings: RunnerSettings,
        results: mpsc::Sender<TaskDone>,
    ) -> (Self, Orders) {
        let (to, from) = mpsc::unbounded_channel();
        let held = Arc::new(AtomicUsize::new(0));
        let orders = Orders { to, held: held.clone() };
        let (schedule, under_way, claimed) = (Schedule::default(), HashSet::new(), HashSet::new());
        (
            Self { store, clock, providers, settings, results, from, held, schedule, under_way, claimed },
            orders,
        )
    }

    /// Carries tasks out until told to stop; then waits for the calls under way and returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let (done_to, mut done) = mpsc::unbounded_channel::<String>();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // What is done first: it was said before the result that a task handed over since follows from.
            while let Ok(id) = done.try_recv() {
                self.finish(&id);
            }
            self.start_due(&done_to);
            let next = self.until_next();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(handed) = self.from.recv() => {
                    self.take(handed);
                    while let Ok(handed) = self.from.try_recv() {
                        self.take(handed);
                    }
                }
                Some(id) = done.recv() => self.finish(&id),
                () = tokio::time::sleep_until(next) => {}
                _ = poll.tick() => if self.claim().await {
                    poll.reset_immediately(); // a full page: there is more, as after a crash
                },
            }
        }
        self.from.close();
        while let Ok(handed) = self.from.try_recv() {
            self.take(handed);
        }
        // Others take them at once, and need not wait for the end of their leases.
        let mut left = self.schedule.take_all();
        left.retain(|task| !self.under_way.contains(&task.id));
        give_back(&*self.store, &left).await;
        while !self.under_way.is_empty() {
            match done.recv().await {
                Some(id) => self.finish(&id),
                None => return,
            }
        }
    }

    fn take(&mut self, handed: Handed) {
        match handed {
            Handed::Run(task) => self.schedule.put(task),
            Handed::Instead(task) => {
                self.schedule.put_instead(task, self.clock.now());
            }
            Handed::Drop(id) => {
                self.claimed.remove(&id);
                self.schedule.drop(&id);
            }
            Handed::Settled(tasks) => tasks.iter().for_each(|id| self.schedule.settled(id)),
        }
        self.count();
    }

    fn finish(&mut self, id: &str) {
        self.under_way.remove(id);
        self.count();
    }

    fn count(&self) {
        self.held.store(self.schedule.len() + self.under_way.len() + self.from.len(), Ordering::Relaxed);
    }

    /// Starts what is due, as far as calls may be under way at once. A task whose earlier call is still under way
    /// waits for that one.
    fn start_due(&mut self, done: &mpsc::UnboundedSender<String>) {
        if *self.settings.paused.borrow() {
            return;
        }
        let now = self.clock.now();
        let mut later = Vec::new();
        while self.under_way.len() < self.settings.max_calls {
            let Some(task) = self.schedule.pop_due(now) else { break };
            if self.under_way.contains(&task.id) {
                later.push(task);
                continue;
            }
            self.under_way.insert(task.id.clone());
            let again = self.claimed.remove(&task.id) || task.attempts > 0;
            let service = self.settings.service;
            let (providers, results, done) = (self.providers.clone(), self.results.clone(), done.clone());
            tokio::spawn(async move {
                let (id, retry) = (task.id.clone(), task.attempts > 0);
                let result = within_limit(service, providers, task, again).await;
                if retry && !result.result.is_held_back() {
                    metrics::retry(service);
                }
                // A place for the result first, so that calls which wait for it count as under way; then the end of
                // the call, since what follows from its result may start at once.
                let place = results.reserve_owned().await;
                let _ = done.send(id);
                if let Ok(place) = place {
                    place.send(result);
                }
            });
        }
        for mut task in later {
            task.due_at = now.plus(Duration::from_millis(20));
            self.schedule.put_back(task);
        }
    }

    fn until_next(&self) -> Instant {
        let now = self.clock.now();
        let full = self.under_way.len() >= self.settings.max_calls || *self.settings.paused.borrow();
        match self.schedule.next_due() {
            Some(due) if !full => Instant::now() + due.since(now),
            _ => Instant::now() + POLL,
        }
    }

    /// Takes tasks from the table that nobody holds: after a crash, or when memory was full.
    /// Says whether there may be more.
    async fn claim(&mut self) -> bool {
        if *self.settings.paused.borrow() {
            return false;
        }
        let room = MAX_TASKS.saturating_sub(self.held.load(Ordering::Relaxed)).min(CLAIM);
        if room == 0 {
            return false;
        }
        let now = self.clock.now();
        match self.store.claim_tasks(now, now.plus(self.settings.lease), room).await {
            Ok(tasks) => {
                let full = tasks.len() == CLAIM;
                for task in tasks {
                    let id = task.id.clone();
                    if self.schedule.put_claimed(task) {
                        self.claimed.insert(id);
                    }
                }
                self.count();
                full
            }
            Err(error) => {
                tracing::warn!(%error, "can't read the tasks; trying again");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use async_trait::async_trait;
    use cartwright_core::{
        domain::{ids::OrderId, time::Timestamp},
        ports::{
            AuthorizeCall, Batch, CallOutcome, CancelOutcome, Carrier, Commit, Guard, PaymentProvider, Row,
            ShipCall, Shipped, UndoCall, Work,
        },
    };
    use cartwright_testkit::MemoryStore;
    use uuid::Uuid;

    use super::*;

    const LEASE: Duration = Duration::from_secs(60);
    const PAST_LEASE: i64 = 61_000_000;

    #[tokio::test]
    async fn after_a_freeze_a_task_whose_result_waits_is_not_taken_from_the_table() {
        let store = Arc::new(MemoryStore::new(Uuid::from_u128(1)));
        let clock = Arc::new(Hand::default());
        let settings = RunnerSettings {
            service: "payments",
            max_calls: 8,
            lease: LEASE,
            paused: watch::channel(false).1,
        };
        let providers = Providers { payments: Arc::new(Nobody), carrier: Arc::new(Nobody) };
        let (to, mut results) = mpsc::channel(8);
        let (runner, orders) = Runner::new(store.clone(), clock.clone(), providers, settings, to);
        let running = tokio::spawn(runner.run(CancellationToken::new()));
        let mut next = async || results.recv().await.unwrap().task.id;

        put(&store, "frozen").await;
        assert_eq!(next().await, "frozen");
        clock.0.fetch_add(PAST_LEASE, Ordering::Relaxed);
        // Two looks at the table, one after the other.
        for witness in ["one", "two"] {
            put(&store, witness).await;
            assert_eq!(next().await, witness, "the result of the other is on its way");
        }
        orders.settled(vec!["frozen".to_owned()]);
        clock.0.fetch_add(PAST_LEASE, Ordering::Relaxed);
        assert_eq!(next().await, "frozen", "its batch was not written, and its lease is over");
        running.abort();
    }

    /// A task in the table that nobody holds.
    async fn put(store: &MemoryStore, id: &str) {
        let order = OrderId::parse(id).unwrap();
        let row = Row { schema: 1, record: Some(b"{}".to_vec()), columns: None };
        let free = Timestamp::default();
        let task = Task {
            id: id.to_owned(),
            order: order.clone(),
            work: Work::Wait,
            due_at: free,
            lease_until: free,
            attempts: 0,
        };
        let commit = Commit { put_tasks: vec![task], ..Commit::new(order, Guard::Absent, Some(row)) };
        store.commit(Batch { commits: vec![commit], cursors: vec![] }).await.unwrap();
    }

    /// A clock that is moved by hand.
    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::Relaxed))
        }
    }

    /// Of tasks that wait, no provider is asked.
    struct Nobody;

    #[async_trait]
    impl PaymentProvider for Nobody {
        async fn authorize(&self, _: &AuthorizeCall, _: bool) -> CallOutcome<String> {
            unreachable!()
        }

        async fn void(&self, _: &UndoCall, _: bool) -> CallOutcome<()> {
            unreachable!()
        }
    }

    #[async_trait]
    impl Carrier for Nobody {
        async fn ship(&self, _: &ShipCall, _: bool) -> CallOutcome<Shipped> {
            unreachable!()
        }

        async fn cancel(&self, _: &UndoCall, _: bool) -> CallOutcome<CancelOutcome> {
            unreachable!()
        }
    }
}
