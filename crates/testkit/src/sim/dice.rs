//! Chance without a stream: every throw depends on the seed and on what it is thrown for, and on nothing that was
//! thrown before. So taking one thing out of a plan leaves the dice of all others as they were.

/// What a throw is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Tie,
    Latency,
    Batch,
    Reading,
    Call,
    Client,
    Way,
    Id,
    Tick,
    Relay,
    Fetch,
    Group,
    Restart,
}

/// The dice of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5eed))
    }

    /// The number thrown for this thing.
    pub fn throw(self, of: Of, thing: &[u64]) -> u64 {
        thing.iter().fold(mix(self.0 ^ (of as u64 + 1)), |hash, part| mix(hash ^ part))
    }

    /// A number from `low` to `high`, both included.
    pub fn between(self, of: Of, thing: &[u64], low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(0).unsigned_abs() + 1;
        low + (self.throw(of, thing) % span).cast_signed()
    }

    /// Whether something happens that happens in so many of a hundred cases.
    pub fn chance(self, of: Of, thing: &[u64], percent: u64) -> bool {
        self.throw(of, thing) % 100 < percent
    }
}

/// A stream of numbers, for drawing plans.
#[derive(Clone, Debug)]
pub(super) struct Stream(u64);

impl Stream {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(0).unsigned_abs() + 1).cast_signed()
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A number for a name.
pub(super) fn name(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// splitmix64's finisher.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)).wrapping_add(0x9e37_79b9_7f4a_7c15)
}
