//! A service that does steps: it acts on requests alone and knows nothing of flows.
//!
//! What payments and fulfillment have in common is here, once: repeats, tombstones, the undo of a step in flight,
//! tasks. A [`Performer`] is what sets one apart from the other: which kinds of steps it does, which calls they take,
//! and how it tells of them.

use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    CallResult, Ctx, Logic, NoCommand, TaskDone, Turn,
    turn::{About, Target},
};
use crate::{
    domain::{
        flow::StepKind,
        ids::{OrderId, StepId},
        operation::{Answer, Next, Operation, Result as OpResult, State},
        order::Actor,
        performed::{Performed, PerformedStep},
        time::Timestamp,
    },
    events::{
        Envelope, Payload, ProgressState, StepProgressedV1, StepRequestedV1, StepUndoRequestedV1, Work,
    },
    ports::{CallOutcome, Delivery, HeldBack, Row, SavedAnswer, Work as TaskWork},
};

/// What one service that does steps knows and others do not.
pub trait Performer: Send + Sync {
    /// What it keeps of a step.
    type Facts: Clone + Serialize + DeserializeOwned + Send + Sync;

    /// The service's name; also its topic's.
    const NAME: &'static str;
    /// The newest shape of its record that this binary reads.
    const SCHEMA: u32;
    /// The kinds of steps that it does.
    const KINDS: &'static [StepKind];

    /// What a request means: the facts, and the call to make; without one the step is done at once. `None`: not ours.
    fn begin(step: &StepId, work: &Work, ctx: &Ctx<'_>) -> Option<(Self::Facts, Option<TaskWork>)>;

    /// The call that undoes a step.
    fn undo_call(step: &StepId) -> TaskWork;

    /// Whether undoing a step that is done takes a call, or is only a matter of our own record.
    fn undo_needs_call(facts: Option<&Self::Facts>) -> bool;

    /// What a call brought: notes its facts and says what it means. `wait` says when to try again. `None`: it is the
    /// result of no call of ours.
    fn came(
        step: &mut PerformedStep<Self::Facts>,
        result: &CallResult,
        wait: &Wait<'_>,
        now: Timestamp,
    ) -> Option<Came>;

    /// The event that tells an outcome; `None` when there is nothing to be told.
    fn outcome(step: &StepId, facts: Option<&Self::Facts>, answer: &Answer) -> Option<Payload>;

    /// Whether a record will be wanted again soon, so that it is worth keeping in memory.
    fn is_live(record: &Performed<Self::Facts>) -> bool {
        record.steps.iter().any(|s| matches!(s.operation.state, State::Doing | State::Undoing))
    }
}

/// When to try again, if the other side asked to wait so long.
pub type Wait<'a> = dyn Fn(Option<Duration>) -> Timestamp + 'a;

/// What came of a call.
pub enum Came {
    /// Of doing.
    OfDo(OpResult),
    /// Of undoing.
    OfUndo(OpResult),
}

impl<P: Performer> Logic for P {
    type Record = Performed<P::Facts>;
    type Command = NoCommand;
    type Answer = ();

    const NAME: &'static str = P::NAME;
    const SCHEMA: u32 = P::SCHEMA;

    fn target<'a>(&self, command: &'a NoCommand) -> Target<'a> {
        match *command {}
    }

    fn wants(&self, delivery: &Delivery) -> bool {
        match delivery.headers.get("eventType") {
            Some("StepRequestedV1" | "StepUndoRequestedV1") | None => {
                let kind = delivery.headers.get("stepKind");
                kind.is_none_or(|kind| P::KINDS.iter().any(|k| k.as_str() == kind))
            }
            Some(kind) => !Payload::TYPES.contains(&kind),
        }
    }

    fn read(&self, json: &[u8]) -> Result<Self::Record, serde_json::Error> {
        serde_json::from_slice(json)
    }

    fn row(&self, record: &Self::Record) -> Row {
        Row { schema: P::SCHEMA, record: Some(serde_json::to_vec(record).unwrap_or_default()), columns: None }
    }

    fn unreadable(&self, _: &OrderId) {}

    fn is_live(&self, record: &Self::Record) -> bool {
        P::is_live(record)
    }

    fn counts(&self, _: &Self::Record) -> bool {
        false
    }

    fn command(
        &mut self,
        _: &mut Option<Self::Record>,
        command: &NoCommand,
        _: Option<&SavedAnswer>,
        _: Option<&OrderId>,
        _: &mut Ctx<'_>,
        _: &mut Turn,
    ) {
        match *command {}
    }

    fn event(
        &mut self,
        record: &mut Option<Self::Record>,
        event: &Envelope,
        _: &Bytes,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> Result<(), String> {
        match &event.payload {
            Payload::StepRequested(asked) if P::KINDS.contains(&asked.work.kind()) => {
                request::<P>(record, asked, event, ctx, turn);
            }
            Payload::StepUndoRequested(asked) if P::KINDS.contains(&asked.kind) => {
                undo::<P>(record, asked, event, ctx, turn);
            }
            _ => {}
        }
        Ok(())
    }

    fn task(
        &mut self,
        record: &mut Option<Self::Record>,
        done: &TaskDone,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) {
        let task = &done.task.id;
        let Some((record, i)) = record.as_mut().and_then(|record| {
            let step = StepId::parse(task)?;
            let i = record.position(step.number).filter(|_| step.order == record.order_id)?;
            Some((record, i))
        }) else {
            return turn.drop_task(task.clone());
        };
        let step = &mut record.steps[i];
        let failed = step.operation.attempts.saturating_add(1);
        let wait = |asked: Option<Duration>| ctx.settings.retry.next_try(ctx.now, task, failed, asked);
        let (answers, next) = match P::came(step, &done.result, &wait, ctx.now) {
            Some(Came::OfDo(result)) => {
                step.operation.did(result, done.again || may_have_rivals(done, ctx), ctx.now)
            }
            Some(Came::OfUndo(result)) => step.operation.undid(result, wait(None)),
            None => return,
        };
        turn.changed = true; // also where nothing follows from it, what it told is kept
        follow::<P>(record, i, next, Some(&done.task.work), ctx, turn);
        for answer in answers {
            tell::<P>(record, i, &answer, ctx, turn);
        }
    }

    fn sweep(&mut self, _: &mut Option<Self::Record>, _: &mut Ctx<'_>, _: &mut Turn) {}
}

/// Whether somebody may be making the same call at the same time: its lease was over when it came back, as after a
/// freeze; or looked over to another process.
fn may_have_rivals(done: &TaskDone, ctx: &Ctx<'_>) -> bool {
    !ctx.settings.exclusive || done.task.lease_until <= ctx.now
}

/// What came of a call, in the words of an operation.
pub(super) fn result_of<T>(outcome: &CallOutcome<T>, wait: &Wait<'_>, now: Timestamp) -> OpResult {
    match outcome {
        CallOutcome::Done(_) => OpResult::Done,
        CallOutcome::Refused(reason) => OpResult::Refused(reason.clone()),
        CallOutcome::TurnedAway(reason) => OpResult::TurnedAway(reason.clone()),
        CallOutcome::Pending(reason) => OpResult::Pending(reason.clone(), wait(None)),
        CallOutcome::Unknown { reason, retry_after } => OpResult::Unknown(reason.clone(), wait(*retry_after)),
        CallOutcome::HeldBack(HeldBack { reason, wait, wished }) => {
            OpResult::HeldBack { reason: reason.clone(), until: now.plus(*wait), wished: *wished }
        }
    }
}

fn request<P: Performer>(
    record: &mut Option<Performed<P::Facts>>,
    asked: &StepRequestedV1,
    event: &Envelope,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let known = record.as_ref().and_then(|record| record.position(asked.step.number));
    if let (Some(record), Some(i)) = (record.as_mut(), known) {
        if let Some(answer) = record.steps[i].operation.repeat() {
            tell::<P>(record, i, &answer, ctx, turn);
        }
        return;
    }
    let Some((facts, call)) = P::begin(&asked.step, &asked.work, ctx) else { return };
    let (announced, max_tries) = match &asked.work {
        Work::Ship { announced, max_tries, .. } => (*announced, *max_tries),
        Work::Pay { .. } | Work::Schedule { .. } | Work::Wait { .. } => (false, None),
    };
    let (operation, next) = match call {
        Some(_) => {
            let (operation, next) = Operation::begin(ctx.now, ctx.now.plus(ctx.settings.deadline));
            (operation.with_tries(max_tries), next)
        }
        None => (Operation::settled(State::Done), Next::Nothing),
    };
    let i = add::<P>(record, &asked.step, operation, event, Some(facts));
    let Some(record) = record else { return };
    if announced {
        let id = record.step_id(i);
        let begun = StepProgressedV1 {
            order_id: id.order.clone(),
            step: id,
            state: ProgressState::Started,
            reason: None,
            next_try_at: None,
        };
        say::<P>(record, i, Payload::StepProgressed(begun), ctx, turn);
    }
    match call {
        Some(call) => follow::<P>(record, i, next, Some(&call), ctx, turn),
        None => tell::<P>(record, i, &Answer::Done, ctx, turn),
    }
}

fn undo<P: Performer>(
    record: &mut Option<Performed<P::Facts>>,
    asked: &StepUndoRequestedV1,
    event: &Envelope,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let known = record.as_ref().and_then(|record| record.position(asked.step.number));
    // Never seen: a tombstone, so that a request that comes later starts nothing.
    let i = known
        .unwrap_or_else(|| add::<P>(record, &asked.step, Operation::settled(State::Undone), event, None));
    let Some(record) = record else { return };
    let step = &mut record.steps[i];
    step.cause = event.event_id;
    let (answer, next) = step.operation.undo(ctx.now, P::undo_needs_call(step.facts.as_ref()));
    turn.changed = true;
    follow::<P>(record, i, next, None, ctx, turn);
    if let Some(answer) = answer {
        tell::<P>(record, i, &answer, ctx, turn);
    }
}

/// Adds a step to the record, which is made if it is the first; says where it stands.
fn add<P: Performer>(
    record: &mut Option<Performed<P::Facts>>,
    step: &StepId,
    operation: Operation,
    event: &Envelope,
    facts: Option<P::Facts>,
) -> usize {
    let record = record.get_or_insert_with(|| Performed::new(step.order.clone(), event.correlation_id));
    record.steps.push(PerformedStep { step: step.number, operation, cause: event.event_id, facts });
    record.steps.len() - 1
}

/// Turns what an operation wants next into the step's one task; `again` is the call to make or to repeat.
fn follow<P: Performer>(
    record: &Performed<P::Facts>,
    i: usize,
    next: Next,
    again: Option<&TaskWork>,
    ctx: &Ctx<'_>,
    turn: &mut Turn,
) {
    let step = record.step_id(i);
    let attempts = record.steps[i].operation.calls();
    let id = step.to_string();
    let free = Timestamp::default();
    match (next, again) {
        (Next::Nothing, _) | (Next::Do(_), None) => {}
        (Next::Drop, _) => turn.drop_task(id),
        (Next::Do(at), Some(call)) => turn.put_task(id, &step.order, call.clone(), at, free, attempts),
        (Next::Undo(at), _) => turn.put_task(id, &step.order, P::undo_call(&step), at, free, attempts),
        (Next::UndoAfterCall, _) => {
            // Whoever makes the call under way reports it; this is for the case that it never does. A call that was
            // asked for in this very batch is under way nowhere: nobody would report it.
            let begun = !turn.puts_task(&id);
            let lease = if begun { ctx.now.plus(ctx.settings.lease) } else { free };
            turn.put_task(id, &step.order, P::undo_call(&step), ctx.now, lease, attempts);
        }
    }
}

/// Reports to the order.
fn tell<P: Performer>(
    record: &mut Performed<P::Facts>,
    i: usize,
    answer: &Answer,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let id = record.step_id(i);
    let step = &record.steps[i];
    let payload = match answer {
        Answer::Retrying(why, at) => Some(progressed(&id, ProgressState::Retrying, why, *at)),
        Answer::Waiting(why, at) => Some(progressed(&id, ProgressState::Waiting, why, *at)),
        Answer::Done | Answer::Refused(_) | Answer::Undone | Answer::NotUndoable(_) => {
            P::outcome(&id, step.facts.as_ref(), answer)
        }
    };
    if let Some(payload) = payload {
        say::<P>(record, i, payload, ctx, turn);
    }
}

fn say<P: Performer>(
    record: &mut Performed<P::Facts>,
    i: usize,
    payload: Payload,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let about = About {
        order: &record.order_id,
        correlation_id: record.correlation_id,
        dialect: None,
        cause: Some(record.steps[i].cause),
        actor: Actor::service(P::NAME),
    };
    turn.emit(&about, &mut record.sequence, payload, ctx);
}

/// The event of a step that has no outcome yet.
fn progressed(step: &StepId, state: ProgressState, reason: &str, next: Timestamp) -> Payload {
    Payload::StepProgressed(StepProgressedV1 {
        order_id: step.order.clone(),
        step: step.clone(),
        state,
        reason: Some(reason.to_owned()),
        next_try_at: Some(next),
    })
}
