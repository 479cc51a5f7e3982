//! HTTP both ways: components that answer requests, and requests that guests make.

mod admission;
mod body;
mod connection;
mod counters;
mod exchange;
mod instance;
mod outgoing;
mod pool;
mod refusal;
mod request_id;
mod server;
mod target;
mod tls;
mod wire;
mod work;

pub(crate) use counters::Counters;
pub use counters::{LATENCY_BOUNDS_S, Latency, Requests};
pub(crate) use outgoing::Outgoing;
pub(crate) use server::serve;
pub(crate) use tls::Tls;
