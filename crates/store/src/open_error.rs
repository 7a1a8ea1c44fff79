//! Why a store can't be opened, in words that say what to do.

use std::path::PathBuf;

use crate::StoreKind;

/// Why a data directory or a store in it can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error(
        "{} is in use by another cartwright process ({}): stop that one first, or start this one with another data directory",
        .dir.display(),
        .pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"))
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who holds it, as far as it said so.
        pid: Option<u32>,
    },
    /// A newer binary wrote the file and gave up what this one needs.
    #[error(
        "{} was written by a newer cartwright (schema {found}, usable from schema {oldest_binary} on; this binary knows \
         schema {known}): start the newer binary again, or restore a backup made before the upgrade",
        .file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: u32,
        /// The oldest schema that a binary must know to use it.
        oldest_binary: u32,
        /// What this binary knows.
        known: u32,
    },
    /// The file belongs to another service.
    #[error("{} is the store of the service `{found}`, not of `{wanted}`: check the data directory's files", .file.display())]
    OtherKind {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked for it.
        wanted: StoreKind,
    },
    /// The file is not a sound database.
    #[error(
        "{} is not a sound cartwright store ({reason}): move it and its -wal and -shm files away and restore a backup",
        .file.display()
    )]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file or directory can't be read or written.
    #[error("{} can't be used ({source}): check that it exists, may be written, and that the disk has room", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    pub(crate) fn io(
        path: impl Into<PathBuf>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Io { path: path.into(), source: source.into() }
    }
}
