//! The lock of a data directory: one process at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    process,
};

use crate::OpenError;

/// A data directory that this process has for itself, as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Its lock ends with the handle, so also with a process that crashed.
    _lock: File,
}

/// The process that has a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id, as far as it said so.
    pub pid: Option<u32>,
}

impl DataDir {
    /// Creates the directory if it is missing and takes it.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process has it, [`OpenError::Io`] when it can't be made or written.
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        create(path).map_err(|e| OpenError::io(path, e))?;
        let file = path.join("LOCK");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(|e| OpenError::io(&file, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { dir: path.to_owned(), pid: holder(&mut lock) });
            }
            Err(TryLockError::Error(e)) => return Err(OpenError::io(&file, e)),
        }
        sign(&mut lock).map_err(|e| OpenError::io(&file, e))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Makes the directory if it is missing, for whoever shares it with other processes.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn make(path: &Path) -> Result<(), OpenError> {
        create(path).map_err(|e| OpenError::io(path, e))
    }

    /// Who has the directory, without taking it; `None` if nobody has it, or if there is none.
    ///
    /// # Errors
    /// When the lock can't be looked at.
    pub fn holder(path: &Path) -> std::io::Result<Option<Holder>> {
        let mut lock = match File::open(path.join("LOCK")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(Holder { pid: holder(&mut lock) })),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn create(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let there = path.ancestors().find(|ancestor| ancestor.is_dir()).map(Path::to_owned).unwrap_or_default();
    fs::create_dir_all(path)?;
    // A directory that a crash forgets takes its files along: each new one is made durable in its parent.
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { &there }.canonicalize()?;
    let new = path.canonicalize()?;
    for parent in new.ancestors().skip(1).take_while(|parent| parent.starts_with(&there)) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn sign(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", process::id())
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
