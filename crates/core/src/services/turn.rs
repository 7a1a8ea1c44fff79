//! What a service's logic sees of the world, and what it says.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Said, Settings, TaskDone};
use crate::{
    domain::{ids::OrderId, order::Actor, time::Timestamp},
    events::{Envelope, Payload},
    ports::{AnswerKey, Delivery, HistoryEntry, Ids, Message, Row, SavedAnswer, Task, TaskId, Work},
};

/// The pure part of a service. Methods change the record only when they succeed.
pub trait Logic: Send + Sync {
    /// The record it keeps for an order.
    type Record: Clone + Send + Sync;
    /// What is asked of it from outside.
    type Command: Send + Sync;
    /// What it answers.
    type Answer: Send;

    /// The service's name; also its topic's.
    const NAME: &'static str;

    /// The newest shape of its record that this binary reads.
    const SCHEMA: u32;

    /// The order that a command is about; whether it can be decided as if there were no record (the insert is the
    /// check then); and the key under which its answer is saved, if it has one.
    fn target<'a>(&self, command: &'a Self::Command) -> Target<'a>;

    /// Whether a delivery may concern this service, judged by its headers alone.
    fn wants(&self, delivery: &Delivery) -> bool;

    /// Reads a record.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(&self, json: &[u8]) -> Result<Self::Record, serde_json::Error>;

    /// The row of a record.
    fn row(&self, record: &Self::Record) -> Row;

    /// What to answer to a command whose order's record can't be read. Nothing was done.
    fn unreadable(&self, order: &OrderId) -> Self::Answer;

    /// Whether a record is worth keeping in memory.
    fn is_live(&self, record: &Self::Record) -> bool;

    /// Whether a record counts against the limit of open orders.
    fn counts(&self, record: &Self::Record) -> bool;

    /// Handles a command. `saved` is the answer saved for its key; `taken_by` is set when the insert was refused
    /// because another order holds a unique value.
    fn command(
        &mut self,
        record: &mut Option<Self::Record>,
        command: &Self::Command,
        saved: Option<&SavedAnswer>,
        taken_by: Option<&OrderId>,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> Self::Answer;

    /// Handles an event of another service.
    ///
    /// # Errors
    /// Why it can't be applied now: it will be parked.
    fn event(
        &mut self,
        record: &mut Option<Self::Record>,
        event: &Envelope,
        bytes: &Bytes,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> Result<(), String>;

    /// What a delivery says if it comes from a neighbour, whose messages are not our events; `None`: from none.
    ///
    /// # Errors
    /// It is malformed.
    fn hear(&self, _: &Delivery) -> Option<Result<Said, String>> {
        None
    }

    /// Handles what a neighbour said.
    ///
    /// # Errors
    /// Why it can't be applied now: it will be parked.
    fn said(
        &mut self,
        _: &mut Option<Self::Record>,
        _: &Said,
        _: &mut Ctx<'_>,
        _: &mut Turn,
    ) -> Result<(), String> {
        Err("this service has no neighbours".to_owned())
    }

    /// Handles the result of a task.
    fn task(
        &mut self,
        record: &mut Option<Self::Record>,
        done: &TaskDone,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    );

    /// Looks at a record that has waited for long.
    fn sweep(&mut self, record: &mut Option<Self::Record>, ctx: &mut Ctx<'_>, turn: &mut Turn);
}

/// What a command is about.
pub struct Target<'a> {
    /// The order.
    pub order: &'a OrderId,
    /// Whether it makes a new order.
    pub creates: bool,
    /// The key of its saved answer.
    pub answer: Option<&'a AnswerKey>,
}

/// The command of a service that takes none.
pub enum NoCommand {}

/// What an input may know: the time, fresh ids and numbers, the settings.
pub struct Ctx<'a> {
    /// The time of this batch.
    pub now: Timestamp,
    /// Fresh ids.
    pub ids: &'a mut dyn Ids,
    /// Fresh order numbers.
    pub numbers: &'a mut std::ops::Range<u64>,
    /// Orders that are open, as this process knows.
    pub open_orders: u64,
    /// The settings.
    pub settings: &'a Settings,
    /// The service's topic.
    pub topic: &'a Arc<str>,
}

/// What the inputs of one order in one batch lead to, beside the new record.
#[derive(Debug, Default)]
pub struct Turn {
    /// Whether anything is to be written.
    pub changed: bool,
    pub(super) journal: Vec<Message>,
    pub(super) history: Vec<HistoryEntry>,
    pub(super) put_tasks: Vec<Task>,
    pub(super) drop_tasks: Vec<TaskId>,
    pub(super) answers: Vec<(AnswerKey, SavedAnswer)>,
    pub(super) observations: Vec<(&'static str, std::time::Duration)>,
}

/// What surrounds a payload when it becomes an event.
pub struct About<'a> {
    /// The order.
    pub order: &'a OrderId,
    /// The order's correlation id.
    pub correlation_id: Uuid,
    /// The dialect by which the order came, if it is known here.
    pub dialect: Option<&'a str>,
    /// What caused it.
    pub cause: Option<Uuid>,
    /// Who brought it about.
    pub actor: Actor,
}

impl Turn {
    /// Adds an event to the journal; `sequence` is the record's counter.
    pub fn emit(&mut self, about: &About<'_>, sequence: &mut u64, payload: Payload, ctx: &mut Ctx<'_>) {
        *sequence = sequence.saturating_add(1);
        let event = Envelope {
            event_id: ctx.ids.next(),
            occurred_at: ctx.now,
            correlation_id: about.correlation_id,
            causation_id: about.cause,
            source: ctx.topic.to_string(),
            sequence: *sequence,
            actor: about.actor.clone(),
            payload,
        };
        self.journal.push(event.message(ctx.topic, about.order, about.dialect));
        self.changed = true;
    }

    /// Makes the last emitted event part of the order's history.
    pub fn remember_own(&mut self) {
        if let Some(last) = self.journal.len().checked_sub(1) {
            self.history.push(HistoryEntry::Own(last));
        }
    }

    /// Makes another service's event part of the order's history.
    pub fn remember_foreign(&mut self, bytes: &Bytes) {
        self.history.push(HistoryEntry::Foreign(bytes.clone()));
    }

    /// Writes a task, over one of the same id.
    pub fn put_task(
        &mut self,
        id: TaskId,
        order: &OrderId,
        work: Work,
        due_at: Timestamp,
        lease_until: Timestamp,
        attempts: u32,
    ) {
        self.drop_tasks.retain(|dropped| *dropped != id);
        self.put_tasks.retain(|task| task.id != id);
        self.put_tasks.push(Task { id, order: order.clone(), work, due_at, lease_until, attempts });
        self.changed = true;
    }

    /// Whether this turn writes a task of this id: one that nobody has begun yet.
    pub fn puts_task(&self, id: &str) -> bool {
        self.put_tasks.iter().any(|task| task.id == id)
    }

    /// Drops a task.
    pub fn drop_task(&mut self, id: TaskId) {
        self.put_tasks.retain(|task| task.id != id);
        self.drop_tasks.push(id);
        self.changed = true;
    }

    /// Notes how long something took, to be counted once the commit stands.
    pub fn observe(&mut self, what: &'static str, took: std::time::Duration) {
        self.observations.push((what, took));
    }

    /// Saves an answer for its key.
    pub fn save_answer(&mut self, key: AnswerKey, answer: SavedAnswer) {
        self.answers.push((key, answer));
        self.changed = true;
    }
}
