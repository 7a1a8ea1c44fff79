//! What the outside world remembers: every call that a simulated provider received, and every effect that it had.
//!
//! The ledger is the witness against us: `cartwright verify` compares it with our own records. So it shares no code
//! with our stores, has a file of its own, and is synced before a call is answered. One thread writes. It takes all
//! calls that wait, writes them in one transaction and answers them together; while it syncs, the next ones gather.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cartwright_core::{domain::ids::OrderId, failpoint::Failpoint};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// The name of the ledger's file in the data directory.
pub const FILE_NAME: &str = "ledger.db";

/// Calls that may wait for the writer; further ones wait to be let in.
const MAX_WAITING: usize = 16_384;

/// Calls written in one transaction.
const MAX_BATCH: usize = 4_096;

/// Pages in the write-ahead log before SQLite copies them home: 64 MiB, so that one copy carries many commits.
const CHECKPOINT_PAGES: u32 = 16_384;

/// SQLite's page cache, in KiB. What does not fit is read from the file again.
const CACHE_KIB: u32 = 32_768;

/// How long other processes may keep the file to themselves.
const PATIENCE: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS calls (
        n         INTEGER PRIMARY KEY,
        at_us     INTEGER NOT NULL,
        provider  TEXT NOT NULL,
        operation TEXT NOT NULL,
        order_id  TEXT NOT NULL,
        key       TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS effects (
        n         INTEGER PRIMARY KEY,
        at_us     INTEGER NOT NULL,
        kind      TEXT NOT NULL CHECK (kind IN ('authorize','decline','void','ship','reject','cancel')),
        operation TEXT NOT NULL UNIQUE,
        undoes    TEXT,
        order_id  TEXT NOT NULL,
        amount    INTEGER,
        currency  TEXT,
        reference TEXT,
        carrier   TEXT
    ) STRICT;
    CREATE UNIQUE INDEX IF NOT EXISTS effects_undoes ON effects (undoes) WHERE undoes IS NOT NULL;
    CREATE TABLE IF NOT EXISTS attempts (
        key   TEXT PRIMARY KEY,
        count INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS meta (
        name  TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// The ledger. Cheap to clone; the last clone to go waits until everything taken is written.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

/// What an effect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Money was reserved.
    Authorize,
    /// Money was refused.
    Decline,
    /// An authorization was taken back, or will be refused when it comes.
    Void,
    /// Goods went.
    Ship,
    /// Goods were not taken.
    Reject,
    /// A shipment was stopped, or will be refused when it comes.
    Cancel,
}

/// An effect as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What.
    pub kind: Kind,
    /// For which order.
    pub order: OrderId,
    /// How much, for payments.
    pub amount: Option<i64>,
    /// In which currency, for payments.
    pub currency: Option<String>,
    /// The provider's reference, or the tracking number.
    pub reference: Option<String>,
    /// Who carries, for shipments.
    pub carrier: Option<String>,
}

/// A call that is to have an effect, once.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who is called.
    pub provider: &'static str,
    /// What is asked for.
    pub name: &'static str,
    /// The idempotency key.
    pub key: String,
    /// How many calls under this key pass without any effect first.
    pub skip: u32,
    /// What happens.
    pub effect: Effect,
}

/// What came of an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The effect stands; `fresh` when this very call made it.
    Stands {
        /// The effect, as it was the first time.
        effect: Effect,
        /// Whether this call made it.
        fresh: bool,
    },
    /// The operation was undone, maybe before it was ever seen.
    Undone,
    /// Nothing happened; so many calls had passed before this one.
    Skipped(u32),
}

/// A call that takes an operation back.
#[derive(Clone, Debug)]
pub struct Undo {
    /// Who is called.
    pub provider: &'static str,
    /// What is asked for.
    pub name: &'static str,
    /// The idempotency key of this call.
    pub key: String,
    /// How many calls under this key pass without any effect first.
    pub skip: u32,
    /// The effect that the undo is.
    pub kind: Kind,
    /// The order.
    pub order: OrderId,
    /// The key of the operation to undo.
    pub operation: String,
    /// A shipment older than this, in microseconds, has gone for good.
    pub ship_window_us: i64,
}

/// What came of an [`Undo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoAnswer {
    /// The operation is refused from now on; `fresh` when this very call did it.
    Undone {
        /// Whether this call did it.
        fresh: bool,
    },
    /// The goods have gone.
    TooLate(Effect),
    /// This call's own key belongs to something else.
    KeyTaken,
    /// Nothing happened; so many calls had passed before this one.
    Skipped(u32),
}

/// Why the ledger could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite said no.
    #[error("the providers' ledger {path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The thread could not be started.
    #[error("the providers' ledger has no thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The call was not written, or nobody knows; it is in the log.
    #[error("the providers' ledger did not answer")]
    NoAnswer,
}

impl Ledger {
    /// Opens the ledger in this file for this system, and makes it if there is none. It names the first system that
    /// used it; one that serves another system is taken all the same, for what happened outside has happened, but
    /// `verify` will not compare the two.
    ///
    /// # Errors
    /// When the file can't be opened or is no ledger.
    pub fn open(path: impl AsRef<Path>, system: Uuid) -> Result<Self, LedgerError> {
        let path = path.as_ref().to_owned();
        let failed = |source| LedgerError::Sqlite { path: path.clone(), source };
        let connection = connect(&path).map_err(failed)?;
        let first = sign(&connection, system).map_err(failed)?;
        let notes = notes(&connection).map_err(failed)?;
        if first != system.to_string() {
            tracing::warn!(path = %path.display(), %first, %system,
                "the providers' ledger belongs to another system: its files were exchanged, or lost and made anew");
        }
        let (calls, waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || Writer { path, connection: Some(connection) }.run(waiting))?;
        Ok(Self { inner: Arc::new(Inner { notes, calls: Some(calls), thread: Some(thread) }) })
    }

    /// Writes the call down, lets it have its effect if it has none yet, and says what stands.
    ///
    /// # Errors
    /// [`LedgerError::NoAnswer`] when it could not be written.
    pub async fn operate(&self, operation: Operation) -> Result<Answer, LedgerError> {
        self.send(|reply| Call::Operation(operation, reply)).await
    }

    /// Writes the call down and refuses the operation from now on, unless it is too late.
    ///
    /// # Errors
    /// [`LedgerError::NoAnswer`] when it could not be written.
    pub async fn undo(&self, undo: Undo) -> Result<UndoAnswer, LedgerError> {
        self.send(|reply| Call::Undo(undo, reply)).await
    }

    /// Writes down what somebody outside wants to find again after a restart, in place of what was noted under this
    /// name before.
    ///
    /// # Errors
    /// [`LedgerError::NoAnswer`] when it could not be written.
    pub async fn note(&self, name: &str, text: String) -> Result<(), LedgerError> {
        let name = name.to_owned();
        self.send(|reply| Call::Note { name, text, reply }).await
    }

    /// What is noted under this name now, by whichever process.
    ///
    /// # Errors
    /// [`LedgerError::NoAnswer`] when it could not be read.
    pub async fn noted_now(&self, name: &str) -> Result<Option<String>, LedgerError> {
        let name = name.to_owned();
        self.send(|reply| Call::Noted { name, reply }).await
    }

    /// What was noted under this name when the ledger was opened.
    pub fn noted(&self, name: &str) -> Option<&str> {
        self.inner.notes.get(name).map(String::as_str)
    }

    async fn send<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let calls = self.inner.calls.as_ref().ok_or(LedgerError::NoAnswer)?;
        calls.send(call(reply)).await.map_err(|_| LedgerError::NoAnswer)?;
        answer.await.map_err(|_| LedgerError::NoAnswer)
    }
}

impl Kind {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Decline => "decline",
            Self::Void => "void",
            Self::Ship => "ship",
            Self::Reject => "reject",
            Self::Cancel => "cancel",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Authorize, Self::Decline, Self::Void, Self::Ship, Self::Reject, Self::Cancel]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

struct Inner {
    /// As they were when the file was opened.
    notes: BTreeMap<String, String>,
    calls: Option<mpsc::Sender<Call>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

enum Call {
    Operation(Operation, oneshot::Sender<Answer>),
    Undo(Undo, oneshot::Sender<UndoAnswer>),
    Note { name: String, text: String, reply: oneshot::Sender<()> },
    Noted { name: String, reply: oneshot::Sender<Option<String>> },
}

/// An answer that may go out once its transaction is durable.
enum Ready {
    Operation(Answer, oneshot::Sender<Answer>),
    Undo(UndoAnswer, oneshot::Sender<UndoAnswer>),
    Note(oneshot::Sender<()>),
    Noted(Option<String>, oneshot::Sender<Option<String>>),
}

struct Writer {
    path: PathBuf,
    /// `None` after an error: what SQLite then holds is unknown, so it is opened again.
    connection: Option<Connection>,
}

impl Writer {
    fn run(mut self, mut waiting: mpsc::Receiver<Call>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while waiting.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
            match self.write(batch.drain(..)) {
                Ok(ready) => ready.into_iter().for_each(Ready::go),
                Err(error) => {
                    // Whoever waits sees its reply dropped, and takes the outcome for unknown: so it is.
                    tracing::error!(path = %self.path.display(), %error, "the providers' ledger could not be written");
                    self.connection = None;
                }
            }
        }
    }

    fn write(&mut self, batch: impl Iterator<Item = Call>) -> rusqlite::Result<Vec<Ready>> {
        if self.connection.is_none() {
            self.connection = Some(connect(&self.path)?);
        }
        let Some(connection) = self.connection.as_mut() else { return Ok(Vec::new()) };
        // At once, since other processes may write to the same file.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = now_us();
        let mut ready = Vec::with_capacity(batch.size_hint().0);
        for call in batch {
            ready.push(match call {
                Call::Operation(operation, reply) => {
                    Ready::Operation(operate(&transaction, now, operation)?, reply)
                }
                Call::Undo(call, reply) => Ready::Undo(undo(&transaction, now, &call)?, reply),
                Call::Note { name, text, reply } => {
                    note(&transaction, &name, &text)?;
                    Ready::Note(reply)
                }
                Call::Noted { name, reply } => Ready::Noted(noted(&transaction, &name)?, reply),
            });
        }
        Failpoint::LedgerWritten.reach("ledger");
        transaction.commit()?;
        Failpoint::LedgerStands.reach("ledger");
        Ok(ready)
    }
}

impl Ready {
    /// Nobody may be waiting any more: a caller that gave up is part of the game.
    fn go(self) {
        match self {
            Self::Operation(answer, reply) => drop(reply.send(answer)),
            Self::Undo(answer, reply) => drop(reply.send(answer)),
            Self::Note(reply) => drop(reply.send(())),
            Self::Noted(text, reply) => drop(reply.send(text)),
        }
    }
}

/// Another process may be making the same file just now: of two that want to go from reading it to writing it, SQLite
/// sends one back at once, however patient it is.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let until = Instant::now() + PATIENCE;
    loop {
        match prepare(path) {
            Err(error) if is_busy(&error) && Instant::now() < until => std::thread::sleep(PATIENCE / 1_000),
            connected => return connected,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

fn prepare(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    connection.set_prepared_statement_cache_capacity(16);
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

/// Notes whose ledger it is, unless it says so already; says whose it is.
fn sign(file: &Connection, system: Uuid) -> rusqlite::Result<String> {
    file.execute("INSERT OR IGNORE INTO meta VALUES ('system', ?1)", [system.to_string()])?;
    file.query_row("SELECT value FROM meta WHERE name = 'system'", [], |row| row.get(0))
}

fn notes(file: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut all = file.prepare("SELECT name, value FROM meta WHERE name <> 'system'")?;
    all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn note(file: &Connection, name: &str, text: &str) -> rusqlite::Result<()> {
    let mut note =
        file.prepare_cached("INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2")?;
    note.execute([name, text])?;
    Ok(())
}

fn noted(file: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let mut noted = file.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    noted.query_row([name], |row| row.get(0)).optional()
}

fn operate(file: &Connection, now: i64, call: Operation) -> rusqlite::Result<Answer> {
    note_call(file, now, call.provider, call.name, &call.effect.order, &call.key)?;
    if is_undone(file, &call.key)? {
        return Ok(Answer::Undone);
    }
    if call.skip > 0 {
        if let Some((_, effect)) = find(file, &call.key)? {
            return Ok(Answer::Stands { effect, fresh: false });
        }
        if let Some(before) = skip(file, &call.key, call.skip)? {
            return Ok(Answer::Skipped(before));
        }
    }
    if insert(file, now, &call.key, None, &call.effect)? {
        return Ok(Answer::Stands { effect: call.effect, fresh: true });
    }
    let (_, effect) = find(file, &call.key)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Answer::Stands { effect, fresh: false })
}

fn undo(file: &Connection, now: i64, call: &Undo) -> rusqlite::Result<UndoAnswer> {
    note_call(file, now, call.provider, call.name, &call.order, &call.key)?;
    if is_undone(file, &call.operation)? {
        return Ok(UndoAnswer::Undone { fresh: false });
    }
    if call.skip > 0
        && let Some(before) = skip(file, &call.key, call.skip)?
    {
        return Ok(UndoAnswer::Skipped(before));
    }
    let undone = find(file, &call.operation)?;
    if let Some((at, effect)) = &undone
        && effect.kind == Kind::Ship
        && now.saturating_sub(*at) >= call.ship_window_us
    {
        return Ok(UndoAnswer::TooLate(effect.clone()));
    }
    let (amount, currency, reference, carrier) = match undone {
        Some((_, effect)) => (effect.amount, effect.currency, effect.reference, effect.carrier),
        None => (None, None, None, None),
    };
    let effect = Effect { kind: call.kind, order: call.order.clone(), amount, currency, reference, carrier };
    Ok(if insert(file, now, &call.key, Some(&call.operation), &effect)? {
        UndoAnswer::Undone { fresh: true }
    } else {
        UndoAnswer::KeyTaken
    })
}

fn note_call(
    file: &Connection,
    now: i64,
    provider: &str,
    operation: &str,
    order: &OrderId,
    key: &str,
) -> rusqlite::Result<()> {
    file.prepare_cached(
        "INSERT INTO calls (at_us, provider, operation, order_id, key) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![now, provider, operation, order.as_str(), key])?;
    Ok(())
}

fn is_undone(file: &Connection, operation: &str) -> rusqlite::Result<bool> {
    file.prepare_cached("SELECT 1 FROM effects WHERE undoes = ?1")?.exists([operation])
}

/// Counts a call that passes without effect; says how many had passed before. `None` when enough have.
fn skip(file: &Connection, key: &str, enough: u32) -> rusqlite::Result<Option<u32>> {
    let before: u32 = file
        .prepare_cached("SELECT count FROM attempts WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    if before >= enough {
        return Ok(None);
    }
    file.prepare_cached(
        "INSERT INTO attempts (key, count) VALUES (?1, 1) ON CONFLICT (key) DO UPDATE SET count = count + 1",
    )?
    .execute([key])?;
    Ok(Some(before))
}

/// Writes an effect unless there is one for this key; says whether it did. Insert first, ask later: a repeat is rare.
fn insert(
    file: &Connection,
    now: i64,
    key: &str,
    undoes: Option<&str>,
    effect: &Effect,
) -> rusqlite::Result<bool> {
    let rows = file
        .prepare_cached(
            "INSERT INTO effects (at_us, kind, operation, undoes, order_id, amount, currency, reference, carrier) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            now,
            effect.kind.as_str(),
            key,
            undoes,
            effect.order.as_str(),
            effect.amount,
            effect.currency,
            effect.reference,
            effect.carrier
        ])?;
    Ok(rows == 1)
}

/// The effect of a key, and when it came about.
fn find(file: &Connection, key: &str) -> rusqlite::Result<Option<(i64, Effect)>> {
    file.prepare_cached(
        "SELECT at_us, kind, order_id, amount, currency, reference, carrier FROM effects WHERE operation = ?1",
    )?
    .query_row([key], read_effect)
    .optional()
}

fn read_effect(row: &Row<'_>) -> rusqlite::Result<(i64, Effect)> {
    let unreadable = |column, what: &str| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, what.into())
    };
    let kind = Kind::parse(row.get_ref(1)?.as_str()?).ok_or_else(|| unreadable(1, "not a kind of effect"))?;
    let order = OrderId::parse(row.get_ref(2)?.as_str()?).map_err(|_| unreadable(2, "not an order id"))?;
    let effect = Effect {
        kind,
        order,
        amount: row.get(3)?,
        currency: row.get(4)?,
        reference: row.get(5)?,
        carrier: row.get(6)?,
    };
    Ok((row.get(0)?, effect))
}

fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}
