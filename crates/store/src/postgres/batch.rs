//! A batch as the arrays that `commit_batch` takes.

use std::collections::HashSet;

use cartwright_core::{
    domain::ids::OrderId,
    ports::{Batch, Commit, Guard, HistoryEntry, Message, OrderColumns, Outcome, StoreError},
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::codec::{clean, integer};

/// A parameter of a statement.
pub(super) type Param<'a> = dyn ToSql + Sync + 'a;

/// Calls the function of the schema.
pub(super) fn call(params: usize) -> String {
    let places: Vec<String> = (1..=params).map(|n| format!("${n}")).collect();
    format!("SELECT positions, taken_by FROM commit_batch({})", places.join(", "))
}

/// The arrays of a batch, column by column, in the order of the function's parameters.
pub(super) struct Arrays<'a> {
    columns: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
    /// Of each commit of the batch: where it is in the arrays, from 0. `None` for a second one of the same order.
    places: Vec<Option<usize>>,
}

impl<'a> Arrays<'a> {
    /// Refuses what can't be written before anything is sent.
    pub(super) fn new(id: &'a Uuid, batch: &'a Batch) -> Result<Self, StoreError> {
        let mut orders = HashSet::new();
        let mut commits = Vec::with_capacity(batch.commits.len());
        let places = batch
            .commits
            .iter()
            .map(|commit| {
                orders.insert(&commit.id).then(|| {
                    commits.push(commit);
                    commits.len() - 1
                })
            })
            .collect();
        for commit in &commits {
            check(commit)?;
        }
        let mut arrays = Self { columns: vec![Box::new(id)], places };
        arrays.rows(&commits);
        arrays.journal(&commits);
        arrays.history(&commits);
        arrays.tasks(&commits)?;
        arrays.answers(&commits);
        arrays.parked(&commits);
        // With a commit left out, the batch as a whole has not stood, and so its cursors stay.
        arrays.cursors(if commits.len() == batch.commits.len() { batch } else { &NOTHING });
        Ok(arrays)
    }

    /// The parameters.
    pub(super) fn params(&self) -> Vec<&Param<'_>> {
        self.columns.iter().map(|column| &**column as &Param<'_>).collect()
    }

    /// How each commit ended, from the function's answer.
    pub(super) fn outcomes(&self, row: &Row) -> Result<Vec<Outcome>, tokio_postgres::Error> {
        let positions: Vec<Option<i64>> = row.try_get(0)?;
        let taken_by: Vec<Option<String>> = row.try_get(1)?;
        let outcome = |place: &Option<usize>| {
            let Some(at) = *place else { return Outcome::Conflict };
            let position = positions.get(at).copied().flatten();
            let by = taken_by.get(at).and_then(Option::as_deref).map(OrderId::parse);
            match (position, by) {
                (Some(position), _) => Outcome::Committed { position: position.cast_unsigned() },
                (None, Some(Ok(by))) => Outcome::Taken { by },
                (None, _) => Outcome::Conflict,
            }
        };
        Ok(self.places.iter().map(outcome).collect())
    }

    fn push(&mut self, column: impl ToSql + Sync + Send + 'a) {
        self.columns.push(Box::new(column));
    }

    fn each<T: ToSql + Sync + Send + 'a>(&mut self, commits: &[&'a Commit], of: impl Fn(&'a Commit) -> T) {
        self.push(commits.iter().map(|commit| of(commit)).collect::<Vec<T>>());
    }

    fn rows(&mut self, commits: &[&'a Commit]) {
        let text = |text: &'a str| Some(clean(text));
        self.each(commits, |commit| commit.id.as_str());
        self.each(commits, |commit| match commit.guard {
            Guard::Absent => -1,
            Guard::Revision(revision) => integer(revision),
        });
        self.each(commits, |commit| commit.row.is_some());
        self.each(commits, |commit| commit.row.as_ref().map_or(0, |row| i64::from(row.schema)));
        self.each(commits, |commit| commit.row.as_ref().and_then(|row| row.record.as_deref()));
        self.each(commits, |commit| listed(commit).map(|c| integer(c.number)));
        self.each(commits, |commit| listed(commit).and_then(|c| text(&c.channel)));
        self.each(commits, |commit| listed(commit).and_then(|c| text(c.external_id.as_deref()?)));
        self.each(commits, |commit| listed(commit).map(|c| c.status.as_str()));
        self.each(commits, |commit| listed(commit).and_then(|c| text(&c.milestone)));
        self.each(commits, |commit| listed(commit).and_then(|c| text(&c.flow)));
        // No customer is NULL, so that such orders cost no index entry.
        self.each(commits, |commit| {
            listed(commit).and_then(|c| text(&c.customer)).filter(|customer| !customer.is_empty())
        });
        self.each(commits, |commit| listed(commit).map(|c| c.created_at.as_micros()));
        self.each(commits, |commit| listed(commit).map(|c| c.updated_at.as_micros()));
        self.each(commits, |commit| listed(commit).and_then(|c| Some(c.sweep_at?.as_micros())));
        self.each(commits, |commit| listed(commit).is_some_and(|c| c.counted));
        self.each(commits, |commit| count(commit.journal.len()));
        self.each(commits, |commit| count(commit.history.len()));
    }

    fn journal(&mut self, commits: &[&'a Commit]) {
        let rows = of_each(commits, |commit| (0..).zip(&commit.journal));
        self.push(numbers(&rows));
        self.push(rows.iter().map(|(_, (n, _))| *n).collect::<Vec<i32>>());
        let rows: Vec<(i32, &Message)> =
            rows.into_iter().map(|(commit, (_, message))| (commit, message)).collect();
        self.push(rows.iter().map(|(_, message)| clean(&message.topic)).collect::<Vec<_>>());
        self.push(rows.iter().map(|(_, message)| message.key.as_str()).collect::<Vec<_>>());
        self.push(rows.iter().map(|(_, message)| message.headers.as_bytes()).collect::<Vec<_>>());
        self.push(rows.iter().map(|(_, message)| &*message.value).collect::<Vec<_>>());
    }

    fn history(&mut self, commits: &[&'a Commit]) {
        let rows = of_each(commits, |commit| (1..).zip(&commit.history));
        self.push(numbers(&rows));
        self.push(rows.iter().map(|(_, (n, _))| *n).collect::<Vec<i32>>());
        let own = |entry: &HistoryEntry| match entry {
            HistoryEntry::Own(row) => Some(count(*row)),
            HistoryEntry::Foreign(_) => None,
        };
        self.push(rows.iter().map(|(_, (_, entry))| own(entry)).collect::<Vec<_>>());
        let foreign = |entry: &'a HistoryEntry| match entry {
            HistoryEntry::Own(_) => None,
            HistoryEntry::Foreign(value) => Some(&**value),
        };
        self.push(rows.iter().map(|(_, (_, entry))| foreign(entry)).collect::<Vec<_>>());
    }

    fn tasks(&mut self, commits: &[&'a Commit]) -> Result<(), StoreError> {
        let dropped = of_each(commits, |commit| commit.drop_tasks.iter());
        self.push(numbers(&dropped));
        self.push(dropped.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>());
        // Of several writes of one task the last counts; one statement can't write a row twice.
        let put = last_of(of_each(commits, |commit| commit.put_tasks.iter()), |task| &task.id);
        let works = put
            .iter()
            .map(|(_, task)| {
                serde_json::to_string(&task.work)
                    .map_err(|e| StoreError::Corrupt(format!("task {} can't be written: {e}", task.id)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.push(numbers(&put));
        self.push(put.iter().map(|(_, task)| task.id.as_str()).collect::<Vec<_>>());
        self.push(put.iter().map(|(_, task)| task.order.as_str()).collect::<Vec<_>>());
        self.push(put.iter().map(|(_, task)| task.due_at.as_micros()).collect::<Vec<_>>());
        let ready = put.iter().map(|(_, task)| task.due_at.max(task.lease_until).as_micros());
        self.push(ready.collect::<Vec<_>>());
        self.push(put.iter().map(|(_, task)| i64::from(task.attempts)).collect::<Vec<_>>());
        self.push(works);
        Ok(())
    }

    fn answers(&mut self, commits: &[&'a Commit]) {
        let rows = last_of(of_each(commits, |commit| commit.answers.iter()), |(key, _)| key);
        self.push(numbers(&rows));
        self.push(rows.iter().map(|(_, (key, _))| key.order.as_str()).collect::<Vec<_>>());
        self.push(rows.iter().map(|(_, (key, _))| clean(&key.caller)).collect::<Vec<_>>());
        self.push(rows.iter().map(|(_, (key, _))| clean(&key.key)).collect::<Vec<_>>());
        self.push(rows.iter().map(|(_, (_, answer))| answer.saved_at.as_micros()).collect::<Vec<_>>());
        self.push(rows.iter().map(|(_, (_, answer))| &answer.fingerprint[..]).collect::<Vec<_>>());
        self.push(rows.iter().map(|(_, (_, answer))| &answer.record[..]).collect::<Vec<_>>());
    }

    fn parked(&mut self, commits: &[&'a Commit]) {
        let gone = of_each(commits, |commit| commit.unpark.iter());
        self.push(numbers(&gone));
        self.push(gone.iter().map(|(_, origin)| clean(&origin.source)).collect::<Vec<_>>());
        self.push(gone.iter().map(|(_, origin)| i64::from(origin.lane)).collect::<Vec<_>>());
        self.push(gone.iter().map(|(_, origin)| origin.position.cast_signed()).collect::<Vec<_>>());
        let new = of_each(commits, |commit| commit.park.iter());
        let of = |(_, parked): &(i32, &'a cartwright_core::ports::Parked)| &parked.delivery;
        self.push(numbers(&new));
        self.push(new.iter().map(|row| clean(&of(row).origin.source)).collect::<Vec<_>>());
        self.push(new.iter().map(|row| i64::from(of(row).origin.lane)).collect::<Vec<_>>());
        self.push(new.iter().map(|row| of(row).origin.position.cast_signed()).collect::<Vec<_>>());
        self.push(new.iter().map(|row| of(row).incarnation).collect::<Vec<_>>());
        self.push(new.iter().map(|(_, parked)| &*parked.delivery.key).collect::<Vec<_>>());
        self.push(new.iter().map(|(_, parked)| parked.delivery.headers.as_bytes()).collect::<Vec<_>>());
        self.push(new.iter().map(|(_, parked)| parked.event_id).collect::<Vec<_>>());
        self.push(new.iter().map(|(_, parked)| clean(&parked.reason)).collect::<Vec<_>>());
        self.push(new.iter().map(|(_, parked)| parked.parked_at.as_micros()).collect::<Vec<_>>());
        self.push(new.iter().map(|(_, parked)| &*parked.delivery.value).collect::<Vec<_>>());
    }

    fn cursors(&mut self, batch: &'a Batch) {
        let cursors = last_of((1..).zip(&batch.cursors).collect(), |cursor| (&cursor.source, cursor.lane));
        self.push(cursors.iter().map(|(_, cursor)| clean(&cursor.source)).collect::<Vec<_>>());
        self.push(cursors.iter().map(|(_, cursor)| i64::from(cursor.lane)).collect::<Vec<_>>());
        self.push(cursors.iter().map(|(_, cursor)| cursor.incarnation).collect::<Vec<_>>());
        self.push(cursors.iter().map(|(_, cursor)| cursor.position.cast_signed()).collect::<Vec<_>>());
    }
}

static NOTHING: Batch = Batch { commits: Vec::new(), cursors: Vec::new() };

fn check(commit: &Commit) -> Result<(), StoreError> {
    let refuse = |why: &str| Err(StoreError::Corrupt(format!("commit of order {}: {why}", commit.id)));
    if commit.history.iter().any(|h| matches!(h, HistoryEntry::Own(n) if *n >= commit.journal.len())) {
        return refuse("its history names a journal row that it does not have");
    }
    if commit.row.is_none() && commit.guard == Guard::Absent {
        return refuse("there is no row that it could leave as it is");
    }
    if listed(commit).is_some_and(|c| i64::try_from(c.number).is_err()) {
        return refuse("its number is too large");
    }
    Ok(())
}

/// The columns by which the row is listed: a placeholder has none.
fn listed(commit: &Commit) -> Option<&OrderColumns> {
    commit.row.as_ref().filter(|row| row.record.is_some())?.columns.as_ref()
}

/// What the commits hold of one kind, each with the number of its commit.
fn of_each<'a, T, I: Iterator<Item = T>>(
    commits: &[&'a Commit],
    of: impl Fn(&'a Commit) -> I,
) -> Vec<(i32, T)> {
    (1..).zip(commits).flat_map(|(number, commit)| of(commit).map(move |thing| (number, thing))).collect()
}

/// Of the rows that have the same key only the last.
fn last_of<T: Copy, K: std::hash::Hash + Eq>(rows: Vec<(i32, T)>, key: impl Fn(T) -> K) -> Vec<(i32, T)> {
    let mut seen = HashSet::new();
    let mut last: Vec<_> = rows.into_iter().rev().filter(|(_, row)| seen.insert(key(*row))).collect();
    last.reverse();
    last
}

fn numbers<T>(rows: &[(i32, T)]) -> Vec<i32> {
    rows.iter().map(|(number, _)| *number).collect()
}

fn count(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}
