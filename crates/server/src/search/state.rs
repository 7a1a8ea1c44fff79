//! How far the indexer is, for operators: read by anybody, written by the indexer.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// How far the indexer of this process is.
#[derive(Default)]
pub struct IndexState {
    /// Up to where the journal is in the index, and how many rows are not, as of the last look.
    position: AtomicU64,
    behind: AtomicU64,
    /// Documents that the index did not take, since the start.
    refused: AtomicU64,
    /// Whether this process is the one that keeps the index.
    keeps: AtomicBool,
    /// Why nothing gets on.
    trouble: Mutex<Option<String>>,
    rebuilding: watch::Sender<Rebuilding>,
}

/// How far the making of a new index is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Rebuilding {
    /// None was asked for since the start.
    #[default]
    Not,
    /// It will begin.
    Asked,
    /// It is under way.
    Under {
        /// Orders that are in the new index.
        done: u64,
        /// Orders there were when it began, or a little more.
        of: u64,
    },
    /// The new index is in its place.
    Done {
        /// Orders that went into it.
        orders: u64,
        /// How long it took.
        took: Duration,
    },
    /// It was given up; the old index is as it was.
    Failed(String),
}

impl IndexState {
    /// Journal rows that are not in the index yet.
    pub fn behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }

    /// Documents that the index did not take, since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether this process is the one that keeps the index.
    pub fn keeps(&self) -> bool {
        self.keeps.load(Ordering::Relaxed)
    }

    /// Why nothing gets on; `None`: it does.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How far a rebuild is.
    pub fn rebuilding(&self) -> Rebuilding {
        self.rebuilding.borrow().clone()
    }

    /// Asks for a rebuild; `false`: one is asked for or under way already.
    pub fn ask(&self) -> bool {
        self.rebuilding.send_if_modified(|now| {
            let idle = !matches!(now, Rebuilding::Asked | Rebuilding::Under { .. });
            if idle {
                *now = Rebuilding::Asked;
            }
            idle
        })
    }

    /// Waits until a rebuild is asked for.
    pub(super) async fn asked(&self) {
        // It can't end: we hold the sender.
        let _ = self.rebuilding.subscribe().wait_for(|now| *now == Rebuilding::Asked).await;
    }

    pub(super) fn set_rebuilding(&self, now: Rebuilding) {
        self.rebuilding.send_replace(now);
    }

    pub(super) fn set_position(&self, position: u64, behind: u64) {
        self.position.store(position, Ordering::Relaxed);
        self.behind.store(behind, Ordering::Relaxed);
    }

    /// Up to where the journal is in the index, as of the last look.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    pub(super) fn begin_to_keep(&self) {
        self.keeps.store(true, Ordering::Relaxed);
    }

    /// Another process does so from now on: what was under way here is no more.
    pub(super) fn no_longer_keep(&self) {
        self.keeps.store(false, Ordering::Relaxed);
        self.set_trouble(None);
        self.rebuilding.send_if_modified(|now| {
            let under_way = matches!(now, Rebuilding::Asked | Rebuilding::Under { .. });
            if under_way {
                *now = Rebuilding::Failed("another process keeps the index now: ask that one".to_owned());
            }
            under_way
        });
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_is_asked_for_once() {
        let state = IndexState::default();
        assert!(state.ask());
        assert!(!state.ask());
        state.set_rebuilding(Rebuilding::Under { done: 0, of: 1 });
        assert!(!state.ask());
        state.set_rebuilding(Rebuilding::Failed("why".to_owned()));
        assert!(state.ask());
        state.no_longer_keep();
        assert!(matches!(state.rebuilding(), Rebuilding::Failed(_)), "nobody waits for what was given up");
        assert!(state.ask());
    }
}
