//! Where the servers live: outside of every checkout, so that all of them share what was downloaded and what runs.

use std::{
    env,
    fs::{self, File, TryLockError},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::Failure;

/// Names another folder.
pub const VARIABLE: &str = "CARTWRIGHT_SERVERS";

/// The folder's name in a folder of caches.
const FOLDER: &str = "cartwright-servers";

/// Where root keeps them if the usual folder is closed to the user that PostgreSQL runs as. It survives a restart.
const OPEN_TO_ALL: &str = "/var/tmp";

/// Whoever starts or stops servers holds the lock on this file.
const LOCK: &str = "lock";

/// The servers' folder.
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// The folder that the environment asks for, whether it is there or not.
    ///
    /// # Errors
    /// Nothing says where.
    pub fn chosen() -> Result<Self, Failure> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = match variable(VARIABLE) {
            Some(dir) => std::path::absolute(dir)?,
            None => {
                let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
                let cache =
                    cache.ok_or_else(|| format!("neither {VARIABLE} nor HOME says where to keep servers"))?;
                // PostgreSQL refuses to run as root and runs as a user of its own, who must get to its files.
                let closed = is_root() && closed(&cache).is_some();
                if closed { Path::new(OPEN_TO_ALL).join(FOLDER) } else { cache.join(FOLDER) }
            }
        };
        // Its name is looked for among the arguments of processes: one folder, one name.
        Ok(Self { dir: fs::canonicalize(&dir).unwrap_or(dir) })
    }

    /// The same, made if it was not there.
    ///
    /// # Errors
    /// It can't be made or used.
    pub fn made() -> Result<Self, Failure> {
        let Self { dir } = Self::chosen()?;
        let failed = |error| format!("{} can't be used for servers: {error}", dir.display());
        if let Some(closed) = dir.parent().filter(|_| is_root()).and_then(closed) {
            let closed = closed.display();
            return Err(format!(
                "{closed} is closed to the user that PostgreSQL runs as: set {VARIABLE} to a folder elsewhere"
            )
            .into());
        }
        fs::create_dir_all(&dir).map_err(failed)?;
        // Anybody can make this folder where everybody may, and put programs in it that we would run.
        if fs::metadata(&dir).map_err(failed)?.uid() != own_id() {
            return Err(
                format!("{} belongs to somebody else: set {VARIABLE} to another", dir.display()).into()
            );
        }
        if is_root() {
            fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).map_err(failed)?;
        }
        Self::chosen() // now that it is there, its links can be resolved
    }

    /// One server's folder.
    pub fn of(&self, server: &str) -> PathBuf {
        self.dir.join(server)
    }

    /// Waits until nobody else starts or stops servers here; until the lock is dropped, nobody else does.
    ///
    /// # Errors
    /// The file can't be locked.
    pub fn lock(&self) -> Result<File, Failure> {
        let file = File::options().create(true).append(true).open(self.dir.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another `cargo xtask servers` to end");
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(file)
    }
}

/// Whether we are the user that PostgreSQL refuses.
pub fn is_root() -> bool {
    own_id() == 0
}

fn own_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The first folder on the way to this one that others can't walk through; what is not there yet is no hindrance.
fn closed(dir: &Path) -> Option<&Path> {
    let way: Vec<_> = dir.ancestors().collect();
    way.into_iter().rev().find(|dir| fs::metadata(dir).is_ok_and(|found| found.mode() & 0o001 == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_below_a_closed_one_is_closed_even_before_it_is_made() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(closed(&dir.path().join("a/b")), Some(dir.path()));
        assert_eq!(closed(Path::new("/usr/no-such-folder")), None);
    }

    #[test]
    fn two_at_once_wait_for_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { dir: dir.path().to_owned() };
        let held = place.lock().unwrap();
        let other = File::open(dir.path().join(LOCK)).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        other.try_lock().unwrap();
    }
}
