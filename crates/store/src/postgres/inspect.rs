//! Looking at a database without using it: nothing is made and nothing is migrated, and whoever uses it goes on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, Config, config::Host};
use uuid::Uuid;

use super::{
    DatabaseError, PostgresOptions,
    open::{SCHEMA, connect, quoted, schema_of},
};
use crate::StoreKind;

/// What a database says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The server's version, as it says it.
    pub version: String,
    /// How far its clock is from ours, in either direction.
    pub clocks_differ: Duration,
    /// The stores that have been made.
    pub stores: Vec<InspectedStore>,
    /// The newest schema number that this binary knows.
    pub known: u32,
    /// What is noted in the schema of orders: names and texts.
    pub notes: Vec<(String, String)>,
}

/// What the schema of a service says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedStore {
    /// Whose it is.
    pub kind: StoreKind,
    /// The number of its tables' shape.
    pub schema: u32,
    /// The lowest number that a binary must know to use them.
    pub oldest_binary: u32,
    /// Whose history it is; nil if that can't be read.
    pub origin: Uuid,
    /// Its journal's identity; nil if that can't be read.
    pub incarnation: Uuid,
    /// The newest position of its journal.
    pub position: u64,
    /// How far it has read: source, that journal's identity, position.
    pub cursors: Vec<(String, Uuid, u64)>,
}

/// Where a database is, as it may be shown: with neither a user nor a password.
pub fn place(options: &PostgresOptions) -> String {
    let Ok(config) = options.url.parse::<Config>() else { return "a database".to_owned() };
    let ports = config.get_ports();
    let host = |(n, host): (usize, &Host)| {
        let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    };
    let hosts = config.get_hosts().iter().enumerate().map(host).collect::<Vec<_>>().join(",");
    match config.get_dbname().or(config.get_user()) {
        Some(name) => format!("{hosts}/{name}"),
        None => hosts,
    }
}

/// Asks a database.
///
/// # Errors
/// [`DatabaseError`], as opening it would say.
pub async fn inspect(options: &PostgresOptions) -> Result<Inspection, DatabaseError> {
    let (client, connection) = connect(options).await?;
    let driver = tokio::spawn(connection);
    let looked = look(&client, options).await;
    drop(client);
    let _ = driver.await; // its errors are those of the statements above
    looked
}

async fn look(client: &Client, options: &PostgresOptions) -> Result<Inspection, DatabaseError> {
    let unreachable = DatabaseError::Unreachable;
    let now =
        "SELECT current_setting('server_version'), (extract(epoch FROM clock_timestamp()) * 1e6)::bigint";
    let now = client.prepare(now).await.map_err(unreachable)?;
    let asked = SystemTime::now();
    let row = client.query_one(&now, &[]).await.map_err(unreachable)?;
    let way = asked.elapsed().unwrap_or_default() / 2;
    let theirs = UNIX_EPOCH + Duration::from_micros(row.get::<_, i64>(1).max(0).cast_unsigned());
    let ours = asked + way;
    let clocks_differ = theirs.duration_since(ours).unwrap_or_else(|behind| behind.duration());
    let mut stores = Vec::new();
    // All cursors and journals as they were at one moment, also while the system runs.
    let moment = "BEGIN TRANSACTION READ ONLY ISOLATION LEVEL REPEATABLE READ";
    client.batch_execute(moment).await.map_err(unreachable)?;
    for kind in [StoreKind::Orders, StoreKind::Payments, StoreKind::Fulfillment] {
        stores.extend(store(client, kind, &schema_of(options, kind)).await?);
    }
    let notes = notes(client, &schema_of(options, StoreKind::Orders)).await?;
    Ok(Inspection { version: row.get(0), clocks_differ, stores, known: SCHEMA, notes })
}

async fn notes(client: &Client, schema: &str) -> Result<Vec<(String, String)>, DatabaseError> {
    let unreachable = DatabaseError::Unreachable;
    let is_there = "SELECT to_regclass(quote_ident($1) || '.note') IS NOT NULL";
    if !client.query_one(is_there, &[&schema]).await.map_err(unreachable)?.get::<_, bool>(0) {
        return Ok(vec![]);
    }
    let select = format!("SELECT name, value FROM {}.note", quoted(schema));
    let rows = client.query(&select, &[]).await.map_err(unreachable)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn store(
    client: &Client,
    kind: StoreKind,
    schema: &str,
) -> Result<Option<InspectedStore>, DatabaseError> {
    let unreachable = DatabaseError::Unreachable;
    let is_there = "SELECT to_regclass(quote_ident($1) || '.meta') IS NOT NULL";
    let is_there: bool = client.query_one(is_there, &[&schema]).await.map_err(unreachable)?.get(0);
    if !is_there {
        return Ok(None);
    }
    let tables = quoted(schema);
    let select = format!("SELECT name, value FROM {tables}.meta");
    let rows = client.query(&select, &[]).await.map_err(unreachable)?;
    let value =
        |name: &str| rows.iter().find(|row| row.get::<_, &str>(0) == name).map(|row| row.get::<_, String>(1));
    let number = |name| value(name).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let found = value("kind").unwrap_or_default();
    if !found.is_empty() && found != kind.as_str() {
        return Err(DatabaseError::OtherKind { schema: schema.to_owned(), found, wanted: kind });
    }
    let (schema_number, oldest_binary) = (number("schema"), number("oldest_binary"));
    if oldest_binary > SCHEMA {
        let schema = schema.to_owned();
        return Err(DatabaseError::Newer { schema, found: schema_number, oldest_binary });
    }
    let uuid = |name| value(name).and_then(|text| Uuid::parse_str(&text).ok()).unwrap_or_default();
    let select = format!("SELECT source, incarnation, position FROM {tables}.cursor");
    let cursors = client.query(&select, &[]).await.map_err(unreachable)?;
    let cursors =
        cursors.iter().map(|row| (row.get(0), row.get(1), row.get::<_, i64>(2).cast_unsigned())).collect();
    let head = client.query_one(&format!("SELECT position FROM {tables}.head"), &[]).await;
    let position = head.map_err(unreachable)?.get::<_, i64>(0).cast_unsigned();
    Ok(Some(InspectedStore {
        kind,
        schema: schema_number,
        oldest_binary,
        origin: uuid("origin"),
        incarnation: uuid("incarnation"),
        position,
        cursors,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_its_secrets() {
        let place = |url: &str| {
            place(&PostgresOptions {
                url: url.to_owned(),
                schema: "cartwright".to_owned(),
                connections: 2,
                tls: crate::postgres::PostgresTls::default(),
            })
        };
        assert_eq!(place("postgres://shop:s3cret@db.example:5433/orders"), "db.example:5433/orders");
        assert_eq!(place("host=a,b port=1 dbname=x user=u password=s3cret"), "a:1,b:1/x");
        assert_eq!(place("postgres://u@db.example"), "db.example:5432/u");
    }
}
