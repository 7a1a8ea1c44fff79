//! The writer: one thread, one connection, one transaction per job.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use cartwright_core::{
    domain::time::Timestamp,
    failpoint::Failpoint,
    ports::{Outcome, StoreError, Task},
};
use crossbeam_channel::Sender;
use rusqlite::{Connection, ErrorCode, params};

use crate::{OpenError, StoreKind};

use super::{
    Shared, SqliteOptions, checkpoint,
    codec::limit as sql_limit,
    commit::{self, Checked},
    failure::{is_harmless, store_error, unreadable},
    lent::{self, Lent},
    open::{self, Head, Opened},
    queue::{self, Jobs, Next, Nudge, Queue, Reply},
    tasks,
};

/// Pauses between attempts to find out what became of a transaction.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the writer is asked to do.
pub(super) enum Job {
    Commit {
        batch: Checked,
        reply: Reply<Vec<Outcome>>,
    },
    Claim {
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
        reply: Reply<Vec<Task>>,
    },
    PurgeAnswers {
        before: Timestamp,
        limit: usize,
        reply: Reply<usize>,
    },
    /// The checkpointer is through.
    Copied(rusqlite::Result<()>),
    Close,
}

/// The callers' side of the writer.
pub(super) struct Writer {
    queue: Queue<Job>,
    nudge: Nudge<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        path: &Path,
        kind: StoreKind,
        options: &SqliteOptions,
        opened: Opened,
        readers: &[Arc<Lent>],
        shared: Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let (queue, jobs) = queue::bounded(options.queue);
        let checkpointer = checkpoint::start(path, kind, options, queue.nudge())?;
        let others = readers.iter().chain([&checkpointer.connection]).cloned().collect();
        let thread = Thread {
            path: path.to_owned(),
            kind,
            options: options.clone(),
            conn: Some(opened.conn),
            head: opened.head,
            shared,
            jobs,
            others,
            checkpointer: checkpointer.call,
            checkpoint_runs: false,
            log_is_sound: true,
            checkpoint_at: options.checkpoint_bytes,
            closing: false,
        };
        let writes = std::thread::Builder::new()
            .name(format!("{kind}-write"))
            .spawn(move || thread.run())
            .map_err(|e| OpenError::io(path, e))?;
        Ok(Self { nudge: queue.nudge(), queue, threads: vec![writes, checkpointer.thread] })
    }

    pub(super) async fn commit(&self, batch: Checked) -> Result<Vec<Outcome>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.queue.ask(|reply| Job::Commit { batch, reply }).await
    }

    pub(super) async fn claim_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.queue.ask(|reply| Job::Claim { now, lease_until, limit, reply }).await
    }

    pub(super) async fn purge_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.queue.ask(|reply| Job::PurgeAnswers { before, limit, reply }).await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Behind all that is queued. The writer takes the checkpointer down with it.
        self.nudge.send(Job::Close);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Thread {
    path: PathBuf,
    kind: StoreKind,
    options: SqliteOptions,
    /// `None` while a transaction's fate is unknown.
    conn: Option<Connection>,
    head: Head,
    shared: Arc<Shared>,
    jobs: Jobs<Job>,
    /// The connections of the readers and the checkpointer.
    others: Vec<Arc<Lent>>,
    checkpointer: Sender<()>,
    checkpoint_runs: bool,
    /// Whether what SQLite remembers to have copied back is on the disk.
    log_is_sound: bool,
    /// The length of the log at which the checkpointer is called next.
    checkpoint_at: u64,
    closing: bool,
}

/// How a transaction ended.
enum End<T> {
    Stands(T, Head),
    /// Nothing was written because there was nothing to write.
    Nothing(T),
    Undone(StoreError),
    /// It stands or it does not; if it does, this is its result.
    Unknown(String, Option<T>),
}

impl Thread {
    fn run(mut self) {
        while !self.closing
            && let Some(job) = self.jobs.next()
        {
            match job {
                Job::Commit { batch, reply } => {
                    let first = self.head.position + 1;
                    let written = self.commit(&batch);
                    match &written {
                        Ok(outcomes) => self.shared.tail().extend(first, batch.messages(outcomes)),
                        Err(_) => self.shared.tail().clear(),
                    }
                    self.answer(reply, written);
                }
                Job::Claim { now, lease_until, limit, reply } => {
                    self.claim(now, lease_until, limit, reply);
                }
                Job::PurgeAnswers { before, limit, reply } => {
                    let gone = self.transact(|conn, _| {
                        let gone = purge_answers(conn, before, limit)?;
                        Ok((gone > 0, gone))
                    });
                    self.answer(reply, gone);
                }
                Job::Copied(Ok(())) => {
                    Failpoint::LogCopied.reach(self.kind.as_str());
                    self.start_log_over();
                }
                Job::Copied(Err(error)) => self.copy_anew(&error),
                Job::Close => self.closing = true,
            }
        }
        self.close();
    }

    /// The last one to close copies the log and deletes it.
    fn close(&mut self) {
        while self.checkpoint_runs
            && let Some(job) = self.jobs.next()
        {
            match job {
                Job::Copied(copied) => {
                    self.checkpoint_runs = false;
                    self.log_is_sound &= copied.is_ok();
                }
                job => refuse(job, "the store is being closed"),
            }
        }
        lent::close(&self.others, || {
            if self.log_is_sound
                && let Some(conn) = &self.conn
                && let Err(error) = open::keep_log(conn, false)
            {
                tracing::warn!(kind = %self.kind, %error, "the log stays for the next start");
            }
            self.conn = None;
        });
    }

    fn claim(&mut self, now: Timestamp, lease_until: Timestamp, limit: usize, reply: Reply<Vec<Task>>) {
        match self.conn.as_ref().map(|conn| tasks::any_ready(conn, now)) {
            Some(Ok(false)) => {
                let _ = reply.send(Ok(Vec::new()));
            }
            _ => {
                let claimed = self.transact(|conn, _| tasks::claim(conn, now, lease_until, limit));
                if claimed.is_ok() {
                    Failpoint::TasksClaimed.reach(self.kind.as_str());
                }
                self.answer(reply, claimed);
            }
        }
    }

    fn commit(&mut self, batch: &Checked) -> Result<Vec<Outcome>, StoreError> {
        let kind = self.kind.as_str();
        Failpoint::CommitBegun.reach(kind);
        let written = self.transact(|conn, head| {
            let written = commit::write(conn, head, batch);
            Failpoint::CommitWritten.reach(kind);
            written
        });
        if written.is_ok() {
            Failpoint::CommitStands.reach(kind);
        }
        written
    }

    /// Runs `work` as one transaction; its fate is known when this returns. `work` says whether it wrote anything.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Head) -> rusqlite::Result<(bool, T)>,
    ) -> Result<T, StoreError> {
        let conn = self.conn.as_ref().ok_or_else(closing)?;
        match transaction(conn, self.head, &self.shared, work) {
            End::Stands(value, head) => {
                self.stands(head);
                Ok(value)
            }
            End::Nothing(value) => Ok(value),
            End::Undone(error) => Err(error),
            End::Unknown(reason, value) => {
                tracing::error!(kind = %self.kind, reason, "a commit's fate is unknown; nothing is written until it is clear");
                self.conn = None;
                match (self.find_out(self.head.writes + 1, &reason), value) {
                    (true, Some(value)) => Ok(value),
                    _ => Err(StoreError::Unavailable(reason)),
                }
            }
        }
    }

    fn answer<T>(&mut self, reply: Reply<T>, answer: Result<T, StoreError>) {
        let _ = reply.send(answer);
        self.call_checkpointer();
    }

    /// A transaction is durable: what callers see without asking follows it.
    fn stands(&mut self, head: Head) {
        self.head = head;
        self.shared.set_stats(head.stats());
    }

    /// Opens the file again until it can be written, and says whether the transaction `write` stands. Everything asked
    /// in between is refused.
    fn find_out(&mut self, write: u64, reason: &str) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.reopen() {
                Ok((conn, head)) => {
                    let stands = head.writes == write;
                    tracing::info!(kind = %self.kind, stands, "the store is writable again");
                    self.conn = Some(conn);
                    self.stands(head);
                    return stands;
                }
                Err(error) => tracing::warn!(kind = %self.kind, %error, "the store can't be written yet"),
            }
            match self.jobs.next_within(pause) {
                Next::Job(Job::Close) | Next::Closed => {
                    self.closing = true;
                    return false;
                }
                Next::Job(Job::Copied(copied)) => {
                    self.checkpoint_runs = false;
                    self.log_is_sound &= copied.is_ok();
                }
                Next::Job(job) => refuse(job, reason),
                Next::Nothing => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// A fresh connection and what it finds, which no crash changes any more.
    fn reopen(&mut self) -> rusqlite::Result<(Connection, Head)> {
        #[cfg(test)]
        self.shared.faults.reopen()?;
        let conn = open::connect(&self.path, &self.options)?;
        let head = open::read_head(&conn)?;
        // A transaction that does not stand may still lie in the log, where a crash would find it. This comes first:
        // nobody may read the log anew before it.
        checkpoint::seal(&conn)?;
        if self.log_is_sound {
            return Ok((conn, head));
        }
        drop(conn);
        let conn = lent::renew(&self.others, || open::connect(&self.path, &self.options))?;
        if checkpoint::look(&conn)?.copied > 0 {
            return Err(unreadable("another program has the file open, so the log can't be copied anew"));
        }
        self.log_is_sound = true;
        Ok((conn, head))
    }

    fn call_checkpointer(&mut self) {
        if self.checkpoint_runs {
            return;
        }
        let Some(Ok(log)) = self.conn.as_ref().map(checkpoint::look) else { return };
        if log.bytes >= self.checkpoint_at && self.checkpointer.try_send(()).is_ok() {
            self.checkpoint_runs = true;
        }
    }

    fn start_log_over(&mut self) {
        self.checkpoint_runs = false;
        let Some(conn) = &self.conn else { return };
        match checkpoint::start_over(conn) {
            Ok(log) if !log.busy => self.checkpoint_at = self.options.checkpoint_bytes,
            Ok(log) => {
                // Somebody reads an old state for long. Try again when there is more to gain, not at every commit.
                tracing::debug!(kind = %self.kind, bytes = log.bytes, "a reader keeps the log from starting over");
                self.checkpoint_at = log.bytes + self.options.checkpoint_bytes / 4;
            }
            Err(error) => self.copy_anew(&error),
        }
    }

    /// A checkpoint failed: pages that were copied may not be on the disk, and would never be copied again. The log
    /// has everything, so SQLite is made to forget what it copied: it does once nobody has the file open.
    fn copy_anew(&mut self, error: &rusqlite::Error) {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            // It ended at a write, before any sync: nothing is lost, and there may be room the next time.
            tracing::warn!(kind = %self.kind, %error, "the log can't be copied back");
            self.checkpoint_runs = false;
            self.checkpoint_at += self.options.checkpoint_bytes / 4;
            return;
        }
        tracing::error!(kind = %self.kind, %error, "a checkpoint failed; the whole log will be copied again");
        self.checkpoint_runs = false;
        self.log_is_sound = false;
        if let Some(log) = self.conn.take().and_then(|conn| checkpoint::look(&conn).ok()) {
            self.checkpoint_at = log.bytes + self.options.checkpoint_bytes / 4;
        }
        self.find_out(self.head.writes, "a checkpoint failed");
    }
}

fn transaction<T>(
    conn: &Connection,
    mut head: Head,
    shared: &Shared,
    work: impl FnOnce(&Connection, &mut Head) -> rusqlite::Result<(bool, T)>,
) -> End<T> {
    let worked = execute(conn, "BEGIN IMMEDIATE").and_then(|()| work(conn, &mut head));
    let value = match worked {
        Ok((true, value)) => value,
        Ok((false, value)) => {
            return match execute(conn, "ROLLBACK") {
                Ok(()) => End::Nothing(value),
                Err(error) => End::Unknown(error.to_string(), None),
            };
        }
        Err(error) => return undo(conn, &error, None),
    };
    head.writes += 1;
    head.number = shared.numbers.load(Ordering::SeqCst);
    if let Err(error) = head.write(conn) {
        return undo(conn, &error, None);
    }
    match make_durable(conn, shared) {
        Ok(()) => End::Stands(value, head),
        Err(error) => undo(conn, &error, Some(value)),
    }
}

/// After an error: the transaction is undone if SQLite promises that, else unknown.
fn undo<T>(conn: &Connection, error: &rusqlite::Error, value: Option<T>) -> End<T> {
    // SQLite may have rolled back on its own.
    let rolled_back = conn.is_autocommit() || execute(conn, "ROLLBACK").is_ok();
    if rolled_back && is_harmless(error) {
        End::Undone(store_error(error))
    } else {
        End::Unknown(error.to_string(), value)
    }
}

#[cfg(not(test))]
fn make_durable(conn: &Connection, _: &Shared) -> rusqlite::Result<()> {
    execute(conn, "COMMIT")
}

/// As a disk that fails now and then.
#[cfg(test)]
fn make_durable(conn: &Connection, shared: &Shared) -> rusqlite::Result<()> {
    use super::tests::Fault;
    match shared.faults.take_commit() {
        Some(Fault::BeforeCommit) => Err(super::tests::io_error()),
        Some(Fault::AfterCommit) => execute(conn, "COMMIT").and_then(|()| Err(super::tests::io_error())),
        None => execute(conn, "COMMIT"),
    }
}

fn refuse(job: Job, reason: &str) {
    let error = StoreError::Unavailable(format!(
        "nothing is written until it is clear what is on the disk: {reason}"
    ));
    match job {
        Job::Commit { reply, .. } => drop(reply.send(Err(error))),
        Job::Claim { reply, .. } => drop(reply.send(Err(error))),
        Job::PurgeAnswers { reply, .. } => drop(reply.send(Err(error))),
        Job::Copied(_) | Job::Close => {}
    }
}

fn purge_answers(conn: &Connection, before: Timestamp, limit: usize) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM answer WHERE key IN (SELECT key FROM answer WHERE saved_at < ?1 ORDER BY saved_at LIMIT ?2)",
    )?
    .execute(params![before.as_micros(), sql_limit(limit)])
}

fn execute(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(drop)
}

fn closing() -> StoreError {
    StoreError::Unavailable("the store is being closed".to_owned())
}
