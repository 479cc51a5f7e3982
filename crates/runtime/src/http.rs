//! HTTP both ways: components that answer requests, and requests that guests make.

mod body;
mod call;
mod exchange;
mod outgoing;
mod server;

pub(crate) use outgoing::Outgoing;
pub(crate) use server::serve;
