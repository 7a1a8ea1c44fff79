//! What waits for a service: commands first, with a floor for the others, so that what was taken is also finished.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use cartwright_core::domain::ids::OrderId;
use cartwright_core::ports::Delivery;
use cartwright_core::services::{Input, Logic, MAX_BATCH, TaskDone, Unpark, Unparked};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::service::ServiceState;
use crate::bus::journal::Read;

/// Commands that may wait; more are refused with 503.
pub const MAX_COMMANDS: usize = 4_096;
/// Bytes of commands that may wait, as they came over the wire.
pub const MAX_COMMAND_BYTES: usize = 64 * 1024 * 1024;
/// Deliveries that are read ahead.
pub const MAX_DELIVERIES: usize = 1_024;
/// Bytes of deliveries that are read ahead; one is let through however large it is.
pub const MAX_DELIVERY_BYTES: usize = 16 * 1024 * 1024;
/// Task results that may wait; then calls wait for their turn to report.
pub const MAX_RESULTS: usize = 1_024;
/// Sweeps that may wait.
pub const MAX_SWEEPS: usize = 256;
/// Words of an operator that may wait.
pub const MAX_WORDS: usize = 64;
/// Inputs of a batch kept free of commands when others wait. An order is one command and three to five others until it is
/// shipped: with no more room than that, orders are taken as fast as they are finished, and what once waits stays; with
/// less, ever more waits.
const FLOOR: usize = MAX_BATCH / 8 * 7;

/// A command, and who waits for its answer.
pub struct Waiting<L: Logic> {
    /// What is asked.
    pub command: Arc<L::Command>,
    /// Where the answer goes.
    pub reply: Reply<L>,
    /// Its part of [`MAX_COMMAND_BYTES`], given back when it is taken.
    _room: OwnedSemaphorePermit,
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
    room: Arc<Semaphore>,
    state: Arc<ServiceState>,
    awaited: Arc<Awaited>,
}

/// How many commands the service waits for, or last did.
#[derive(Default)]
struct Awaited {
    commands: AtomicUsize,
    there: Notify,
}

impl<L: Logic> Clone for Commands<L> {
    fn clone(&self) -> Self {
        let Self { to, room, state, awaited } = self;
        Self { to: to.clone(), room: room.clone(), state: state.clone(), awaited: awaited.clone() }
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
    /// Where nobody takes any: the service runs in other processes.
    pub fn nobody() -> Self {
        let (to, room) = (mpsc::channel(1).0, Arc::new(Semaphore::new(0)));
        Self { to, room, state: Arc::default(), awaited: Arc::default() }
    }

    /// Hands in a command that came as so many bytes, and waits for its answer, which comes when it is durable.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn ask(&self, command: L::Command, bytes: usize) -> Result<L::Answer, NotTaken> {
        if self.state.is_failing() {
            return Err(NotTaken::Failing);
        }
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(permits).map_err(|_| NotTaken::Full)?;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { command: Arc::new(command), reply, _room: room };
        self.to.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotTaken::Full,
            mpsc::error::TrySendError::Closed(_) => NotTaken::Stopping,
        })?;
        let awaited = self.awaited.commands.load(Relaxed);
        if awaited > 0 && MAX_COMMANDS - self.to.capacity() >= awaited {
            self.awaited.there.notify_one();
        }
        answer.await.unwrap_or(Err(NotTaken::Unknown))
    }
}

/// Where deliveries are handed in, in order.
#[derive(Clone)]
pub struct Deliveries {
    to: mpsc::Sender<(Read, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl Deliveries {
    /// Waits for room and hands a delivery in; `false` if nobody takes any more.
    pub async fn send(&self, read: Read) -> bool {
        let Ok(room) = self.room.clone().acquire_many_owned(size(&read)).await else { return false };
        self.to.send((read, room)).await.is_ok()
    }

    /// Hands a delivery in if there is room for it just now; else gives it back.
    ///
    /// # Errors
    /// There is no room, or nobody takes any more.
    pub fn try_send(&self, read: Read) -> Result<(), Read> {
        let Ok(room) = self.room.clone().try_acquire_many_owned(size(&read)) else { return Err(read) };
        self.to.try_send((read, room)).map_err(|error| error.into_inner().0)
    }
}

/// What a delivery takes of [`MAX_DELIVERY_BYTES`].
fn size(read: &Read) -> u32 {
    let Delivery { key, headers, value, .. } = &read.delivery;
    let bytes = (key.len() + headers.as_bytes().len() + value.len()).min(MAX_DELIVERY_BYTES);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The ends where others hand in.
pub struct Intakes<L: Logic> {
    /// Commands.
    pub commands: Commands<L>,
    /// Deliveries.
    pub deliveries: Deliveries,
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
    deliveries: mpsc::Receiver<(Read, OwnedSemaphorePermit)>,
    results: mpsc::Receiver<TaskDone>,
    sweeps: mpsc::Receiver<OrderId>,
    words: mpsc::Receiver<Word>,
    awaited: Arc<Awaited>,
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
    let awaited = Arc::<Awaited>::default();
    let room = Arc::new(Semaphore::new(MAX_COMMAND_BYTES));
    let intakes = Intakes {
        commands: Commands { to: commands_in, room, state, awaited: awaited.clone() },
        deliveries: Deliveries { to: deliveries_in, room: Arc::new(Semaphore::new(MAX_DELIVERY_BYTES)) },
        results: results_in,
        sweeps: sweeps_in,
        words: words_in,
    };
    (intakes, Inbox { commands, deliveries, results, sweeps, words, awaited })
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
            biased; // the shares of the rest are in `fill`
            Some(command) = self.commands.recv() => taken.command(command),
            Some((read, _)) = self.deliveries.recv() => taken.delivery(read, reading),
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
        self.len() == 0
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.commands.len()
            + self.deliveries.len()
            + self.results.len()
            + self.sweeps.len()
            + self.words.len()
    }

    /// How many commands wait.
    pub fn commands(&self) -> usize {
        self.commands.len()
    }

    /// Waits until so many commands wait.
    pub async fn until_there_are(&self, commands: usize) {
        self.awaited.commands.store(commands, Relaxed);
        while self.commands.len() < commands {
            self.awaited.there.notified().await;
        }
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
            && let Ok((read, _)) = self.deliveries.try_recv()
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cartwright_core::{
        domain::order::{Actor, OrderCommand},
        ports::{Headers, Origin},
        services::{Ask, Orders, Request},
    };
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn commands_wait_up_to_so_many_bytes() {
        let (intakes, mut inbox) = inbox::<Orders>(Arc::default());
        let ask = |bytes| intakes.commands.ask(hold(), bytes);
        let mut large = Box::pin(ask(MAX_COMMAND_BYTES));
        assert!(large.as_mut().now_or_never().is_none(), "it waits");
        assert_eq!(ask(1).await.unwrap_err(), NotTaken::Full);
        assert_eq!(inbox.take(0).await.inputs.len(), 1);
        assert!(Box::pin(ask(1)).now_or_never().is_none(), "there is room again");
    }

    #[tokio::test]
    async fn what_was_begun_leaves_commands_an_eighth() {
        let (intakes, mut inbox) = inbox::<Orders>(Arc::default());
        let mut asking: Vec<_> = (0..MAX_BATCH).map(|_| Box::pin(intakes.commands.ask(hold(), 1))).collect();
        assert!(asking.iter_mut().all(|ask| ask.as_mut().now_or_never().is_none()), "they wait");
        for position in 0..MAX_DELIVERIES {
            assert!(intakes.deliveries.send(event(position)).await);
        }
        let taken = inbox.take(0).await;
        assert_eq!((taken.inputs.len(), taken.replies.len()), (MAX_BATCH, MAX_BATCH / 8));
    }

    #[tokio::test]
    async fn who_waits_for_commands_hears_when_so_many_are_there() {
        let (intakes, inbox) = inbox::<Orders>(Arc::default());
        let mut asking = [(); 3].map(|()| Box::pin(intakes.commands.ask(hold(), 1)));
        let mut awaited = Box::pin(inbox.until_there_are(3));
        for ask in &mut asking {
            assert!(awaited.as_mut().now_or_never().is_none());
            assert!(ask.as_mut().now_or_never().is_none(), "it waits for its answer");
        }
        awaited.await;
        inbox.until_there_are(2).await;
    }

    fn event(position: usize) -> Read {
        let origin = Origin { source: "payments".into(), lane: 0, position: position as u64 };
        let (key, value) = (Bytes::from_static(b"a"), Bytes::from_static(b"{}"));
        let delivery = Delivery { origin, incarnation: Uuid::nil(), key, headers: Headers::default(), value };
        Read { reading: 0, delivery }
    }

    fn hold() -> Ask {
        Ask::Change(Request {
            order: OrderId::parse("a").unwrap(),
            command: OrderCommand::Hold { note: None },
            actor: Actor::api("test"),
            key: None,
            expected: None,
        })
    }
}
