//! Waiting for what is not there yet.

use std::time::Duration;

/// The first wait; each further one is twice as long, up to the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that grow.
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
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
