//! Places before and after each durable step, where a test may have the process end.
//!
//! Nothing happens there unless somebody asks for it: a place that is reached costs one look at a variable.

use std::sync::OnceLock;

/// A place next to a durable step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failpoint {
    /// A store is handed a batch, and has written nothing.
    CommitBegun,
    /// A store has written a batch, and not yet made it durable.
    CommitWritten,
    /// A batch is durable, and nobody has heard so.
    CommitStands,
    /// Tasks are leased, and nobody has them yet.
    TasksClaimed,
    /// The log of a file has been copied back, and is still there.
    LogCopied,
    /// A provider is about to be asked.
    CallBegun,
    /// A provider has answered, and nobody has taken note.
    CallAnswered,
    /// The simulated providers' ledger is written, and not yet durable.
    LedgerWritten,
    /// The ledger is durable, and the call is not answered.
    LedgerStands,
    /// A lease is taken, and its holder does not know.
    LeaseTaken,
    /// Events are acknowledged by Kafka, and this is not noted.
    RelaySent,
    /// It is noted how far a journal is forwarded.
    RelayNoted,
    /// What was read from Kafka is settled, and Kafka does not know.
    OffsetsBehind,
    /// Documents are in the search index, and not yet durable.
    IndexWritten,
    /// Documents are durable in the search index, and its follower does not know.
    IndexCommitted,
    /// A new search index is complete, and not yet in its place.
    IndexFilled,
    /// A new search index is in its place, and nobody has heard so.
    IndexSwapped,
}

impl Failpoint {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::CommitBegun,
        Self::CommitWritten,
        Self::CommitStands,
        Self::TasksClaimed,
        Self::LogCopied,
        Self::CallBegun,
        Self::CallAnswered,
        Self::LedgerWritten,
        Self::LedgerStands,
        Self::LeaseTaken,
        Self::RelaySent,
        Self::RelayNoted,
        Self::OffsetsBehind,
        Self::IndexWritten,
        Self::IndexCommitted,
        Self::IndexFilled,
        Self::IndexSwapped,
    ];

    /// Its name, such as `commit-stands`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommitBegun => "commit-begun",
            Self::CommitWritten => "commit-written",
            Self::CommitStands => "commit-stands",
            Self::TasksClaimed => "tasks-claimed",
            Self::LogCopied => "log-copied",
            Self::CallBegun => "call-begun",
            Self::CallAnswered => "call-answered",
            Self::LedgerWritten => "ledger-written",
            Self::LedgerStands => "ledger-stands",
            Self::LeaseTaken => "lease-taken",
            Self::RelaySent => "relay-sent",
            Self::RelayNoted => "relay-noted",
            Self::OffsetsBehind => "offsets-behind",
            Self::IndexWritten => "index-written",
            Self::IndexCommitted => "index-committed",
            Self::IndexFilled => "index-filled",
            Self::IndexSwapped => "index-swapped",
        }
    }

    /// The one with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.name() == name)
    }

    /// Tells whoever listens that this place is reached by `whose`, a service or another part of the process.
    pub fn reach(self, whose: &str) {
        if let Some(listen) = LISTENER.get() {
            listen(self, whose);
        }
    }
}

type Listener = Box<dyn Fn(Failpoint, &str) + Send + Sync>;

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Has every place that is reached in this process told; the first who asks is told, and no other.
pub fn listen(listener: impl Fn(Failpoint, &str) + Send + Sync + 'static) {
    let _ = LISTENER.set(Box::new(listener));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Failpoint::ALL.into_iter().map(Failpoint::name).collect();
        assert_eq!(names.len(), Failpoint::ALL.len());
        for point in Failpoint::ALL {
            assert_eq!(Failpoint::parse(point.name()), Some(point));
        }
        assert_eq!(Failpoint::parse("nowhere"), None);
    }
}
