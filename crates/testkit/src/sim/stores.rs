//! Where a run's stores come from.

use std::sync::{Arc, Mutex};

use cartwright_core::ports::Store;
use uuid::Uuid;

use super::{bugs::Bug, plan::Plan, service::Service, store::lock};
use crate::MemoryStore;

/// The stores of a run.
pub trait Stores {
    /// Opens the store of a service: for the first time, or again after its process has died.
    fn open(&self, service: Service) -> Arc<dyn Store>;

    /// What was written so far is safe from now on. For a model that forgets what is not.
    fn sync(&self) {}
}

/// Stores in memory, for one run.
pub struct ModelStores {
    stores: [MemoryStore; 3],
    /// What is safe, where a planted bug forgets the rest.
    synced: Option<Mutex<[MemoryStore; 3]>>,
    opened: Mutex<[bool; 3]>,
}

impl ModelStores {
    /// Empty stores.
    pub fn new(plan: &Plan, bug: Option<Bug>) -> Self {
        let forgets = bug == Some(Bug::SyncOff) && !plan.shape.distributed;
        let empty = || Service::ALL.map(|service| MemoryStore::new(Uuid::from_u128(service as u128 + 1)));
        let synced = forgets.then(|| Mutex::new(empty()));
        Self { stores: empty(), synced, opened: Mutex::default() }
    }
}

impl Stores for ModelStores {
    fn open(&self, service: Service) -> Arc<dyn Store> {
        let store = &self.stores[service.index()];
        let again = std::mem::replace(&mut lock(&self.opened)[service.index()], true);
        if let Some(synced) = self.synced.as_ref().filter(|_| again) {
            store.become_like(&lock(synced)[service.index()]);
        }
        store.end_leases();
        Arc::new(store.clone())
    }

    fn sync(&self) {
        if let Some(synced) = &self.synced {
            for (safe, store) in lock(synced).iter().zip(&self.stores) {
                safe.become_like(store);
            }
        }
    }
}
