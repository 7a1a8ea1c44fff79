//! The names of files: as programs see them, and as they are found after a power cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    path::{Path, PathBuf},
};

use super::{Dice, disk::FileId};

/// A directory's names.
#[derive(Debug, Default)]
pub(super) struct Directory {
    seen: BTreeMap<PathBuf, FileId>,
    durable: BTreeMap<PathBuf, FileId>,
    /// Names given (with their file) and taken away (without) since the last sync.
    unsynced: Vec<(PathBuf, Option<FileId>)>,
}

impl Directory {
    pub(super) fn find(&self, name: &Path) -> Option<FileId> {
        self.seen.get(name).copied()
    }

    pub(super) fn add(&mut self, name: &Path, file: FileId) {
        self.seen.insert(name.to_owned(), file);
        self.unsynced.push((name.to_owned(), Some(file)));
    }

    pub(super) fn remove(&mut self, name: &Path) -> Option<FileId> {
        self.unsynced.push((name.to_owned(), None));
        self.seen.remove(name)
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
        self.durable.clone_from(&self.seen);
    }

    /// The power goes: of each name's changes the first ones are there, as many as the dice say.
    pub(super) fn cut(&mut self, dice: &mut Dice) {
        let mut stale = BTreeSet::new();
        for (name, file) in mem::take(&mut self.unsynced) {
            if stale.contains(&name) {
                continue;
            }
            match (dice.hit(1, 2), file) {
                (true, Some(file)) => drop(self.durable.insert(name, file)),
                (true, None) => drop(self.durable.remove(&name)),
                (false, _) => drop(stale.insert(name)),
            }
        }
        self.seen.clone_from(&self.durable);
    }

    /// Whether any name, seen or on the disk, is this file's.
    pub(super) fn names(&self, file: FileId) -> bool {
        let given = self.unsynced.iter().filter_map(|(_, given)| given.as_ref());
        self.seen.values().chain(self.durable.values()).chain(given).any(|named| *named == file)
    }

    pub(super) fn shows(&self, file: FileId) -> bool {
        self.seen.values().any(|named| *named == file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: FileId = FileId(1);
    const NEW: FileId = FileId(2);

    fn replaced(seed: u64) -> Option<FileId> {
        let name = Path::new("log");
        let mut directory = Directory::default();
        directory.add(name, OLD);
        directory.sync();
        directory.remove(name);
        directory.add(name, NEW);
        assert_eq!(directory.find(name), Some(NEW));
        directory.cut(&mut Dice::new(seed));
        directory.find(name)
    }

    #[test]
    fn a_file_that_was_replaced_is_the_old_one_the_new_one_or_gone() {
        let found: BTreeSet<_> = (0..50).map(replaced).collect();
        assert_eq!(found, BTreeSet::from([None, Some(OLD), Some(NEW)]));
    }

    #[test]
    fn a_synced_name_survives() {
        for seed in 0..50 {
            let mut directory = Directory::default();
            directory.add(Path::new("file"), OLD);
            directory.sync();
            directory.cut(&mut Dice::new(seed));
            assert_eq!(directory.find(Path::new("file")), Some(OLD));
        }
    }
}
