//! How fast calls go out, and when those that don't come again.

use std::time::{Duration, Instant};

/// Calls that look again in a second while they are held back, at most: a look costs a commit.
const LOOKS_PER_SECOND: f64 = 500.0;

/// The longest wait before a call that is held back looks again.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// How many seconds' worth of calls may go at once after a pause.
const BURST_SECONDS: f64 = 1.0;

/// The slowest rate: a call in so many seconds.
const SLOWEST: f64 = 3_600.0;

/// Lets so many calls per second go out, evenly.
pub struct Pace {
    rate: Option<f64>,
    /// When the next one is due, if they go out evenly.
    next: Instant,
}

impl Pace {
    /// `rate`: calls per second; `None`: no limit.
    pub const fn new(rate: Option<f64>, now: Instant) -> Self {
        Self { rate, next: now }
    }

    /// The calls per second.
    pub const fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Whether a call may go now; else when the next may.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let Some(rate) = self.rate else { return Ok(()) };
        let interval = interval(rate);
        let burst = Duration::from_secs_f64(BURST_SECONDS).saturating_sub(interval);
        if self.next > now + burst {
            return Err(self.next.checked_sub(burst).unwrap_or(now));
        }
        self.next = self.next.max(now) + interval;
        Ok(())
    }
}

/// Tells calls that are held back when to come again: one after the other, so that they don't come all at once.
pub struct Queue {
    shortest: Duration,
    last: Instant,
}

impl Queue {
    /// Nobody comes again sooner than after `shortest`.
    pub const fn new(shortest: Duration, now: Instant) -> Self {
        Self { shortest, last: now }
    }

    /// How long the next one waits, when it makes no sense before `earliest`.
    pub fn wait(&mut self, earliest: Instant, rate: Option<f64>, now: Instant) -> Duration {
        let apart = interval(rate.unwrap_or(LOOKS_PER_SECOND).min(LOOKS_PER_SECOND));
        let soonest = earliest.max(now + self.shortest);
        // Once the queue is longer than anybody may wait, it starts over: then more come at once.
        let full = self.last > now + LONGEST_WAIT;
        self.last = if full { soonest } else { soonest.max(self.last + apart) };
        self.last.saturating_duration_since(now).min(LONGEST_WAIT)
    }

    /// Whoever is held back from now on need not queue behind those who were.
    pub fn clear(&mut self, now: Instant) {
        self.last = now;
    }
}

fn interval(rate: f64) -> Duration {
    Duration::from_secs_f64((1.0 / rate).clamp(0.0, SLOWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn calls_go_out_at_their_rate() {
        let now = Instant::now();
        let mut pace = Pace::new(Some(10.0), now);
        let gone = (0..1_000).filter(|n| pace.take(now + *n * S / 100).is_ok()).count();
        assert!((100..=110).contains(&gone), "{gone} in 10 s, with a second's worth at once");
        let mut slow = Pace::new(Some(0.5), now);
        assert_eq!(slow.take(now), Ok(()));
        assert_eq!(slow.take(now + S), Err(now + 2 * S));
        assert_eq!(slow.take(now + 2 * S), Ok(()));
        assert!((0..1_000).all(|_| Pace::new(None, now).take(now).is_ok()));
    }

    #[test]
    fn those_held_back_come_one_after_the_other_and_not_too_late() {
        let now = Instant::now();
        let mut queue = Queue::new(S, now);
        let waits: Vec<Duration> = (0..1_000).map(|_| queue.wait(now, None, now)).collect();
        assert!(waits.is_sorted() && waits[0] == S);
        assert!((2..4).contains(&waits[999].as_secs()), "{:?}", waits[999]);
        assert!((0..1_000_000).all(|_| queue.wait(now, None, now) <= LONGEST_WAIT));
        queue.clear(now);
        assert!(queue.wait(now, Some(1.0), now) <= 2 * S);
        assert_eq!(queue.wait(now + 30 * S, None, now), 30 * S, "not before it makes sense");
    }
}
