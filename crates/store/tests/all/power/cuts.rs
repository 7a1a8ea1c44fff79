//! What was answered survives power cuts at every kind of moment.

use std::collections::BTreeSet;

use cartwright_store::OpenError;
use cartwright_testkit::power::{Change, Dice};

use super::World;

/// So often the power is cut in a usual run. `CARTWRIGHT_CUTS` asks for more.
const CUTS: u64 = 600;
/// Cuts on one disk, before the next one begins empty.
const LIVES: u64 = 20;

/// Lives through cuts on one disk; says what they interrupted.
async fn live(seed: u64, lying: bool) -> Result<Vec<(Change, String)>, String> {
    let mut world = World::new(seed);
    let mut interrupted = Vec::new();
    for life in 0..LIVES {
        if lying {
            world.disk.ignore_syncs();
        }
        // Sometimes soon: the start is dangerous, too.
        let within = [5, 60, 400][world.dice.below(3) as usize];
        world.disk.cut_after(world.dice.below(within));
        match world.open() {
            Ok(store) => while world.work(&store).await? {},
            Err(OpenError::Io { .. }) if !world.disk.is_on() => {}
            Err(error) => return Err(format!("life {life}: {error}")),
        }
        interrupted.extend(world.disk.interrupted());
        world.disk.power_on();
        let store = world.open().map_err(|e| format!("life {life}: not opened after the cut: {e}"))?;
        world.check(&store).await.map_err(|e| format!("life {life}: {e}"))?;
    }
    Ok(interrupted)
}

#[tokio::test]
async fn what_was_answered_survives_power_cuts_at_every_moment() {
    let cuts = std::env::var("CARTWRIGHT_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(CUTS);
    let first = std::env::var("CARTWRIGHT_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut met = BTreeSet::new();
    for seed in first..first + cuts.div_ceil(LIVES) {
        match live(seed, false).await {
            Ok(interrupted) => met.extend(interrupted),
            Err(why) => panic!("CARTWRIGHT_CUTS=1 CARTWRIGHT_SEED={seed}: {why}"),
        }
    }
    if cuts < CUTS {
        return; // somebody looks at one seed
    }
    for (change, file) in [
        (Change::Create, "orders.db-wal"),
        (Change::Write, "orders.db"),
        (Change::Write, "orders.db-journal"),
        (Change::Write, "orders.db-wal"),
        (Change::Sync, "orders.db-wal"),
    ] {
        assert!(met.contains(&(change, file.to_owned())), "no cut met a {change:?} of {file}: {met:?}");
    }
}

#[tokio::test]
async fn a_disk_that_lies_about_syncs_is_convicted() {
    let convicted = async |seed| live(seed, true).await.is_err();
    let mut seeds = 0;
    while !convicted(seeds).await {
        seeds += 1;
        assert!(seeds < 3, "{} cuts without syncs went unnoticed", seeds * LIVES);
    }
}

/// The first start, cut at each of its changes in turn: the next one makes the file all the same.
#[tokio::test]
async fn a_first_start_can_be_cut_anywhere() {
    let mut changes = 0;
    loop {
        let mut finished = false;
        for seed in 0..8 {
            let mut world = World::new(Dice::new(seed * 1_000 + changes).roll());
            world.disk.cut_after(changes);
            let first = world.open();
            finished = first.is_ok() && world.disk.is_on();
            if let Err(error) = &first {
                assert!(matches!(error, OpenError::Io { .. }), "seed {seed}, change {changes}: {error}");
            }
            drop(first);
            world.disk.cut();
            world.disk.power_on();
            let store = world.open().unwrap_or_else(|e| panic!("seed {seed}, change {changes}: {e}"));
            world.check(&store).await.unwrap_or_else(|e| panic!("seed {seed}, change {changes}: {e}"));
            assert!(
                world.work(&store).await.unwrap_or_else(|e| panic!("seed {seed}, change {changes}: {e}"))
            );
        }
        if finished {
            break;
        }
        changes += 1;
    }
    assert!(changes > 50, "the first start makes {changes} changes");
}
