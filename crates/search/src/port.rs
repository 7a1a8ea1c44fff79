//! The port: an index of documents, one for each order.
//!
//! An index is never the truth. A document is written whole, under the version of its order, and an older version never
//! takes the place of a newer one, in whatever order they come. What is lost with an index is written anew.

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use crate::query::{Request, Wrong};

/// One order as it is searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The order's id, and the document's.
    pub id: String,
    /// The order's version.
    pub version: u64,
    /// Its JSON, as searches give it back.
    pub source: Vec<u8>,
}

/// Which index is meant: a rebuild fills one beside the one that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The one that is searched.
    Live,
    /// The one that is being made, between [`SearchIndex::begin_next`] and [`SearchIndex::swap`].
    Next,
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is in the index, as of the next commit.
    Stored,
    /// One of this version or a newer one was there already.
    Older,
    /// The index does not take it, now or later: why.
    Refused(String),
}

/// How far the journal of orders has been followed into an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which journal: one that was restored is another.
    pub incarnation: Uuid,
    /// Everything up to here is in the index.
    pub position: u64,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// How many documents match.
    pub total: u64,
    /// The highest score, if hits were scored.
    pub max_score: Option<f32>,
    /// The page that was asked for.
    pub hits: Vec<Hit>,
    /// The aggregations asked for, as Elasticsearch answers them; `None` if none was.
    pub aggregations: Option<Value>,
}

/// One document of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its id.
    pub id: String,
    /// How well it matches; `None` where something else sorts.
    pub score: Option<f32>,
    /// Its JSON, filtered as asked; `None` if it was not wanted.
    pub source: Option<Value>,
    /// The values it was sorted by, for `search_after`; empty if nothing sorts.
    pub sort: Vec<Value>,
}

/// Why an index did not do what was asked. All but [`Error::Wrong`] may be tried again.
///
/// After an error of [`SearchIndex::write`] or [`SearchIndex::commit`] nothing written since the commit before counts: the
/// indexer goes on from [`SearchIndex::progress`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A search that can't be answered, which shows only while it is tried: too many buckets, for one.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// It does not answer, or has too much to do.
    #[error("the search index is not available: {0}")]
    Unavailable(String),
    /// It answers that this can't be done: settings, rights, or what it holds.
    #[error("the search index refuses: {0}")]
    Refused(String),
}

/// An index of orders.
///
/// Written to by one at a time (the indexer, or a rebuild for [`Aim::Next`]); searched by any number.
#[async_trait]
pub trait SearchIndex: Send + Sync {
    /// Makes what is missing: the index, its mapping. Safe to repeat.
    async fn prepare(&self) -> Result<(), Error>;

    /// Writes documents, one outcome for each in their order. They can be found after the next commit at the latest.
    async fn write(&self, aim: Aim, documents: &[Document]) -> Result<Vec<Written>, Error>;

    /// Has everything written be found and kept, and notes how far it goes; `None` leaves the note as it is.
    async fn commit(&self, aim: Aim, progress: Option<Progress>) -> Result<(), Error>;

    /// What was noted last for the live index; `None`: it is new.
    async fn progress(&self) -> Result<Option<Progress>, Error>;

    /// Searches.
    async fn search(&self, request: &Request) -> Result<Found, Error>;

    /// One document as it stands; `None`: there is none.
    async fn get(&self, id: &str) -> Result<Option<Document>, Error>;

    /// Begins an empty index beside the live one; what an earlier attempt left there is thrown away.
    async fn begin_next(&self) -> Result<(), Error>;

    /// Puts the next index in the live one's place, at once for everybody who searches, and drops the old one.
    async fn swap(&self) -> Result<(), Error>;
}
