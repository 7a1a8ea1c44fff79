//! The bytes of one file: as programs see them, and as they are found after a power cut.

use std::{collections::BTreeSet, mem};

use super::Dice;

/// What a disk writes as one.
const SECTOR: usize = 512;

/// A file's bytes.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// What a read finds: the page cache.
    seen: Vec<u8>,
    /// What is on the disk for sure.
    durable: Vec<u8>,
    /// What has happened since the last sync.
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Content {
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Fills `into` from `at` on with what is there, the rest with zeros; says how much was there.
    pub(super) fn read(&self, at: usize, into: &mut [u8]) -> usize {
        let there = self.seen.get(at..).unwrap_or_default();
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        into[count..].fill(0);
        count
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        put(&mut self.seen, at, bytes);
        self.unsynced.push(Change::Write { at, bytes: bytes.to_vec() });
    }

    pub(super) fn resize(&mut self, len: usize) {
        self.seen.resize(len, 0);
        self.unsynced.push(Change::Resize(len));
    }

    /// Everything is on the disk.
    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            apply(&mut self.durable, &change);
        }
    }

    /// A sync that fails, as on Linux: what was to be written counts as written from now on, and some of it is not
    /// on the disk. The cache keeps it (ext4, XFS), or it `reverts` to what the disk has (Btrfs).
    pub(super) fn fail_sync(&mut self, reverts: bool, dice: &mut Dice) {
        survive(mem::take(&mut self.unsynced), &mut self.durable, dice);
        if reverts {
            let len = self.seen.len();
            self.seen.clone_from(&self.durable);
            self.seen.resize(len, 0);
        }
    }

    /// The power goes: what was not synced is there or not, sector by sector.
    pub(super) fn cut(&mut self, dice: &mut Dice) {
        survive(mem::take(&mut self.unsynced), &mut self.durable, dice);
        self.seen.clone_from(&self.durable);
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes: new } => put(bytes, *at, new),
        Change::Resize(len) => bytes.resize(*len, 0),
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// What of the changes reaches the disk. Several kinds of luck, because coins alone would hardly ever write
/// everything but one sector, or all in order up to one.
fn survive(changes: Vec<Change>, durable: &mut Vec<u8>, dice: &mut Dice) {
    match dice.below(6) {
        0 => {}
        1 => changes.iter().for_each(|change| apply(durable, change)),
        2 => in_order(&changes, durable, dice),
        3 => by_sector(&changes, durable, dice, 1),
        4 => by_sector(&changes, durable, dice, 8),
        _ => by_sector(&changes, durable, dice, 15),
    }
}

/// The first ones arrive, and of the next one a torn piece.
fn in_order(changes: &[Change], durable: &mut Vec<u8>, dice: &mut Dice) {
    let whole = dice.below(changes.len() as u64 + 1) as usize;
    changes[..whole].iter().for_each(|change| apply(durable, change));
    if let Some(Change::Write { at, bytes }) = changes.get(whole) {
        put(durable, *at, &bytes[..dice.below(bytes.len() as u64) as usize]);
    }
}

/// Each sector arrives on its own, with `chance` in 16. It may hold an older one of several writes, never a mix in
/// another order.
fn by_sector(changes: &[Change], durable: &mut Vec<u8>, dice: &mut Dice, chance: u64) {
    let mut stale = BTreeSet::new();
    for change in changes {
        match change {
            Change::Resize(_) => {
                if dice.hit(chance, 16) {
                    apply(durable, change);
                }
            }
            Change::Write { at, bytes } => {
                for (at, piece) in sectors(*at, bytes) {
                    let sector = at / SECTOR;
                    if stale.contains(&sector) {
                        continue;
                    }
                    if dice.hit(chance, 16) {
                        put(durable, at, piece);
                    } else {
                        stale.insert(sector);
                    }
                }
            }
        }
    }
}

fn sectors(at: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (at, rest) = (at + done, bytes.get(done..).filter(|rest| !rest.is_empty())?);
        let length = rest.len().min(SECTOR - at % SECTOR);
        done += length;
        Some((at, &rest[..length]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(content: &Content) -> Vec<u8> {
        let mut bytes = vec![0; content.len()];
        content.read(0, &mut bytes);
        bytes
    }

    fn synced(fill: u8, len: usize) -> Content {
        let mut content = Content::default();
        content.write(0, &vec![fill; len]);
        content.sync();
        content
    }

    #[test]
    fn a_read_past_the_end_is_short_and_filled_with_zeros() {
        let content = synced(7, 10);
        let mut into = [9; 8];
        assert_eq!(content.read(6, &mut into), 4);
        assert_eq!(into, [7, 7, 7, 7, 0, 0, 0, 0]);
        assert_eq!(content.read(100, &mut into), 0);
    }

    #[test]
    fn what_is_synced_survives_every_cut() {
        for seed in 0..100 {
            let mut content = synced(1, 5_000);
            content.cut(&mut Dice::new(seed));
            assert_eq!(bytes(&content), vec![1; 5_000], "seed {seed}");
        }
    }

    #[test]
    fn what_is_not_synced_survives_whole_torn_or_not_at_all() {
        let (mut whole, mut torn, mut gone) = (0, 0, 0);
        for seed in 0..300 {
            let mut content = synced(1, 4 * SECTOR);
            content.write(0, &vec![2; 4 * SECTOR]);
            content.cut(&mut Dice::new(seed));
            match bytes(&content).iter().filter(|b| **b == 2).count() {
                0 => gone += 1,
                n if n == 4 * SECTOR => whole += 1,
                _ => torn += 1,
            }
        }
        assert!(whole > 30 && torn > 30 && gone > 30, "{whole} whole, {torn} torn, {gone} gone");
    }

    #[test]
    fn a_sector_never_holds_a_mix_of_versions() {
        for seed in 0..300 {
            let mut content = synced(1, SECTOR);
            (2..6).for_each(|version| content.write(0, &[version; SECTOR]));
            content.unsynced.push(Change::Resize(SECTOR));
            let mut durable = mem::take(&mut content.durable);
            by_sector(&content.unsynced, &mut durable, &mut Dice::new(seed), 8);
            assert!(durable.iter().all(|b| *b == durable[0]), "seed {seed}");
        }
    }

    #[test]
    fn an_unsynced_truncation_may_be_undone_by_a_cut() {
        let lengths: BTreeSet<usize> = (0..100)
            .map(|seed| {
                let mut content = synced(1, 900);
                content.resize(0);
                assert_eq!(content.len(), 0);
                content.cut(&mut Dice::new(seed));
                content.len()
            })
            .collect();
        assert_eq!(lengths, BTreeSet::from([0, 900]));
    }

    #[test]
    fn after_a_failed_sync_a_later_one_does_not_make_up_for_it() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut content = synced(1, SECTOR);
            content.write(0, &[2; SECTOR]);
            content.fail_sync(false, &mut Dice::new(seed));
            content.sync();
            content.cut(&mut Dice::new(seed));
            lost += u32::from(bytes(&content) != [2; SECTOR]);
        }
        assert!(lost > 30, "only {lost} were lost");
    }

    #[test]
    fn after_a_failed_sync_the_cache_keeps_what_the_disk_does_not_have_or_reverts() {
        let mut lost = 0;
        for (seed, reverts) in (0..100).flat_map(|seed| [(seed, false), (seed, true)]) {
            let mut content = synced(1, SECTOR);
            content.write(0, &[2; SECTOR]);
            content.fail_sync(reverts, &mut Dice::new(seed));
            let shown = if reverts { content.durable.clone() } else { vec![2; SECTOR] };
            assert_eq!(bytes(&content), shown, "seed {seed}");
            lost += u32::from(content.durable != [2; SECTOR]);
        }
        assert!(lost > 60, "only {lost} were lost");
    }
}
