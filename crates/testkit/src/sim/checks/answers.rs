//! What clients are told: it is durable, it fits one sequence of versions, a repeat under the same key is told the
//! same, and nobody has to wait for anybody but the store of orders.

use std::collections::BTreeMap;

use cartwright_core::{
    domain::{ids::OrderId, order::Order},
    ports::{Commit, Store},
    services::{Answered, OrderAnswer, Rejection},
};

use crate::block_on;

use super::{Checks, Known, records::Glimpse};
use crate::sim::plan::{Micros, SECOND};

/// How long an answer may take while nothing is wrong with orders itself.
const PROMPT: Micros = 5 * SECOND;

/// What clients were told about an order.
#[derive(Default)]
pub(super) struct Told {
    /// The newest version.
    version: u64,
    created: bool,
    /// Who brought about which version.
    changes: BTreeMap<u64, usize>,
    /// The version that was answered under a key.
    keys: BTreeMap<String, u64>,
    /// The version that was saved for a key, and when.
    saved: BTreeMap<String, (u64, Micros)>,
}

/// What was asked.
pub(in crate::sim) struct Question<'a> {
    pub request: usize,
    pub order: &'a OrderId,
    pub place: bool,
    pub moves_milestone: bool,
    pub key: Option<&'a str>,
    /// The newest version that anybody had been told when it was asked.
    pub floor: u64,
    /// When it arrived, if that is known.
    pub arrived: Option<Micros>,
    /// When the last trouble of its process ended.
    pub trouble: Micros,
    /// Requests to place orders that may have been in the same batch.
    pub rivals: usize,
}

impl Checks {
    /// The newest version of an order that somebody was told.
    pub fn answered_version(&self, order: &OrderId) -> u64 {
        self.told.get(order).map_or(0, |told| told.version)
    }

    /// A client is answered.
    pub fn answer(&mut self, now: Micros, asked: &Question<'_>, answer: &OrderAnswer) {
        if let Some(arrived) = asked.arrived.filter(|arrived| *arrived > asked.trouble) {
            self.must(now - arrived <= PROMPT, "accepting never waits", asked.order, || {
                format!("the answer took {} ms", (now - arrived) / 1_000)
            });
        }
        match answer {
            Ok(answered) => self.check_told(asked, answered),
            Err(rejection) => self.check_rejection(asked, rejection),
        }
    }

    /// An answer was saved in a commit.
    pub(super) fn check_answers(&mut self, now: Micros, commit: &Commit) {
        for (key, answer) in &commit.answers {
            let Ok(order) = serde_json::from_slice::<Order>(&answer.record) else { continue };
            let saved = &mut self.told.entry(commit.id.clone()).or_default().saved;
            let before = saved.insert(key.key.clone(), (order.version, now));
            self.must(before.is_none(), "same key, same answer", &commit.id, || {
                format!("key {} has an answer already, and gets version {}", key.key, order.version)
            });
        }
    }

    /// Whatever was answered is in the store.
    pub fn durable(&mut self, store: &dyn Store) {
        let told: Vec<(OrderId, u64)> =
            self.told.iter().filter(|(_, t)| t.version > 0).map(|(id, t)| (id.clone(), t.version)).collect();
        let ids: Vec<OrderId> = told.iter().map(|(id, _)| id.clone()).collect();
        let Ok(stored) = block_on(store.load(&ids)) else { return };
        for ((id, version), stored) in told.into_iter().zip(stored) {
            let order = stored.record.and_then(|json| serde_json::from_slice::<Order>(&json).ok());
            let found = order.map(|order| order.version);
            self.must(found >= Some(version), "durable", &id, || {
                format!("version {version} was answered, and the store has {found:?}")
            });
        }
    }

    fn check_told(&mut self, asked: &Question<'_>, answered: &Answered) {
        let Answered { order, created, replayed } = answered;
        let (id, version) = (asked.order, order.version);
        let glimpse = self.orders.get(id).and_then(|known| known.versions.get(&version));
        let differs = glimpse.is_some_and(|(glimpse, _)| *glimpse != Glimpse::of(order));
        self.must(!differs, "one history", id, || format!("version {version} was answered as it never was"));
        let latest = self.orders.get(id).map_or(0, |known| known.order.version);
        self.must(version <= latest, "durable", id, || {
            format!("version {version} was answered, and {latest} is the last that was committed")
        });
        self.must(*replayed && !asked.place || version >= asked.floor, "one history", id, || {
            format!("version {version} was answered after version {}", asked.floor)
        });
        let told = self.told.entry(id.clone()).or_default();
        told.version = told.version.max(version);
        let twice = *created && std::mem::replace(&mut told.created, true);
        let changes = !replayed && !asked.place && !asked.moves_milestone;
        let other = if changes { told.changes.insert(version, asked.request) } else { None };
        let key = asked.key.filter(|_| !asked.place);
        let before = key.and_then(|key| told.keys.insert(key.to_owned(), version));
        self.must(!twice, "placed once", id, || "it was created twice".to_owned());
        self.must(other.is_none(), "one history", id, || format!("version {version} has two causes"));
        self.must(before.is_none_or(|before| before == version), "same key, same answer", id, || {
            format!("version {version} was answered under a key that had been answered with {before:?}")
        });
    }

    fn check_rejection(&mut self, asked: &Question<'_>, rejection: &Rejection) {
        let id = asked.order;
        let since = |known: &Known| known.versions.values().next().map(|(_, at)| *at);
        let placed_at = self.orders.get(id).and_then(since);
        let was_there = placed_at.zip(asked.arrived).is_some_and(|(placed, arrived)| placed < arrived);
        match rejection {
            Rejection::NotFound(_) => {
                self.must(!was_there, "durable", id, || "it is there, and was not found".to_owned());
            }
            Rejection::Full(_) => {
                self.must(!was_there, "limit of open orders", id, || {
                    "a repeat was refused as if it were a new order".to_owned()
                });
                if let Some(arrived) = asked.arrived {
                    // One of the same batch that was let in may have failed in the end: its place was taken then.
                    let (peak, limit) = (self.most_open_since(arrived), self.limit);
                    self.must(peak + asked.rivals.max(1) as u64 > limit, "limit of open orders", id, || {
                        format!("refused although no more than {peak} of {limit} were open")
                    });
                }
            }
            Rejection::Unchanged => {
                self.fail("answers", Some(id), "nobody asked for a word".to_owned());
            }
            Rejection::KeyReused => {
                self.fail(
                    "same key, same answer",
                    Some(id),
                    "a repeat was called another request".to_owned(),
                );
            }
            Rejection::IdTaken(_) => {
                self.must(asked.key.is_none(), "same key, same answer", id, || {
                    "a repeat under its key was called taken".to_owned()
                });
            }
            Rejection::NotNow(why) => self.check_saved(asked, why),
            Rejection::ExternalIdTaken(other) => {
                let exists = *other != *id && self.knows(other);
                self.must(exists, "one history", id, || {
                    format!("its externalId is said to be that of {other}")
                });
            }
            Rejection::Unreadable(_) => {
                self.fail("durable", Some(id), "its record can't be read".to_owned());
            }
            Rejection::Stale(_) => {}
        }
    }

    /// A request that was carried out under a key is not refused under that key.
    fn check_saved(&mut self, asked: &Question<'_>, why: &str) {
        let Some((key, arrived)) = asked.key.zip(asked.arrived) else { return };
        let saved = self.told.get(asked.order).and_then(|told| told.saved.get(key));
        let Some((version, at)) = saved.copied() else { return };
        // It may have been refused by what the order was before an earlier attempt was carried out.
        let versions = self.orders.get(asked.order).map(|known| &known.versions);
        // A version that came and went within one commit was seen by nobody but that batch.
        let before = versions.and_then(|all| all.get(&version.saturating_sub(1))).map_or(at, |(_, at)| *at);
        // What arrives at the very moment of a commit may be part of it.
        let impossible = at < arrived || before < arrived;
        self.must(!impossible, "same key, same answer", asked.order, || {
            format!("key {key} brought about version {version}, and its repeat was refused: {why}")
        });
    }
}
