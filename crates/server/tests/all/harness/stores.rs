//! The one door to what the services have stored, whatever it is stored in. Tables and columns are the same everywhere.

use std::{
    collections::HashMap,
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::BytesMut;
use rusqlite::{
    Connection, OpenFlags, params_from_iter,
    types::{ToSqlOutput, Value as SqliteValue, ValueRef},
};
use tokio_postgres::{
    Client,
    types::{IsNull, ToSql, Type, to_sql_checked},
};
use uuid::Uuid;

use super::{
    LIMIT,
    stack::{Stack, plain_client, schema},
};

/// The stores of a system.
pub struct Stores {
    dir: PathBuf,
    /// Whoever looks again and again need not come in anew each time.
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

/// The tables of one service's store.
pub struct Tables(Kind);

enum Kind {
    File(Connection),
    Schema(Arc<Client>),
}

/// What is in a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    Id(Uuid),
}

impl Stores {
    /// Of the system whose files are in this directory.
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), clients: Mutex::default() }
    }

    /// For looking only: the system may run.
    pub async fn look(&self, service: &str) -> Tables {
        self.open(service, OpenFlags::SQLITE_OPEN_READ_ONLY).await
    }

    /// For changing: the system must be stopped.
    pub async fn edit(&self, service: &str) -> Tables {
        self.open(service, OpenFlags::SQLITE_OPEN_READ_WRITE).await
    }

    async fn open(&self, service: &str, flags: OpenFlags) -> Tables {
        match Stack::here() {
            Stack::Embedded => {
                let file = self.dir.join(format!("{service}.db"));
                let file = Connection::open_with_flags(file, flags).unwrap();
                file.busy_timeout(LIMIT).unwrap();
                Tables(Kind::File(file))
            }
            Stack::Postgres | Stack::Kafka => Tables(Kind::Schema(self.client(service).await)),
        }
    }

    async fn client(&self, service: &str) -> Arc<Client> {
        let known = self.clients.lock().unwrap().get(service).cloned();
        if let Some(client) = known {
            return client;
        }
        let client = Arc::new(plain_client().await);
        let path = format!("SET search_path TO \"{}_{service}\"", schema(&self.dir));
        client.batch_execute(&path).await.unwrap();
        self.clients.lock().unwrap().insert(service.to_owned(), client.clone());
        client
    }
}

impl Tables {
    /// Rows; the statement names what it is given `$1`, `$2`, in this order.
    pub async fn select(&self, sql: &str, given: &[Cell]) -> Vec<Vec<Cell>> {
        match &self.0 {
            Kind::File(file) => {
                let mut select = file.prepare_cached(sql).unwrap();
                let columns = select.column_count();
                let row = |row: &rusqlite::Row| (0..columns).map(|n| Ok(cell(row.get_ref(n)?))).collect();
                let rows = select.query_map(params_from_iter(given), row).unwrap();
                rows.map(Result::unwrap).collect()
            }
            Kind::Schema(client) => {
                let rows = client.query(sql, &params(given)).await.unwrap();
                rows.iter().map(|row| (0..row.len()).map(|n| column(row, n)).collect()).collect()
            }
        }
    }

    /// The numbers in the first column.
    pub async fn numbers(&self, sql: &str) -> Vec<i64> {
        let number = |row: Vec<Cell>| match row[..] {
            [Cell::Number(number), ..] => number,
            _ => panic!("{sql} gives no number: {row:?}"),
        };
        self.select(sql, &[]).await.into_iter().map(number).collect()
    }

    /// Changes rows, and gives their number.
    pub async fn change(&self, sql: &str, given: &[Cell]) -> u64 {
        match &self.0 {
            Kind::File(file) => file.execute(sql, params_from_iter(given)).unwrap() as u64,
            Kind::Schema(client) => client.execute(sql, &params(given)).await.unwrap(),
        }
    }
}

/// Lets the time pass for which a process that is gone has leased its tasks. Files forget leases when they are opened.
pub async fn end_leases(dir: &Path, service: &str) {
    Stores::of(dir).edit(service).await.change("UPDATE task SET ready_at = due_at", &[]).await;
}

/// Puts the store of a service that another system has in the place of one's own.
pub async fn take(from: &Path, to: &Path, service: &str) {
    match Stack::here() {
        Stack::Embedded => {
            for end in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(to.join(format!("{service}.db{end}")));
            }
            let file = format!("{service}.db");
            std::fs::copy(from.join(&file), to.join(&file)).unwrap();
        }
        Stack::Postgres | Stack::Kafka => {
            let (from, to) = (schema(from), schema(to));
            let take = format!(
                "SET client_min_messages TO warning; DROP SCHEMA \"{to}_{service}\" CASCADE;
                 ALTER SCHEMA \"{from}_{service}\" RENAME TO \"{to}_{service}\""
            );
            plain_client().await.batch_execute(&take).await.unwrap();
        }
    }
}

fn params(given: &[Cell]) -> Vec<&(dyn ToSql + Sync)> {
    given.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect()
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Integer(number) => Cell::Number(number),
        ValueRef::Text(text) => Cell::Text(String::from_utf8(text.to_vec()).unwrap()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
        other @ (ValueRef::Null | ValueRef::Real(_)) => panic!("no test asks for {other:?}"),
    }
}

fn column(row: &tokio_postgres::Row, n: usize) -> Cell {
    match *row.columns()[n].type_() {
        Type::INT8 => Cell::Number(row.get(n)),
        Type::TEXT => Cell::Text(row.get(n)),
        Type::BYTEA => Cell::Bytes(row.get(n)),
        ref other => panic!("no test asks for {other}"),
    }
}

impl rusqlite::ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self {
            Self::Number(number) => SqliteValue::Integer(*number),
            Self::Text(text) => SqliteValue::Text(text.clone()),
            Self::Bytes(bytes) => SqliteValue::Blob(bytes.clone()),
            Self::Id(id) => SqliteValue::Blob(id.as_bytes().to_vec()),
        }))
    }
}

impl ToSql for Cell {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Number(number) => number.to_sql_checked(ty, out),
            Self::Text(text) => text.to_sql_checked(ty, out),
            Self::Bytes(bytes) => bytes.to_sql_checked(ty, out),
            Self::Id(id) => id.to_sql_checked(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true // each of them says for itself what it can be
    }

    to_sql_checked!();
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Cell {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Uuid> for Cell {
    fn from(id: Uuid) -> Self {
        Self::Id(id)
    }
}
