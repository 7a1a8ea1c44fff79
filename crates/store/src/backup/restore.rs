//! A data directory from a backup.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use uuid::Uuid;

use super::{BackupError, LEDGER, Manifest, Progress, STORES, SWITCHES, copy, cut, sync};
use crate::{
    DataDir, StoreKind,
    sqlite::{self, Facts},
};

/// What is to be restored.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The backup.
    pub from: PathBuf,
    /// The data directory to be made: new or empty.
    pub to: PathBuf,
    /// The providers' ledger to go on with, in place of the backup's: the outside world does not go back in time.
    pub ledger: Option<PathBuf>,
    /// So many order numbers are left out, because they may have been given after the backup was made.
    pub skip_numbers: u64,
}

/// The prefix of files that are not ready.
const UNREADY: &str = "restoring-";

/// Makes a data directory of a backup.
///
/// All of the backup is checked before anything is written. The stores get new incarnations, and the cursors among them
/// follow; cursors that others hold are refused from now on, because positions are given a second time. When this
/// returns, everything is on the disk.
///
/// # Errors
/// [`BackupError`]; then `to` is empty.
pub fn restore(asked: &Restore, mut progress: impl FnMut(Progress)) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(&asked.from)?;
    complete(&manifest, &asked.from)?;
    let mut at = Progress { done: 0, of: 2 * manifest.bytes() };
    let mut on = |bytes| {
        at.done += bytes;
        progress(at);
    };
    vacant(&asked.to)?;
    for file in &manifest.files {
        file.check(&asked.from, &mut on)?;
    }
    let lock = DataDir::lock(&asked.to)?;
    vacant(&asked.to)?; // checking the sums took its time, and somebody may have started here meanwhile
    let unready = Unready(&asked.to);
    for file in &manifest.files {
        let path = asked.to.join(format!("{UNREADY}{}", file.name));
        match &asked.ledger {
            Some(ledger) if file.name == LEDGER => copy(&cut::open(ledger)?, &path, |_| {})?,
            _ => {
                let from = asked.from.join(&file.name);
                fs::copy(&from, &path).map_err(BackupError::file(&path))?;
            }
        }
        on(file.bytes);
    }
    renew(&asked.to, asked.skip_numbers)?;
    for file in &manifest.files {
        sync(&asked.to.join(format!("{UNREADY}{}", file.name)))?;
    }
    // The orders last: without them, the others' cursors fit nothing, and nobody starts on them.
    for file in manifest.files.iter().rev() {
        let (from, to) = (asked.to.join(format!("{UNREADY}{}", file.name)), asked.to.join(&file.name));
        fs::rename(&from, &to).map_err(BackupError::file(&to))?;
    }
    sync(&asked.to)?;
    std::mem::forget(unready);
    drop(lock);
    Ok(manifest)
}

fn complete(manifest: &Manifest, dir: &Path) -> Result<(), BackupError> {
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    let stores = STORES.map(|(_, name)| name);
    // What was never there, or was not yet copied by an older binary, is not in it.
    let others = names.strip_prefix(&stores).map(|others| others.strip_prefix(&[LEDGER]).unwrap_or(others));
    if matches!(others, Some([] | [SWITCHES])) {
        return Ok(());
    }
    Err(BackupError::Incomplete {
        dir: dir.to_owned(),
        reason: "it names other files than those of a data directory".to_owned(),
    })
}

/// The lock of a process that made nothing may lie there.
fn vacant(dir: &Path) -> Result<(), BackupError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    let others = entries.flatten().any(|entry| entry.file_name() != "LOCK");
    if others { Err(BackupError::NotEmpty(dir.to_owned())) } else { Ok(()) }
}

/// Gives the stores new incarnations, after having checked them.
fn renew(dir: &Path, skip_numbers: u64) -> Result<(), BackupError> {
    let mut stores = Vec::with_capacity(STORES.len());
    for (kind, name) in STORES {
        let path = dir.join(format!("{UNREADY}{name}"));
        let (conn, facts) = look(kind, &path)?;
        stores.push((kind, path, conn, facts));
    }
    let facts: Vec<Facts> = stores.iter().map(|(.., facts)| facts.clone()).collect();
    cut::consistent(&facts).map_err(|error| BackupError::Mismatch { dir: dir.to_owned(), error })?;
    let new: Vec<(StoreKind, Uuid)> = STORES.map(|(kind, _)| (kind, Uuid::now_v7())).to_vec();
    for (kind, path, conn, _) in stores {
        let skip = if kind == StoreKind::Orders { skip_numbers } else { 0 };
        sqlite::renew(&conn, kind, &new, skip).map_err(BackupError::file(&path))?;
        conn.close().map_err(|(_, error)| BackupError::file(&path)(error))?;
    }
    Ok(())
}

fn look(kind: StoreKind, path: &Path) -> Result<(Connection, Facts), BackupError> {
    let looked = || -> rusqlite::Result<(Connection, Facts, String)> {
        let conn = Connection::open(path)?;
        // One file, without a log beside it.
        conn.pragma_update(None, "journal_mode", "DELETE")?;
        let sound = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        let facts = sqlite::facts(&conn)?;
        Ok((conn, facts, sound))
    };
    let damaged = |reason: String| BackupError::Damaged { file: path.to_owned(), reason };
    let (conn, facts, sound) = looked().map_err(|error| damaged(error.to_string()))?;
    if sound != "ok" {
        return Err(damaged(sound));
    }
    if facts.kind != kind.as_str() {
        return Err(damaged(format!("it is the store of the service {}", facts.kind)));
    }
    sqlite::usable(path, &facts)?;
    Ok((conn, facts))
}

/// Files that go away if they never become ready.
struct Unready<'a>(&'a Path);

impl Drop for Unready<'_> {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.0).into_iter().flatten().flatten() {
            // All but the lock is ours: there was nothing else.
            if entry.file_name() != "LOCK" {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
