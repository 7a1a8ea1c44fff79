//! What is in a backup. It is written last: a backup without it is none.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use cartwright_core::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{BackupError, sync};
use crate::sqlite::Facts;

/// The manifest's file.
pub const MANIFEST: &str = "manifest.json";

/// The form of backups that this binary makes and reads.
const FORMAT: u32 = 1;

/// Bytes that are read at once.
const BLOCK: usize = 1024 * 1024;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The form of the backup.
    pub format: u32,
    /// The binary that made it.
    pub cartwright: String,
    /// When the copy was complete; it shows the moment of its cut or somewhat later.
    pub created_at: Timestamp,
    /// The files.
    pub files: Vec<FileEntry>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// Its name, in the backup and in the data directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// The journal in it; only services have one.
    pub incarnation: Option<Uuid>,
    /// Where that journal ends.
    pub head: Option<u64>,
    /// The schema of its tables.
    pub schema: Option<u32>,
}

impl Manifest {
    pub(super) fn new(version: &str, files: Vec<FileEntry>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let created_at = Timestamp::default().plus(now);
        Self { format: FORMAT, cartwright: version.to_owned(), created_at, files }
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Writes it durably, together with the names of all files in the directory.
    pub(super) fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let path = dir.join(MANIFEST);
        let json = serde_json::to_vec_pretty(self).map_err(BackupError::file(&path))?;
        sync(dir)?;
        fs::write(&path, json).map_err(BackupError::file(&path))?;
        sync(&path)?;
        sync(dir)?;
        // The directory itself may be new.
        dir.canonicalize().ok().and_then(|dir| dir.parent().map(sync)).unwrap_or(Ok(()))
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// There is none, it can't be understood, or a newer binary wrote it.
    pub fn read(dir: &Path) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
            cartwright: String,
        }
        let incomplete = |reason: String| BackupError::Incomplete { dir: dir.to_owned(), reason };
        let json =
            fs::read(dir.join(MANIFEST)).map_err(|error| incomplete(format!("{MANIFEST}: {error}")))?;
        let form: Form =
            serde_json::from_slice(&json).map_err(|error| incomplete(format!("{MANIFEST}: {error}")))?;
        if form.format != FORMAT {
            return Err(BackupError::Newer { version: form.cartwright });
        }
        serde_json::from_slice(&json).map_err(|error| incomplete(format!("{MANIFEST}: {error}")))
    }
}

impl FileEntry {
    pub(super) fn of(path: &Path, name: &str, facts: Option<&Facts>) -> Result<Self, BackupError> {
        let (bytes, sha256) = digest(path, |_| {})?;
        Ok(Self {
            name: name.to_owned(),
            bytes,
            sha256,
            incarnation: facts.map(|facts| facts.incarnation),
            head: facts.map(|facts| facts.head),
            schema: facts.map(|facts| facts.schema),
        })
    }

    /// Compares the file in this directory with what it should be.
    pub(super) fn check(&self, dir: &Path, progress: impl FnMut(u64)) -> Result<(), BackupError> {
        let path = dir.join(&self.name);
        let damaged = |reason: String| Err(BackupError::Damaged { file: path.clone(), reason });
        let (bytes, sha256) = match digest(&path, progress) {
            Ok(found) => found,
            Err(BackupError::File { source, .. }) => return damaged(source.to_string()),
            Err(error) => return Err(error),
        };
        if bytes != self.bytes {
            return damaged(format!("it has {bytes} bytes instead of {}", self.bytes));
        }
        if sha256 != self.sha256 {
            return damaged("its SHA-256 is not that of the manifest".to_owned());
        }
        Ok(())
    }
}

/// Length and SHA-256 of a file.
fn digest(path: &Path, mut progress: impl FnMut(u64)) -> Result<(u64, String), BackupError> {
    let mut file = File::open(path).map_err(BackupError::file(path))?;
    let (mut hash, mut bytes, mut block) = (Sha256::new(), 0, vec![0; BLOCK]);
    loop {
        let read = file.read(&mut block).map_err(BackupError::file(path))?;
        if read == 0 {
            break;
        }
        hash.update(&block[..read]);
        bytes += read as u64;
        progress(read as u64);
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, sha256))
}
