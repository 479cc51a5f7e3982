//! The table of services: what is asked once per connection. Immutable.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use coracle_net::{Protocol, Route};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::backends::Backends;
use crate::compile::{Compiled, Memory, compile};
use crate::health::Health;
use crate::world::service_of;

/// The node for which a table is made.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub name: String,
    /// Addresses under which pods reach node ports.
    pub addresses: Vec<IpAddr>,
    /// Where this node reaches the API server, whatever the endpoints of `default/kubernetes` say.
    pub api_server: Option<SocketAddr>,
    /// Where the node is, for services that prefer what is near.
    pub zone: Option<String>,
}

/// Where a connection from outside comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    NodePort(u16),
    /// An address of a load balancer, or one that the service itself names.
    Address(SocketAddr),
    /// A port where load balancers ask how many endpoints of a service this node has.
    Health(u16),
}

/// Which endpoints serve which address.
#[derive(Clone, Debug, Default)]
pub struct Table {
    addresses: HashMap<(SocketAddr, Protocol), Arc<Backends>>,
    doors: HashMap<(Door, Protocol), Arc<Backends>>,
    health: HashMap<u16, Health>,
}

/// The table that `node` needs for these services and their endpoints.
pub fn table<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    node: &Node,
) -> Table {
    let mut by_service: HashMap<_, Vec<&EndpointSlice>> = HashMap::new();
    for slice in slices {
        if let Some(service) = service_of(slice) {
            by_service.entry(service).or_default().push(slice);
        }
    }
    let (mut table, mut memory) = (Table::default(), Memory::default());
    for service in services {
        let key = coracle_client::Key::of(&service.metadata);
        let slices = by_service.get(&key).map_or(&[][..], Vec::as_slice);
        table.insert(&compile(service, slices, node, &mut memory));
    }
    table
}

impl Table {
    /// The endpoint for a connection of `from` to a service's address.
    pub fn route(&self, from: Option<IpAddr>, to: SocketAddr, protocol: Protocol, refused: &[SocketAddr]) -> Route {
        match self.addresses.get(&(to, protocol)) {
            Some(backends) => backends.choose(from, refused),
            None => Route::NotService,
        }
    }

    /// The endpoint for a connection of `client` that came in at `door`.
    pub fn enter(&self, client: IpAddr, door: Door, protocol: Protocol, refused: &[SocketAddr]) -> Route {
        match self.doors.get(&(door, protocol)) {
            Some(backends) if backends.admits(client) => backends.choose(Some(client), refused),
            Some(_) => Route::NoEndpoints,
            None => Route::NotService,
        }
    }

    /// Whether `endpoint` is one of those behind a service's address.
    pub fn leads(&self, to: SocketAddr, protocol: Protocol, endpoint: SocketAddr) -> bool {
        self.addresses.get(&(to, protocol)).is_some_and(|backends| backends.has(endpoint))
    }

    /// Whether `endpoint` is one of those behind a door.
    pub fn door_leads(&self, door: Door, protocol: Protocol, endpoint: SocketAddr) -> bool {
        self.doors.get(&(door, protocol)).is_some_and(|backends| backends.has(endpoint))
    }

    /// All doors, in no order.
    pub fn doors(&self) -> impl Iterator<Item = (Door, Protocol)> {
        let health = self.health.keys().map(|port| (Door::Health(*port), Protocol::Tcp));
        self.doors.keys().copied().chain(health)
    }

    /// What balancers that ask at `port` are told.
    pub(crate) fn health(&self, port: u16) -> Option<&Health> {
        self.health.get(&port)
    }

    pub(crate) fn insert(&mut self, compiled: &Compiled) {
        self.addresses.extend(compiled.addresses.iter().cloned());
        self.doors.extend(compiled.doors.iter().cloned());
        self.health.extend(compiled.health.iter().cloned());
    }

    pub(crate) fn remove(&mut self, compiled: &Compiled) {
        for (key, _) in &compiled.addresses {
            self.addresses.remove(key);
        }
        for (key, _) in &compiled.doors {
            self.doors.remove(key);
        }
        if let Some((port, _)) = &compiled.health {
            self.health.remove(port);
        }
    }
}
