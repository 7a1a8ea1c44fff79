//! A circuit breaker: a provider that does not answer is left alone for a while.

use std::time::{Duration, Instant};

use crate::control::BreakerState;

/// When a breaker opens, and for how long.
#[derive(Clone, Debug)]
pub struct BreakerSettings {
    /// Calls in a row without a known outcome, after which it opens; 0: never.
    pub after: u32,
    /// How long it stays open the first time; doubles while probes fail.
    pub open: Duration,
    /// How long it stays open at most.
    pub max_open: Duration,
}

/// A breaker. A refusal and "pending" are answers like any other: only silence opens it.
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    failures: u32,
}

enum State {
    Closed,
    /// Closed to calls; the time it was opened for, and until when.
    Open(Duration, Instant),
    /// One call is under way to see; it had been open for so long.
    Probing(Duration),
}

/// How a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Like any other.
    Usual,
    /// As the one that finds out.
    Probe,
}

impl Breaker {
    /// A closed one.
    pub const fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed, failures: 0 }
    }

    /// Whether a call may be made; else when it makes sense to ask again.
    pub fn ask(&mut self, now: Instant) -> Result<Pass, Instant> {
        match self.state {
            State::Closed => Ok(Pass::Usual),
            State::Open(time, until) if now >= until => {
                self.state = State::Probing(time);
                Ok(Pass::Probe)
            }
            State::Open(_, until) => Err(until),
            State::Probing(_) => Err(now),
        }
    }

    /// A call has an outcome. `asked`: how long the provider wants us to wait.
    pub fn heard(&mut self, pass: Pass, known: bool, asked: Option<Duration>, now: Instant) {
        if known {
            self.failures = 0;
            self.state = State::Closed;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let time = match (&self.state, pass) {
            (State::Closed, Pass::Usual | Pass::Probe)
                if self.settings.after > 0 && self.failures >= self.settings.after =>
            {
                self.settings.open
            }
            (State::Probing(time), Pass::Probe) => time.saturating_mul(2),
            // What was under way when it opened says nothing new.
            (State::Closed | State::Open(..) | State::Probing(_), _) => return,
        };
        let time = time.min(self.settings.max_open);
        let wait = time.max(asked.unwrap_or_default().min(self.settings.max_open));
        self.state = State::Open(time, now + wait);
    }

    /// What it lets through. An open one whose time is over waits for a call to probe with.
    pub const fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open(..) => BreakerState::Open,
            State::Probing(_) => BreakerState::HalfOpen,
        }
    }

    /// Calls in a row without a known outcome.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings { after: 3, open: S, max_open: 3 * S })
    }

    fn fail(breaker: &mut Breaker, times: usize, now: Instant) {
        for _ in 0..times {
            let pass = breaker.ask(now).unwrap();
            breaker.heard(pass, false, None, now);
        }
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row_and_a_probe_closes_it() {
        let (mut breaker, now) = (breaker(), Instant::now());
        fail(&mut breaker, 2, now);
        breaker.heard(Pass::Usual, true, None, now);
        fail(&mut breaker, 2, now);
        assert_eq!(breaker.state(), BreakerState::Closed, "an answer in between starts over");
        fail(&mut breaker, 1, now);
        assert_eq!((breaker.state(), breaker.ask(now)), (BreakerState::Open, Err(now + S)));
        assert_eq!(breaker.ask(now + S), Ok(Pass::Probe));
        assert_eq!(breaker.ask(now + S), Err(now + S), "one at a time");
        breaker.heard(Pass::Usual, false, None, now + S);
        assert_eq!(breaker.state(), BreakerState::HalfOpen, "an old call says nothing new");
        breaker.heard(Pass::Probe, true, None, now + S);
        assert_eq!(breaker.ask(now + S), Ok(Pass::Usual));
    }

    #[test]
    fn failing_probes_keep_it_open_for_longer_up_to_a_limit() {
        let (mut breaker, mut now) = (breaker(), Instant::now());
        fail(&mut breaker, 3, now);
        for wait in [1, 2, 3, 3] {
            assert_eq!(breaker.ask(now), Err(now + wait * S));
            now += wait * S;
            fail(&mut breaker, 1, now);
        }
    }

    #[test]
    fn it_stays_open_as_long_as_the_provider_asks_within_the_limit() {
        let (mut breaker, now) = (breaker(), Instant::now());
        fail(&mut breaker, 2, now);
        breaker.heard(Pass::Usual, false, Some(2 * S), now);
        assert_eq!(breaker.ask(now), Err(now + 2 * S));
        let mut never = Breaker::new(BreakerSettings { after: 0, open: S, max_open: S });
        fail(&mut never, 100, now);
        assert_eq!(never.state(), BreakerState::Closed);
    }
}
