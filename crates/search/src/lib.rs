//! Orders as documents that can be searched: a read model, which can be made anew from the stores at any time.
//!
//! * [`elastic`]: an index on a search server.
//! * [`embedded`]: the port on tantivy, in a directory of this machine.
//! * [`fields`]: what of a document can be searched.
//! * [`port`]: what the server needs of an index, whichever it is.
//! * [`query`]: what can be asked of it.

#![deny(missing_docs)]

mod analyzer;
pub mod elastic;
pub mod embedded;
pub mod fields;
pub mod port;
pub mod query;

pub use port::{Aim, Document, Error, Found, Hit, Progress, SearchIndex, Written};
