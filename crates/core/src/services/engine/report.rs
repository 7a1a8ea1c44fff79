//! What a step reports.

use crate::{
    domain::ids::OrderId,
    ports::{Origin, StoreError, Task},
    services::Unparked,
};

/// What one step did.
pub struct StepReport<A> {
    /// Answers by token.
    pub answers: Vec<(u64, A)>,
    /// What became of parked events that an operator had a word on, by token.
    pub unparked: Vec<(u64, Unparked)>,
    /// Tasks to carry out from memory, leased by us; the store has them for crashes and retries.
    pub tasks: Vec<Task>,
    /// Tasks that replace one which may be under way: see [`Schedule::put_instead`](super::Schedule::put_instead).
    pub instead: Vec<Task>,
    /// Tasks that are done with.
    pub dropped: Vec<String>,
    /// Deliveries that are settled; their offsets may advance.
    pub settled: Vec<Origin>,
    /// Events parked.
    pub parked: usize,
    /// Events not even parked, because too many of their order are: they are asked for again once it goes on.
    pub overflowed: usize,
    /// Orders whose record can't be read, and why: they are left as they are, and their events are parked.
    pub unreadable: Vec<(OrderId, String)>,
    /// Commits that stood.
    pub commits: usize,
    /// The newest journal position, if any row was written.
    pub head: Option<u64>,
    /// What the logic measured.
    pub observations: Vec<(&'static str, std::time::Duration)>,
}

impl<A> Default for StepReport<A> {
    fn default() -> Self {
        Self {
            answers: vec![],
            unparked: vec![],
            tasks: vec![],
            instead: vec![],
            dropped: vec![],
            settled: vec![],
            parked: 0,
            overflowed: 0,
            unreadable: vec![],
            commits: 0,
            head: None,
            observations: vec![],
        }
    }
}

/// A step that came to an end early.
pub struct Unfinished<A> {
    /// What an earlier round of it made durable. Deliveries are settled by no step that failed.
    pub report: StepReport<A>,
    /// Why it could not go on.
    pub error: StoreError,
}

impl<A> std::fmt::Debug for Unfinished<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unfinished").field("error", &self.error).finish_non_exhaustive()
    }
}
