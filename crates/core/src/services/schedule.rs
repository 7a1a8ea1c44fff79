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

    /// Forgets a task.
    pub fn drop(&mut self, id: &str) {
        self.tasks.remove(id);
    }

    /// Hands out the next task that is due.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<Task> {
        while let Some(Reverse((due, generation, _))) = self.heap.peek() {
            if *due > now {
                return None;
            }
            let generation = *generation;
            let Reverse((_, _, id)) = self.heap.pop()?;
            if self.tasks.get(&id).is_some_and(|(current, _)| *current == generation) {
                return self.tasks.remove(&id).map(|(_, task)| task);
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
}
