//! The stores: files in the data directory, or schemas of a database.

use std::{path::Path, sync::Arc, time::Duration};

use cartwright_core::{
    domain::time::Timestamp,
    events,
    ports::{Clock, Store, StoreError},
};
use cartwright_store::{
    DataDir, StoreKind, check_cursors,
    postgres::{PostgresOptions, PostgresStore},
    sqlite::{SqliteOptions, SqliteStore, inspect},
};
use uuid::Uuid;

use super::{StartError, listeners::Serving};
use crate::{backoff::Backoff, clock::SystemClock, config::Config};

/// The first wait for a database.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The services' files.
const FILES: [(StoreKind, &str); 3] = [
    (StoreKind::Orders, "orders.db"),
    (StoreKind::Payments, "payments.db"),
    (StoreKind::Fulfillment, "fulfillment.db"),
];

/// A file is made only where nothing has happened yet: also if the first start was interrupted.
fn all_there(dir: &Path) -> Result<(), StartError> {
    let (there, missing): (Vec<_>, Vec<_>) = FILES.iter().partition(|(_, name)| dir.join(name).exists());
    let used = |(kind, name): &(StoreKind, &str)| {
        inspect(&dir.join(name), *kind).is_ok_and(|file| file.position > 0 || !file.cursors.is_empty())
    };
    if missing.is_empty() || !there.into_iter().any(used) {
        return Ok(());
    }
    let missing = missing.into_iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    Err(StartError::Missing { dir: dir.display().to_string(), missing })
}

/// The stores of the services.
pub struct Stores {
    /// Whose history it is.
    pub system: Uuid,
    pub orders: Arc<dyn Store>,
    pub payments: Arc<dyn Store>,
    pub fulfillment: Arc<dyn Store>,
    /// The database that they are in, if they are not in files.
    pub database: Option<Database>,
}

/// What a database offers beyond the port: the same stores once more.
#[derive(Clone)]
pub struct Database {
    pub options: PostgresOptions,
    pub orders: Arc<PostgresStore>,
    pub payments: Arc<PostgresStore>,
    pub fulfillment: Arc<PostgresStore>,
}

impl Stores {
    /// Opens the files, or the database, for which it waits.
    pub async fn open(
        config: &Config,
        options: &SqliteOptions,
        serving: &Serving,
    ) -> Result<Self, StartError> {
        let stores = match config.postgres() {
            None => Self::files(config, options)?,
            Some(options) => Self::database(config, options, serving).await?,
        };
        stores.check(config).await?;
        Ok(stores)
    }

    fn files(config: &Config, options: &SqliteOptions) -> Result<Self, StartError> {
        let dir = Arc::new(DataDir::lock(&config.data.dir)?);
        all_there(dir.path())?;
        let options = SqliteOptions { dir: Some(dir.clone()), ..options.clone() };
        let open =
            |(kind, name): (_, &str)| SqliteStore::open(&dir.path().join(name), kind, &options).map(Arc::new);
        let [orders, payments, fulfillment] = FILES;
        let orders = open(orders)?;
        let system = orders.origin();
        Ok(Self {
            system,
            orders,
            payments: open(payments)?,
            fulfillment: open(fulfillment)?,
            database: None,
        })
    }

    async fn database(
        config: &Config,
        options: PostgresOptions,
        serving: &Serving,
    ) -> Result<Self, StartError> {
        // Still needed for what is not in the database: how simulated providers and switches stand.
        DataDir::make(&config.data.dir)?;
        let orders = wait_for(StoreKind::Orders, &options, serving).await?;
        let payments = wait_for(StoreKind::Payments, &options, serving).await?;
        let fulfillment = wait_for(StoreKind::Fulfillment, &options, serving).await?;
        let database = Database { options, orders, payments, fulfillment };
        Ok(Self {
            system: database.orders.origin(),
            orders: database.orders.clone(),
            payments: database.payments.clone(),
            fulfillment: database.fulfillment.clone(),
            database: Some(database),
        })
    }

    async fn check(&self, config: &Config) -> Result<(), StartError> {
        let place = || match &self.database {
            None => format!("the files in {}", config.data.dir.display()),
            Some(database) => format!("the schemas {}_* of the database", database.options.schema),
        };
        let mismatch = |error| StartError::Cursors { place: place(), error };
        let orders: [(&str, &dyn Store); 1] = [(events::ORDERS, &*self.orders)];
        let others: [(&str, &dyn Store); 2] =
            [(events::PAYMENTS, &*self.payments), (events::FULFILLMENT, &*self.fulfillment)];
        check_cursors(&*self.orders, &others).await.map_err(mismatch)?;
        check_cursors(&*self.payments, &orders).await.map_err(mismatch)?;
        check_cursors(&*self.fulfillment, &orders).await.map_err(mismatch)
    }

    /// Every topic and whose journal it is.
    pub fn topics(&self) -> Vec<(&'static str, Arc<dyn Store>)> {
        vec![
            (events::ORDERS, self.orders.clone()),
            (events::PAYMENTS, self.payments.clone()),
            (events::FULFILLMENT, self.fulfillment.clone()),
        ]
    }

    /// The time of whoever works on them. On files it goes on from where it has been.
    pub async fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(match self.database {
            None => SystemClock::start_after(self.newest_event().await),
            // Where processes share a database, one whose clock is wrong must not lead the others.
            Some(_) => SystemClock::start(),
        })
    }

    /// When the newest event of any service happened. One that can't be read tells no time.
    async fn newest_event(&self) -> Timestamp {
        let mut newest = Timestamp::default();
        for store in [&self.orders, &self.payments, &self.fulfillment] {
            let Ok(last) = newest_of(store).await else { continue };
            newest = newest.max(last.unwrap_or_default());
        }
        newest
    }
}

async fn newest_of(store: &Arc<dyn Store>) -> Result<Option<Timestamp>, StoreError> {
    let Some(before) = store.stats().await?.head.checked_sub(1) else { return Ok(None) };
    let row = store.journal(before, 1).await?.pop();
    Ok(row.and_then(|row| events::decode(&row.message.value).ok()).map(|event| event.occurred_at))
}

/// Opens a service's store; waits as long as the database is not there.
async fn wait_for(
    kind: StoreKind,
    options: &PostgresOptions,
    serving: &Serving,
) -> Result<Arc<PostgresStore>, StartError> {
    let mut wait = Backoff::from(FIRST_WAIT);
    loop {
        match PostgresStore::open(kind, options).await {
            Ok(store) => return Ok(Arc::new(store)),
            Err(error) if error.is_passing() => {
                let next = wait.next();
                tracing::warn!(%error, "waiting for the database (setting database.url); next look in {next:?}");
                serving.waits_for(&error.to_string());
                tokio::time::sleep(next).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
