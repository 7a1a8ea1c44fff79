//! The task runner of a process, and the way of its calls to the providers and back.

use std::collections::btree_map::Entry;

use cartwright_core::{
    ports::{Clock as _, Task, Work},
    services::{CallResult, TaskDone},
};

use super::{
    bugs::Bug,
    dice::{Of, name},
    plan::{Does, MILLI, Micros, SECOND},
    service::Service,
    world::{Event, World},
};

/// How long a caller waits for a provider: less than any lease.
const CALL_LIMIT: Micros = 40 * SECOND;

/// A call to a provider.
pub(super) struct Call {
    /// Who makes it.
    pub instance: usize,
    life: u64,
    task: Task,
    /// Whether it may have been made before, as far as its process knows.
    again: bool,
    does: Option<Does>,
    result: Option<CallResult>,
    given_up: bool,
}

impl World<'_> {
    /// Starts what is due, and has somebody look again when the next is.
    pub fn due(&mut self, i: usize, life: u64) {
        let clock = self.hosts[self.instances[i].host].clock.clone();
        let now = clock.now();
        let mut start = Vec::new();
        let world_now = self.now;
        let Some(alive) = self.alive(i, life) else { return };
        if alive.due.is_some_and(|due| due <= world_now) {
            alive.due = None;
        }
        let mut later = Vec::new();
        while let Some(mut task) = alive.schedule.pop_due(now) {
            if alive.under_way.insert(task.id.clone()) {
                start.push(task);
            } else {
                task.due_at = now.plus(std::time::Duration::from_millis(20));
                later.push(task);
            }
        }
        for task in later {
            alive.schedule.put_back(task);
        }
        if let Some(next) = alive.schedule.next_due() {
            let at = clock.when(next).max(world_now + 1);
            if alive.due.is_none_or(|due| due > at) {
                alive.due = Some(at);
                self.push(at - world_now, &[20, i as u64], Event::Due { instance: i, life });
            }
        }
        for task in start {
            self.start_call(i, task);
        }
    }

    /// The call reaches its provider.
    pub fn reach(&mut self, call: usize) {
        let Call { task, does, .. } = &self.calls[call];
        let result = self.provider.carry_out(&task.work, *does);
        let order = task.order.clone();
        self.trace.say(self.now, Some(&order), || format!("provider: {} is asked: {result:?}", task.id));
        let held = self.provider.held(&order);
        self.checks.held(&order, held);
        self.calls[call].result = Some(result);
    }

    /// The provider's answer is back.
    pub fn answer(&mut self, call: usize) {
        let Call { does, given_up, .. } = &self.calls[call];
        if *given_up && !matches!(does, Some(Does::Late(_))) {
            return;
        }
        let late = *given_up;
        self.coverage.late_results += u64::from(late);
        let Some(result) = self.calls[call].result.take() else { return };
        self.hand_in(call, result, late);
    }

    /// Nobody waits any longer.
    pub fn give_up(&mut self, call: usize) {
        let Call { task, given_up, .. } = &mut self.calls[call];
        *given_up = true;
        let result = TaskDone::unknown(task.clone(), "no answer in time", false).result;
        self.hand_in(call, result, false);
    }

    fn start_call(&mut self, i: usize, mut task: Task) {
        let life = self.instances[i].life;
        let claimed = self.instances[i].alive.as_mut().is_some_and(|alive| alive.claimed.remove(&task.id));
        let again = claimed || task.attempts > 0;
        let (service, undo, key) = match &task.work {
            Work::Authorize(call) => (Service::Payments, false, call.key.clone()),
            Work::Void(call) => (Service::Payments, true, call.key.clone()),
            Work::Ship(call) => (Service::Fulfillment, false, call.key.clone()),
            Work::CancelShipment(call) => (Service::Fulfillment, true, call.key.clone()),
            Work::Wait => (Service::Orders, false, task.id.clone()),
        };
        let number = match self.called.entry((task.order.clone(), service, undo)) {
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += 1;
                *entry.get()
            }
            Entry::Vacant(entry) => *entry.insert(0),
        };
        if self.bug == Some(Bug::RetryWithoutKey)
            && let Work::Authorize(call) = &mut task.work
        {
            call.key = format!("{}/{}", call.key, task.attempts);
        }
        let behaviour = (task.order.clone(), service, undo, number);
        let does = self.behaviours.get(&behaviour).copied().filter(|_| !self.calm);
        let thing = [name(&key), number];
        let usual = self.dice.between(Of::Call, &thing, MILLI, 150 * MILLI);
        let takes = match (does, &task.work) {
            (_, Work::Wait) => 0,
            (Some(Does::Slow(ms) | Does::Late(ms)), _) => Micros::from(ms) * MILLI,
            (Some(Does::Hangs), _) => 10 * CALL_LIMIT,
            _ => usual,
        };
        let order = task.order.clone();
        self.trace.say(self.now, Some(&order), || {
            format!("{} {i}: begins task {} (call {number}, {does:?})", service.name(), task.id)
        });
        self.calls.push(Call { instance: i, life, task, again, does, result: None, given_up: false });
        let call = self.calls.len() - 1;
        // A slow call may take effect early or late.
        let half = self.dice.between(Of::Call, &[thing[0], thing[1], 1], 0, takes);
        if takes < 10 * CALL_LIMIT {
            self.push(half, &[21, thing[0], number], Event::Reach { call });
            self.push(takes + 1, &[22, thing[0], number], Event::Answer { call });
        }
        if takes >= CALL_LIMIT {
            self.push(CALL_LIMIT, &[23, thing[0], number], Event::GiveUp { call });
        }
    }

    /// Hands the result to the service, if the process that made the call still lives.
    fn hand_in(&mut self, call: usize, result: CallResult, late: bool) {
        use cartwright_core::ports::CallOutcome::Unknown;
        let unknown = matches!(
            &result,
            CallResult::Authorize(Unknown { .. })
                | CallResult::Void(Unknown { .. })
                | CallResult::Ship(Unknown { .. })
                | CallResult::Cancel(Unknown { .. })
        );
        self.coverage.unknown_outcomes += u64::from(unknown);
        self.coverage.held_back += u64::from(result.is_held_back());
        let Call { instance, life, task, again, .. } = &self.calls[call];
        let (i, life, task, again) = (*instance, *life, task.clone(), *again);
        let Some(alive) = self.alive(i, life) else { return };
        if late {
            alive.late.push(task.id.clone());
        } else {
            alive.under_way.remove(&task.id);
        }
        alive.inbox.results.push_back(TaskDone { task, result, again });
        self.call(i, 50);
    }
}
