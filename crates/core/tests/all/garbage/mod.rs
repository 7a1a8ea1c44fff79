//! Garbage, generated: whatever comes from outside is read or refused, and never a panic.

mod engine;
mod readers;
mod records;
mod world;
