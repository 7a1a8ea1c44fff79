//! The seeds that ever failed.

/// Each seed with whether its shape is the distributed one.
pub fn kept_seeds() -> Vec<(u64, bool)> {
    let lines = include_str!("../../seeds.txt").lines();
    let seeds = lines.filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()? == "distributed"))
    });
    seeds.collect()
}
