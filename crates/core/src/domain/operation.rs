//! The life of one operation at an outside provider: do, ask again while nobody knows, give up by undoing.
//!
//! Payments and shipments share it. It decides nothing about tasks or events; it says what follows as values:
//! [`Next`] (what to do now) and [`Answer`] (what to tell the order).

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// An operation, as its service's record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Where it stands.
    pub state: State,
    /// Whether the order has asked for its undo.
    #[serde(default)]
    pub undo_asked: bool,
    /// Whether we undo it because its deadline passed without an outcome.
    #[serde(default)]
    pub gave_up: bool,
    /// Tries since the current do or undo began.
    #[serde(default)]
    pub attempts: u32,
    /// From when on an unknown outcome is given up, by undoing.
    pub deadline: Timestamp,
    /// When it will be tried again; `None` while a call may be under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
    /// The last reason why it is not through yet, or why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a call of the do may have reached the provider without an outcome that we know of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_have_happened: bool,
    /// After so many tries without an outcome it is given up, whatever the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tries: Option<u32>,
    /// Why its next call is held back, as the order was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<String>,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The call is to be made, under way, or its outcome unknown.
    Doing,
    /// It happened.
    Done,
    /// It did not happen and will not.
    Refused,
    /// It is being taken back.
    Undoing,
    /// Taken back, or never done and never to be done (a tombstone).
    Undone,
    /// It happened and can't be taken back.
    NotUndoable,
}

/// What to tell the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It happened.
    Done,
    /// It will not happen.
    Refused(String),
    /// It is taken back.
    Undone,
    /// It happened and stays.
    NotUndoable(String),
    /// Nobody knows yet; the next try is then.
    Retrying(String, Timestamp),
    /// The provider wants time; we ask again then.
    Waiting(String, Timestamp),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is settled or someone else will report.
    Nothing,
    /// Make the call of *do* at this moment.
    Do(Timestamp),
    /// Make the call of *undo* at this moment.
    Undo(Timestamp),
    /// A call of *do* may be under way: whoever picks the task up after a crash makes the *undo* instead.
    UndoAfterCall,
    /// The task is through.
    Drop,
}

/// What came of a call, without its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Result {
    /// It happened.
    Done,
    /// It was refused for good.
    Refused(String),
    /// This call was turned away, which says nothing of an earlier one.
    TurnedAway(String),
    /// The result comes later; ask again then.
    Pending(String, Timestamp),
    /// Nobody knows; ask again then.
    Unknown(String, Timestamp),
    /// An undo that came too late.
    TooLate,
    /// The call was not made: it is held back until then. A `wished` wait moves the deadline.
    HeldBack {
        /// Why.
        reason: String,
        /// When to come again.
        until: Timestamp,
        /// Whether an operator wants it so.
        wished: bool,
    },
}

impl Operation {
    /// A new operation, to be tried until `deadline`.
    pub fn begin(now: Timestamp, deadline: Timestamp) -> (Self, Next) {
        (Self { state: State::Doing, deadline, ..Self::settled(State::Doing) }, Next::Do(now))
    }

    /// An operation that needs no call.
    pub fn settled(state: State) -> Self {
        Self {
            state,
            undo_asked: false,
            gave_up: false,
            attempts: 0,
            deadline: Timestamp::default(),
            next_try_at: None,
            reason: None,
            may_have_happened: false,
            max_tries: None,
            held_back: None,
        }
    }

    /// The same, to be tried so often at most.
    pub fn with_tries(self, max_tries: Option<u32>) -> Self {
        Self { max_tries, ..self }
    }

    /// Calls that may have been made since the current do or undo began, at least.
    pub fn calls(&self) -> u32 {
        self.attempts.max(u32::from(self.may_have_happened && self.state == State::Doing))
    }

    /// The order asks again: the outcome once more if there is one, else how it goes.
    pub fn repeat(&self) -> Option<Answer> {
        let reason = || self.reason.clone().unwrap_or_default();
        match self.state {
            State::Done => Some(Answer::Done),
            State::Refused => Some(Answer::Refused(reason())),
            State::Undone => Some(Answer::Undone),
            State::NotUndoable => Some(Answer::NotUndoable(reason())),
            State::Doing | State::Undoing => self.next_try_at.map(|at| Answer::Retrying(reason(), at)),
        }
    }

    /// The order asks for the undo. `needs_call` is false where undoing is only a matter of our own record.
    pub fn undo(&mut self, now: Timestamp, needs_call: bool) -> (Option<Answer>, Next) {
        match self.state {
            State::Done if needs_call => {
                self.undo_asked = true;
                (None, self.start_undo(now))
            }
            State::Done | State::Refused => {
                self.undo_asked = true;
                self.state = State::Undone;
                (Some(Answer::Undone), Next::Nothing)
            }
            State::Undone | State::NotUndoable => (self.repeat(), Next::Nothing),
            State::Undoing => {
                self.undo_asked = true;
                (self.repeat(), Next::Nothing)
            }
            State::Doing if self.undo_asked => (self.repeat(), Next::Nothing),
            State::Doing => {
                self.undo_asked = true;
                // Between two tries nothing is under way: the undo settles the unknown outcome at once.
                let next =
                    if self.next_try_at.is_some() { self.start_undo(now) } else { Next::UndoAfterCall };
                (None, next)
            }
        }
    }

    /// A call of *do* has come back. `again`: one may have been made before it, by a process that died, say.
    pub fn did(&mut self, result: Result, again: bool, now: Timestamp) -> (Vec<Answer>, Next) {
        if self.state != State::Doing {
            return (vec![], Next::Nothing); // late: it was given up or settled by another try
        }
        self.next_try_at = None;
        self.may_have_happened |= again || matches!(result, Result::Pending(..) | Result::Unknown(..));
        match result {
            Result::TurnedAway(reason) if self.may_have_happened => {
                // The call that nobody knows of may have taken the money: only an undo makes sure that it did not.
                self.gave_up = true;
                self.reason = Some(format!("{reason} (undone, in case another try had succeeded)"));
                (vec![], self.start_undo(now))
            }
            Result::Done | Result::TooLate if self.undo_asked => (vec![Answer::Done], self.start_undo(now)),
            Result::Done | Result::TooLate => {
                self.state = State::Done;
                self.reason = None;
                self.held_back = None;
                (vec![Answer::Done], Next::Drop)
            }
            Result::Refused(reason) | Result::TurnedAway(reason) => {
                self.reason = Some(reason.clone());
                let mut answers = vec![Answer::Refused(reason)];
                self.state = State::Refused;
                if self.undo_asked {
                    self.state = State::Undone;
                    answers.push(Answer::Undone);
                }
                (answers, Next::Drop)
            }
            Result::Pending(reason, _) | Result::Unknown(reason, _) if self.undo_asked => {
                self.reason = Some(reason);
                (vec![], self.start_undo(now))
            }
            Result::Pending(reason, _) | Result::Unknown(reason, _) if now >= self.deadline => {
                self.gave_up = true;
                self.reason = Some(format!("no outcome before the deadline: {reason}"));
                (vec![], self.start_undo(now))
            }
            Result::Unknown(reason, _)
                if self.max_tries.is_some_and(|most| self.attempts.saturating_add(1) >= most) =>
            {
                self.gave_up = true;
                self.reason = Some(format!("no outcome after {} tries: {reason}", self.attempts + 1));
                (vec![], self.start_undo(now))
            }
            Result::HeldBack { .. } if self.undo_asked => (vec![], self.start_undo(now)),
            Result::HeldBack { reason, wished: false, .. } if now >= self.deadline => {
                self.gave_up = true;
                self.reason = Some(format!("no outcome before the deadline: {reason}"));
                (vec![], self.start_undo(now))
            }
            Result::HeldBack { reason, until, wished } => {
                if wished {
                    self.deadline = self.deadline.plus(until.since(now));
                }
                self.hold_back(Next::Do, reason, until)
            }
            Result::Pending(reason, at) => self.try_again(Next::Do, at, Answer::Waiting(reason, at)),
            Result::Unknown(reason, at) => self.try_again(Next::Do, at, Answer::Retrying(reason, at)),
        }
    }

    /// A call of *undo* has come back. An undo is repeated until it is answered; a refused one at `wait`.
    pub fn undid(&mut self, result: Result, wait: Timestamp) -> (Vec<Answer>, Next) {
        // After a crash the undo may run for an operation whose do was under way: same thing.
        if !matches!(self.state, State::Undoing | State::Doing) {
            return (vec![], Next::Nothing);
        }
        self.next_try_at = None;
        match result {
            Result::Done if self.undo_asked || !self.gave_up => {
                self.state = State::Undone;
                (vec![Answer::Undone], Next::Drop)
            }
            Result::Done => {
                self.state = State::Refused;
                (vec![Answer::Refused(self.reason.clone().unwrap_or_default())], Next::Drop)
            }
            Result::TooLate if self.undo_asked => {
                self.state = State::NotUndoable;
                let reason = "too late: it has happened already".to_owned();
                self.reason = Some(reason.clone());
                (vec![Answer::NotUndoable(reason)], Next::Drop)
            }
            Result::TooLate => {
                self.state = State::Done;
                self.reason = None;
                (vec![Answer::Done], Next::Drop)
            }
            Result::Refused(reason) | Result::TurnedAway(reason) => {
                let reason = format!("the undo was refused: {reason}");
                self.try_again(Next::Undo, wait, Answer::Retrying(reason, wait))
            }
            Result::Pending(reason, at) => self.try_again(Next::Undo, at, Answer::Waiting(reason, at)),
            Result::Unknown(reason, at) => self.try_again(Next::Undo, at, Answer::Retrying(reason, at)),
            Result::HeldBack { reason, until, .. } => self.hold_back(Next::Undo, reason, until),
        }
    }

    fn start_undo(&mut self, now: Timestamp) -> Next {
        self.state = State::Undoing;
        self.attempts = 0;
        self.next_try_at = None;
        self.held_back = None;
        Next::Undo(now)
    }

    /// A call that was not made is no try. The order is told once for each reason: while many are held back, each
    /// looks again now and then, and nothing about it has changed.
    fn hold_back(
        &mut self,
        next: fn(Timestamp) -> Next,
        reason: String,
        until: Timestamp,
    ) -> (Vec<Answer>, Next) {
        self.next_try_at = Some(until);
        if self.held_back.as_ref() == Some(&reason) {
            return (vec![], next(until));
        }
        if !self.gave_up {
            self.reason = Some(reason.clone());
        }
        self.held_back = Some(reason.clone());
        (vec![Answer::Waiting(reason, until)], next(until))
    }

    fn try_again(
        &mut self,
        next: fn(Timestamp) -> Next,
        at: Timestamp,
        answer: Answer,
    ) -> (Vec<Answer>, Next) {
        self.attempts = self.attempts.saturating_add(1);
        self.next_try_at = Some(at);
        self.held_back = None;
        // Once given up, the reason is why it fails; the answer carries why the undo takes its time.
        if let (Answer::Retrying(reason, _) | Answer::Waiting(reason, _), false) = (&answer, self.gave_up) {
            self.reason = Some(reason.clone());
        }
        (vec![answer], next(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_micros(0);
    const T1: Timestamp = Timestamp::from_micros(1);
    const END: Timestamp = Timestamp::from_micros(100);

    fn unknown() -> Result {
        Result::Unknown("timed out".into(), T1)
    }

    #[test]
    fn an_undo_during_a_call_waits_for_its_outcome_and_then_undoes() {
        let (mut op, next) = Operation::begin(T0, END);
        assert_eq!(next, Next::Do(T0));
        assert_eq!(op.undo(T0, true), (None, Next::UndoAfterCall));
        assert_eq!(op.did(Result::Done, false, T1), (vec![Answer::Done], Next::Undo(T1)));
        assert_eq!(op.undid(Result::Done, T1), (vec![Answer::Undone], Next::Drop));
        assert_eq!(op.repeat(), Some(Answer::Undone));
    }

    #[test]
    fn an_undo_between_two_tries_starts_no_new_do() {
        let (mut op, _) = Operation::begin(T0, END);
        assert_eq!(op.did(unknown(), false, T0).1, Next::Do(T1));
        assert_eq!(op.undo(T0, true), (None, Next::Undo(T0)));
        assert_eq!(op.did(Result::Done, false, T1), (vec![], Next::Nothing), "a late do changes nothing");
    }

    #[test]
    fn at_the_deadline_it_fails_only_when_the_undo_is_answered() {
        let (mut op, _) = Operation::begin(T0, END);
        assert_eq!(op.did(unknown(), false, END), (vec![], Next::Undo(END)));
        assert!(matches!(op.undid(unknown(), END).1, Next::Undo(_)));
        let (answers, next) = op.undid(Result::Done, END);
        assert!(matches!(&answers[..], [Answer::Refused(why)] if why.contains("deadline")));
        assert_eq!(next, Next::Drop);
    }

    #[test]
    fn too_late_to_undo_means_done_after_all() {
        let (mut op, _) = Operation::begin(T0, END);
        op.did(unknown(), false, END);
        assert_eq!(op.undid(Result::TooLate, END), (vec![Answer::Done], Next::Drop));
        op.undo(END, true);
        assert!(matches!(op.undid(Result::TooLate, END).0[..], [Answer::NotUndoable(_)]));
    }

    fn held_back(until: i64, wished: bool) -> Result {
        Result::HeldBack { reason: "switched off".into(), until: Timestamp::from_micros(until), wished }
    }

    #[test]
    fn what_is_held_back_is_no_try_and_is_told_once() {
        let (mut op, _) = Operation::begin(T0, END);
        op.did(unknown(), false, T0);
        let (answers, next) = op.did(held_back(5, false), false, T1);
        assert!(matches!(&answers[..], [Answer::Waiting(why, _)] if why == "switched off"));
        assert_eq!((next, op.attempts), (Next::Do(Timestamp::from_micros(5)), 1));
        assert_eq!(op.did(held_back(9, false), false, T1), (vec![], Next::Do(Timestamp::from_micros(9))));
        assert!(
            matches!(op.did(unknown(), false, T1).0[..], [Answer::Retrying(..)]),
            "the next try is told again"
        );
        assert_eq!(op.did(held_back(9, false), false, T1).0.len(), 1, "and so is the next wait");
    }

    #[test]
    fn a_wish_moves_the_deadline_and_an_outage_does_not() {
        let (mut op, _) = Operation::begin(T0, END);
        op.did(held_back(300, true), false, END);
        assert_eq!(op.deadline, Timestamp::from_micros(300));
        assert!(
            matches!(op.did(unknown(), false, Timestamp::from_micros(299)).1, Next::Do(_)),
            "it has its time left"
        );
        let at = Timestamp::from_micros(300);
        assert_eq!(
            op.did(held_back(400, false), false, at),
            (vec![], Next::Undo(at)),
            "an outage ends with an undo"
        );
        assert!(
            matches!(op.undid(held_back(500, true), at).1, Next::Undo(_)),
            "which is held back in its turn"
        );
        let (answers, _) = op.undid(Result::Done, at);
        assert!(matches!(&answers[..], [Answer::Refused(why)] if why.contains("deadline")));
    }

    #[test]
    fn an_undo_of_what_is_held_back_asks_the_provider() {
        let (mut op, _) = Operation::begin(T0, END);
        op.did(held_back(5, true), false, T0);
        assert_eq!(op.undo(T1, true), (None, Next::Undo(T1)), "it may have been called before a crash");
    }

    #[test]
    fn an_undo_after_a_refusal_needs_no_call() {
        let (mut op, _) = Operation::begin(T0, END);
        op.did(Result::Refused("no".into()), false, T0);
        assert_eq!(op.undo(T0, true), (Some(Answer::Undone), Next::Nothing));
    }

    #[test]
    fn a_call_that_is_turned_away_is_final_only_if_it_was_the_first() {
        let turned_away = || Result::TurnedAway("answered 422".into());
        let (mut op, _) = Operation::begin(T0, END);
        assert_eq!(op.did(turned_away(), false, T0).1, Next::Drop);
        assert_eq!(op.state, State::Refused);
        // After a time-out, after a crash, and after a crash whose next call was held back.
        for before in [Some((unknown(), false)), None, Some((held_back(5, true), true))] {
            let (mut op, _) = Operation::begin(T0, END);
            let again = before.is_none();
            if let Some((result, again)) = before {
                op.did(result, again, T0);
                assert!(op.calls() > 0, "whoever calls next looks first");
            }
            assert_eq!(op.did(turned_away(), again, T1), (vec![], Next::Undo(T1)));
            let (answers, _) = op.undid(Result::Done, T1);
            assert!(
                matches!(&answers[..], [Answer::Refused(why)] if why.starts_with("answered 422")),
                "{answers:?}"
            );
        }
    }
}
