//! Leases: which of several processes does what only one may do at a time.

use std::time::Duration;

use cartwright_core::{failpoint::Failpoint, ports::StoreError};
use tokio_postgres::Error;
use uuid::Uuid;

use super::PostgresStore;

/// What is leased. Members of a scope share its lanes out among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Reading events for this service.
    Bus,
    /// Forwarding this service's journal.
    Relay,
    /// Telling others over HTTP what is in this service's journal.
    Reports,
    /// Keeping the search index.
    Index,
}

impl Scope {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Relay => "relay",
            Self::Reports => "reports",
            Self::Index => "index",
        }
    }
}

/// A lane that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which lane.
    pub lane: u32,
    /// How often it has changed hands.
    pub epoch: i64,
    /// Whether it was taken just now from somebody who had not given it up, and who may not know yet.
    pub taken_over: bool,
}

impl PostgresStore {
    /// Renews what `holder` holds of a scope's lanes, takes what is its share and free, gives up what is not, and says
    /// what it holds now: for `length` from before this call on, by the database's clock.
    ///
    /// # Errors
    /// The database can't be reached: what was held stays so until its time is over.
    pub async fn hold_leases(
        &self,
        scope: Scope,
        holder: Uuid,
        lanes: u32,
        length: Duration,
    ) -> Result<Vec<Lease>, StoreError> {
        let hold = async |client: deadpool_postgres::Client| {
            let hold = client.prepare_cached("SELECT * FROM hold_leases($1, $2, $3, $4)").await?;
            let lanes = i32::try_from(lanes).unwrap_or(i32::MAX);
            let rows =
                client.query(&hold, &[&scope.as_str(), &holder, &lanes, &length.as_secs_f64()]).await?;
            let lease = |row: &tokio_postgres::Row| {
                Ok::<_, Error>(Lease {
                    lane: row.try_get::<_, i32>(0)?.cast_unsigned(),
                    epoch: row.try_get(1)?,
                    taken_over: row.try_get(2)?,
                })
            };
            rows.iter().map(lease).collect()
        };
        let held = self.read(hold).await;
        if held.as_ref().is_ok_and(|held: &Vec<Lease>| !held.is_empty()) {
            Failpoint::LeaseTaken.reach(scope.as_str());
        }
        held
    }

    /// Gives up everything that `holder` holds of a scope.
    ///
    /// # Errors
    /// The database can't be reached: the leases end when their time is over.
    pub async fn drop_leases(&self, scope: Scope, holder: Uuid) -> Result<(), StoreError> {
        let give_up = async |client: deadpool_postgres::Client| {
            client.execute("SELECT drop_leases($1, $2)", &[&scope.as_str(), &holder]).await.map(drop)
        };
        self.read(give_up).await
    }
}
