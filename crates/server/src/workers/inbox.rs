//! What waits for a service: commands first, with a floor for the others, so that neither starves.

use std::sync::Arc;

use cartwright_core::domain::ids::OrderId;
use cartwright_core::services::{Input, Logic, MAX_BATCH, TaskDone, Unpark, Unparked};
use tokio::sync::{mpsc, oneshot};

use super::service::ServiceState;
use crate::bus::journal::Read;

/// Commands that may wait; more are refused with 503.
pub const MAX_COMMANDS: usize = 4_096;
/// Deliveries that are read ahead.
pub const MAX_DELIVERIES: usize = 1_024;
/// Task results that may wait; then calls wait for their turn to report.
pub const MAX_RESULTS: usize = 1_024;
/// Sweeps that may wait.
pub const MAX_SWEEPS: usize = 256;
/// Words of an operator that may wait.
pub const MAX_WORDS: usize = 64;
/// Inputs of a batch kept free of commands when others wait.
const FLOOR: usize = MAX_BATCH / 2;

/// A command, and who waits for its answer.
pub struct Waiting<L: Logic> {
    /// What is asked.
    pub command: Arc<L::Command>,
    /// Where the answer goes.
    pub reply: Reply<L>,
}

/// Where the answer to a command goes.
pub type Reply<L> = oneshot::Sender<Result<<L as Logic>::Answer, NotTaken>>;

/// An operator's word on the parked events of an order.
pub struct Word {
    /// The order.
    pub order: OrderId,
    /// What to do.
    pub what: Unpark,
    /// Where to tell what became of them.
    pub reply: oneshot::Sender<Unparked>,
}

/// Where commands are handed in. Cheap to clone.
pub struct Commands<L: Logic> {
    to: mpsc::Sender<Waiting<L>>,
    state: Arc<ServiceState>,
}

impl<L: Logic> Clone for Commands<L> {
    fn clone(&self) -> Self {
        Self { to: self.to.clone(), state: self.state.clone() }
    }
}

/// Why a command was not taken, or not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The queue is full: nothing was done.
    #[error("too much is waiting to be accepted")]
    Full,
    /// The store can't be written: nothing was done.
    #[error("the store can't be written at present")]
    Failing,
    /// The disk is full: nothing was done.
    #[error("there is no room left on the disk")]
    NoRoom,
    /// The service is stopping: nothing was done.
    #[error("the service is stopping")]
    Stopping,
    /// The store failed while it was handled: whether it was done is unknown, and a repeat finds out.
    #[error("the store failed while this was handled; whether it was done is unknown")]
    Unknown,
}

impl<L: Logic> Commands<L> {
    /// Hands in a command and waits for its answer, which comes when it is durable.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn ask(&self, command: L::Command) -> Result<L::Answer, NotTaken> {
        if self.state.is_failing() {
            return Err(NotTaken::Failing);
        }
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { command: Arc::new(command), reply };
        self.to.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotTaken::Full,
            mpsc::error::TrySendError::Closed(_) => NotTaken::Stopping,
        })?;
        answer.await.unwrap_or(Err(NotTaken::Unknown))
    }
}

/// The ends where others hand in.
pub struct Intakes<L: Logic> {
    /// Commands.
    pub commands: Commands<L>,
    /// Deliveries.
    pub deliveries: mpsc::Sender<Read>,
    /// Task results.
    pub results: mpsc::Sender<TaskDone>,
    /// Sweeps.
    pub sweeps: mpsc::Sender<OrderId>,
    /// An operator's words.
    pub words: mpsc::Sender<Word>,
}

/// The end where the service takes out.
pub struct Inbox<L: Logic> {
    commands: mpsc::Receiver<Waiting<L>>,
    deliveries: mpsc::Receiver<Read>,
    results: mpsc::Receiver<TaskDone>,
    sweeps: mpsc::Receiver<OrderId>,
    words: mpsc::Receiver<Word>,
}

/// A batch: inputs, and who waits for the answers of its commands, by token.
pub struct Taken<L: Logic> {
    /// For the engine.
    pub inputs: Vec<Input<L::Command>>,
    /// By token.
    pub replies: Vec<Option<Reply<L>>>,
    /// Who waits to hear what became of parked events, by token.
    pub words: Vec<Option<oneshot::Sender<Unparked>>>,
}

/// The inbox of a service in this state.
pub fn inbox<L: Logic>(state: Arc<ServiceState>) -> (Intakes<L>, Inbox<L>) {
    let (commands_in, commands) = mpsc::channel(MAX_COMMANDS);
    let (deliveries_in, deliveries) = mpsc::channel(MAX_DELIVERIES);
    let (results_in, results) = mpsc::channel(MAX_RESULTS);
    let (sweeps_in, sweeps) = mpsc::channel(MAX_SWEEPS);
    let (words_in, words) = mpsc::channel(MAX_WORDS);
    let intakes = Intakes {
        commands: Commands { to: commands_in, state },
        deliveries: deliveries_in,
        results: results_in,
        sweeps: sweeps_in,
        words: words_in,
    };
    (intakes, Inbox { commands, deliveries, results, sweeps, words })
}

impl<L: Logic> Inbox<L> {
    /// Refuses further commands; those that wait are still handled.
    pub fn close_commands(&mut self) {
        self.commands.close();
    }

    /// Waits until there is something, then takes all that waits, up to a batch. Never waits for company.
    /// Deliveries of an earlier reading are left out.
    pub async fn take(&mut self, reading: u64) -> Taken<L> {
        let mut taken = Taken { inputs: Vec::new(), replies: Vec::new(), words: Vec::new() };
        tokio::select! {
            Some(command) = self.commands.recv() => taken.command(command),
            Some(read) = self.deliveries.recv() => taken.delivery(read, reading),
            Some(done) = self.results.recv() => taken.inputs.push(Input::Task(done)),
            Some(order) = self.sweeps.recv() => taken.inputs.push(Input::Sweep(order)),
            Some(word) = self.words.recv() => taken.word(word),
            else => std::future::pending().await,
        }
        self.fill(&mut taken, reading);
        taken
    }

    /// Whether anything waits.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
            && self.deliveries.is_empty()
            && self.results.is_empty()
            && self.sweeps.is_empty()
            && self.words.is_empty()
    }

    fn fill(&mut self, taken: &mut Taken<L>, reading: u64) {
        let others = self.deliveries.len() + self.results.len() + self.sweeps.len();
        let commands = MAX_BATCH - others.min(FLOOR);
        while taken.inputs.len() < commands
            && let Ok(command) = self.commands.try_recv()
        {
            taken.command(command);
        }
        // Deliveries get half of what is left, sweeps a place.
        let left = MAX_BATCH - taken.inputs.len();
        let results = taken.inputs.len() + left
            - self.deliveries.len().min(left / 2)
            - self.sweeps.len().min(left / 16);
        while taken.inputs.len() < results
            && let Ok(done) = self.results.try_recv()
        {
            taken.inputs.push(Input::Task(done));
        }
        let deliveries = MAX_BATCH - self.sweeps.len().min(left / 16);
        while taken.inputs.len() < deliveries
            && let Ok(read) = self.deliveries.try_recv()
        {
            taken.delivery(read, reading);
        }
        while taken.inputs.len() < MAX_BATCH
            && let Ok(order) = self.sweeps.try_recv()
        {
            taken.inputs.push(Input::Sweep(order));
        }
        while taken.inputs.len() < MAX_BATCH
            && let Ok(word) = self.words.try_recv()
        {
            taken.word(word);
        }
    }
}

impl<L: Logic> Taken<L> {
    fn command(&mut self, waiting: Waiting<L>) {
        if waiting.reply.is_closed() {
            return; // not begun, and whoever asked was told so or has gone
        }
        let token = self.replies.len() as u64;
        self.replies.push(Some(waiting.reply));
        self.inputs.push(Input::Command { token, command: waiting.command });
    }

    fn delivery(&mut self, read: Read, reading: u64) {
        if read.reading == reading {
            self.inputs.push(Input::Delivery(read.delivery));
        }
    }

    fn word(&mut self, word: Word) {
        let token = self.words.len() as u64;
        self.words.push(Some(word.reply));
        self.inputs.push(Input::Unpark { token, order: word.order, what: word.what });
    }
}
