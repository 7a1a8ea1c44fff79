//! Opening a schema: connections, migrations, its identity.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cartwright_core::domain::ids::derive_uuid;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Client, Config, Socket};
use uuid::Uuid;

use super::{
    codec::{is_passing, says},
    tls::{Encrypted, PostgresTls, Tls, trouble},
    url,
};
use crate::{
    StoreKind,
    upgrade::{Found, Plan},
};

mod migrations {
    refinery::embed_migrations!("migrations/postgres");
}

/// The newest schema that this binary knows: the number of its last migration.
pub(super) const SCHEMA: u32 = 1;

/// What a binary must know to use that schema, as the migrations say.
const OLDEST_BINARY: u32 = 1;

/// In `meta` while a copy fills the schema.
pub(crate) const COPYING: &str = "copying";

/// Which database, and how.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, or the `key=value` form of libpq.
    pub url: String,
    /// What the names of the services' schemas begin with; `_orders` and the like follow.
    pub schema: String,
    /// Connections of this process to each service's store, at most.
    pub connections: usize,
    /// How connections are encrypted.
    pub tls: PostgresTls,
}

/// The url may hold a password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, schema, connections, tls } = self;
        f.debug_struct("PostgresOptions")
            .field("schema", schema)
            .field("connections", connections)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is none.
    #[error("the database's url can't be read: {0}")]
    Url(String),
    /// It can't be spoken to as we are to speak to it: encrypted or not, checked or not.
    #[error("{0}")]
    Tls(String),
    /// It does not answer, or it refuses us.
    #[error("the database can't be reached or refuses us: {}", says(.0))]
    Unreachable(tokio_postgres::Error),
    /// A newer binary wrote it and gave up what this one needs.
    #[error(
        "the schema {schema} was written by a newer cartwright (schema {found}, usable from schema {oldest_binary} on; \
         this binary knows schema {SCHEMA}): start the newer binary again, or restore a dump made before the upgrade"
    )]
    Newer {
        /// Which schema of the database.
        schema: String,
        /// Its version.
        found: u32,
        /// The oldest version that a binary must know to use it.
        oldest_binary: u32,
    },
    /// A copy into it was cut off, or is under way.
    #[error(
        "the schema {schema} holds a copy of a data directory that is not finished: let `cartwright copy` end, or run it \
         again; nothing can start on a part of a system"
    )]
    Unfinished {
        /// Which schema of the database.
        schema: String,
    },
    /// The schema belongs to another service.
    #[error(
        "the schema {schema} is the store of the service `{found}`, not of `{wanted}`: check the database's url"
    )]
    OtherKind {
        /// Which schema of the database.
        schema: String,
        /// Whose it is.
        found: String,
        /// Who asked for it.
        wanted: StoreKind,
    },
    /// Its tables can't be made or brought up to date.
    #[error("the tables in schema {schema} can't be brought up to date: {reason}")]
    Migration {
        /// Which schema of the database.
        schema: String,
        /// What went wrong.
        reason: String,
    },
    /// What it says about itself can't be read.
    #[error("the schema {schema} is not a sound cartwright store ({reason}): restore a dump")]
    Corrupt {
        /// Which schema of the database.
        schema: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl DatabaseError {
    /// Whether it may be there a little later: it does not answer, or is only just starting or stopping.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(error) if is_passing(error))
    }
}

/// The schema of a service's store.
pub(crate) fn schema_of(options: &PostgresOptions, kind: StoreKind) -> String {
    format!("{}_{kind}", options.schema)
}

/// A connection, and what drives it.
pub(crate) async fn connect(
    options: &PostgresOptions,
) -> Result<(Client, tokio_postgres::Connection<Socket, Encrypted<Socket>>), DatabaseError> {
    let (config, tls) = config(options)?;
    config.connect(tls).await.map_err(|error| match trouble(&options.tls, &error) {
        Some(trouble) => DatabaseError::Tls(trouble),
        None => DatabaseError::Unreachable(error),
    })
}

fn config(options: &PostgresOptions) -> Result<(Config, Tls), DatabaseError> {
    let config = url::read(options).map_err(DatabaseError::Url)?;
    let tls = Tls::new(&options.tls, config.get_ssl_negotiation()).map_err(DatabaseError::Tls)?;
    Ok((config, tls))
}

/// A schema that is open.
pub(super) struct Opened {
    pub(super) pool: Pool,
    pub(super) incarnation: Uuid,
    pub(super) origin: Uuid,
    /// How many connections have been made.
    pub(super) made: Arc<AtomicU64>,
}

/// Opens a service's schema.
pub(super) async fn open(kind: StoreKind, options: &PostgresOptions) -> Result<Opened, DatabaseError> {
    let schema = schema_of(options, kind);
    let (mut client, connection) = connect(options).await?;
    let driver = tokio::spawn(connection);
    let identity = async {
        let identity = prepare(&mut client, kind, &schema).await?;
        match meta(&client, COPYING).await? {
            None => Ok(identity),
            Some(_) => Err(DatabaseError::Unfinished { schema: schema.clone() }),
        }
    };
    let identity = identity.await;
    drop(client);
    let _ = driver.await; // its errors are those of the statements above
    let (incarnation, origin) = identity?;
    let (config, tls) = config(options)?;
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let session = session(&schema);
    let made = Arc::new(AtomicU64::new(0));
    let count = made.clone();
    let set_up = Hook::async_fn(move |client, _| {
        let session = session.clone();
        count.fetch_add(1, Ordering::AcqRel);
        Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
    });
    let pool = Pool::builder(Manager::from_config(config, tls, manager))
        .max_size(options.connections)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(std::time::Duration::from_secs(10)))
        .create_timeout(Some(std::time::Duration::from_secs(5)))
        .post_create(set_up)
        .build()
        .map_err(|error| DatabaseError::Corrupt { schema, reason: error.to_string() })?;
    Ok(Opened { pool, incarnation, origin, made })
}

/// What every connection begins with. Answers must be durable whatever the server's default; a list that nobody waits for
/// any more must end; and plans, which a connection may make while its tables are empty, go by the indexes.
fn session(schema: &str) -> String {
    format!(
        "SET search_path TO {}; SET synchronous_commit TO on; SET statement_timeout TO '15s';
         SET idle_in_transaction_session_timeout TO '10s'; SET jit TO off;
         SET enable_seqscan TO off; SET enable_hashjoin TO off; SET enable_mergejoin TO off",
        quoted(schema)
    )
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Makes the schema ours, or sees that it is, and says its incarnation and its origin. The connection holds a lock until
/// it ends, and has the schema as its own.
pub(crate) async fn prepare(
    client: &mut Client,
    kind: StoreKind,
    schema: &str,
) -> Result<(Uuid, Uuid), DatabaseError> {
    let unreachable = DatabaseError::Unreachable;
    // Several processes may start at the same time.
    let lock = format!("cartwright schema {schema}");
    client
        .execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", &[&lock])
        .await
        .map_err(unreachable)?;
    let made = format!(
        "SET client_min_messages TO warning; CREATE SCHEMA IF NOT EXISTS {0}; SET search_path TO {0}",
        quoted(schema)
    );
    client.batch_execute(&made).await.map_err(unreachable)?;
    migrate(client, schema).await?;
    identify(client, kind, schema).await
}

/// What opening a service's schema would change; changes nothing.
pub(crate) async fn plan(kind: StoreKind, options: &PostgresOptions) -> Result<Plan, DatabaseError> {
    let schema = schema_of(options, kind);
    let (client, connection) = connect(options).await?;
    tokio::spawn(connection); // ends with the client, and its errors are those of the statements
    let mut found = None;
    if is_there(&client, &schema).await? {
        let own = format!("SET search_path TO {}", quoted(&schema));
        client.batch_execute(&own).await.map_err(DatabaseError::Unreachable)?;
        if let Some(found) = meta(&client, "kind").await?.filter(|found| found != kind.as_str()) {
            return Err(DatabaseError::OtherKind { schema, found, wanted: kind });
        }
        let number = async |name| meta_number(&client, name).await;
        found =
            Some(Found { schema: number("schema").await?, oldest_binary: number("oldest_binary").await? });
    }
    let all = migrations::migrations::runner().get_migrations().clone();
    let all = all.into_iter().map(|one| (one.version().cast_unsigned(), one.to_string()));
    Ok(Plan::new(kind, schema, found, (SCHEMA, OLDEST_BINARY), all))
}

async fn is_there(client: &Client, schema: &str) -> Result<bool, DatabaseError> {
    let select = "SELECT to_regclass(quote_ident($1) || '.meta') IS NOT NULL";
    let row = client.query_one(select, &[&schema]).await.map_err(DatabaseError::Unreachable)?;
    Ok(row.get(0))
}

async fn migrate(client: &mut Client, schema: &str) -> Result<(), DatabaseError> {
    if is_there(client, schema).await? {
        let found = meta_number(client, "schema").await?;
        let oldest_binary = meta_number(client, "oldest_binary").await?;
        if oldest_binary > SCHEMA {
            return Err(DatabaseError::Newer { schema: schema.to_owned(), found, oldest_binary });
        }
        if found > SCHEMA {
            return Ok(());
        }
    }
    // A migration and the note that it was done are one transaction.
    let done = migrations::migrations::runner().set_grouped(true).run_async(client).await;
    done.map(drop)
        .map_err(|error| DatabaseError::Migration { schema: schema.to_owned(), reason: chain(&error) })
}

/// An error and its causes, down to what the server said.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Gives fresh tables their identity; checks that of old ones, and gives those that were restored elsewhere a new one.
async fn identify(client: &mut Client, kind: StoreKind, schema: &str) -> Result<(Uuid, Uuid), DatabaseError> {
    let unreachable = DatabaseError::Unreachable;
    let place: String = client.query_one(PLACE, &[]).await.map_err(unreachable)?.get(0);
    let fresh = Uuid::now_v7().to_string();
    for (name, value) in
        [("kind", kind.as_str()), ("place", &place), ("incarnation", &fresh), ("origin", &fresh)]
    {
        client
            .execute("INSERT INTO meta VALUES ($1, $2) ON CONFLICT DO NOTHING", &[&name, &value])
            .await
            .map_err(unreachable)?;
    }
    let found = meta(client, "kind").await?.unwrap_or_default();
    if found != kind.as_str() {
        return Err(DatabaseError::OtherKind { schema: schema.to_owned(), found, wanted: kind });
    }
    if meta(client, "place").await? != Some(place.clone()) {
        renew(client, &place).await.map_err(unreachable)?;
        tracing::warn!(schema, "this store was restored from a dump: it is a new incarnation from now on");
    }
    let uuid = async |name: &str| {
        let text = meta(client, name).await?.unwrap_or_default();
        Uuid::parse_str(&text).map_err(|error| DatabaseError::Corrupt {
            schema: schema.to_owned(),
            reason: format!("its {name} can't be read: {error}"),
        })
    };
    Ok((uuid("incarnation").await?, uuid("origin").await?))
}

/// Which database of which server: a dump that is restored finds itself in another one.
const PLACE: &str =
    "SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
    FROM pg_control_system()";

/// Makes a restored store another incarnation. The new one follows from the old one and the place alone, so the cursors
/// of the other stores in the same dump, which name the old one, become cursors of the new one without a word between
/// them; what was not in the dump names another one, and is refused.
async fn renew(client: &mut Client, place: &str) -> Result<(), tokio_postgres::Error> {
    let new = |old: &str| derive_uuid("restored incarnation", &[old, place]);
    let change = client.transaction().await?;
    for row in change.query("SELECT value FROM meta WHERE name = 'incarnation'", &[]).await? {
        let new = new(row.get(0)).to_string();
        change.execute("UPDATE meta SET value = $1 WHERE name = 'incarnation'", &[&new]).await?;
    }
    for row in change.query("SELECT DISTINCT incarnation FROM cursor", &[]).await? {
        let old: Uuid = row.get(0);
        let new = new(&old.to_string());
        change.execute("UPDATE cursor SET incarnation = $1 WHERE incarnation = $2", &[&new, &old]).await?;
    }
    change.execute("UPDATE meta SET value = $1 WHERE name = 'place'", &[&place]).await?;
    change.commit().await
}

/// The version of the connection's schema, and the newest that this binary knows.
pub(crate) async fn schema_version(client: &Client) -> Result<(u32, u32), DatabaseError> {
    Ok((meta_number(client, "schema").await?, SCHEMA))
}

async fn meta_number(client: &Client, name: &str) -> Result<u32, DatabaseError> {
    Ok(meta(client, name).await?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

async fn meta(client: &Client, name: &str) -> Result<Option<String>, DatabaseError> {
    let row = client
        .query_opt("SELECT value FROM meta WHERE name = $1", &[&name])
        .await
        .map_err(DatabaseError::Unreachable)?;
    Ok(row.map(|row| row.get(0)))
}
