//! One instance of a service: the real engine, the real schedule of tasks, and an inbox.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{Clock, Delivery, Ids},
    services::{Ask, Engine, Input, Logic, OrderAnswer, Schedule, StepReport, TaskDone, Unfinished},
};
use uuid::Uuid;

use super::{
    bugs::Spoiled,
    dice::{Dice, Of},
    logic::{Applying, Watched},
    plan::Micros,
    service::Service,
    store::Gate,
};

/// An instance of a service, alive or not.
pub(super) struct Instance {
    pub service: Service,
    pub host: usize,
    /// Counts its lives; what was meant for an earlier one is void.
    pub life: u64,
    /// What it is while it lives.
    pub alive: Option<Alive>,
    /// Operations on its store, over all lives.
    pub operations: u64,
}

/// What dies with the process.
pub(super) struct Alive {
    pub engine: Box<dyn Stepping>,
    pub gate: Arc<Gate>,
    /// What the step under way has applied, and is not yet committed.
    pub applying: Applying,
    pub schedule: Schedule,
    /// Tasks from the table: whoever had them before may have made their call.
    pub claimed: BTreeSet<String>,
    pub under_way: BTreeSet<String>,
    pub inbox: Inbox,
    /// A step is under way, with these deliveries.
    pub stepping: Option<Vec<Place>>,
    /// The tasks whose results it settles.
    pub settling: Vec<String>,
    /// The tasks of which a second result came, after its call had been given up.
    pub late: Vec<String>,
    /// Whether somebody is going to look into the inbox.
    pub called: bool,
    /// Where it reads: by source and lane.
    pub reading: BTreeMap<(Service, u32), Reading>,
    /// The generation of its consumer group that it believes in.
    pub generation: u64,
    /// Whose answers are awaited, by token.
    pub waiting: BTreeMap<u64, (usize, u32)>,
    pub last_token: u64,
    /// When the schedule is looked at next.
    pub due: Option<Micros>,
    /// When it last looked for orders to sweep.
    pub swept: Micros,
    /// When its last trouble ended: a store that failed, a freeze.
    pub trouble: Micros,
}

/// Where a delivery came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub source: Service,
    pub lane: u32,
    pub position: u64,
}

/// How far a source is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// The next to be read: a journal's position or a partition's offset.
    pub next: u64,
    /// Everything before is settled.
    pub settled: u64,
    /// Somebody is going to read on.
    pub called: bool,
}

/// What waits for the next batch.
#[derive(Default)]
pub(super) struct Inbox {
    pub commands: VecDeque<(u64, Arc<Ask>)>,
    pub results: VecDeque<TaskDone>,
    pub deliveries: VecDeque<(Place, Delivery)>,
    pub sweeps: VecDeque<OrderId>,
}

impl Inbox {
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
            && self.results.is_empty()
            && self.deliveries.is_empty()
            && self.sweeps.is_empty()
    }

    /// A batch of at most `limit` inputs, in the order of the real inbox, and where its deliveries came from.
    pub fn take(&mut self, limit: usize) -> (Vec<Input<Ask>>, Vec<Place>) {
        let mut inputs = Vec::new();
        let mut places = Vec::new();
        let commands = self.commands.len().min(limit);
        inputs.extend(
            self.commands.drain(..commands).map(|(token, command)| Input::Command { token, command }),
        );
        let results = self.results.len().min(limit);
        inputs.extend(self.results.drain(..results).map(Input::Task));
        for (place, delivery) in self.deliveries.drain(..self.deliveries.len().min(limit)) {
            places.push(place);
            inputs.push(Input::Delivery(delivery));
        }
        let sweeps = self.sweeps.len().min(limit);
        inputs.extend(self.sweeps.drain(..sweeps).map(Input::Sweep));
        (inputs, places)
    }
}

/// What a step leads to, for every service in one form.
pub(super) type Report = StepReport<OrderAnswer>;

/// An engine that is polled by hand.
pub(super) trait Stepping {
    /// Begins a step.
    fn begin(&mut self, inputs: Vec<Input<Ask>>, room: usize);

    /// Goes on with it, up to the next operation on the store.
    fn poll(&mut self) -> Option<Result<Report, Unfinished<OrderAnswer>>>;
}

pub(super) enum Machine<L: Spoiled> {
    Idle(Box<Engine<Watched<L>>>),
    Stepping(Step<L>),
    /// Only for as long as it takes to go from one to the other.
    Between,
}

type Stepped<L> =
    (Box<Engine<Watched<L>>>, Result<StepReport<<L as Logic>::Answer>, Unfinished<<L as Logic>::Answer>>);
type Step<L> = Pin<Box<dyn Future<Output = Stepped<L>>>>;

impl<L: Spoiled> Stepping for Machine<L> {
    fn begin(&mut self, inputs: Vec<Input<Ask>>, room: usize) {
        if let Self::Idle(mut engine) = std::mem::replace(self, Self::Between) {
            let inputs = inputs.into_iter().filter_map(L::input).collect();
            *self = Self::Stepping(Box::pin(async move {
                let report = engine.step(inputs, room).await;
                (engine, report)
            }));
        }
    }

    fn poll(&mut self) -> Option<Result<Report, Unfinished<OrderAnswer>>> {
        let Self::Stepping(step) = self else { return None };
        match step.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready((engine, report)) => {
                *self = Self::Idle(engine);
                Some(match report {
                    Ok(report) => Ok(in_one_form::<L>(report)),
                    Err(Unfinished { report, error }) => {
                        Err(Unfinished { report: in_one_form::<L>(report), error })
                    }
                })
            }
        }
    }
}

fn in_one_form<L: Spoiled>(report: StepReport<L::Answer>) -> Report {
    StepReport {
        answers: L::answers(report.answers),
        unparked: report.unparked,
        tasks: report.tasks,
        instead: report.instead,
        dropped: report.dropped,
        settled: report.settled,
        parked: report.parked,
        overflowed: report.overflowed,
        unreadable: report.unreadable,
        commits: report.commits,
        head: report.head,
        observations: report.observations,
    }
}

/// A process's clock: the world's time, and how far it is off.
#[derive(Clone, Default)]
pub(super) struct HostClock {
    pub world: Arc<AtomicI64>,
    pub off: Arc<AtomicI64>,
}

/// 2026-01-01, when every run begins.
const BEGINNING: i64 = 1_767_225_600_000_000;

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(
            BEGINNING + self.world.load(Ordering::Relaxed) + self.off.load(Ordering::Relaxed),
        )
    }
}

impl HostClock {
    /// The world's time at which this clock shows `moment`.
    pub fn when(&self, moment: Timestamp) -> Micros {
        moment.as_micros() - BEGINNING - self.off.load(Ordering::Relaxed)
    }
}

/// Ids that depend on who asks and how often it has asked.
pub(super) struct HostIds {
    pub dice: Dice,
    pub instance: u64,
    pub life: u64,
    pub last: u64,
}

impl Ids for HostIds {
    fn next(&mut self) -> Uuid {
        self.last += 1;
        let thing = [self.instance, self.life, self.last];
        Uuid::from_u64_pair(
            self.dice.throw(Of::Id, &thing),
            (self.instance << 56) | (self.life << 40) | self.last,
        )
    }
}
