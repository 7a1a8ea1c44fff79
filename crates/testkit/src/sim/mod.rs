//! The simulator: the real services in one thread, and one seed that decides everything that happens to them.
//!
//! A [`Plan`] says what clients do and what goes wrong: crashes between any two steps, stores that fail with and
//! without having written, providers that lose calls and answers, clocks that jump, events that come twice, late or
//! from an old offset. In a second phase the faults stop, and everything must come to its end. [`checks`] watch all
//! the while. [`Bug`]s can be planted, to show that they are found.
//!
//! * [`run`] runs a plan; [`shrink`] makes a failing one small; [`Ran::story`] tells it.
//! * `world` is the heap of events; `work`, `calls`, `bus`, `clients` and `faults` are what happens in it.
//! * `store` stops every store operation at a gate, so that the scheduler decides what comes between.

mod bugs;
mod bus;
mod calls;
mod checks;
mod clients;
mod coverage;
mod dice;
mod faults;
mod instance;
mod kept;
mod logic;
mod look;
mod plan;
mod provider;
mod service;
mod shrinking;
mod store;
mod stores;
mod trace;
mod work;
mod world;

pub use self::{
    bugs::Bug,
    checks::Violation,
    coverage::Coverage,
    kept::kept_seeds,
    plan::{Asked, Does, Item, Micros, Plan, Shape, Stated, Style, When},
    service::Service,
    shrinking::{shrink, story},
    stores::{ModelStores, Stores},
};
use self::{trace::Trace, world::World};

/// Where the stores of a run come from.
type Open<'a> = &'a dyn Stores;

/// How a run went.
#[derive(Debug)]
pub struct Ran {
    /// What was wrong, if anything was.
    pub violation: Option<Violation>,
    /// What the run reached.
    pub coverage: Coverage,
    /// How much virtual time passed.
    pub virtual_time: Micros,
    /// What happened, if it was wanted: all of it, or what concerns the order of the violation.
    pub trace: Vec<String>,
}

/// How much of what happened is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: the fastest.
    Nothing,
    /// What concerns the order of the violation.
    Story,
    /// Every line.
    Everything,
}

/// Runs a plan on model stores.
pub fn run(seed: u64, plan: &Plan, bug: Option<Bug>, keep: Keep) -> Ran {
    run_on(&ModelStores::new(plan, bug), seed, plan, bug, keep)
}

/// Runs a plan on stores of the caller's.
pub fn run_on(stores: &dyn Stores, seed: u64, plan: &Plan, bug: Option<Bug>, keep: Keep) -> Ran {
    let trace = if keep == Keep::Nothing { Trace::default() } else { Trace::wanted() };
    let mut world = World::new(seed, plan, bug, stores, trace);
    world.run();
    let violation = world.checks.violation.take();
    let about = violation.as_ref().filter(|_| keep == Keep::Story).and_then(|v| v.order.clone());
    let trace = world.trace.lines(about.as_ref());
    Ran { violation, coverage: world.coverage, virtual_time: world.now, trace }
}
