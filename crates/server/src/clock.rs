//! The system's clock.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use cartwright_core::{domain::time::Timestamp, ports::Clock};

/// The time of day, except that it never goes back while the process runs: what was due in 200 ms stays due in
/// 200 ms when somebody sets the clock back by an hour. A clock set forward is followed at once.
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
        self.at(running, i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
