//! One test binary for the adapters: the contract on each of them, and what only one of them promises.

mod sqlite;
