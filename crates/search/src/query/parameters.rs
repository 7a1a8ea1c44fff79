//! What of a search stands in its address.
/// What of a search stands in its address.
#[derive(Default)]
pub struct Parameters {}
