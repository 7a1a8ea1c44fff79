//! x
pub mod providers;
