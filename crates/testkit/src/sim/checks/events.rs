//! Events of one order are numbered without gaps by whoever writes them, and applied in order by whoever reads them.

use std::collections::{BTreeMap, BTreeSet};

use cartwright_core::{domain::ids::OrderId, ports::Commit};
use serde::Deserialize;
use uuid::Uuid;

use super::Checks;
use crate::sim::{logic::Applied, service::Service};

/// The numbers of events.
#[derive(Default)]
pub(super) struct Sequences {
    written: BTreeMap<(Service, OrderId), u64>,
    applied: BTreeMap<(Service, OrderId, String), BTreeSet<u64>>,
}

/// What of an event is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub event_id: Uuid,
    pub sequence: u64,
}

impl Head {
    /// Reads it from an event's bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Checks {
    /// The events of a commit.
    pub(super) fn check_journal(&mut self, service: Service, commit: &Commit) -> Vec<Head> {
        let heads: Vec<Head> = commit.journal.iter().filter_map(|message| Head::of(&message.value)).collect();
        if heads.is_empty() {
            return heads;
        }
        let last = self.sequences.written.entry((service, commit.id.clone())).or_default();
        let before = *last;
        *last += heads.len() as u64;
        let gapless = (before + 1..).zip(&heads).all(|(expected, head)| head.sequence == expected);
        self.must(gapless, "gapless sequence", &commit.id, || {
            let numbers: Vec<u64> = heads.iter().map(|head| head.sequence).collect();
            format!("after number {before} {} wrote {numbers:?}", service.name())
        });
        heads
    }

    /// A service applied an event: for the first time only after all that it knows of the same source.
    pub fn applied(&mut self, applied: &Applied) {
        let key = (applied.service, applied.order.clone(), applied.source.clone());
        let numbers = self.sequences.applied.entry(key).or_default();
        let last = numbers.last().copied().unwrap_or(0);
        let is_new = numbers.insert(applied.sequence);
        self.must(!is_new || applied.sequence > last, "in order", &applied.order, || {
            let Applied { service, source, sequence, .. } = applied;
            format!("{} applied number {sequence} of {source} after number {last}", service.name())
        });
    }
}
