//! The schemas that are filled. While a copy is under way, all of them say so in their table `meta`: no server starts on
//! them, and the next copy begins anew. That word is taken from all of them in one transaction, once all is compared.

use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Receiver;
use tokio_postgres::{Client, Error, Transaction, error::SqlState};
use uuid::Uuid;

use super::{
    CopyError, Sum,
    tables::{TABLES, Table},
};
use crate::{
    STORES, StoreKind,
    postgres::{
        COPYING, DatabaseError, PostgresOptions, connect, prepare, quoted, schema_of, schema_version,
    },
};

/// How long to wait for another copy into the same schemas; one that was cut off is noticed sooner.
const PATIENCE: Duration = Duration::from_secs(10);

/// What binary COPY begins with: its signature, no flags, nothing more.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
const TRAILER: &[u8] = b"\xff\xff";

/// Tables that files don't have.
const LEFT_OUT: &str = "member, lease, written, note";

/// The schemas, each with a connection of its own.
pub(super) struct Target {
    schemas: Vec<Schema>,
    /// Whether they hold what is left of a copy that was cut off.
    anew: bool,
}

pub(super) struct Schema {
    pub(super) kind: StoreKind,
    pub(super) name: String,
    client: Client,
}

impl Target {
    /// Takes the schemas for a copy of this system: makes them where they are missing, refuses those that hold anything.
    pub(super) async fn take(options: &PostgresOptions, origin: Uuid) -> Result<Self, CopyError> {
        let mut schemas = Vec::new();
        for (kind, _) in STORES {
            let (mut client, connection) = connect(options).await?;
            tokio::spawn(connection); // ends with the client, and its errors are those of the statements
            let name = schema_of(options, kind);
            prepare(&mut client, kind, &name).await?;
            let (found, known) = schema_version(&client).await?;
            if found > known {
                return Err(CopyError::NewerSchema { schema: name, found, known });
            }
            // A server that starts now shall hear that a copy is under way, and not wait for its end.
            let settings = "SELECT pg_advisory_unlock_all(); SET statement_timeout TO 0;
                SET idle_in_transaction_session_timeout TO 0; SET synchronous_commit TO on";
            client.batch_execute(settings).await.map_err(broken)?;
            schemas.push(Schema { kind, name, client });
        }
        let mut target = Self { schemas, anew: false };
        target.lock(&options.schema).await?;
        target.mark(origin).await?;
        Ok(target)
    }

    pub(super) fn schemas(&mut self) -> (&mut [Schema], bool) {
        (&mut self.schemas, self.anew)
    }

    fn first(&mut self) -> Result<&mut Client, CopyError> {
        let first = self.schemas.first_mut().map(|schema| &mut schema.client);
        first.ok_or_else(|| CopyError::Broken("no connection".to_owned()))
    }

    /// One copy at a time; ends with the connection.
    async fn lock(&mut self, schemas: &str) -> Result<(), CopyError> {
        let first = self.first()?;
        let patience = format!("SET lock_timeout TO {}", PATIENCE.as_millis());
        first.batch_execute(&patience).await.map_err(broken)?;
        let name = format!("cartwright copy {schemas}");
        match first.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", &[&name]).await {
            Ok(_) => first.batch_execute("SET lock_timeout TO 0").await.map_err(broken),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                Err(CopyError::UnderWay { schemas: schemas.to_owned() })
            }
            Err(error) => Err(broken(error)),
        }
    }

    /// Says in all of them that a copy is under way, if they are empty or say so already.
    async fn mark(&mut self, origin: Uuid) -> Result<(), CopyError> {
        let names: Vec<String> = self.schemas.iter().map(|schema| schema.name.clone()).collect();
        let change = self.first()?.transaction().await.map_err(broken)?;
        let mut anew = true;
        for name in &names {
            let lock = format!("LOCK TABLE {0}.meta, {0}.head IN EXCLUSIVE MODE", quoted(name));
            change.batch_execute(&lock).await.map_err(broken)?;
            anew &= is_marked(&change, name).await?;
            is_unused(&change, name).await?;
        }
        for name in &names {
            if !anew {
                is_empty(&change, name).await?;
            }
            let mark = format!(
                "INSERT INTO {}.meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                quoted(name)
            );
            change.execute(&mark, &[&COPYING, &origin.to_string()]).await.map_err(broken)?;
        }
        change.commit().await.map_err(broken)?;
        self.anew = anew;
        Ok(())
    }

    /// From now on it is a system like any other.
    pub(super) async fn finish(&mut self) -> Result<(), CopyError> {
        let names: Vec<String> = self.schemas.iter().map(|schema| schema.name.clone()).collect();
        let change = self.first()?.transaction().await.map_err(broken)?;
        for name in names {
            let unmark = format!("DELETE FROM {}.meta WHERE name = $1", quoted(&name));
            change.execute(&unmark, &[&COPYING]).await.map_err(broken)?;
        }
        change.commit().await.map_err(broken)
    }
}

async fn is_marked(change: &Transaction<'_>, schema: &str) -> Result<bool, CopyError> {
    let select = format!("SELECT 1 FROM {}.meta WHERE name = $1", quoted(schema));
    Ok(change.query_opt(&select, &[&COPYING]).await.map_err(broken)?.is_some())
}

async fn is_unused(change: &Transaction<'_>, schema: &str) -> Result<(), CopyError> {
    let select = format!("SELECT count(*) FROM {}.member WHERE until > clock_timestamp()", quoted(schema));
    match change.query_one(&select, &[]).await.map_err(broken)?.get::<_, i64>(0) {
        0 => Ok(()),
        processes => Err(CopyError::Running { schema: schema.to_owned(), processes }),
    }
}

async fn is_empty(change: &Transaction<'_>, schema: &str) -> Result<(), CopyError> {
    let select = format!(
        "SELECT (SELECT count(*) FROM {0}.record), (SELECT position FROM {0}.head),
            EXISTS (SELECT 1 FROM {0}.cursor) OR EXISTS (SELECT 1 FROM {0}.task)",
        quoted(schema)
    );
    let row = change.query_one(&select, &[]).await.map_err(broken)?;
    let (orders, position, more): (i64, i64, bool) = (row.get(0), row.get(1), row.get(2));
    if orders > 0 || position > 0 || more {
        return Err(CopyError::NotEmpty { schema: schema.to_owned(), orders });
    }
    Ok(())
}

/// A schema that is being filled, in one transaction.
pub(super) struct Filling<'a> {
    change: Transaction<'a>,
    indexes: Vec<String>,
}

impl Schema {
    /// Begins to fill it. What is there is left of a copy that was cut off (`anew`), or nothing.
    pub(super) async fn fill(&mut self, anew: bool) -> Result<Filling<'_>, CopyError> {
        let name = self.name.clone();
        let change = self.client.transaction().await.map_err(broken)?;
        let tables = TABLES.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
        let lock = format!("LOCK TABLE {tables}, {LEFT_OUT} IN ACCESS EXCLUSIVE MODE");
        change.batch_execute(&lock).await.map_err(broken)?;
        if !anew {
            is_empty(&change, &name).await?; // nobody was quicker
        }
        change.batch_execute(&format!("TRUNCATE {tables}, {LEFT_OUT}")).await.map_err(broken)?;
        // An index that is made at the end is made in one go.
        let select = "SELECT indexdef, quote_ident(schemaname) || '.' || quote_ident(indexname) FROM pg_indexes
            WHERE schemaname = $1 AND indexname NOT IN (
                SELECT conname FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = $1)";
        let mut indexes = Vec::new();
        for row in change.query(select, &[&name]).await.map_err(broken)? {
            indexes.push(row.get(0));
            let drop = format!("DROP INDEX {}", row.get::<_, String>(1));
            change.batch_execute(&drop).await.map_err(broken)?;
        }
        Ok(Filling { change, indexes })
    }

    /// A table's sum, as the database has it.
    pub(super) async fn sum(&self, table: &Table) -> Result<Sum, CopyError> {
        let out = self.client.copy_out(&table.copy_out()).await.map_err(broken)?;
        let mut out = std::pin::pin!(out);
        let (mut rows, mut digest, mut skip) = (0, Sha256::new(), HEADER.len());
        // Each message is a row; the first has the header before it, and the last is the trailer.
        while let Some(message) = out.next().await {
            let mut message: Bytes = message.map_err(broken)?;
            let header = skip.min(message.len());
            message.advance(header);
            skip -= header;
            if !message.is_empty() && message != TRAILER {
                rows += 1;
                digest.update(&message);
            }
        }
        Ok(Sum::new(rows, digest))
    }
}

impl Filling<'_> {
    /// Writes a table's rows as they come.
    pub(super) async fn table(
        &self,
        table: &Table,
        mut rows: Receiver<Result<(Bytes, u64), CopyError>>,
        mut written: impl FnMut(u64),
    ) -> Result<(), CopyError> {
        let into = self.change.copy_in(&table.copy_in()).await.map_err(broken)?;
        let mut into = std::pin::pin!(into);
        into.send(Bytes::from_static(HEADER)).await.map_err(broken)?;
        while let Some(chunk) = rows.recv().await {
            let (bytes, rows) = chunk?;
            into.send(bytes).await.map_err(broken)?;
            written(rows);
        }
        into.send(Bytes::from_static(TRAILER)).await.map_err(broken)?;
        into.as_mut().finish().await.map(drop).map_err(broken)
    }

    /// What is in no table of the files.
    pub(super) async fn notes(&self, notes: &[(String, String)]) -> Result<(), CopyError> {
        for (name, text) in notes {
            self.change.execute("INSERT INTO note VALUES ($1, $2)", &[name, text]).await.map_err(broken)?;
        }
        Ok(())
    }

    /// Makes it durable, with the identity of what it is a copy of.
    pub(super) async fn finish(self, incarnation: Uuid, origin: Uuid) -> Result<(), CopyError> {
        for index in &self.indexes {
            self.change.batch_execute(index).await.map_err(broken)?;
        }
        // Numbers that the database gives go on behind those that it got.
        let go_on = "SELECT setval(pg_get_serial_sequence('record', 'key'), greatest(max(key), 1), max(key) IS NOT NULL)
            FROM record; SELECT setval(pg_get_serial_sequence('parked', 'arrival'), greatest(max(arrival), 1),
            max(arrival) IS NOT NULL) FROM parked; ANALYZE record, stage, journal, history, task, answer, parked";
        self.change.batch_execute(go_on).await.map_err(broken)?;
        for (name, value) in [("incarnation", incarnation), ("origin", origin)] {
            let set = "UPDATE meta SET value = $2 WHERE name = $1";
            self.change.execute(set, &[&name, &value.to_string()]).await.map_err(broken)?;
        }
        self.change.commit().await.map_err(broken)
    }
}

/// What went wrong on the way.
fn broken(error: Error) -> CopyError {
    CopyError::Broken(DatabaseError::Unreachable(error).to_string())
}
