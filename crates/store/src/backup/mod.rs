//! Backups of a data directory, made while the system runs or while it is stopped, and what becomes of them.
//!
//! * [`back_up`] … one consistent cut through all files (`cut`), copied page by page, synced, with a manifest.
//! * [`restore()`] … checks a backup, and makes a new data directory of it that knows that it is another one.
//!
//! `docs/backup.md` says what is promised to whoever restores.

mod cut;
mod manifest;
mod restore;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, backup::StepResult};

use self::cut::Cut;
pub use self::{
    manifest::{FileEntry, MANIFEST, Manifest},
    restore::{Restore, restore},
};
use crate::{CursorMismatch, DataDir, OpenError, STORES};

/// The file of the simulated providers, where there are such. It belongs to the outside world, and is looked at last.
pub const LEDGER: &str = "ledger.db";

/// How an operator switched the providers, where one did: a small file that is replaced as a whole.
pub const SWITCHES: &str = "providers.json";

/// Pages copied between two looks at how far it is.
const STEP_PAGES: i32 = 1_024;

/// How long another program may keep a file locked.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a backup or a restore is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Copied or checked.
    pub done: u64,
    /// In all.
    pub of: u64,
}

/// Why a backup could not be made or restored. Nothing was left behind, and nothing that was there has changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to back up.
    #[error("{} holds no data of cartwright ({missing} is not there): name the data directory with --data DIR", .dir.display())]
    NoData {
        /// Where it was looked for.
        dir: PathBuf,
        /// The first file that is not there.
        missing: &'static str,
    },
    /// Somebody's files are in the way.
    #[error("{} is not empty, and nothing is ever overwritten: choose a directory that is new or empty", .0.display())]
    NotEmpty(PathBuf),
    /// The backup would lie in what it copies.
    #[error(
        "{} is inside of the data directory {}, and would be lost together with it: choose a directory outside of it",
        .to.display(),
        .data.display()
    )]
    Inside {
        /// Where the backup was to be.
        to: PathBuf,
        /// What was to be copied.
        data: PathBuf,
    },
    /// It has no manifest.
    #[error(
        "{} is no complete backup ({reason}): a backup has its {MANIFEST} only once all of it is on the disk; use another one",
        .dir.display()
    )]
    Incomplete {
        /// Where.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file is not what the manifest says.
    #[error("{} is damaged ({reason}): use another backup", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// A newer binary made it.
    #[error(
        "this backup was made by cartwright {version} in a form that this binary does not know: restore it with that version or a newer one"
    )]
    Newer {
        /// By which.
        version: String,
    },
    /// The files do not belong together.
    #[error("the files in {} don't belong together: {error}", .dir.display())]
    Mismatch {
        /// Where.
        dir: PathBuf,
        /// Why not.
        error: CursorMismatch,
    },
    /// The directory is in use, or can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file can't be read or written.
    #[error("{}: {source}: check that it can be read and written, and that the disk has room", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BackupError {
    fn file<E: Into<Box<dyn std::error::Error + Send + Sync>>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source: source.into() }
    }
}

/// Copies all files of the data directory, as they stood at one moment, into `to`, which must be new or empty.
///
/// The system may run meanwhile: nobody waits for a backup, and what is placed while it is copied is not in it. When
/// this returns, the backup is on the disk.
///
/// # Errors
/// [`BackupError`]; then `to` is as it was.
pub fn back_up(
    data: &Path,
    to: &Path,
    version: &str,
    mut progress: impl FnMut(Progress),
) -> Result<Manifest, BackupError> {
    for name in STORES.map(|(_, name)| name) {
        if !data.join(name).is_file() {
            return Err(BackupError::NoData { dir: data.to_owned(), missing: name });
        }
    }
    if is_inside(to, data) {
        return Err(BackupError::Inside { to: to.to_owned(), data: data.to_owned() });
    }
    // Stopped: nobody may start it in the middle. Running: its process has the lock.
    let _stopped = match DataDir::lock(data) {
        Ok(lock) => Some(lock),
        Err(OpenError::InUse { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let cut = Cut::take(data)?;
    let switches = switches(data)?;
    let target = Target::take(to)?;
    let sizes = cut.files().map(|(_, bytes, _)| bytes).collect::<Vec<_>>();
    let of = sizes.iter().sum();
    let (mut files, mut before) = (Vec::with_capacity(sizes.len()), 0);
    for ((name, bytes, conn), facts) in cut.files().zip(cut.facts()) {
        let path = to.join(name);
        copy(conn, &path, |share| {
            let done = before + (bytes as f64 * share) as u64;
            progress(Progress { done, of });
        })?;
        before += bytes;
        files.push(FileEntry::of(&path, name, facts)?);
    }
    drop(cut);
    if let Some(switches) = switches {
        let path = to.join(SWITCHES);
        fs::write(&path, switches).map_err(BackupError::file(&path))?;
        sync(&path)?;
        files.push(FileEntry::of(&path, SWITCHES, None)?);
    }
    let manifest = Manifest::new(version, files);
    manifest.write(to)?;
    target.keep();
    progress(Progress { done: of, of });
    Ok(manifest)
}

/// Whether `to`, which may not be there yet, lies in `data` or is the same.
fn is_inside(to: &Path, data: &Path) -> bool {
    let Ok(data) = data.canonicalize() else { return false };
    let Ok(to) = std::path::absolute(to) else { return false };
    // Links and `..` show in the part that is there; the rest is made below it.
    to.ancestors().find_map(|there| there.canonicalize().ok()).is_some_and(|there| there.starts_with(data))
}

/// How the providers are switched; `None` if nobody has ever switched any.
fn switches(data: &Path) -> Result<Option<Vec<u8>>, BackupError> {
    let path = data.join(SWITCHES);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BackupError::file(&path)(error)),
    }
}

/// Copies what `from` sees, and syncs it.
fn copy(from: &Connection, to: &Path, mut progress: impl FnMut(f64)) -> Result<(), BackupError> {
    let mut copied = || -> rusqlite::Result<()> {
        let mut into = Connection::open(to)?;
        // It is synced as a whole below, and thrown away if that fails.
        into.pragma_update(None, "synchronous", "OFF")?;
        into.pragma_update(None, "journal_mode", "MEMORY")?;
        let backup = rusqlite::backup::Backup::new(from, &mut into)?;
        loop {
            let step = backup.step(STEP_PAGES)?;
            let pages = backup.progress();
            progress(1.0 - f64::from(pages.remaining) / f64::from(pages.pagecount.max(1)));
            match step {
                StepResult::Done => return Ok(()),
                StepResult::Busy | StepResult::Locked => std::thread::sleep(Duration::from_millis(10)),
                _ => {}
            }
        }
    };
    copied().map_err(BackupError::file(to))?;
    sync(to)
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(BackupError::file(path))
}

/// A directory that is filled: emptied again unless it is kept.
struct Target {
    dir: PathBuf,
    made: bool,
    kept: bool,
}

impl Target {
    /// Takes a directory that is new or empty.
    fn take(dir: &Path) -> Result<Self, BackupError> {
        let made = !dir.exists();
        fs::create_dir_all(dir).map_err(BackupError::file(dir))?;
        if fs::read_dir(dir).map_err(BackupError::file(dir))?.next().is_some() {
            return Err(BackupError::NotEmpty(dir.to_owned()));
        }
        Ok(Self { dir: dir.to_owned(), made, kept: false })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Everything in it is ours: it was empty. What can't be removed has no manifest, and is no backup.
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
        if self.made {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}
