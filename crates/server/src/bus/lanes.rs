//! Lanes: how several processes of a service share its reading of the journals. An order is in one lane for ever, so
//! its events are read by one process at a time, in their order.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cartwright_core::ports::StoreError;
use cartwright_store::postgres::{Lease, PostgresStore, Scope};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Lanes of a journal that several processes read; more processes than that are not helped by it.
pub const LANES: u32 = 12;
/// How long a lease lasts; by then whoever froze or died is replaced.
pub const LEASE: Duration = Duration::from_secs(6);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(2);

/// The lanes that are read here.
#[derive(Clone)]
pub struct Lanes {
    of: u32,
    held: watch::Receiver<BTreeSet<u32>>,
}

impl Lanes {
    /// All there is, in one lane: for a process that has the files to itself.
    pub fn whole() -> Self {
        Self { of: 1, held: watch::channel(BTreeSet::from([0])).1 }
    }

    /// The lane of a key.
    pub fn of(&self, key: &[u8]) -> u32 {
        if self.of == 1 { 0 } else { (hash(key) % u64::from(self.of)) as u32 }
    }

    /// The lanes that are read here now.
    pub fn now(&mut self) -> BTreeSet<u32> {
        self.held.borrow_and_update().clone()
    }

    /// Waits until they are others. For ever, where they can't change.
    pub async fn changed(&mut self) {
        if self.held.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether they are others by now.
    pub fn have_changed(&self) -> bool {
        self.held.has_changed().unwrap_or(false)
    }
}

/// FNV-1a. Which lane an order is in is kept in databases: this never changes.
fn hash(key: &[u8]) -> u64 {
    key.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Lanes of a service's reading under leases, and what keeps them until told to stop.
pub fn shared(
    store: Arc<PostgresStore>,
    holder: Uuid,
    stop: CancellationToken,
) -> (Lanes, impl Future<Output = ()> + Send) {
    let (to, held) = watch::channel(BTreeSet::new());
    let keep = async move {
        let held = |leases: &[Lease]| {
            let now: BTreeSet<u32> = leases.iter().map(|lease| lease.lane).collect();
            to.send_if_modified(|held| {
                let changed = *held != now;
                *held = now;
                changed
            });
        };
        keep(&store, Scope::Bus, holder, LANES, held, stop).await;
    };
    (Lanes { of: LANES, held }, keep)
}

/// Does this whenever the one lease of a scope is held here, until told to stop. What is done is dropped where it stands
/// when the lease goes to another process.
pub async fn while_held<F: Future<Output = ()>>(
    store: &PostgresStore,
    scope: Scope,
    holder: Uuid,
    work: impl Fn() -> F,
    stop: CancellationToken,
) {
    let (to, mut held) = watch::channel(false);
    let hold = |leases: &[Lease]| {
        to.send_if_modified(|held| std::mem::replace(held, !leases.is_empty()) == leases.is_empty());
    };
    let keep = keep(store, scope, holder, 1, hold, stop.clone());
    let work = async {
        while held.wait_for(|held| *held).await.is_ok() {
            tokio::select! {
                _ = held.wait_for(|held| !held) => {}
                () = work() => {}
            }
        }
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(keep, work) } => {}
        () = stop.cancelled() => {
            let _ = timeout(RENEW, store.drop_leases(scope, holder)).await; // else it ends by itself
        }
    }
}

/// Holds its share of so many lanes, and says after each look what is held; gives all up when told to stop.
pub async fn keep(
    store: &PostgresStore,
    scope: Scope,
    holder: Uuid,
    lanes: u32,
    mut held: impl FnMut(&[Lease]),
    stop: CancellationToken,
) {
    let mut until = Instant::now();
    while !stop.is_cancelled() {
        let asked = Instant::now();
        match renew(store, scope, holder, lanes).await {
            Ok(leases) => {
                until = asked + LEASE;
                held(&leases);
            }
            Err(error) => {
                tracing::debug!(%error, "leases can't be renewed; trying again");
                if Instant::now() >= until {
                    held(&[]); // somebody else may have them by now
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RENEW) => {}
        }
    }
    held(&[]);
    let _ = timeout(RENEW, store.drop_leases(scope, holder)).await; // else they end by themselves
}

async fn renew(
    store: &PostgresStore,
    scope: Scope,
    holder: Uuid,
    lanes: u32,
) -> Result<Vec<Lease>, StoreError> {
    let late = |_| StoreError::Unavailable("no answer".to_owned());
    timeout(RENEW, store.hold_leases(scope, holder, lanes, LEASE)).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_stay_in_their_lanes() {
        let lanes = Lanes { of: LANES, held: watch::channel(BTreeSet::new()).1 };
        let known =
            ["a", "order-1", "0192f3a1-7b1c-7000-8000-000000000001"].map(|id| lanes.of(id.as_bytes()));
        assert_eq!(known, [4, 9, 3], "with other lanes, cursors that are kept would miss events");
    }

    #[test]
    fn orders_are_spread_over_the_lanes() {
        let lanes = Lanes { of: LANES, held: watch::channel(BTreeSet::new()).1 };
        let mut counts = [0_u32; LANES as usize];
        for _ in 0..12_000 {
            counts[lanes.of(Uuid::now_v7().to_string().as_bytes()) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }
}
