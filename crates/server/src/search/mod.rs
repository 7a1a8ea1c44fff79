//! Orders in a search index: what a document of one holds, who writes them, and how an index is made anew.
//!
//! * [`document`]: an order and its events as one document.
//! * [`indexer`]: follows the journal of orders into the index. [`rebuild`]: a new index beside the old one.
//! * [`state`]: how far all that is, for operators.
//!
//! What an index is, and what can be asked of it, is in the crate `cartwright-search`.

pub mod document;
pub mod indexer;
pub mod rebuild;
pub mod state;

use std::sync::Arc;

use cartwright_search::SearchIndex;

pub use self::state::{IndexState, Rebuilding};

/// The index as the rest of the server sees it.
#[derive(Clone)]
pub struct Search {
    /// The index.
    pub index: Arc<dyn SearchIndex>,
    /// Its name, as clients of a search server call it: `orders-v1`.
    pub name: Arc<str>,
    /// How far it is; where the indexer runs in this process.
    pub state: Option<Arc<IndexState>>,
}
