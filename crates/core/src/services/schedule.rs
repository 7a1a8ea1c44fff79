//! The tasks that a process holds under its own lease, by the time they are due.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use crate::{
    domain::time::Timestamp,
    ports::{Task, TaskId},
};

/// The tasks at hand. Putting a task replaces the one of the same id, so that a task which was given another turn
/// in the meantime is never carried out in its old form.
#[derive(Default)]
pub struct Schedule {
    heap: BinaryHeap<Reverse<(Timestamp, u64, TaskId)>>,
    tasks: HashMap<TaskId, (u64, Task)>,
    /// How many results of these are on their way: they were handed out, and are not settled.
    begun: HashMap<TaskId, u32>,
    last: u64,
}

impl Schedule {
    /// Takes a task.
    pub fn put(&mut self, task: Task) {
        self.last += 1;
        self.heap.push(Reverse((task.due_at, self.last, task.id.clone())));
        self.tasks.insert(task.id.clone(), (self.last, task));
    }

    /// Takes a task that replaces one which may be under way. If that one has not begun, the new one is due at once
    /// and `true` is returned; else whoever carries the old one out will report, and nothing is taken.
    pub fn put_instead(&mut self, mut task: Task, now: Timestamp) -> bool {
        let waiting = self.tasks.contains_key(&task.id);
        if waiting {
            task.due_at = now;
            self.put(task);
        }
        waiting
    }

    /// Takes a task that was found in the table with its lease over, and says so; not if it was handed out here and what
    /// came of it is not settled: after a freeze its lease is over, and its refusal may be on its way into the record.
    pub fn put_claimed(&mut self, task: Task) -> bool {
        let free = !self.begun.contains_key(&task.id);
        if free {
            self.put(task);
        }
        free
    }

    /// Takes a task back that was handed out and not begun.
    pub fn put_back(&mut self, task: Task) {
        self.settled(&task.id);
        self.put(task);
    }

    /// What came of a task that was handed out stands in the record, or is lost with the batch that it was in.
    pub fn settled(&mut self, id: &str) {
        let Some(count) = self.begun.get_mut(id) else { return };
        *count -= 1;
        if *count == 0 {
            self.begun.remove(id);
        }
    }

    /// Forgets a task.
    pub fn drop(&mut self, id: &str) {
        self.tasks.remove(id);
    }

    /// Hands out the next task that is due. Tell [`Schedule::settled`] when the service is through with its result.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<Task> {
        while let Some(Reverse((due, generation, _))) = self.heap.peek() {
            if *due > now {
                return None;
            }
            let generation = *generation;
            let Reverse((_, _, id)) = self.heap.pop()?;
            if self.tasks.get(&id).is_some_and(|(current, _)| *current == generation) {
                let task = self.tasks.remove(&id).map(|(_, task)| task);
                *self.begun.entry(id).or_default() += 1;
                return task;
            }
        }
        None
    }

    /// Hands out everything at hand, whether it is due or not.
    pub fn take_all(&mut self) -> Vec<Task> {
        self.heap.clear();
        self.tasks.drain().map(|(_, (_, task))| task).collect()
    }

    /// When the next task is due. May be early, never late.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((due, _, _))| *due)
    }

    /// How many tasks are at hand.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether none is at hand.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ids::OrderId, ports::Work};

    fn task(id: &str, due: i64, attempts: u32) -> Task {
        Task {
            id: id.into(),
            order: OrderId::parse("o").unwrap(),
            work: Work::Wait,
            due_at: Timestamp::from_micros(due),
            lease_until: Timestamp::default(),
            attempts,
        }
    }

    #[test]
    fn tasks_come_by_due_time_and_the_last_put_wins() {
        let mut schedule = Schedule::default();
        schedule.put(task("a", 5, 0));
        schedule.put(task("b", 3, 0));
        schedule.put(task("a", 4, 1));
        schedule.put(task("c", 1, 0));
        schedule.drop("c");
        let at = Timestamp::from_micros(10);
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop_due(at)).map(|t| (t.id, t.attempts)).collect();
        assert_eq!(order, [("b".to_owned(), 0), ("a".to_owned(), 1)]);
        assert!(schedule.is_empty());
        schedule.put(task("d", 20, 0));
        assert_eq!(schedule.pop_due(at), None);
        assert_eq!((schedule.take_all().len(), schedule.next_due()), (1, None));
    }

    #[test]
    fn a_task_that_was_handed_out_is_not_taken_from_the_table_until_its_result_is_settled() {
        let mut schedule = Schedule::default();
        let at = Timestamp::from_micros(10);
        assert!(schedule.put_claimed(task("a", 5, 0)), "nobody has begun it");
        assert!(schedule.pop_due(at).is_some());
        assert!(!schedule.put_claimed(task("a", 5, 0)));
        assert_eq!(schedule.pop_due(at), None, "it is not carried out twice");
        schedule.put(task("a", 6, 1));
        assert_eq!(schedule.pop_due(at).unwrap().attempts, 1, "the service may give it another turn");
        schedule.put_back(task("a", 6, 1));
        assert_eq!(schedule.pop_due(at).unwrap().attempts, 1, "as if it had not been handed out");
        schedule.settled("a");
        assert!(!schedule.put_claimed(task("a", 5, 1)), "of its second turn nothing is known yet");
        schedule.settled("a");
        assert!(schedule.put_claimed(task("a", 5, 2)), "its result was lost, say");
    }
}
