//! The pod network, in user space: addresses, ports, routes, and streams between pods. It knows nothing of Kubernetes
//! and keeps no state in the kernel.
//!
//! A [`Fabric`] is one node's part of it. [`Fabric::attach`] gives a pod its addresses and returns the [`PodNetwork`]
//! through which the pod's containers see the world; dropping that takes the pod off the network. A connection goes to
//! the first of these that knows its destination:
//!
//! 1. the pod itself: its loopback and its own addresses;
//! 2. a service: [`ServiceRoutes`] chooses the endpoint, and is asked again when that one refuses;
//! 3. a pod of this node: a stream in memory;
//! 4. a pod of another node: a stream over the [`Link`] that the [`RouteTable`] names ([`mesh`]: QUIC between nodes);
//! 5. the host's network, when [`Egress`] allows it.
//!
//! **Invariant:** a guest never reaches what the host itself offers (its loopback, its link-local and its own
//! addresses), except where a service's route says so explicitly ([`Via::Host`]).
//!
//! **Invariant:** what arrives over a link is from an address that the link's peer owns.

mod egress;
mod fabric;
mod host;
mod listener;
pub mod mesh;
mod names;
mod pipe;
mod pod;
mod ports;
mod route;
mod services;
mod udp;

#[cfg(test)]
mod tests;

pub use egress::Egress;
pub use fabric::{Fabric, FabricConfig};
pub use host::HostStream;
pub use names::{Answer, Asks, Names, Resolver, Search};
pub use pipe::{End, pipe};
pub use pod::{PodIdentity, PodNetwork};
pub use route::{Header, Link, RouteTable};
pub use services::{Counter, Endpoint, Outstanding, Protocol, Route, ServiceRoutes, Via};

/// What keeps a pod from being attached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a pod needs an address")]
    NoAddress,
    #[error("address {0} belongs to another pod")]
    AddressTaken(std::net::IpAddr),
}
