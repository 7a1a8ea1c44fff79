//! A service's loop: while one batch is being made durable, the next one fills.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use cartwright_core::{
    domain::time::Timestamp,
    ports::{Batch, Origin, Parked, Store, StoreError, Task},
    services::{Engine, Input, Logic, StepReport, Unfinished, Unparked},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    inbox::{Inbox, NotTaken, Reply, Taken},
    runner::{Orders, give_back},
};
use crate::{redact, telemetry::metrics};

/// How long a loop rests after its store failed.
const REST: Duration = Duration::from_millis(500);

/// So many inputs are worth a batch of their own.
const WORTH_IT: usize = 32;

/// So many commands in a batch are a crowd. Whoever is answered in one often asks again at once; without waiting for the
/// others, the first to do so would get a batch alone, and pay for it whole.
const CROWD: usize = 16;
/// For so long, or the millisecond more that the runtime's clock may add, the others are waited for.
const TOGETHER: Duration = Duration::from_millis(1);

/// Where batches are paced, one begins so many times as long after the one before as that took: the busier the database,
/// the more goes into a batch,
const PACE: u32 = 3;
/// up to this, which nobody notices.
const LONGEST_PACE: Duration = Duration::from_millis(50);

/// A batch that takes longer is a sign of trouble: the store finds out what became of a commit.
const SLOW: Duration = Duration::from_secs(5);

/// What a loop talks to beside its inbox.
pub struct Surroundings {
    /// The store that the engine writes to.
    pub store: Arc<dyn Store>,
    /// Rings when the journal has grown.
    pub head: watch::Sender<u64>,
    /// Makes the bus read anew after a failure.
    pub reading: watch::Sender<u64>,
    /// Hears what is settled, where somebody else keeps how far we have read.
    pub settled: Option<mpsc::UnboundedSender<Vec<Origin>>>,
    /// Carries tasks out.
    pub runner: Orders,
    /// Whether the store works, and how far everything was read.
    pub state: Arc<ServiceState>,
    /// Whether a batch waits a little for the next inputs, unless much waits already: where it costs much however little
    /// is in it, few large ones get more done than many small ones. Whoever comes to an idle service does not wait.
    pub paced: bool,
}

/// What others may see of a service.
#[derive(Default)]
pub struct ServiceState {
    failing: AtomicBool,
    /// When the batch under way began.
    since: Mutex<Option<Instant>>,
    /// Up to where each source was handled by this process; empty after a failure, until it goes on.
    handled: Mutex<BTreeMap<Arc<str>, u64>>,
    looked: Mutex<BTreeMap<Arc<str>, Looked>>,
    /// How many events of each source wait, as the source itself counts them.
    behind: Mutex<BTreeMap<Arc<str>, u64>>,
    /// What there is to say of its reading, when it is far behind.
    lagging: Mutex<Option<String>>,
}

/// How far a source was looked through.
#[derive(Clone, Copy)]
struct Looked {
    /// The last event that was handed on.
    last: Option<u64>,
    /// There is no other up to here.
    up_to: u64,
}

impl ServiceState {
    /// Whether its last commit failed, or one has been under way for long.
    pub fn is_failing(&self) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        self.failing.load(Relaxed) || since.is_some_and(|since| since.elapsed() > SLOW)
    }

    /// Up to where this process has handled what it reads of each source, as far as it knows.
    pub fn handled(&self) -> BTreeMap<Arc<str>, u64> {
        let mut handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (source, Looked { last, up_to: looked }) in
            self.looked.lock().unwrap_or_else(PoisonError::into_inner).iter()
        {
            let up_to = handled.entry(source.clone()).or_default();
            if last.is_none_or(|last| last <= *up_to) {
                *up_to = (*up_to).max(*looked);
            }
        }
        handled
    }

    /// A source was read up to here; `last` is the last event of it that was handed on in this reading.
    pub fn looked(&self, source: &Arc<str>, last: Option<u64>, up_to: u64) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.insert(source.clone(), Looked { last, up_to });
    }

    /// So many events of a source wait.
    pub fn behind(&self, source: &Arc<str>, events: u64) {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).insert(source.clone(), events);
    }

    /// How many events of this source wait, if the source itself counts them.
    pub fn is_behind(&self, source: &str) -> Option<u64> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).get(source).copied()
    }

    /// Deliveries were settled; in the order of their source. `None`: it is unknown which.
    fn settled(&self, origins: Option<&[Origin]>) {
        let mut handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(origins) = origins else { return handled.clear() };
        let mut known: Option<(&Arc<str>, u64)> = None;
        for origin in origins {
            match known {
                Some((source, _)) if *source == origin.source => {}
                Some((source, position)) => {
                    handled.insert(source.clone(), position);
                }
                None => {}
            }
            known = Some((&origin.source, origin.position));
        }
        if let Some((source, position)) = known {
            handled.insert(source.clone(), position);
        }
    }

    /// What there is to say of its reading: how far it is behind, if that is far.
    pub fn lagging(&self) -> Option<String> {
        self.lagging.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how far its reading is behind.
    pub fn lags(&self, far: Option<String>) {
        *self.lagging.lock().unwrap_or_else(PoisonError::into_inner) = far;
    }

    fn begins(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// `wrote`: whether something was written, `None` when it failed. What writes nothing proves nothing.
    fn ends(&self, wrote: Option<bool>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match wrote {
            Some(true) => self.failing.store(false, Relaxed),
            Some(false) => {}
            None => self.failing.store(true, Relaxed),
        }
    }
}

/// Runs a service until told to stop; then handles what waits and returns.
pub async fn run<L: Logic>(
    mut engine: Engine<L>,
    mut inbox: Inbox<L>,
    around: Surroundings,
    stop: CancellationToken,
) {
    let mut next = Instant::now();
    loop {
        if stop.run_until_cancelled(gather(&inbox, next)).await.is_none() {
            break;
        }
        let reading = *around.reading.borrow();
        let taken = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            taken = inbox.take(reading) => taken,
            () = recover(&around), if around.state.failing.load(Relaxed) => continue,
        };
        let (began, commands) = (Instant::now(), taken.replies.len());
        let answered = handle(&mut engine, taken, &around).await;
        let took = began.elapsed();
        if answered && commands >= CROWD {
            stop.run_until_cancelled(come_together(&inbox, commands)).await;
        }
        if around.paced {
            next = began + (took * PACE).min(LONGEST_PACE);
        }
    }
    inbox.close_commands();
    while !inbox.is_empty() {
        let reading = *around.reading.borrow();
        let taken = inbox.take(reading).await;
        if !handle(&mut engine, taken, &around).await {
            return; // nothing is lost: what was not written is read or asked again
        }
    }
}

/// Waits until a batch is worth it: as much as that has come together, or its time has come.
async fn gather<L: Logic>(inbox: &Inbox<L>, until: Instant) {
    while inbox.len() < WORTH_IT && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits a moment for the half of a crowd, so that one half asks while the other is being answered. So many were answered
/// just now. Not if anything else makes a batch worth it.
async fn come_together<L: Logic>(inbox: &Inbox<L>, answered: usize) {
    let half = (answered + inbox.commands()) / 2;
    if inbox.len() < half {
        let _ = tokio::time::timeout(TOGETHER, inbox.until_there_are(half)).await; // then with whoever has come
    }
}

async fn handle<L: Logic>(engine: &mut Engine<L>, taken: Taken<L>, around: &Surroundings) -> bool {
    let Taken { inputs, mut replies, mut words } = taken;
    metrics::batch(L::NAME, inputs.len());
    let results = Input::tasks(&inputs);
    around.state.begins();
    let done = engine.step(inputs, around.runner.room()).await;
    around.state.ends(done.as_ref().ok().map(|report| report.commits > 0));
    around.runner.settled(results);
    match done {
        Ok(report) => {
            around.state.settled(Some(&report.settled));
            let mut report = report;
            if let Some(to) = around.settled.as_ref().filter(|_| !report.settled.is_empty()) {
                let _ = to.send(std::mem::take(&mut report.settled)); // nobody hears it while we stop
            }
            let left = settle::<L>(report, &mut replies, &mut words, around);
            give_back(&*around.store, &left).await;
            true
        }
        Err(Unfinished { report, error }) => {
            around.state.settled(None);
            let left = settle::<L>(report, &mut replies, &mut words, around); // what an earlier round made durable
            give_back(&*around.store, &left).await;
            tracing::error!(service = L::NAME, %error, "the batch was not written; its inputs will come again");
            let why = if matches!(error, StoreError::Full(_)) { NotTaken::NoRoom } else { NotTaken::Unknown };
            for reply in replies.into_iter().flatten() {
                let _ = reply.send(Err(why));
            }
            around.reading.send_modify(|reading| *reading += 1);
            around.head.send_modify(|_| {}); // the commit may stand: readers look again
            tokio::time::sleep(REST).await;
            false
        }
    }
}

/// Tries the store after it failed: while it does, nobody is let in whose command would show that it works again.
async fn recover(around: &Surroundings) {
    tokio::time::sleep(REST).await;
    let written = async {
        let cursors = around.store.cursors().await?;
        if cursors.is_empty() {
            return around.store.purge_answers(Timestamp::default(), 0).await.map(drop);
        }
        // As they stand: something that changes nothing, and still has to become durable.
        around.store.commit(Batch { commits: vec![], cursors }).await.map(drop)
    };
    if written.await.is_ok() {
        around.state.failing.store(false, Relaxed);
    }
}

/// Tells everybody; gives the tasks that a runner which has stopped leaves to other processes.
fn settle<L: Logic>(
    report: StepReport<L::Answer>,
    replies: &mut [Option<Reply<L>>],
    words: &mut [Option<oneshot::Sender<Unparked>>],
    around: &Surroundings,
) -> Vec<Task> {
    if let Some(head) = report.head {
        around.head.send_replace(head);
    }
    for (token, answer) in report.answers {
        let reply =
            usize::try_from(token).ok().and_then(|token| replies.get_mut(token)).and_then(Option::take);
        if let Some(reply) = reply {
            let _ = reply.send(Ok(answer)); // the client may have gone; the order stays
        }
    }
    for (token, unparked) in report.unparked {
        for parked in &unparked.discarded {
            log_discarded(L::NAME, parked);
        }
        let reply = usize::try_from(token).ok().and_then(|token| words.get_mut(token)).and_then(Option::take);
        if let Some(reply) = reply {
            let _ = reply.send(unparked);
        }
    }
    let left = around.runner.hand_over(report.tasks, report.instead, report.dropped);
    if report.overflowed > 0 {
        tracing::error!(
            service = L::NAME,
            count = report.overflowed,
            "events were not kept: too many of their orders are parked"
        );
    }
    for (order, reason) in report.unreadable {
        tracing::error!(service = L::NAME, %order, reason, "the order's record can't be read; its events are parked");
    }
    for (what, took) in report.observations {
        metrics::observe(what, took);
    }
    left
}

/// The whole event, but for what stands for a means of payment: nothing else is left of it.
fn log_discarded(service: &str, parked: &Parked) {
    let delivery = &parked.delivery;
    let origin = &delivery.origin;
    tracing::warn!(
        service,
        order = %String::from_utf8_lossy(&delivery.key),
        event_id = parked.event_id.map(tracing::field::display),
        source = %origin.source,
        position = origin.position,
        reason = parked.reason,
        headers = ?delivery.headers,
        event = %String::from_utf8_lossy(&redact::without_tokens(&delivery.value)),
        "a parked event was discarded by an operator"
    );
}

#[cfg(test)]
mod tests {
    use cartwright_core::services::Orders as OrdersLogic;
    use futures_util::FutureExt;

    use super::*;
    use crate::workers::inbox::{self, Intakes};

    #[tokio::test]
    async fn the_half_of_a_crowd_is_waited_for_and_not_for_ever() {
        let (_intakes, inbox): (Intakes<OrdersLogic>, _) = inbox::inbox(Arc::default());
        assert!(come_together(&inbox, 1).now_or_never().is_some(), "nobody is expected");
        assert!(come_together(&inbox, CROWD).now_or_never().is_none(), "half of it is");
        let ends = tokio::time::timeout(Duration::from_secs(30), come_together(&inbox, CROWD));
        assert!(ends.await.is_ok(), "nobody has come");
    }
}
