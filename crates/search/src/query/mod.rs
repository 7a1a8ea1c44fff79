//! What is asked of an index: the subset of Elasticsearch's `_search` that we answer.
//!
//! A request is read and checked once, against the fields that there are; what an adapter gets is one that can be answered.
//! [`Request::to_json`] writes it in the one form that is sent to a search server.

mod aggregations;
mod check;
pub(crate) mod dates;
mod parameters;
mod read;
mod source;
pub(crate) mod values;
mod words;
mod write;
mod wrong;

use serde_json::Value;

pub use aggregations::{Aggregation, Calculation, Interval, Metric, TermsKey, Unit};
pub use dates::{Round, date};
pub use parameters::Parameters;
pub use source::SourceFilter;
pub use words::words;
pub use wrong::Wrong;

/// How far into the hits a page may reach: `from` and `size` together.
pub const MAX_WINDOW: usize = 10_000;

/// How many hits are given where nobody says.
pub const DEFAULT_SIZE: usize = 10;

/// How many queries one request may hold, all together; each value of `terms` counts as one in [`MAX_TERMS`] instead.
pub const MAX_CLAUSES: usize = 1_024;

/// How deep queries may stand in one another.
pub const MAX_DEPTH: usize = 20;

/// How many values `terms` and `ids` take.
pub const MAX_TERMS: usize = 10_000;

/// How many paths `_source` takes.
pub const MAX_PATHS: usize = 100;

/// How many fields may sort.
pub const MAX_SORTS: usize = 16;

/// How many aggregations one request may hold, all together.
pub const MAX_AGGREGATIONS: usize = 64;

/// How deep aggregations may stand in one another.
pub const MAX_AGGREGATION_DEPTH: usize = 5;

/// How many buckets an answer may hold, all together.
pub const MAX_BUCKETS: usize = 65_536;

/// A search.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What the documents must be.
    pub query: Query,
    /// What sorts the hits; empty: how well they match.
    pub sort: Vec<Sort>,
    /// How many hits are passed over.
    pub from: usize,
    /// How many hits are given.
    pub size: usize,
    /// The sort values of the hit after which the page begins.
    pub search_after: Option<Vec<Value>>,
    /// What is given of each document.
    pub source: SourceFilter,
    /// What is reckoned over all that match, by the names of the answers.
    pub aggregations: Vec<(String, Aggregation)>,
    /// Whether the answer says how many match. It is always exact.
    pub track_total_hits: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            query: Query::MatchAll,
            sort: Vec::new(),
            from: 0,
            size: DEFAULT_SIZE,
            search_after: None,
            source: SourceFilter::All,
            aggregations: Vec::new(),
            track_total_hits: true,
        }
    }
}

impl Request {
    /// A search for this, and all else as usual.
    #[must_use]
    pub fn of(query: Query) -> Self {
        Self { query, ..Self::default() }
    }

    /// Reads the body of a `_search`; an empty one asks for everything.
    ///
    /// # Errors
    /// It is not JSON, not a search, or asks for what is not supported.
    pub fn read(body: &[u8]) -> Result<Self, Wrong> {
        read::search(&read::json(body)?)
    }

    /// Reads the body of a `_count`, which holds a query and nothing else. The request asks for no hits.
    ///
    /// # Errors
    /// As [`Request::read`].
    pub fn read_count(body: &[u8]) -> Result<Self, Wrong> {
        read::count(&read::json(body)?)
    }

    /// Reads a `_search` from JSON that is read already.
    ///
    /// # Errors
    /// As [`Request::read`].
    pub fn from_json(body: &Value) -> Result<Self, Wrong> {
        read::search(body)
    }

    /// This search as the body of a `_search`, in its one full form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        write::search(self)
    }
}

/// What a document must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Anything.
    MatchAll,
    /// Nothing is.
    MatchNone,
    /// A field holds words of this text; for fields without words, this value.
    Match {
        /// The field.
        field: String,
        /// The text.
        text: Value,
        /// Whether one word is enough or all must be there.
        operator: Operator,
        /// How many words must be there, where one is enough otherwise.
        minimum: Option<Minimum>,
    },
    /// A field holds the words of this text, one after the other.
    MatchPhrase {
        /// The field.
        field: String,
        /// The text.
        text: Value,
    },
    /// A field holds this value.
    Term {
        /// The field.
        field: String,
        /// The value.
        value: Value,
    },
    /// A field holds one of these values.
    Terms {
        /// The field.
        field: String,
        /// The values.
        values: Vec<Value>,
    },
    /// A field holds a value between these.
    Range {
        /// The field.
        field: String,
        /// Where it begins.
        from: Edge,
        /// Where it ends.
        to: Edge,
    },
    /// A field, or one within it, holds anything.
    Exists {
        /// The field.
        field: String,
    },
    /// A field holds a value that begins so.
    Prefix {
        /// The field.
        field: String,
        /// Its beginning.
        value: String,
    },
    /// The document has one of these ids.
    Ids(Vec<String>),
    /// Several of them together.
    Bool(Box<Together>),
}

impl Query {
    /// The words of a text anywhere in a document: in the fields that are searched when none is named.
    #[must_use]
    pub fn anywhere(text: &str, operator: Operator) -> Self {
        let field = crate::fields::EVERYTHING.to_owned();
        Self::Match { field, text: Value::from(text), operator, minimum: None }
    }
}

/// Queries that hold together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Together {
    /// All of these, and they score.
    pub must: Vec<Query>,
    /// All of these, and they don't score.
    pub filter: Vec<Query>,
    /// These score; one of them must hold where there is neither `must` nor `filter`.
    pub should: Vec<Query>,
    /// None of these.
    pub must_not: Vec<Query>,
    /// How many of `should` must hold.
    pub minimum: Option<Minimum>,
}

/// How many of some must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minimum {
    /// So many; below zero: all but so many.
    Count(i64),
    /// So many of a hundred, rounded down; below zero: all but so many of a hundred.
    Percent(i64),
}

impl Minimum {
    /// How many of `all` must hold, if it is in force.
    #[must_use]
    pub fn of(self, all: usize) -> usize {
        let whole = i64::try_from(all).unwrap_or(i64::MAX);
        let wanted = match self {
            Self::Count(count) if count < 0 => whole.saturating_add(count),
            Self::Count(count) => count,
            Self::Percent(percent) if percent < 0 => whole - whole.saturating_mul(-percent) / 100,
            Self::Percent(percent) => whole.saturating_mul(percent) / 100,
        };
        usize::try_from(wanted.max(0)).unwrap_or(usize::MAX)
    }
}

/// Whether one is enough or all are needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    /// One is enough.
    #[default]
    Or,
    /// All are needed.
    And,
}

/// An end of a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Edge {
    /// It has none.
    #[default]
    Open,
    /// This value is within.
    Including(Value),
    /// This value is the first that is not within.
    Excluding(Value),
}

/// What sorts.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// Which way.
    pub order: Order,
    /// Where documents stand that have no value, whichever way it sorts.
    pub missing: Missing,
    /// What a field is taken to be that no mapping knows.
    pub unmapped_type: Option<String>,
}

impl Sort {
    /// By a field, documents without it last.
    #[must_use]
    pub fn by(field: &str, order: Order) -> Self {
        Self { by: SortBy::Field(field.to_owned()), order, missing: Missing::Last, unmapped_type: None }
    }
}

/// By what hits are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// How well they match.
    Score,
    /// The values of a field; of several the lowest where it ascends, the highest where it descends.
    Field(String),
}

/// Which way something is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The lowest first.
    Ascending,
    /// The highest first.
    Descending,
}

/// Where documents without a value stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// After all others.
    #[default]
    Last,
    /// Before all others.
    First,
}
