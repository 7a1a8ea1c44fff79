//! How long each part of a run may take, so that it stays an hour from an empty folder on two cores.
//!
//! The seconds are those of the machine on which they were set. One that is slower at the moment, which a short piece of
//! work tells before and after, has so many times more.

use std::{
    hash::{DefaultHasher, Hasher},
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

/// Seconds for parts by their names; about half as much again as they took. The servers may have to be fetched.
const PARTS: [(&str, u64); 8] = [
    ("servers", 600),
    ("build", 900),
    ("tests/all/main.rs", 180),
    ("end to end on postgres", 420),
    ("end to end on kafka", 600),
    ("tests/faults/main.rs", 1_000),
    ("simulator", 180),
    ("clippy", 480),
];

/// For every other part.
const OTHERS: u64 = 60;

/// For all of them together.
pub const TOTAL: Duration = Duration::from_secs(3_600);

/// How long the piece of work takes on each of two cores.
const REFERENCE: Duration = Duration::from_millis(275);

/// How long a part may take on a machine that is as fast as the one on which budgets were set.
pub fn of(part: &str) -> Duration {
    let found = PARTS.iter().find(|(name, _)| *name == part);
    Duration::from_secs(found.map_or(OTHERS, |(_, seconds)| *seconds))
}

/// How many times slower this machine is just now; never less than 1.
pub fn slowness() -> f64 {
    let began = Instant::now();
    let other = thread::spawn(work);
    work();
    let _ = other.join(); // it can't panic
    (began.elapsed().as_secs_f64() / REFERENCE.as_secs_f64()).max(1.0)
}

/// Always the same.
fn work() {
    let mut hasher = DefaultHasher::new();
    for n in 0..200_000_000_u64 {
        hasher.write_u64(black_box(n));
    }
    black_box(hasher.finish());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_budget() {
        assert_eq!(of("build"), Duration::from_secs(900));
        assert_eq!(of("something new"), Duration::from_secs(OTHERS));
        assert!(slowness() >= 1.0);
    }
}
