//! Writes documents into one index.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    thread,
};

use tantivy::{
    DocSet, IndexWriter, TERMINATED, TantivyDocument, TantivyError, Term, columnar::Column,
    index::SegmentReader, indexer::LogMergePolicy, schema::IndexRecordOption,
};

use super::{
    failed,
    layout::{Layout, VERSION},
    slot::{Shared, note},
};
use crate::port::{Document, Error, Progress, Written};

/// How much is gathered in memory before it is written to disk, for each thread.
const MEMORY: usize = 16 << 20;

/// How many documents are written between two commits; then one is made anyway, so that what is remembered of them has an
/// end.
const MAX_UNCOMMITTED: usize = 50_000;

/// Of so many documents of an index that began empty it is known without a look that it has none of an id: in 20 MB.
const MAX_KNOWN: usize = 1_800_000;

/// A part of the index in which so much is outdated is written anew.
const MAX_OUTDATED: f32 = 0.3;

/// How nice the threads are that write and merge: beside another that is busy they get a tenth.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Parts that become one when an index is made as a whole: the more at once, the less often a document is written anew.
const MERGED_AT_ONCE: usize = 16;

/// The one who writes into an index.
pub(super) struct Writer {
    slot: Shared,
    threads: usize,
    /// Begun anew after an error.
    writer: Option<IndexWriter>,
    /// The versions of what is written and not yet committed.
    uncommitted: HashMap<String, u64>,
    /// Where the versions of all else are found.
    committed: Vec<Part>,
    /// `None`: any id may be there.
    known: Option<Known>,
    progress: Option<Progress>,
}

/// What an index may hold that began empty: the hashes of its ids.
#[derive(Default)]
struct Known {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Known {
    /// `true` if it was not there.
    fn insert(&mut self, id: &str) -> bool {
        self.hashes.insert(self.hasher.hash_one(id))
    }
}

impl Writer {
    pub(super) fn new(slot: Shared, threads: usize) -> Result<Self, Error> {
        let progress = slot.progress().map_err(failed)?;
        let is_empty = slot.reader.searcher().segment_readers().is_empty();
        let mut writer = Self {
            slot,
            threads,
            writer: None,
            uncommitted: HashMap::new(),
            committed: Vec::new(),
            known: is_empty.then(Known::default),
            progress,
        };
        // Now, since a second process is to be told at once that this one has the index.
        writer.begin().map_err(failed)?;
        Ok(writer)
    }

    pub(super) fn slot(&self) -> &Shared {
        &self.slot
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        self.progress
    }

    /// Goes on with so many threads. What is not committed is forgotten.
    pub(super) fn set_threads(&mut self, threads: usize) {
        self.give_up();
        self.known = None;
        self.threads = threads;
        if let Err(error) = self.begin() {
            tracing::warn!(%error, "the search index is opened for writing at the next write");
        }
    }

    /// Forgets what was not committed.
    pub(super) fn give_up(&mut self) {
        self.writer = None;
        self.uncommitted.clear();
        self.committed.clear();
    }

    pub(super) fn write(&mut self, layout: &Layout, documents: &[Document]) -> Result<Vec<Written>, Error> {
        let written: Result<_, _> =
            documents.iter().map(|document| self.write_one(layout, document)).collect();
        if written.is_err() {
            self.give_up();
        }
        written
    }

    pub(super) fn commit(&mut self, progress: Option<Progress>) -> Result<(), Error> {
        let unchanged = progress.is_none() || progress == self.progress;
        if self.uncommitted.is_empty() && unchanged {
            return Ok(());
        }
        let committed = self.try_commit(progress.or(self.progress));
        if committed.is_err() {
            self.give_up();
        }
        committed
    }

    fn write_one(&mut self, layout: &Layout, document: &Document) -> Result<Written, Error> {
        if self.uncommitted.len() >= MAX_UNCOMMITTED {
            self.try_commit(self.progress)?;
        }
        self.begin().map_err(failed)?;
        let id = Term::from_field_text(layout.id, &document.id);
        let known = match self.uncommitted.get(&document.id).copied() {
            Some(version) => Some(version),
            None if self.note_id(&document.id) => None,
            None => newest(&self.committed, layout, &id).map_err(failed)?,
        };
        if known.is_some_and(|known| known >= document.version) {
            return Ok(Written::Older);
        }
        let filled = match layout.document(document) {
            Ok(filled) => filled,
            Err(reason) => return Ok(Written::Refused(reason)),
        };
        let Some(writer) = &self.writer else {
            return Err(Error::Unavailable("the search index is not open for writing".to_owned()));
        };
        if known.is_some() {
            writer.delete_term(id);
        }
        writer.add_document(filled).map_err(failed)?;
        self.uncommitted.insert(document.id.clone(), document.version);
        Ok(Written::Stored)
    }

    /// Notes an id that is written; `true` if the index can't have it already.
    fn note_id(&mut self, id: &str) -> bool {
        let Some(known) = &mut self.known else { return false };
        let is_first = known.insert(id);
        if known.hashes.len() >= MAX_KNOWN {
            self.known = None;
        }
        is_first
    }

    fn try_commit(&mut self, progress: Option<Progress>) -> Result<(), Error> {
        self.begin().map_err(failed)?;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut prepared = writer.prepare_commit().map_err(failed)?;
        if let Some(progress) = progress {
            prepared.set_payload(&note(progress)?);
        }
        prepared.commit().map_err(failed)?;
        self.progress = progress;
        self.uncommitted.clear();
        self.look().map_err(failed)
    }

    /// Opens the index for writing, if it is not.
    fn begin(&mut self) -> Result<(), TantivyError> {
        if self.writer.is_some() {
            return Ok(());
        }
        let (index, threads) = (&self.slot.index, self.threads);
        let writer: IndexWriter<TantivyDocument> =
            giving_way(|| index.writer_with_num_threads(threads, threads * MEMORY))?;
        let mut policy = LogMergePolicy::default();
        policy.set_del_docs_ratio_before_merge(MAX_OUTDATED);
        if self.threads > 1 {
            policy.set_min_num_segments(MERGED_AT_ONCE);
        }
        writer.set_merge_policy(Box::new(policy));
        self.writer = Some(writer);
        self.uncommitted.clear();
        self.look()
    }

    /// Has searches, and ourselves, see what is committed.
    fn look(&mut self) -> Result<(), TantivyError> {
        self.slot.reader.reload()?;
        let searcher = self.slot.reader.searcher();
        self.committed = searcher.segment_readers().iter().map(Part::of).collect::<Result<_, _>>()?;
        Ok(())
    }
}

/// Works with what others leave of the processors, in a thread of its own: where the system has it, a thread is as nice as
/// the one that began it, and never gets less so.
pub(super) fn giving_way<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let nicely = || {
        #[cfg(target_os = "linux")]
        if let Err(error) = get_nicer() {
            tracing::debug!(%error, "the search index is written at full priority");
        }
        work()
    };
    let done = thread::scope(|scope| scope.spawn(nicely).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Makes this thread as nice as that, unless it is nicer already.
#[cfg(target_os = "linux")]
fn get_nicer() -> rustix::io::Result<()> {
    use rustix::process::{getpriority_process, setpriority_process};
    if getpriority_process(None)? >= NICE {
        return Ok(());
    }
    setpriority_process(None, NICE)
}

/// A part of the index that is committed.
struct Part {
    reader: SegmentReader,
    versions: Column<u64>,
}

impl Part {
    fn of(reader: &SegmentReader) -> Result<Self, TantivyError> {
        Ok(Self { reader: reader.clone(), versions: reader.fast_fields().u64(VERSION)? })
    }
}

/// The version of the document with this id, if there is one.
fn newest(parts: &[Part], layout: &Layout, id: &Term) -> Result<Option<u64>, TantivyError> {
    for part in parts {
        if let Some(doc) = find(&part.reader, layout, id)? {
            return Ok(part.versions.first(doc));
        }
    }
    Ok(None)
}

/// Where in a part of an index the document with this id stands.
pub(super) fn find(reader: &SegmentReader, layout: &Layout, id: &Term) -> Result<Option<u32>, TantivyError> {
    let Some(mut postings) = reader.inverted_index(layout.id)?.read_postings(id, IndexRecordOption::Basic)?
    else {
        return Ok(None);
    };
    let mut doc = postings.doc();
    while doc != TERMINATED {
        if !reader.is_deleted(doc) {
            return Ok(Some(doc));
        }
        doc = postings.advance();
    }
    Ok(None)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn whatever_writes_gives_way_and_nobody_else_does() {
        let nice = || getpriority_process(None).unwrap();
        let before = nice();
        assert_eq!(giving_way(|| giving_way(nice)), before.max(NICE));
        assert_eq!(nice(), before);
    }
}
