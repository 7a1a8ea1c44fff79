//! One batch: load, decide, commit, settle.

mod cache;
mod load;
mod report;
mod works;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

pub use self::report::{StepReport, Unfinished};
use self::{
    cache::{Cache, Known},
    works::{Working, Works},
};
use super::{
    CACHED_BYTES, CACHED_RECORDS, Ctx, Logic, MAX_ROUNDS, Settings, TaskDone, Turn, Unpark,
    parking::{self, Heard},
};
use crate::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{
        AnswerKey, Batch, Clock, Commit, Cursor, Delivery, Guard, Ids, Outcome, SavedAnswer, Store,
        StoreError, Task, TaskId,
    },
};

/// Order numbers that one of several processes takes at once.
const NUMBERS_AT_ONCE: u64 = 256;
/// So many more orders may be opened, and it need not be known exactly how many are open,
const MUCH_ROOM: u64 = 100_000;
/// but as they were counted within this time.
const COUNTED_FOR: Duration = Duration::from_millis(500);

/// What a service handles.
pub enum Input<C> {
    /// Something asked from outside; `token` names who waits for the answer.
    Command {
        /// Given back with the answer.
        token: u64,
        /// What is asked.
        command: Arc<C>,
    },
    /// An event from the bus.
    Delivery(Delivery),
    /// A task that was carried out.
    Task(TaskDone),
    /// A record that has waited for long.
    Sweep(OrderId),
    /// An operator's word on the parked events of an order; `token` names who waits to hear what became of them.
    Unpark {
        /// Given back with what became of them.
        token: u64,
        /// The order.
        order: OrderId,
        /// What to do.
        what: Unpark,
    },
}

impl<C> Input<C> {
    /// The tasks whose results are among these.
    pub fn tasks(inputs: &[Self]) -> Vec<TaskId> {
        let id = |input: &Self| match input {
            Self::Task(done) => Some(done.task.id.clone()),
            _ => None,
        };
        inputs.iter().filter_map(id).collect()
    }
}

/// One service: its logic on its store. Handles one batch at a time.
pub struct Engine<L: Logic> {
    logic: L,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Box<dyn Ids>,
    settings: Settings,
    topic: Arc<str>,
    cache: Cache<L::Record>,
    /// The store's when the cache was begun.
    generation: u64,
    numbers: Range<u64>,
    cursors: BTreeMap<(Arc<str>, u32), Cursor>,
    /// The positions that this process wrote last.
    saved: BTreeMap<(Arc<str>, u32), u64>,
    open_orders: u64,
    /// Whether that may be wrong by now: a step failed, and what it wrote is unknown.
    recount: bool,
    /// When the store was asked for it.
    counted_at: Option<Timestamp>,
    /// Orders made in the round under way, before they count as open.
    admitted: u64,
}

/// An input with what is read from it once.
struct Item<C> {
    input: Input<C>,
    order: OrderId,
    heard: Option<Result<Heard, String>>,
    saved: Option<SavedAnswer>,
    creates: bool,
    taken_by: Option<OrderId>,
}

impl<L: Logic> Engine<L> {
    /// A service on its store. `open_orders` is what the store counts now.
    pub fn new(
        logic: L,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Box<dyn Ids>,
        settings: Settings,
        open_orders: u64,
    ) -> Self {
        Self {
            generation: store.generation(),
            logic,
            store,
            clock,
            ids,
            settings,
            topic: L::NAME.into(),
            cache: Cache::new(CACHED_RECORDS, CACHED_BYTES),
            numbers: 0..0,
            cursors: BTreeMap::new(),
            saved: BTreeMap::new(),
            open_orders,
            recount: false,
            counted_at: None,
            admitted: 0,
        }
    }

    /// Handles one batch: every input is decided in order and made durable, or refused, or parked. `room` is how
    /// many tasks the caller can carry out from memory.
    ///
    /// # Errors
    /// The store could not be read or written. What an earlier round of the same step made durable is reported;
    /// every other input may be given again: repeats change nothing.
    pub async fn step(
        &mut self,
        inputs: Vec<Input<L::Command>>,
        room: usize,
    ) -> Result<StepReport<L::Answer>, Unfinished<L::Answer>> {
        let mut report = StepReport::default();
        match self.try_step(inputs, room, &mut report).await {
            Ok(()) => Ok(report),
            Err(error) => {
                // Whether the commit stands is unknown now: look again, and read the sources again from where the
                // store says they are.
                self.cache.clear();
                self.cursors.clear();
                self.recount = true;
                report.settled.clear();
                Err(Unfinished { report, error })
            }
        }
    }

    async fn try_step(
        &mut self,
        inputs: Vec<Input<L::Command>>,
        room: usize,
        report: &mut StepReport<L::Answer>,
    ) -> Result<(), StoreError> {
        let generation = self.store.generation();
        if generation != self.generation {
            self.cache.clear();
            self.generation = generation;
        }
        let now = self.clock.now();
        let mut items = Vec::with_capacity(inputs.len());
        for input in inputs {
            self.take_in(input, &mut items, report);
        }
        let mut pending: Vec<usize> = (0..items.len()).collect();
        let mut conflicted = HashSet::new();
        for _ in 0..MAX_ROUNDS {
            if pending.is_empty() && self.cursors.is_empty() {
                return Ok(());
            }
            let creating = pending.iter().filter(|i| items[**i].creates).count();
            self.reserve_numbers(creating).await?;
            self.recount(creating, now).await?;
            let mut works = self.load(&mut items, &pending, &conflicted).await?;
            let mut answers: HashMap<usize, L::Answer> = HashMap::new();
            self.admitted = 0;
            for &i in &pending {
                let Some(work) = works.get_mut(&items[i].order) else { continue };
                self.decide(i, &items[i], work, now, &mut answers);
            }
            pending = self.commit(&mut items, works, answers, now, room, report, &mut conflicted).await?;
            pending.sort_unstable();
            if pending.is_empty() {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable(format!("still in conflict after {MAX_ROUNDS} rounds")))
    }

    /// Reads what an input is about; deliveries that do not concern us are settled here.
    fn take_in(
        &mut self,
        input: Input<L::Command>,
        items: &mut Vec<Item<L::Command>>,
        report: &mut StepReport<L::Answer>,
    ) {
        let (order, heard, creates) = match &input {
            Input::Command { command, .. } => {
                let target = self.logic.target(command);
                (target.order.clone(), None, target.creates)
            }
            Input::Delivery(delivery) => {
                let origin = &delivery.origin;
                if self.settings.keeps_cursors {
                    let cursor = Cursor {
                        source: origin.source.clone(),
                        lane: origin.lane,
                        incarnation: delivery.incarnation,
                        position: origin.position,
                    };
                    self.cursors.insert((origin.source.clone(), origin.lane), cursor);
                }
                report.settled.push(origin.clone());
                if !self.logic.wants(delivery) {
                    return;
                }
                let (order, heard) = parking::hear(&self.logic, delivery);
                let creates = heard.as_ref().is_ok_and(Heard::creates);
                (order, Some(heard), creates)
            }
            Input::Task(done) => (done.task.order.clone(), None, false),
            Input::Sweep(order) | Input::Unpark { order, .. } => (order.clone(), None, false),
        };
        items.push(Item { input, order, heard, saved: None, creates, taken_by: None });
    }

    async fn reserve_numbers(&mut self, wanted: usize) -> Result<(), StoreError> {
        let left = self.numbers.end - self.numbers.start;
        let Some(more) = (wanted as u64).checked_sub(left).filter(|more| *more > 0) else { return Ok(()) };
        // Where others take numbers, too, a run for some batches at once.
        let run = if self.settings.exclusive { more } else { (wanted as u64).max(NUMBERS_AT_ONCE) };
        let first = self.store.reserve_numbers(u32::try_from(run).unwrap_or(u32::MAX)).await?;
        if left > 0 && first == self.numbers.end {
            self.numbers.end += run;
            return Ok(());
        }
        self.numbers = first..first + run;
        if run < wanted as u64 {
            // A run is used whole, so that numbers rise.
            let first = self.store.reserve_numbers(u32::try_from(wanted).unwrap_or(u32::MAX)).await?;
            self.numbers = first..first + wanted as u64;
        }
        Ok(())
    }

    /// Asks the store how many orders are open, where this process can't know: others open and end orders, too, or a
    /// commit of its own may stand that it has not heard of. With much room left, what was heard a moment ago will do.
    async fn recount(&mut self, creating: usize, now: Timestamp) -> Result<(), StoreError> {
        if creating == 0 || (self.settings.exclusive && !self.recount) {
            return Ok(());
        }
        let room = self.settings.max_open_orders.saturating_sub(self.open_orders);
        let heard_just_now = self.counted_at.is_some_and(|at| at <= now && now < at.plus(COUNTED_FOR));
        if self.recount || !heard_just_now || room < MUCH_ROOM {
            self.open_orders = self.store.stats().await?.open_orders;
            self.counted_at = Some(now);
            self.recount = false;
        }
        Ok(())
    }

    fn decide(
        &mut self,
        i: usize,
        item: &Item<L::Command>,
        work: &mut Working<L::Record>,
        now: Timestamp,
        answers: &mut HashMap<usize, L::Answer>,
    ) {
        let mut ctx = Ctx {
            now,
            ids: &mut *self.ids,
            numbers: &mut self.numbers,
            open_orders: self.open_orders + self.admitted,
            settings: &self.settings,
            topic: &self.topic,
        };
        work.items.push(i);
        if let Some(reason) = &work.unreadable {
            let reason = format!("the order's record can't be read: {reason}");
            return match &item.input {
                Input::Command { .. } => {
                    answers.insert(i, self.logic.unreadable(&item.order));
                    work.answers.push(i);
                }
                Input::Delivery(delivery) => {
                    let event_id =
                        item.heard.as_ref().and_then(|heard| Some(heard.as_ref().ok()?.event_id()));
                    parking::set_aside(&mut work.parts(), delivery, event_id, reason, now);
                }
                // The task stays in its table and comes again when its lease is over; a sweep as long as it is due.
                Input::Task(_) | Input::Sweep(_) => {}
                Input::Unpark { token, what, .. } => {
                    let parts = work.parts();
                    let unparked = parking::unpark(&mut self.logic, parts, what, Some(&reason), &mut ctx);
                    work.unparked.push((*token, unparked));
                }
            };
        }
        // What is parked may be readable by now, after an upgrade say: try it before anything new of its order.
        if matches!(item.input, Input::Delivery(_) | Input::Sweep(_)) && !work.parked.waiting.is_empty() {
            parking::release(&mut self.logic, &mut work.parts(), &mut ctx);
        }
        match (&item.input, &item.heard) {
            (Input::Command { command, .. }, _) => {
                let was_absent = work.record.is_none();
                let key = self.logic.target(command).answer;
                let saved = key.and_then(|key| saved_in(&work.turn, key)).or(item.saved.clone());
                let answer = self.logic.command(
                    &mut work.record,
                    command,
                    saved.as_ref(),
                    item.taken_by.as_ref(),
                    &mut ctx,
                    &mut work.turn,
                );
                answers.insert(i, answer);
                work.answers.push(i);
                if was_absent && work.record.is_some() {
                    self.admitted +=
                        u64::from(work.record.as_ref().is_some_and(|new| self.logic.counts(new)));
                }
                // What came before its order, or before it was asked for, is applied now, in the order of its arrival.
                if work.record.is_some() && (was_absent || !work.parked.waiting.is_empty()) {
                    parking::release(&mut self.logic, &mut work.parts(), &mut ctx);
                }
            }
            (Input::Delivery(delivery), heard) => {
                let was_absent = work.record.is_none();
                parking::deliver(&mut self.logic, work.parts(), delivery, heard.as_ref(), &mut ctx);
                if was_absent && work.record.is_some() {
                    self.admitted +=
                        u64::from(work.record.as_ref().is_some_and(|new| self.logic.counts(new)));
                    parking::release(&mut self.logic, &mut work.parts(), &mut ctx);
                }
            }
            (Input::Task(done), _) => self.logic.task(&mut work.record, done, &mut ctx, &mut work.turn),
            (Input::Sweep(_), _) => self.logic.sweep(&mut work.record, &mut ctx, &mut work.turn),
            (Input::Unpark { token, what, .. }, _) => {
                let unparked = parking::unpark(&mut self.logic, work.parts(), what, None, &mut ctx);
                work.unparked.push((*token, unparked));
            }
        }
    }

    /// Makes the round durable. Returns the inputs to be decided again.
    #[expect(clippy::too_many_arguments, reason = "the state of one round, used here only")]
    async fn commit(
        &mut self,
        items: &mut [Item<L::Command>],
        works: Works<L::Record>,
        mut answers: HashMap<usize, L::Answer>,
        now: Timestamp,
        room: usize,
        report: &mut StepReport<L::Answer>,
        conflicted: &mut HashSet<OrderId>,
    ) -> Result<Vec<usize>, StoreError> {
        let (mut commits, mut written, mut again) = (Vec::new(), Vec::new(), Vec::new());
        let mut room = room.saturating_sub(report.tasks.len());
        for (order, mut work) in works.list {
            let unchanged = !work.turn.changed && !work.parked.changed();
            if unchanged && work.remembered {
                // No guard is there to say whether it still was so: it is decided again from a fresh read.
                conflicted.insert(order);
                again.extend(work.items);
                continue;
            }
            report.overflowed += std::mem::take(&mut work.parked.overflowed);
            if let Some(reason) = &work.unreadable {
                report.unreadable.push((order.clone(), reason.clone()));
            }
            if unchanged {
                self.answer(&work, items, &mut answers, report);
                if let Guard::Revision(revision) = work.guard {
                    self.keep(order, revision, work);
                }
                continue;
            }
            let tasks = self.lease(&mut work.turn, now, room);
            room -= tasks.0.len();
            commits.push(self.to_commit(&order, &mut work));
            written.push((order, work, tasks));
        }
        // What is decided again is not settled yet.
        let cursors = if again.is_empty() { self.cursors.values().cloned().collect() } else { vec![] };
        if commits.is_empty() && (cursors.is_empty() || !self.worth_saving(&cursors)) {
            return Ok(again);
        }
        let outcomes = self.store.commit(Batch { commits, cursors }).await?;
        for ((order, mut work, (run, instead, dropped)), outcome) in written.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Committed { position } => {
                    self.answer(&work, items, &mut answers, report);
                    report.tasks.extend(run);
                    report.instead.extend(instead);
                    report.dropped.extend(dropped);
                    report.commits += 1;
                    report.parked += work.parked.park.len();
                    report.head = report.head.max((position > 0).then_some(position));
                    report.observations.append(&mut work.turn.observations);
                    self.remember(order, work);
                }
                Outcome::Conflict => {
                    self.cache.pop(&order);
                    conflicted.insert(order);
                    again.extend(work.items);
                }
                Outcome::Taken { by } => {
                    self.cache.pop(&order);
                    for &i in &work.items {
                        items[i].taken_by = items[i].creates.then(|| by.clone());
                    }
                    conflicted.insert(order);
                    again.extend(work.items);
                }
            }
        }
        if again.is_empty() {
            let saved = std::mem::take(&mut self.cursors).into_iter();
            self.saved.extend(saved.map(|(source, cursor)| (source, cursor.position)));
        }
        Ok(again)
    }

    /// A cursor alone is written now and then: what it passed over concerned nobody here and is passed over again.
    fn worth_saving(&self, cursors: &[Cursor]) -> bool {
        const EVERY: u64 = 4_096;
        cursors.iter().any(|cursor| {
            let saved = self.saved.get(&(cursor.source.clone(), cursor.lane)).copied().unwrap_or(0);
            cursor.position.saturating_sub(saved) >= EVERY
        })
    }

    fn answer(
        &self,
        work: &Working<L::Record>,
        items: &[Item<L::Command>],
        answers: &mut HashMap<usize, L::Answer>,
        report: &mut StepReport<L::Answer>,
    ) {
        report.unparked.extend(work.unparked.iter().cloned());
        for i in &work.answers {
            if let (Input::Command { token, .. }, Some(answer)) = (&items[*i].input, answers.remove(i)) {
                report.answers.push((*token, answer));
            }
        }
    }

    /// Leases the tasks that this process will carry out from memory; the others are free for whoever polls.
    fn lease(&self, turn: &mut Turn, now: Timestamp, room: usize) -> (Vec<Task>, Vec<Task>, Vec<String>) {
        let (mut run, mut instead) = (Vec::new(), Vec::new());
        let soon = now.plus(self.settings.lease);
        for task in &mut turn.put_tasks {
            if task.lease_until > now {
                instead.push(task.clone());
            } else if task.due_at <= soon && run.len() < room {
                task.lease_until = task.due_at.max(now).plus(self.settings.lease);
                run.push(task.clone());
            }
        }
        (run, instead, turn.drop_tasks.clone())
    }

    fn to_commit(&self, order: &OrderId, work: &mut Working<L::Record>) -> Commit {
        let row = match &work.unreadable {
            Some(_) => None,
            None => Some(work.record.as_ref().map(|record| self.logic.row(record)).unwrap_or_default()),
        };
        work.bytes = row.as_ref().and_then(|row| Some(row.record.as_ref()?.len())).unwrap_or(work.bytes);
        let turn = &mut work.turn;
        Commit {
            id: order.clone(),
            guard: work.guard,
            row,
            journal: std::mem::take(&mut turn.journal),
            history: std::mem::take(&mut turn.history),
            put_tasks: std::mem::take(&mut turn.put_tasks),
            drop_tasks: std::mem::take(&mut turn.drop_tasks),
            answers: std::mem::take(&mut turn.answers),
            park: work.parked.park.clone(),
            unpark: std::mem::take(&mut work.parked.unpark),
        }
    }

    fn remember(&mut self, order: OrderId, work: Working<L::Record>) {
        let revision = match work.guard {
            Guard::Absent => 1,
            Guard::Revision(revision) => revision + 1,
        };
        let counts = work.record.as_ref().is_some_and(|record| self.logic.counts(record));
        self.open_orders = (self.open_orders + u64::from(counts)).saturating_sub(u64::from(work.counted));
        self.keep(order, revision, work);
    }

    /// Keeps a record in memory if it will be wanted again. Where others may change it meanwhile, its guard tells.
    fn keep(&mut self, order: OrderId, revision: u64, work: Working<L::Record>) {
        if let Some(record) = work.record
            && !work.parked.queue
            && self.logic.is_live(&record)
        {
            self.cache.put(order, Known { revision, record, bytes: work.bytes });
        }
    }
}

/// An answer that an earlier input of the same batch saved for the same key.
fn saved_in(turn: &Turn, key: &AnswerKey) -> Option<SavedAnswer> {
    turn.answers.iter().rev().find(|(saved, _)| saved == key).map(|(_, answer)| answer.clone())
}
