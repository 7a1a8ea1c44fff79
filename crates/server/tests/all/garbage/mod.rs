//! Garbage, generated: over HTTP, in settings and in stored records. No panic, no 5xx, no trace of what was refused.

mod bodies;
mod config;
mod dialects;
mod queries;
mod raw;
mod records;
mod sent;
