//! The system's clock.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cartwright_core::{domain::time::Timestamp, ports::Clock};

use crate::chaos;

/// A clock that goes back by more was wrong before.
const LONGEST: Duration = Duration::from_secs(2 * 3_600);
/// Less than this is nobody's mistake.
const SOME: Duration = Duration::from_secs(1);

/// The time of day, except that it never goes back: what was due in 200 ms stays due in 200 ms when somebody sets the
/// clock back by an hour, also over a restart. A clock set forward is followed at once.
pub struct SystemClock {
    started: Instant,
    /// What the time of day is ahead of the time since the start, in microseconds; the most that was seen.
    ahead: AtomicI64,
}

impl SystemClock {
    /// A clock that begins with the time of day.
    pub fn start() -> Self {
        Self { started: Instant::now(), ahead: AtomicI64::new(i64::MIN) }
    }

    /// A clock that begins with the time of day, or where the one before has been, if that is later by less than two
    /// hours. A clock that was wrong by more is not followed.
    pub fn start_after(newest: Timestamp) -> Self {
        let clock = Self::start();
        let behind = newest.since(clock.now());
        if behind > Duration::ZERO && behind < LONGEST {
            if behind > SOME {
                tracing::warn!(
                    ?behind,
                    "the time of day is behind the newest event: time goes on from there"
                );
            }
            clock.ahead.fetch_max(newest.as_micros(), Ordering::Relaxed);
        } else if behind >= LONGEST {
            tracing::error!(
                ?behind,
                "the time of day is far behind the newest event: what was to be done soon waits until then; set the clock"
            );
        }
        clock
    }

    fn at(&self, running: i64, time_of_day: i64) -> Timestamp {
        let ahead = time_of_day.saturating_sub(running);
        let most = self.ahead.fetch_max(ahead, Ordering::Relaxed).max(ahead);
        Timestamp::from_micros(running.saturating_add(most))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let running = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_of_day = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        self.at(running, time_of_day.saturating_add(chaos::clock_is_off_by()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_where_the_one_before_has_been() {
        let now = SystemClock::start().now();
        let hour = Duration::from_secs(3_600);
        let begun = |newest: Timestamp| SystemClock::start_after(newest).now();
        assert!(begun(now.plus(hour)) >= now.plus(hour));
        assert!(begun(Timestamp::default()) < now.plus(hour), "of an empty store nothing follows");
        assert!(begun(now.plus(3 * hour)) < now.plus(hour), "that one was wrong");
    }

    #[test]
    fn it_follows_the_time_of_day_forward_and_never_back() {
        let clock = SystemClock::start();
        let at = |running, time_of_day| clock.at(running, time_of_day).as_micros();
        assert_eq!(at(0, 1_000), 1_000);
        assert_eq!(at(10, 1_010), 1_010);
        assert_eq!(at(20, 500), 1_020, "set back: it goes on as if nothing had happened");
        assert_eq!(at(30, 5_000), 5_000, "set forward: it follows");
        assert_eq!(at(40, 4_000), 5_010);
    }
}
