//! The locks of a file and of its shared memory, among the connections of one process.

use std::collections::BTreeMap;

use super::disk::{Busy, HandleId};

/// SQLite's five levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    #[default]
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// Who has locked a file, and how far.
#[derive(Debug, Default)]
pub(super) struct Locks(BTreeMap<HandleId, Level>);

impl Locks {
    /// Raises a handle's lock. Who asks for `Exclusive` and has to wait keeps `Pending`, so that no new reader
    /// gets in before it.
    pub(super) fn raise(&mut self, handle: HandleId, to: Level) -> Result<(), Busy> {
        let own = self.0.get(&handle).copied().unwrap_or_default();
        if to <= own {
            return Ok(());
        }
        let others = self.others(handle);
        match to {
            Level::None => {}
            Level::Shared if others >= Level::Pending => return Err(Busy),
            Level::Shared => {}
            Level::Reserved | Level::Pending | Level::Exclusive if others >= Level::Reserved => {
                return Err(Busy);
            }
            Level::Exclusive if others > Level::None => {
                self.0.insert(handle, Level::Pending);
                return Err(Busy);
            }
            Level::Reserved | Level::Pending | Level::Exclusive => {}
        }
        self.0.insert(handle, to);
        Ok(())
    }

    pub(super) fn lower(&mut self, handle: HandleId, to: Level) {
        match self.0.get_mut(&handle) {
            Some(_) if to == Level::None => drop(self.0.remove(&handle)),
            Some(level) => *level = to.min(*level),
            None => {}
        }
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.0.values().any(|level| *level >= Level::Reserved)
    }

    fn others(&self, handle: HandleId) -> Level {
        let others = self.0.iter().filter(|(other, _)| **other != handle);
        others.map(|(_, level)| *level).max().unwrap_or_default()
    }
}

/// Who has locked which of the eight slots of a log's shared memory; a set is a mask of slots.
#[derive(Debug, Default)]
pub(super) struct Slots(BTreeMap<HandleId, Held>);

#[derive(Debug, Default)]
struct Held {
    shared: u8,
    exclusive: u8,
}

impl Slots {
    pub(super) fn share(&mut self, handle: HandleId, slots: u8) -> Result<(), Busy> {
        if self.others(handle).any(|held| held.exclusive & slots != 0) {
            return Err(Busy);
        }
        self.0.entry(handle).or_default().shared |= slots;
        Ok(())
    }

    pub(super) fn take(&mut self, handle: HandleId, slots: u8) -> Result<(), Busy> {
        if self.others(handle).any(|held| (held.exclusive | held.shared) & slots != 0) {
            return Err(Busy);
        }
        self.0.entry(handle).or_default().exclusive |= slots;
        Ok(())
    }

    pub(super) fn release(&mut self, handle: HandleId, slots: u8) {
        if let Some(held) = self.0.get_mut(&handle) {
            held.shared &= !slots;
            held.exclusive &= !slots;
        }
    }

    fn others(&self, handle: HandleId) -> impl Iterator<Item = &Held> {
        self.0.iter().filter(move |(other, _)| **other != handle).map(|(_, held)| held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HandleId = HandleId(1);
    const B: HandleId = HandleId(2);

    #[test]
    fn many_read_and_one_prepares_to_write() {
        let mut locks = Locks::default();
        locks.raise(A, Level::Shared).unwrap();
        locks.raise(B, Level::Shared).unwrap();
        locks.raise(A, Level::Reserved).unwrap();
        assert!(locks.is_reserved());
        locks.raise(B, Level::Reserved).unwrap_err();
        locks.lower(A, Level::Shared);
        locks.raise(B, Level::Reserved).unwrap();
    }

    #[test]
    fn who_waits_for_exclusive_lets_no_new_reader_in() {
        let mut locks = Locks::default();
        locks.raise(A, Level::Shared).unwrap();
        locks.raise(B, Level::Shared).unwrap();
        locks.raise(A, Level::Exclusive).unwrap_err();
        locks.lower(B, Level::None);
        locks.raise(B, Level::Shared).unwrap_err();
        locks.raise(A, Level::Exclusive).unwrap();
        locks.lower(A, Level::None);
        locks.raise(B, Level::Shared).unwrap();
    }

    #[test]
    fn a_slot_is_shared_or_taken() {
        let mut slots = Slots::default();
        slots.share(A, 0b01).unwrap();
        slots.share(B, 0b01).unwrap();
        slots.take(A, 0b11).unwrap_err();
        slots.take(A, 0b10).unwrap();
        slots.share(B, 0b10).unwrap_err();
        slots.release(B, 0b01);
        slots.release(A, 0b11);
        slots.take(B, 0b11).unwrap();
    }
}
