//! Tasks: put, drop, claim.

use cartwright_core::{
    domain::time::Timestamp,
    ports::{StoreError, Task, TaskId, Work},
};
use rusqlite::{Connection, Row, params};

use super::{
    codec::{limit as sql_limit, small},
    commit::order_id,
    failure::unreadable,
    open::Head,
};

/// The work of tasks as JSON.
pub(super) fn encode(tasks: &[Task]) -> Result<Vec<String>, StoreError> {
    tasks
        .iter()
        .map(|task| {
            serde_json::to_string(&task.work)
                .map_err(|e| StoreError::Corrupt(format!("task {} can't be written: {e}", task.id)))
        })
        .collect()
}

pub(super) fn put(
    conn: &Connection,
    head: &mut Head,
    tasks: &[Task],
    works: &[String],
) -> rusqlite::Result<()> {
    for (task, work) in tasks.iter().zip(works) {
        let params = params![
            task.id,
            task.order.as_str(),
            task.due_at.as_micros(),
            task.due_at.max(task.lease_until).as_micros(),
            task.attempts,
            work,
        ];
        // Most tasks are new. Two statements and not one upsert, because that would not say which it was.
        let new = conn
            .prepare_cached(
                "INSERT INTO task (id, order_id, due_at, ready_at, attempts, work)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            )?
            .execute(params)?;
        head.tasks += new as u64;
        if new == 0 {
            conn.prepare_cached(
                "UPDATE task SET order_id = ?2, due_at = ?3, ready_at = ?4, attempts = ?5, work = ?6 WHERE id = ?1",
            )?
            .execute(params)?;
        }
    }
    Ok(())
}

pub(super) fn drop(conn: &Connection, head: &mut Head, tasks: &[TaskId]) -> rusqlite::Result<()> {
    for id in tasks {
        let gone = conn.prepare_cached("DELETE FROM task WHERE id = ?1")?.execute([id])?;
        head.tasks = head.tasks.saturating_sub(gone as u64);
    }
    Ok(())
}

/// Whether any task is ready: asked before a claim, so that finding none costs no write.
pub(super) fn any_ready(conn: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM task WHERE ready_at <= ?1 LIMIT 1")?.exists([now.as_micros()])
}

/// Leases the tasks that are ready, the longest waiting first.
pub(super) fn claim(
    conn: &Connection,
    now: Timestamp,
    lease_until: Timestamp,
    limit: usize,
) -> rusqlite::Result<(bool, Vec<Task>)> {
    let mut tasks = Vec::new();
    let mut ready = conn.prepare_cached(
        "SELECT id, order_id, due_at, attempts, work FROM task WHERE ready_at <= ?1 ORDER BY ready_at, id LIMIT ?2",
    )?;
    let mut rows = ready.query(params![now.as_micros(), sql_limit(limit)])?;
    let mut unreadable = Vec::new();
    while let Some(row) = rows.next()? {
        let id: TaskId = row.get(0)?;
        match read(row, lease_until) {
            Ok(task) => tasks.push(task),
            // A newer binary's work, or damage. It is leased and left for one that knows it; the others must not wait
            // for it.
            Err(error) => {
                tracing::error!(task = id, %error, "a task can't be read and is left alone");
                unreadable.push(id);
            }
        }
    }
    let mut lease = conn.prepare_cached("UPDATE task SET ready_at = max(due_at, ?2) WHERE id = ?1")?;
    for id in tasks.iter().map(|t| &t.id).chain(&unreadable) {
        lease.execute(params![id, lease_until.as_micros()])?;
    }
    Ok((!tasks.is_empty() || !unreadable.is_empty(), tasks))
}

fn read(row: &Row<'_>, lease_until: Timestamp) -> rusqlite::Result<Task> {
    Ok(Task {
        id: row.get(0)?,
        order: order_id(row.get_ref(1)?.as_str()?)?,
        work: serde_json::from_str::<Work>(row.get_ref(4)?.as_str()?).map_err(unreadable)?,
        due_at: Timestamp::from_micros(row.get(2)?),
        lease_until,
        attempts: small(row.get_ref(3)?)?,
    })
}
