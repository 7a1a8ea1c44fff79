//! A running service as an operator may see and steer it.

use std::{collections::BTreeMap, sync::Arc};

use cartwright_core::{
    domain::ids::OrderId,
    ports::{Store, StoreError},
    services::{Unpark, Unparked},
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    inbox::{NotTaken, Word},
    service::ServiceState,
};

/// A running service. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    /// Its name.
    pub name: &'static str,
    /// Its store, for reading: the service is the only one who writes.
    pub store: Arc<dyn Store>,
    /// How it is.
    pub state: Arc<ServiceState>,
    /// Where an operator's words go.
    pub words: mpsc::Sender<Word>,
    /// The topics that it reads.
    pub reads: Vec<Arc<str>>,
    /// Whether other processes have a part in its reading: then only our own counts here.
    pub shared: bool,
    /// Whether it takes nothing up. `None`: it can't be paused.
    pub paused: Option<Arc<watch::Sender<bool>>>,
}

impl Handle {
    /// Has the service do something about the parked events of an order; answers when that is durable.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn unpark(&self, order: OrderId, what: Unpark) -> Result<Unparked, NotTaken> {
        if self.state.is_failing() {
            return Err(NotTaken::Failing);
        }
        let (reply, answer) = oneshot::channel();
        self.words.send(Word { order, what, reply }).await.map_err(|_| NotTaken::Stopping)?;
        answer.await.map_err(|_| NotTaken::Unknown)
    }

    /// The topics that it reads, and up to where each is handled: durably, or in this process at least, for what
    /// concerns nobody here is not noted each time.
    ///
    /// # Errors
    /// Its store can't be read.
    pub async fn read_up_to(&self) -> Result<BTreeMap<Arc<str>, u64>, StoreError> {
        let mut read = self.state.handled();
        for topic in &self.reads {
            read.entry(topic.clone()).or_default();
        }
        if self.shared {
            return Ok(read);
        }
        for cursor in self.store.cursors().await? {
            let position = read.entry(cursor.source).or_default();
            *position = cursor.position.max(*position);
        }
        Ok(read)
    }

    /// Whether it takes nothing up at present.
    pub fn is_paused(&self) -> bool {
        self.paused.as_ref().is_some_and(|paused| *paused.borrow())
    }
}
