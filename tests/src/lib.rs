//! Stories told with the real binary and real clients, as a user would: nothing here reaches into the process.
//!
//! `cargo xtask test` builds the binary and the workloads and fetches kubectl before it runs them.

#[cfg(test)]
mod stories;

pub mod cluster;
pub mod http;
pub mod machines;
pub mod observers;
pub mod oracle;
pub mod wait;
