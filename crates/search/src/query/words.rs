//! Reads `?q=`.
use super::{Operator, Query, Wrong};
/// Reads a query written as words.
///
/// # Errors
/// Not yet.
pub fn words(text: &str, operator: Operator) -> Result<Query, Wrong> { Ok(Query::anywhere(text, operator)) }
