//! A disk that loses power: a VFS for SQLite over a model of a disk and its page cache.
//!
//! Killing a process proves nothing about syncing, because the kernel keeps what was written. Here, nothing is safe
//! before its sync: a cut keeps or drops each unsynced sector, tears writes, and undoes truncations and new or
//! removed file names, all by a seed. Besides, a sync can fail, as on Linux (it is reported once to each handle, and what
//! it should have written is lost although the cache may still show it), the disk can be full, and the process can be
//! killed with the cache as it is.
//!
//! ```text
//! let disk = Disk::mount("/anywhere", seed);
//! let options = SqliteOptions { vfs: Some(power::vfs().to_owned()), ..SqliteOptions::default() };
//! let store = SqliteStore::open(&disk.path("orders.db"), StoreKind::Orders, &options)?;
//! disk.cut_after(17);                // in the middle of the 18th change from now
//! // … work until everything fails …
//! drop(store);
//! disk.power_on();                   // what is there now is what a reboot would find
//! ```
//!
//! * [`Disk`]: the model: files, names, faults, the cut. Safe code, with tests of its own.
//! * `ffi`: SQLite's callbacks; the only unsafe code of the project.

mod content;
mod dice;
mod directory;
mod disk;
#[cfg(test)]
mod disk_tests;
mod ffi;
mod locks;

pub use self::{
    dice::Dice,
    disk::{Change, Disk},
    ffi::vfs,
};
