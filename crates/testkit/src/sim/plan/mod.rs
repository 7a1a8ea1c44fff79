//! What is to happen in a run: a list of things that clients do and that go wrong. A run is a function of its seed and
//! its plan; taking an item out of the plan leaves the rest as it was, so that a failing plan can be made small.

mod draw;

use std::fmt;

use super::service::Service;

/// Virtual time: microseconds since the beginning of the run.
pub type Micros = i64;

/// A second of virtual time.
pub(super) const SECOND: Micros = 1_000_000;
/// A millisecond of virtual time.
pub(super) const MILLI: Micros = 1_000;

/// A run to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where everything runs.
    pub shape: Shape,
    /// The orders that clients may place, by their number.
    pub orders: Vec<Stated>,
    /// What happens.
    pub items: Vec<Item>,
    /// When the faults stop.
    pub calm_at: Micros,
}

/// Where everything runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Several processes for each service with a broker between them; else one writer for each store, and the
    /// journals are the bus.
    pub distributed: bool,
    /// The processes of each service.
    pub instances: usize,
    /// Whether all services share one process (embedded only).
    pub together: bool,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Orders that may be open at once.
    pub max_open_orders: u64,
    /// Tasks that a process takes into memory.
    pub room: usize,
    /// How long the sweeper waits at first, in seconds.
    pub sweep_after: u64,
    /// How long an outcome may stay unknown, in seconds.
    pub deadline: u64,
}

/// What a client states about an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Stated {
    /// Its flow.
    pub flow: &'static str,
    /// How the client makes sure that it is one order.
    pub style: Style,
}

/// How a client makes sure that it places an order once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// An `Idempotency-Key`.
    Key,
    /// An id of its own.
    Id,
    /// Both.
    IdAndKey,
    /// An id of its own, and `PUT`.
    Put,
    /// A key, and an `externalId` that the order before it may have, too.
    External,
    /// Not at all.
    Fresh,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A client places an order.
    Place {
        /// The number of the order.
        order: usize,
        /// When.
        at: Micros,
        /// How long it waits for an answer before it hangs up and tries again.
        patience: Micros,
    },
    /// A client asks for something about an order.
    Change {
        /// The number of the order.
        order: usize,
        /// What.
        ask: Asked,
        /// Whether under a key, so that it can be repeated.
        key: bool,
        /// When.
        at: Micros,
        /// How long it waits for an answer before it hangs up, and tries again if it has a key.
        patience: Micros,
    },
    /// A process dies.
    Crash {
        /// Which.
        host: usize,
        /// When.
        when: When,
        /// For how long it stays down.
        down: Micros,
    },
    /// Every process dies.
    Restart {
        /// When.
        at: Micros,
    },
    /// A process stands still, and then goes on as if nothing had been.
    Freeze {
        /// Which.
        host: usize,
        /// When.
        at: Micros,
        /// For how long.
        lasts: Micros,
    },
    /// A process's clock jumps.
    Jump {
        /// Whose.
        host: usize,
        /// When.
        at: Micros,
        /// How far, forward or back.
        by: Micros,
    },
    /// A store fails.
    StoreFails {
        /// For which instance.
        instance: usize,
        /// At which of its operations.
        operation: u64,
        /// Whether it has written all the same.
        written: bool,
    },
    /// A provider does not simply do what it is asked.
    Provider {
        /// About which order.
        order: usize,
        /// At whose provider.
        service: Service,
        /// Whether it is an undo.
        undo: bool,
        /// At which call.
        call: u64,
        /// What it does.
        does: Does,
    },
    /// A service reads its sources again from an earlier position.
    Rewind {
        /// Which.
        service: Service,
        /// When.
        at: Micros,
        /// How far back.
        by: u64,
    },
    /// Nothing reaches the readers of a topic for a while.
    Outage {
        /// Whose topic.
        service: Service,
        /// When.
        at: Micros,
        /// For how long.
        lasts: Micros,
    },
    /// A topic forgets the end of a partition.
    LostTail {
        /// Whose topic.
        service: Service,
        /// Which partition.
        lane: u32,
        /// When.
        at: Micros,
        /// How many messages.
        count: usize,
    },
    /// A relay loses its lease, and does not know.
    LeaseLost {
        /// Whose.
        service: Service,
        /// When.
        at: Micros,
    },
    /// Bytes that nobody can read come under an order's key.
    Poison {
        /// The number of the order.
        order: usize,
        /// Whose topic.
        from: Service,
        /// When.
        at: Micros,
    },
    /// A service is too old to understand one of an order's events, until the faults stop.
    Misread {
        /// The number of the order.
        order: usize,
        /// Which service.
        service: Service,
        /// Which of the events, counted as they come.
        which: usize,
    },
    /// Reports about an order's first step come before anybody knows the order.
    Early {
        /// The number of the order.
        order: usize,
        /// How many.
        count: u64,
        /// When.
        at: Micros,
    },
}

/// When a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At this time.
    At(Micros),
    /// At an operation of one of its instances on its store.
    Operation {
        /// Which instance.
        instance: usize,
        /// Which of its operations.
        number: u64,
        /// After it was written, before anybody heard so.
        written: bool,
    },
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Call it off.
    Cancel,
    /// Hold it.
    Hold,
    /// Let it go on.
    Release,
    /// A milestone of a manual order.
    Milestone,
}

/// What a provider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It takes its time, in milliseconds: more than the caller waits, maybe.
    Slow(u32),
    /// It takes its time, and the answer is handed in although the caller had given up.
    Late(u32),
    /// It loses the call.
    LosesCall,
    /// It does it, and the answer is lost.
    LosesAnswer,
    /// It refuses.
    Refuses,
    /// It turns this call away, whatever became of earlier ones.
    TurnsAway,
    /// It wants time.
    Waits,
    /// It never answers.
    Hangs,
    /// It is not called: calls are held back for so many milliseconds, by wish when they are even.
    HeldBack(u32),
    /// It says that it is too late (an undo of a shipment).
    TooLate,
}

impl Plan {
    /// The plan of a seed.
    pub fn from_seed(seed: u64, distributed: Option<bool>) -> Self {
        draw::plan(seed, distributed)
    }
}

impl Item {
    /// The number of the order that this is about, if it is about one.
    pub(super) const fn order(&self) -> Option<usize> {
        match self {
            Self::Place { order, .. }
            | Self::Change { order, .. }
            | Self::Provider { order, .. }
            | Self::Poison { order, .. }
            | Self::Misread { order, .. }
            | Self::Early { order, .. } => Some(*order),
            _ => None,
        }
    }
}

/// A moment of a run, as stories show it.
pub(super) struct Moment(pub Micros);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06}", self.0 / SECOND, self.0 % SECOND)
    }
}
