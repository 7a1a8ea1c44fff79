//! What a run reached. A simulator that never gets to where the bugs are finds none.

/// Counts of what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Orders that were placed.
    pub orders: u64,
    /// Commits.
    pub commits: u64,
    /// Commits that met another process's.
    pub conflicts: u64,
    /// Processes that died, and those of them whose last commit stood without anybody hearing so.
    pub crashes: u64,
    /// Of these: after a commit was written, before anybody heard so.
    pub crashes_after_write: u64,
    /// Store operations that failed.
    pub store_errors: u64,
    /// Results of calls that had been given up.
    pub late_results: u64,
    /// Calls whose outcome nobody learned.
    pub unknown_outcomes: u64,
    /// Calls that were not made, because calls were held back.
    pub held_back: u64,
    /// Tasks taken from the table.
    pub claimed: u64,
    /// Events parked.
    pub parked: u64,
    /// Parked events that were applied later.
    pub unparked: u64,
    /// Orders that had to ask again.
    pub sweeps: u64,
    /// Cancellations that came too late.
    pub cancels_refused: u64,
    /// Orders that were cancelled.
    pub cancelled: u64,
    /// Orders that failed.
    pub failed: u64,
    /// Orders that were completed.
    pub completed: u64,
    /// Answers that repeated an earlier one.
    pub replays: u64,
    /// Requests that were refused since too many orders were open.
    pub refused_full: u64,
    /// Requests whose external id was taken.
    pub taken: u64,
    /// Clients that hung up.
    pub hang_ups: u64,
    /// Messages that a topic forgot.
    pub lost: u64,
    /// Messages that came to a topic again.
    pub duplicates: u64,
    /// Times that a relay took over from another.
    pub takeovers: u64,
    /// Offsets that were refused because their consumer had lost its partition.
    pub fenced: u64,
    /// Undos of what was never done.
    pub tombstones: u64,
}

impl Coverage {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for ((_, mine), (_, theirs)) in self.fields_mut().into_iter().zip(other.fields()) {
            *mine += theirs;
        }
    }
}

macro_rules! fields {
    ($($name:ident),+ $(,)?) => {
        impl Coverage {
            /// Every count with its name.
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }

            fn fields_mut(&mut self) -> Vec<(&'static str, &mut u64)> {
                vec![$((stringify!($name), &mut self.$name)),+]
            }
        }
    };
}

fields! {
    orders, commits, conflicts, crashes, crashes_after_write, store_errors, late_results, unknown_outcomes, held_back, claimed,
    parked, unparked, sweeps, cancels_refused, cancelled, failed, completed, replays, refused_full, taken, hang_ups,
    lost, duplicates, takeovers, fenced, tombstones,
}
