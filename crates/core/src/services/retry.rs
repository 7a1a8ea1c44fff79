//! When a call that failed is made again.

use std::time::Duration;

use crate::domain::{ids::digest, time::Timestamp};

/// A few quick tries in a row, then longer and longer waits.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// How many tries come in a row.
    pub quick_tries: u32,
    /// The wait after the first of them; doubles with each.
    pub quick_wait: Duration,
    /// The first of the longer waits; doubles with each.
    pub long_wait: Duration,
    /// The longest wait.
    pub max_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            quick_tries: 3,
            quick_wait: Duration::from_millis(200),
            long_wait: Duration::from_secs(5),
            max_wait: Duration::from_secs(600),
        }
    }
}

impl RetryPolicy {
    /// When to try again after `failed` tries. Jitter takes up to a half off, so that what failed together does not
    /// come back together; it derives from the task's name, so that the same history gives the same times.
    /// `asked` is how long the other side wants us to wait: never less than that.
    pub fn next_try(&self, now: Timestamp, task: &str, failed: u32, asked: Option<Duration>) -> Timestamp {
        let (base, doublings) = if failed < self.quick_tries {
            (self.quick_wait, failed.saturating_sub(1))
        } else {
            (self.long_wait, failed - self.quick_tries)
        };
        let wait = base.saturating_mul(1 << doublings.min(20)).min(self.max_wait);
        let dice = digest("jitter", &[task, &failed.to_string()])[0];
        let wait = wait.mul_f64(1.0 - f64::from(dice) / 512.0);
        now.plus(wait.max(asked.unwrap_or_default().min(self.max_wait)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_below_the_longest() {
        let policy = RetryPolicy::default();
        let wait =
            |failed| policy.next_try(Timestamp::default(), "t", failed, None).since(Timestamp::default());
        assert!(wait(1) <= Duration::from_millis(200) && wait(1) >= Duration::from_millis(100));
        assert!(wait(3) >= Duration::from_millis(2500));
        assert!(wait(1000) <= Duration::from_secs(600) && wait(1000) >= Duration::from_secs(300));
        let asked = policy.next_try(Timestamp::default(), "t", 1, Some(Duration::from_secs(7)));
        assert_eq!(asked.since(Timestamp::default()), Duration::from_secs(7));
    }
}
