//! The bus without Kafka: each service reads the others' journals, and keeps how far it has read in its own store.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use cartwright_core::ports::{Cursor, Delivery, Origin, Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lanes::Lanes;
use crate::workers::{inbox::Deliveries, service::ServiceState};

/// Rows read at once.
const PAGE: usize = 256;

/// A journal to be read: its topic, its store, and the bell that rings when it has grown.
#[derive(Clone)]
pub struct Source {
    /// The topic's short name.
    pub topic: Arc<str>,
    /// Whose journal it is.
    pub store: Arc<dyn Store>,
    /// Its newest position as far as this process knows; only a wake-up, never a promise.
    pub head: watch::Receiver<u64>,
}

/// Whether a reader rests: then it sends nothing on, and goes on from there afterwards.
pub type Paused = watch::Receiver<bool>;

/// A delivery, with the reading that it belongs to. After a failed commit the reading starts anew, and what was
/// read before does not count.
pub struct Read {
    /// Which reading.
    pub reading: u64,
    /// What was read.
    pub delivery: Delivery,
}

/// Where a reader gets what it needs, and where it puts what it reads.
pub struct Reader {
    /// The service's own store, which knows how far it has read.
    pub consumer: Arc<dyn Store>,
    /// What of the journal is read here.
    pub lanes: Lanes,
    /// Begins anew whenever this changes.
    pub reading: watch::Receiver<u64>,
    /// Rests meanwhile.
    pub paused: Paused,
    /// Where deliveries go.
    pub to: Deliveries,
    /// Where it notes how far it has looked.
    pub state: Arc<ServiceState>,
}

/// Reads a journal from where its consumer has settled it, and sends what it finds in the lanes that are held here,
/// until told to stop.
pub async fn follow(source: Source, mut reader: Reader, stop: CancellationToken) {
    let mut reading = reader.reading.clone();
    loop {
        let number = *reading.borrow_and_update();
        let mut head = source.head.clone();
        let one = async {
            match read_on(&source, &mut reader, number, &mut head).await {
                Ok(()) => false,
                Err(error) => {
                    tracing::warn!(topic = %source.topic, %error, "can't read the journal; trying again");
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                    true
                }
            }
        };
        tokio::select! {
            again = one => if !again { return },
            changed = reading.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Reads on until nobody listens any more.
async fn read_on(
    source: &Source,
    reader: &mut Reader,
    reading: u64,
    head: &mut watch::Receiver<u64>,
) -> Result<(), StoreError> {
    let incarnation = source.store.incarnation();
    // Of each lane that is held: up to where it was sent on.
    let mut lanes = BTreeMap::new();
    let mut last = None;
    take_lanes(source, reader, &mut lanes).await?;
    loop {
        let Some(position) = lanes.values().min().copied() else {
            reader.lanes.changed().await;
            take_lanes(source, reader, &mut lanes).await?;
            continue;
        };
        head.borrow_and_update();
        let rows = source.store.journal(position, PAGE).await?;
        let Some(end) = rows.last().map(|row| row.position) else {
            reader.state.looked(&source.topic, last, position);
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return Ok(()) },
                () = reader.lanes.changed() => take_lanes(source, reader, &mut lanes).await?,
            }
            continue;
        };
        for row in rows {
            let key = row.message.key.as_str().as_bytes();
            let lane = reader.lanes.of(key);
            let Some(sent) = lanes.get_mut(&lane).filter(|sent| **sent < row.position) else { continue };
            *sent = row.position;
            if reader.paused.wait_for(|paused| !paused).await.is_err() {
                return Ok(());
            }
            let delivery = Delivery {
                origin: Origin { source: source.topic.clone(), lane, position: row.position },
                incarnation,
                key: Bytes::copy_from_slice(key),
                headers: row.message.headers,
                value: row.message.value,
            };
            last = Some(row.position);
            if !reader.to.send(Read { reading, delivery }).await {
                return Ok(());
            }
        }
        // Nothing of any lane is left up to here.
        lanes.values_mut().for_each(|sent| *sent = end.max(*sent));
        reader.state.looked(&source.topic, last, end);
        if reader.lanes.have_changed() {
            take_lanes(source, reader, &mut lanes).await?;
        }
    }
}

/// Forgets the lanes that are no longer held, and begins those that are new where the service has settled them.
async fn take_lanes(
    source: &Source,
    reader: &mut Reader,
    lanes: &mut BTreeMap<u32, u64>,
) -> Result<(), StoreError> {
    let held = reader.lanes.now();
    lanes.retain(|lane, _| held.contains(lane));
    if held.len() == lanes.len() {
        return Ok(());
    }
    let incarnation = source.store.incarnation();
    let cursors = reader.consumer.cursors().await?;
    for lane in held {
        let here = |c: &&Cursor| *c.source == *source.topic && c.lane == lane && c.incarnation == incarnation;
        let settled = cursors.iter().find(here).map_or(0, |cursor| cursor.position);
        lanes.entry(lane).or_insert(settled);
    }
    Ok(())
}
