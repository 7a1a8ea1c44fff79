//! One test binary for the adapters: the contract on each of them, what only one of them promises, and both compared.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod contract;
mod differential;
mod differential_documents;
mod differential_requests;
mod embedded;
mod garbage;
mod remote;
mod remote_server;
mod remote_tls;
mod remote_troubles;
