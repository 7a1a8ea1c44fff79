//! Waiting for what is not there yet.

use std::time::Duration;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits of which each is twice as long as the one before, up to the longest.
pub struct Backoff(Duration);

impl From<Duration> for Backoff {
    /// The first wait.
    fn from(first: Duration) -> Self {
        Self(first)
    }
}

impl Backoff {
    /// The next wait.
    pub fn next(&mut self) -> Duration {
        let next = self.0;
        self.0 = (next * 2).min(LONGEST);
        next
    }
}
