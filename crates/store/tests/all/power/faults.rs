//! Syncs that fail and disks that are full: refused is refused, reads go on, and it recovers by itself.

use std::time::Duration;

use cartwright_core::ports::StoreError;

use super::world::{Tried, World};

/// Disks in a usual run; `CARTWRIGHT_CUTS` asks for more cuts, of which each disk sees one.
const DISKS: u64 = 60;
const FILES: [&str; 3] = ["", ".db", "-wal"];

/// Works on while syncs fail now and then, until the power goes; says how many answers were errors.
async fn live_with_failing_syncs(seed: u64) -> Result<u64, String> {
    let mut world = World::new(seed);
    let store = world.open().map_err(|e| e.to_string())?;
    let mut refused = 0;
    // What was copied into the file without a sync is read from there: it must not revert before it is copied again,
    // and nothing above SQLite can help. So only the log does.
    let reverts = world.dice.hit(1, 2);
    if reverts {
        world.disk.revert_failed_syncs();
    }
    for _ in 0..5 + world.dice.below(20) {
        if world.dice.hit(1, 3) {
            let file = if reverts { "-wal" } else { FILES[world.dice.below(3) as usize] };
            world.disk.fail_syncs(file, world.dice.below(4), 1 + world.dice.below(2));
        }
        match world.try_work(&store).await.map_err(|e| format!("while it ran: {e}"))? {
            Tried::Answered => {}
            Tried::Refused(StoreError::Unavailable(_)) => refused += 1,
            // A transaction that outgrew the cache and reads back what has reverted; it changes nothing.
            Tried::Refused(StoreError::Corrupt(_)) if reverts => {}
            other => return Err(format!("a failing sync is answered with {other:?}")),
        }
    }
    world.disk.cut();
    drop(store);
    world.disk.power_on();
    let store = world.open().map_err(|e| format!("not opened after the cut: {e}"))?;
    world.check(&store).await.map(|()| refused).map_err(|e| format!("after the cut: {e}"))
}

#[tokio::test]
async fn what_is_read_after_a_failed_sync_survives_a_cut() {
    let mut refused = 0;
    for seed in seeds() {
        match live_with_failing_syncs(seed).await {
            Ok(errors) => refused += errors,
            Err(why) => panic!("CARTWRIGHT_CUTS=1 CARTWRIGHT_SEED={seed}: {why}"),
        }
    }
    assert!(refused > 0, "no sync of a commit failed");
}

/// The process is killed, perhaps after a failed sync; the next one finds what the cache holds, and says so. Then the power goes.
async fn live_through_a_kill(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    let store = world.open().map_err(|e| e.to_string())?;
    if world.dice.hit(1, 2) {
        world.disk.fail_syncs("-wal", world.dice.below(8), 1);
    }
    world.disk.kill_after(world.dice.below(150));
    while !matches!(world.try_work(&store).await?, Tried::Lost) {}
    drop(store);
    world.disk.power_on();
    let store = world.open().map_err(|e| format!("not opened after the kill: {e}"))?;
    world.check(&store).await.map_err(|e| format!("after the kill: {e}"))?;
    for _ in 0..world.dice.below(3) {
        world.work(&store).await?;
    }
    world.disk.cut();
    drop(store);
    world.disk.power_on();
    let store = world.open().map_err(|e| format!("not opened after the cut: {e}"))?;
    world.check(&store).await.map_err(|e| format!("after the cut: {e}"))
}

#[tokio::test]
async fn what_a_restarted_process_finds_survives_a_cut() {
    for seed in seeds() {
        if let Err(why) = live_through_a_kill(seed).await {
            panic!("CARTWRIGHT_CUTS=1 CARTWRIGHT_SEED={seed}: {why}");
        }
    }
}

/// A checkpoint that readers or writers stop half-way copies pages without syncing them. When the next one fails to sync,
/// those pages are lost, too, and must be copied again before the log starts over.
async fn live_with_a_failed_checkpoint(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    let store = world.open().map_err(|e| e.to_string())?;
    let reader = world.connect().unwrap();
    for _ in 0..2 + world.dice.below(4) {
        world.work(&store).await?;
    }
    reader.execute_batch("BEGIN; SELECT * FROM head").unwrap();
    for _ in 0..4 + world.dice.below(12) {
        world.work(&store).await?;
    }
    drop(reader);
    let failed = world.disk.failed_syncs();
    world.disk.fail_syncs(".db", 0, 1);
    for _ in 0..200 {
        world.work(&store).await?;
        if world.disk.failed_syncs() > failed {
            break;
        }
    }
    for _ in 0..world.dice.below(20) {
        world.work(&store).await?;
    }
    world.look(&store).await.map_err(|e| format!("while it ran: {e}"))?;
    // Closed in good order, or not.
    if world.dice.hit(1, 2) {
        drop(store);
        world.disk.cut();
    } else {
        world.disk.cut();
        drop(store);
    }
    world.disk.power_on();
    let store = world.open().map_err(|e| format!("not opened after the cut: {e}"))?;
    world.check(&store).await.map_err(|e| format!("after the cut: {e}"))
}

#[tokio::test]
async fn a_failed_checkpoint_loses_nothing() {
    for seed in seeds() {
        if let Err(why) = live_with_a_failed_checkpoint(seed).await {
            panic!("CARTWRIGHT_CUTS=1 CARTWRIGHT_SEED={seed}: {why}");
        }
    }
}

/// While no sync succeeds, nothing is accepted, everything can be read, and nobody has to restart it afterwards.
#[tokio::test]
async fn a_disk_that_does_not_sync_is_read_from_until_it_does() {
    let mut world = World::new(7);
    let store = world.open().unwrap();
    for _ in 0..5 {
        assert!(world.work(&store).await.unwrap());
    }
    world.disk.fail_syncs("", 0, u64::MAX);
    let (failed, mut looked) = (world.disk.failed_syncs(), 0);
    while looked < 3 || world.disk.failed_syncs() < failed + 3 {
        // The first one to fail waits for its fate; those behind it are refused at once.
        match tokio::time::timeout(Duration::from_millis(1), world.write(&store)).await {
            Err(_) | Ok(Err(StoreError::Unavailable(_))) => {}
            Ok(other) => panic!("on a disk that does not sync: {other:?}"),
        }
        world.read(&store).await.unwrap();
        looked += 1;
    }
    world.disk.heal();
    while let Err(error) = world.write(&store).await {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    }
    for _ in 0..5 {
        assert!(world.work(&store).await.unwrap());
    }
    world.look(&store).await.unwrap();
}

/// Works on a disk that fills up and gets room again, until the power goes; says how often it was full.
async fn live_with_little_room(seed: u64) -> Result<u64, String> {
    let mut world = World::new(seed);
    let store = world.open().map_err(|e| e.to_string())?;
    let mut full = 0;
    for _ in 0..20 + world.dice.below(20) {
        match world.dice.below(4) {
            0 => {
                let room = [0, 3_000, 30_000][world.dice.below(3) as usize];
                world.disk.leave_room(room);
            }
            1 => world.disk.heal(),
            _ => {}
        }
        match world.try_work(&store).await? {
            Tried::Answered => {}
            Tried::Refused(StoreError::Full(_)) => full += 1,
            other => return Err(format!("a full disk is answered with {other:?}")),
        }
    }
    world.disk.heal();
    world.work(&store).await.map_err(|e| format!("with room again: {e}"))?;
    world.disk.cut();
    drop(store);
    world.disk.power_on();
    let store = world.open().map_err(|e| format!("not opened after the cut: {e}"))?;
    world.check(&store).await.map(|()| full)
}

#[tokio::test]
async fn a_full_disk_refuses_and_works_again_when_there_is_room() {
    let mut full = 0;
    for seed in seeds() {
        match live_with_little_room(seed).await {
            Ok(times) => full += times,
            Err(why) => panic!("CARTWRIGHT_CUTS=1 CARTWRIGHT_SEED={seed}: {why}"),
        }
    }
    assert!(full > 0, "no disk was full");
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let first = number("CARTWRIGHT_SEED").unwrap_or(0);
    first..first + number("CARTWRIGHT_CUTS").unwrap_or(DISKS)
}
