//! One index on disk, and the small file that says which one is searched.
//!
//! ```text
//! <dir>/current.json      {"format": 2, "index": "index-…"}, put in place by a rename
//! <dir>/index-…/          the index that is searched, and during a rebuild the next one beside it
//! ```
//! Whatever else lies there is left from an attempt that was broken off, and goes at the next start.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tantivy::{Index, IndexReader, ReloadPolicy, TantivyError, directory::MmapDirectory};
use uuid::Uuid;

use super::{
    failed,
    layout::{Layout, tokenizers},
};
use crate::port::{Error, Progress};

/// Raised when documents are written in another way that their schema does not show; older indexes are then made anew.
const FORMAT: u32 = 2;

/// How many unpacked blocks of documents each part of an index keeps at hand.
const CACHED_BLOCKS: usize = 10;

const POINTER: &str = "current.json";
const POINTER_BEING_WRITTEN: &str = "current.json.new";
const PREFIX: &str = "index-";

/// One index on disk.
pub(super) struct Slot {
    pub(super) index: Index,
    pub(super) reader: IndexReader,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Pointer {
    format: u32,
    index: String,
}

/// What is kept with a commit.
#[derive(Serialize, Deserialize)]
struct Noted {
    incarnation: Uuid,
    position: u64,
}

impl Slot {
    /// Opens the index that is searched. One that can't be used is thrown away, and a new one is begun.
    pub(super) fn open(dir: &Path, layout: &Layout) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|error| unusable(dir, &error))?;
        let slot = match Self::open_current(dir, layout) {
            Ok(Some(slot)) => slot,
            Ok(None) => Self::create_current(dir, layout)?,
            Err(reason) => {
                tracing::warn!(
                    dir = %dir.display(),
                    reason,
                    "the search index can't be used and is made anew from the stores"
                );
                Self::create_current(dir, layout)?
            }
        };
        slot.remove_others(dir);
        Ok(slot)
    }

    /// Begins an empty index beside the one that is searched.
    pub(super) fn create(dir: &Path, layout: &Layout) -> Result<Self, Error> {
        let name = format!("{PREFIX}{}", Uuid::now_v7().simple());
        let path = dir.join(&name);
        fs::create_dir_all(&path).map_err(|error| unusable(&path, &error))?;
        let directory = MmapDirectory::open(&path).map_err(|error| failed(error.into()))?;
        let index = Index::builder()
            .schema(layout.schema.clone())
            .tokenizers(tokenizers())
            .open_or_create(directory)
            .map_err(failed)?;
        Self::of(index, name).map_err(failed)
    }

    /// Has this one be searched from the next start on.
    pub(super) fn point_to(&self, dir: &Path) -> Result<(), Error> {
        let pointer = Pointer { format: FORMAT, index: self.name.clone() };
        let write = || -> io::Result<()> {
            let mut file = File::create(dir.join(POINTER_BEING_WRITTEN))?;
            file.write_all(&serde_json::to_vec(&pointer)?)?;
            file.sync_all()?;
            fs::rename(dir.join(POINTER_BEING_WRITTEN), dir.join(POINTER))?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|error| unusable(dir, &error))
    }

    /// Takes it from the disk. Searches that still look into it are not disturbed.
    pub(super) fn remove(&self, dir: &Path) {
        remove(&dir.join(&self.name));
    }

    /// What the last commit noted.
    pub(super) fn progress(&self) -> Result<Option<Progress>, TantivyError> {
        let noted = self.index.load_metas()?.payload;
        let noted = noted.and_then(|noted| serde_json::from_str::<Noted>(&noted).ok());
        Ok(noted.map(|noted| Progress { incarnation: noted.incarnation, position: noted.position }))
    }

    /// `None`: there is none yet. An error says why the one that is there can't be used.
    fn open_current(dir: &Path, layout: &Layout) -> Result<Option<Self>, String> {
        let pointer = match fs::read(dir.join(POINTER)) {
            Ok(pointer) => pointer,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let pointer: Pointer = serde_json::from_slice(&pointer).map_err(|error| error.to_string())?;
        if pointer.format != FORMAT {
            return Err(format!("it is of format {}, and this program writes {FORMAT}", pointer.format));
        }
        if !pointer.index.starts_with(PREFIX) || pointer.index.contains(['/', '\\']) {
            return Err(format!("{POINTER} names {:?}", pointer.index));
        }
        let open = || -> Result<Self, TantivyError> {
            let index = Index::builder()
                .schema(layout.schema.clone())
                .tokenizers(tokenizers())
                .open_or_create(MmapDirectory::open(dir.join(&pointer.index))?)?;
            Self::of(index, pointer.index)
        };
        let slot = open().map_err(|error| error.to_string())?;
        slot.progress().map_err(|error| error.to_string())?;
        Ok(Some(slot))
    }

    fn create_current(dir: &Path, layout: &Layout) -> Result<Self, Error> {
        let slot = Self::create(dir, layout)?;
        slot.point_to(dir)?;
        Ok(slot)
    }

    fn of(index: Index, name: String) -> Result<Self, TantivyError> {
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(CACHED_BLOCKS)
            .try_into()?;
        Ok(Self { index, reader, name })
    }

    fn remove_others(&self, dir: &Path) {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            if (name.starts_with(PREFIX) && name != self.name) || name == POINTER_BEING_WRITTEN {
                remove(&entry.path());
            }
        }
    }
}

/// What is kept with a commit, so that the next start knows where to go on.
pub(super) fn note(progress: Progress) -> Result<String, Error> {
    let noted = Noted { incarnation: progress.incarnation, position: progress.position };
    serde_json::to_string(&noted).map_err(|error| Error::Unavailable(error.to_string()))
}

/// What can't be removed now is removed at the next start.
fn remove(path: &PathBuf) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        tracing::debug!(path = %path.display(), %error, "an old search index stays until the next start");
    }
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("{}: {error}", path.display()))
}

/// What searches look into; it is replaced whole.
pub(super) type Shared = Arc<Slot>;
