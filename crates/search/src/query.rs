//! What is asked of an index: the subset of Elasticsearch's `_search` that we answer.

/// A search.
#[derive(Clone, Debug)]
pub struct Request {}
