//! HTTP both ways: components that answer requests, and requests that guests make.

mod body;
mod call;
mod counters;
mod exchange;
mod outgoing;
mod server;

pub(crate) use counters::Counters;
pub use counters::{LATENCY_BOUNDS_S, Latency, Requests};
pub(crate) use outgoing::Outgoing;
pub(crate) use server::serve;
