//! Bugs to be planted: each one a way in which systems like this one have failed. A simulator that does not find them
//! proves nothing. They live here, as wrappers around what is real; production code knows nothing of them.

mod logic;
mod store;

pub(super) use self::{logic::Spoiled, store::BuggyStore};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Commits are answered before they are durable: a crash takes the last ones back (`synchronous=OFF`).
    SyncOff,
    /// A commit in conflict counts as done, so that the offset moves past its delivery.
    OffsetPastConflict,
    /// A task is written after the commit that decided it.
    TaskApart,
    /// A record is written whatever its revision is by now.
    NoGuard,
    /// The lease of a task never ends.
    LeaseForever,
    /// A saved answer is written after the commit that it belongs to.
    AnswerLate,
    /// Parked events come back newest first.
    ParkedReordered,
    /// The outcome of a call that was given up is applied.
    LateOutcome,
    /// An order cancels its shipment without asking who ships.
    CancelRacesShip,
    /// A call is repeated under a new key.
    RetryWithoutKey,
    /// An undo is answered while nobody knows what became of the do.
    UndoWhileUnknown,
    /// A payment that was made is called undone, and stays.
    UndoForgotten,
    /// A request that the sweeper repeats starts a second operation.
    SweepTwice,
    /// Whoever takes over the forwarding begins at the journal's end.
    RelayGap,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::SyncOff,
        Self::OffsetPastConflict,
        Self::TaskApart,
        Self::NoGuard,
        Self::LeaseForever,
        Self::AnswerLate,
        Self::ParkedReordered,
        Self::LateOutcome,
        Self::CancelRacesShip,
        Self::RetryWithoutKey,
        Self::UndoWhileUnknown,
        Self::UndoForgotten,
        Self::SweepTwice,
        Self::RelayGap,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SyncOff => "sync-off",
            Self::OffsetPastConflict => "offset-past-conflict",
            Self::TaskApart => "task-apart",
            Self::NoGuard => "no-guard",
            Self::LeaseForever => "lease-forever",
            Self::AnswerLate => "answer-late",
            Self::ParkedReordered => "parked-reordered",
            Self::LateOutcome => "late-outcome",
            Self::CancelRacesShip => "cancel-races-ship",
            Self::RetryWithoutKey => "retry-without-key",
            Self::UndoWhileUnknown => "undo-while-unknown",
            Self::UndoForgotten => "undo-forgotten",
            Self::SweepTwice => "sweep-twice",
            Self::RelayGap => "relay-gap",
        }
    }

    /// The bug of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }

    /// Whether it is a bug of the store.
    pub(super) const fn is_in_store(self) -> bool {
        matches!(
            self,
            Self::OffsetPastConflict
                | Self::TaskApart
                | Self::NoGuard
                | Self::LeaseForever
                | Self::AnswerLate
                | Self::ParkedReordered
        )
    }
}
