//! What the services need from the outside: a store, a clock, ids, a payment provider and a carrier.
//!
//! Adapters live in other crates. Everything here is plain data, so that a fake is a `Vec` and a simulator can
//! decide every answer.

mod headers;
mod operator;
mod providers;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::{
    headers::{BadHeaders, Headers},
    operator::{DueSweep, ListedParked, OpenCount, OpenQuery, ParkedName, ParkedQuery, Stage},
    providers::{
        AuthorizeCall, CallOutcome, CancelOutcome, Carrier, HeldBack, PaymentProvider, ShipCall, ShipLine,
        Shipped, UndoCall,
    },
};
use crate::domain::{ids::OrderId, order::OrderStatus, time::Timestamp};

// ---------------------------------------------------------------------------------------------- time and ids

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present moment. May jump; nothing relies on it for order.
    fn now(&self) -> Timestamp;
}

/// Where fresh ids come from.
pub trait Ids: Send + Sync {
    /// A UUID that nobody has seen before; version 7, so that new rows land together.
    fn next(&mut self) -> Uuid;
}

// ------------------------------------------------------------------------------------------------- the store

/// A page of anything ends once it holds this many bytes, however many rows were asked for.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// One service's durable state: records, journal, history, tasks, saved answers, parked events and cursors.
///
/// The one way to write is [`Store::commit`]. An adapter guarantees: a commit is all or nothing; what it answered
/// is durable; journal positions rise in commit order without ever going back, and a reader that has seen
/// position `n` never later finds a new row at or before `n`.
#[async_trait]
pub trait Store: Send + Sync {
    /// The identity of this store's journal. A restored store gets a new one, so that old cursors are noticed.
    fn incarnation(&self) -> Uuid;

    /// Changes when what this process remembers of the records may be of no use any more, guards or not: its connections
    /// were made anew, and another server than before may have taken the store over.
    fn generation(&self) -> u64 {
        0
    }

    /// The records of these orders, in the order asked; [`Stored::default`] where there is none.
    async fn load(&self, ids: &[OrderId]) -> Result<Vec<Stored>, StoreError>;

    /// Writes a batch. Each commit stands or falls alone by its guard; all that stand become durable together.
    /// The batch's cursors are written if and only if every commit of the batch stood.
    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError>;

    /// Journal rows after `position`, in position order: at most `limit`, fewer when they are large, and none only
    /// if there is none.
    async fn journal(&self, after: u64, limit: usize) -> Result<Vec<JournalRow>, StoreError>;

    /// The oldest kept and the newest position; (1, 0) when the journal is empty.
    async fn journal_bounds(&self) -> Result<(u64, u64), StoreError>;

    /// How far this service has read each source.
    async fn cursors(&self) -> Result<Vec<Cursor>, StoreError>;

    /// The events of an order as its service has seen them, oldest first: at most `limit` after number `after`
    /// (numbers count from 1 without gaps).
    async fn history(&self, id: &OrderId, after: u64, limit: usize) -> Result<Vec<Bytes>, StoreError>;

    /// Of each of these orders the newest events that [`history`](Store::history) gives, at most `limit` each, oldest
    /// first, in the order asked; none for an order that is not there.
    async fn histories(&self, ids: &[OrderId], limit: usize) -> Result<Vec<Vec<Bytes>>, StoreError>;

    /// Takes tasks that are ready at `now`, the longest waiting first, and leases them until `lease_until`.
    async fn claim_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError>;

    /// Ends the leases of these tasks, as far as they are still the ones that the tasks say: whoever leaves gives back
    /// what was not begun. A store that one process has for itself forgets all leases when it is opened.
    async fn give_back(&self, _tasks: &[Task]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The answers saved for these keys, in the order asked.
    async fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<SavedAnswer>>, StoreError>;

    /// Forgets answers saved before `before`, at most `limit`; says how many.
    async fn purge_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// The parked events of an order in the order of their arrival.
    async fn parked(&self, id: &OrderId) -> Result<Vec<Parked>, StoreError>;

    /// Parked events of all orders, or of one, in the order of their arrival.
    async fn parked_page(&self, query: &ParkedQuery) -> Result<Vec<ListedParked>, StoreError>;

    /// Orders whose sweep is due at `now`, the longest due first, after this place.
    async fn due_sweeps(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, u64)>,
        limit: usize,
    ) -> Result<Vec<DueSweep>, StoreError>;

    /// Open orders of one stage, the oldest first. Costs as much as the page is long, however many orders there are.
    async fn open_orders(&self, query: &OpenQuery) -> Result<Vec<Listed>, StoreError>;

    /// How many orders are open at each stage. Costs as much as orders are open: for now and then.
    async fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError>;

    /// Orders that match, newest first: at most as many as asked, fewer when they come to [`PAGE_BYTES`].
    async fn orders(&self, query: &OrderQuery) -> Result<Vec<Listed>, StoreError>;

    /// Orders in the order in which they lie, which is about that in which they came: at most `limit` behind this place
    /// (0: from the beginning), fewer when they come to [`PAGE_BYTES`], each with the newest `events` of its history. For
    /// whoever reads them all. One that comes meanwhile may be left out.
    async fn walk(&self, after: u64, limit: usize, events: usize) -> Result<Vec<Walked>, StoreError>;

    /// `count` fresh order numbers, rising; gaps are allowed. Returns the first of a contiguous run.
    async fn reserve_numbers(&self, count: u32) -> Result<u64, StoreError>;

    /// Counts for limits, health and metrics.
    async fn stats(&self) -> Result<StoreStats, StoreError>;
}

/// A record as it stands in the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// Counts every write of the row, from 1; 0: there is no row.
    pub revision: u64,
    /// The shape of `record`, as the row that was written said.
    pub schema: u32,
    /// The record's JSON; `None` for no row and for the placeholder that parked events hang on.
    pub record: Option<Vec<u8>>,
    /// Whether events of this order are parked, so that later ones must queue behind them.
    pub has_parked: bool,
}

/// What a commit expects of its record's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// There is no row yet.
    Absent,
    /// The row has this revision.
    Revision(u64),
}

/// Several commits that become durable in one write.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The commits; at most one for each order.
    pub commits: Vec<Commit>,
    /// How far the sources are read once every commit of this batch stands.
    pub cursors: Vec<Cursor>,
}

/// The one write: a record's new state under its guard, with everything that belongs to it. All or nothing.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The order whose record this is.
    pub id: OrderId,
    /// What the row must be now.
    pub guard: Guard,
    /// The new row; `None` leaves it as it is but for its revision, and needs a row to be there.
    pub row: Option<Row>,
    /// Rows for the service's journal, in order.
    pub journal: Vec<Message>,
    /// What the order's history gains, in order.
    pub history: Vec<HistoryEntry>,
    /// Tasks to write, over one of the same id if there is one.
    pub put_tasks: Vec<Task>,
    /// Tasks that are done with.
    pub drop_tasks: Vec<TaskId>,
    /// Answers to repeat when the same key comes again.
    pub answers: Vec<(AnswerKey, SavedAnswer)>,
    /// Events to set aside. One that is parked already stays as it is.
    pub park: Vec<Parked>,
    /// Parked events that have been applied or discarded, by their origin.
    pub unpark: Vec<Origin>,
}

impl Commit {
    /// A commit that writes this row and nothing else.
    pub fn new(id: OrderId, guard: Guard, row: Option<Row>) -> Self {
        Self {
            id,
            guard,
            row,
            journal: Vec::new(),
            history: Vec::new(),
            put_tasks: Vec::new(),
            drop_tasks: Vec::new(),
            answers: Vec::new(),
            park: Vec::new(),
            unpark: Vec::new(),
        }
    }
}

/// A record's row: its JSON and the columns that are listed and searched.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The shape of `record`, from 1.
    pub schema: u32,
    /// The JSON; `None` makes a placeholder for parked events.
    pub record: Option<Vec<u8>>,
    /// Listed columns; orders only.
    pub columns: Option<OrderColumns>,
}

/// The columns of an order that lists filter by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderColumns {
    /// Our short number, unique.
    pub number: u64,
    /// The sales channel; empty for none.
    pub channel: String,
    /// The client's own id, unique in its channel.
    pub external_id: Option<String>,
    /// Where it stands.
    pub status: OrderStatus,
    /// The last milestone, as text.
    pub milestone: String,
    /// The name of its flow.
    pub flow: String,
    /// The customer's id.
    pub customer: String,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the sweeper should look at it; `None`: never.
    pub sweep_at: Option<Timestamp>,
    /// Whether it counts against the limit of open orders.
    pub counted: bool,
}

/// How one commit of a batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands; the position of its last journal row (0 if it had none).
    Committed {
        /// The position of the last journal row.
        position: u64,
    },
    /// The guard did not hold: somebody else wrote this record. Nothing was written.
    Conflict,
    /// Another order has this `externalId` in this channel. Nothing was written.
    Taken {
        /// That order.
        by: OrderId,
    },
}

/// Bytes for a topic, exactly as they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic's short name (`orders`), or a dialect's full topic name.
    pub topic: Arc<str>,
    /// The order.
    pub key: OrderId,
    /// Header names and values.
    pub headers: Headers,
    /// The value.
    pub value: Bytes,
}

/// One row of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    /// Its position, rising in commit order.
    pub position: u64,
    /// The message.
    pub message: Message,
}

/// What an order's history gains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryEntry {
    /// The `n`-th message of this commit's journal rows (from 0): the bytes are kept once.
    Own(usize),
    /// The bytes of another service's event.
    Foreign(Bytes),
}

/// Where a delivery came from: the identity that makes it unique.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The topic's name.
    pub source: Arc<str>,
    /// The partition; 0 for a journal.
    pub lane: u32,
    /// The offset, or the journal's position.
    pub position: u64,
}

/// How far a source has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The source's name.
    pub source: Arc<str>,
    /// The lane or partition.
    pub lane: u32,
    /// The incarnation of the journal that the position belongs to.
    pub incarnation: Uuid,
    /// Everything up to here is settled.
    pub position: u64,
}

/// An event from the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it came from.
    pub origin: Origin,
    /// The incarnation of the source, for the cursor.
    pub incarnation: Uuid,
    /// The key: an order id, if the sender kept to the rules.
    pub key: Bytes,
    /// Headers.
    pub headers: Headers,
    /// The value.
    pub value: Bytes,
}

/// An event set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The event as it came.
    pub delivery: Delivery,
    /// The event's own id if it could be read; unique in its order. An event without one is itself by its origin.
    pub event_id: Option<Uuid>,
    /// Why it is parked.
    pub reason: String,
    /// Since when.
    pub parked_at: Timestamp,
}

/// Names a saved answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AnswerKey {
    /// The order.
    pub order: OrderId,
    /// Who asked.
    pub caller: String,
    /// The `Idempotency-Key`.
    pub key: String,
}

/// An answer to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedAnswer {
    /// SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
    /// The order's record as it was answered.
    pub record: Vec<u8>,
    /// When.
    pub saved_at: Timestamp,
}

/// Counts of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Orders that count against the limit.
    pub open_orders: u64,
    /// Tasks.
    pub tasks: u64,
    /// Parked events.
    pub parked: u64,
    /// The newest journal position.
    pub head: u64,
}

/// Which orders to list. A filter with several values matches any of them; an empty one matches all.
#[derive(Clone, Debug, Default)]
pub struct OrderQuery {
    /// By status.
    pub status: Vec<OrderStatus>,
    /// By milestone.
    pub milestone: Vec<String>,
    /// By customer id.
    pub customer: Vec<String>,
    /// By flow.
    pub flow: Vec<String>,
    /// By number.
    pub number: Vec<u64>,
    /// By external id.
    pub external_id: Vec<String>,
    /// Placed at or after.
    pub created_after: Option<Timestamp>,
    /// Placed before.
    pub created_before: Option<Timestamp>,
    /// Changed at or after.
    pub updated_after: Option<Timestamp>,
    /// What "newest" means.
    pub sort: OrderSort,
    /// Continue behind this order of the same list: its sort time and its number.
    pub after: Option<(Timestamp, u64)>,
    /// At most this many.
    pub limit: usize,
}

/// An order of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Where it stands in the list ([`OrderQuery::after`]), also when its record can't be read.
    pub place: (Timestamp, u64),
    /// The record.
    pub stored: Stored,
}

/// An order of a walk through all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Walked {
    /// Where it lies, from 1 on.
    pub place: u64,
    /// The record.
    pub stored: Stored,
    /// Its newest events, oldest first; `None` if they can't be read. They may know more than the record, and never less.
    pub history: Option<Vec<Bytes>>,
}

impl Walked {
    /// What it weighs in a page.
    pub fn bytes(&self) -> usize {
        let events: usize = self.history.iter().flatten().map(Bytes::len).sum();
        self.stored.record.as_ref().map_or(0, Vec::len) + events
    }
}

/// What a list is sorted by, newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderSort {
    /// When it was placed.
    #[default]
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
}

/// Why a store did not do what was asked. The inputs are safe to be tried again in all cases.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It can't be written or reached just now.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// There is no room left.
    #[error("the store is full: {0}")]
    Full(String),
    /// A list took longer than lists may. Nothing was changed.
    #[error("the list took longer than {} s", .0.as_secs())]
    TooLong(Duration),
    /// What it holds can't be read. Nothing was changed.
    #[error("the store holds something that can't be read: {0}")]
    Corrupt(String),
}

// ------------------------------------------------------------------------------------------------- the tasks

/// The name of a task: the step's id and what is to be done about it.
pub type TaskId = String;

/// A durable intention.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Unique in its service.
    pub id: TaskId,
    /// The order.
    pub order: OrderId,
    /// What to do.
    pub work: Work,
    /// Not before this moment.
    pub due_at: Timestamp,
    /// Whoever holds it has until then; in the past: free.
    pub lease_until: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
}

/// What a task does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub enum Work {
    /// Ask the payment provider for the money.
    Authorize(AuthorizeCall),
    /// Take the authorization back, whether the provider has seen it or not.
    Void(UndoCall),
    /// Hand the goods to the carrier.
    Ship(ShipCall),
    /// Stop the shipment.
    CancelShipment(UndoCall),
    /// Nothing but waiting for the due time.
    Wait,
}
