//! From one Service and its EndpointSlices to its rows of the table. Pure, but for the memory that outlives a table:
//! counts of connections, and where clients were sent.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use coracle_client::Key;
use coracle_net::{Protocol, Via};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::affinity::Affinity;
use crate::backends::{Backend, Backends, Counted};
use crate::health::Health;
use crate::table::{Door, Node};

/// What Kubernetes gives to clients who do not say how long they stay.
const AFFINITY_SECONDS: i32 = 10_800;
/// Memory of what is gone is cleared when it has grown to this many entries more than were left last time.
const PRUNE_EVERY: usize = 4096;

/// One service's rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) addresses: Vec<((SocketAddr, Protocol), Arc<Backends>)>,
    pub(crate) doors: Vec<((Door, Protocol), Arc<Backends>)>,
    pub(crate) health: Option<(u16, Health)>,
}

/// What is carried over from one table to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    endpoints: HashSet<Known>,
    affinities: HashMap<(Key, String, Protocol), Weak<Affinity>>,
    prune_at: usize,
}

impl Memory {
    fn endpoint(&mut self, address: SocketAddr, protocol: Protocol) -> Arc<Counted> {
        if let Some(Known(counted)) = self.endpoints.get(&(address, protocol)) {
            return counted.clone();
        }
        let counted = Arc::new(Counted::new(address, protocol));
        self.endpoints.insert(Known(counted.clone()));
        counted
    }

    fn affinity(&mut self, service: Key, port: String, protocol: Protocol) -> Arc<Affinity> {
        recall(self.affinities.entry((service, port, protocol)).or_default())
    }

    fn prune(&mut self) {
        if self.endpoints.len() + self.affinities.len() < self.prune_at {
            return;
        }
        self.endpoints.retain(|Known(counted)| Arc::strong_count(counted) > 1);
        self.affinities.retain(|_, kept| kept.strong_count() > 0);
        self.prune_at = self.endpoints.len() + self.affinities.len() + PRUNE_EVERY;
    }
}

/// An endpoint in a set, where it is found by what it is.
#[derive(Debug)]
struct Known(Arc<Counted>);

impl Borrow<(SocketAddr, Protocol)> for Known {
    fn borrow(&self) -> &(SocketAddr, Protocol) {
        &self.0.at
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.0.at == other.0.at
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.at.hash(state);
    }
}

fn recall<T: Default>(kept: &mut Weak<T>) -> Arc<T> {
    kept.upgrade().unwrap_or_else(|| {
        let fresh = Arc::new(T::default());
        *kept = Arc::downgrade(&fresh);
        fresh
    })
}

/// The rows of `service`. Headless and external ones have none: they are only names.
pub(crate) fn compile(service: &Service, slices: &[&EndpointSlice], node: &Node, memory: &mut Memory) -> Compiled {
    let mut compiled = Compiled::default();
    memory.prune();
    let Some(spec) = &service.spec else { return compiled };
    let cluster_ips = cluster_ips(spec);
    if cluster_ips.is_empty() {
        return compiled;
    }
    let key = Key::of(&service.metadata);
    let (outer_ips, sources) = (outer_ips(service, spec), sources(spec));
    compiled.health = health_port(spec).map(|port| {
        let n_local = n_local(slices, node);
        (port, Health { service: key.clone(), n_local })
    });
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = protocol(port.protocol.as_deref()) else { continue };
        let Ok(number) = u16::try_from(port.port) else { continue };
        let mut row = Row { spec, key: &key, port, protocol, slices, node, sources: &sources, memory };
        for ip in &cluster_ips {
            let backends = row.backends(ip.is_ipv4(), Traffic::Internal);
            compiled.addresses.push(((SocketAddr::new(*ip, number), protocol), backends));
        }
        for ip in &outer_ips {
            let address = SocketAddr::new(*ip, number);
            compiled.addresses.push(((address, protocol), row.backends(ip.is_ipv4(), Traffic::FromPods)));
            compiled.doors.push(((Door::Address(address), protocol), row.backends(ip.is_ipv4(), Traffic::External)));
        }
        let Some(node_port) = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|p| *p != 0) else {
            continue;
        };
        let backends = row.backends(cluster_ips[0].is_ipv4(), Traffic::External);
        compiled.doors.push(((Door::NodePort(node_port), protocol), backends));
        for ip in &node.addresses {
            let backends = row.backends(ip.is_ipv4(), Traffic::FromPods);
            compiled.addresses.push(((SocketAddr::new(*ip, node_port), protocol), backends));
        }
    }
    compiled
}

/// Where balancers ask: of services that are reached from outside only at nodes that have endpoints.
fn health_port(spec: &ServiceSpec) -> Option<u16> {
    let asks =
        spec.type_.as_deref() == Some("LoadBalancer") && spec.external_traffic_policy.as_deref() == Some("Local");
    let port = spec.health_check_node_port.filter(|_| asks)?;
    u16::try_from(port).ok().filter(|port| *port != 0)
}

/// How many endpoints are ready on this node, each address once.
fn n_local(slices: &[&EndpointSlice], node: &Node) -> usize {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let candidates = endpoints.map(|endpoint| (endpoint.addresses.first(), Candidate::new(endpoint, node)));
    let ready = candidates.filter(|(_, candidate)| candidate.local && candidate.ready);
    ready.map(|(address, _)| address).collect::<BTreeSet<_>>().len()
}

/// Where a connection comes from, which decides whose traffic policy holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Traffic {
    /// To a cluster address.
    Internal,
    /// To a node port or an outer address, from outside.
    External,
    /// To a node port or an outer address, from a pod: as in Kubernetes, that stays inside and reaches every endpoint.
    FromPods,
}

struct Row<'a> {
    spec: &'a ServiceSpec,
    key: &'a Key,
    port: &'a ServicePort,
    protocol: Protocol,
    slices: &'a [&'a EndpointSlice],
    node: &'a Node,
    sources: &'a Arc<[IpNet]>,
    memory: &'a mut Memory,
}

impl Row<'_> {
    fn backends(&mut self, v4: bool, traffic: Traffic) -> Arc<Backends> {
        let via = self.via();
        let addresses = match self.node.api_server {
            Some(address) if via == Via::Host => vec![address],
            _ => usable(&self.candidates(v4), self.is_local_only(traffic)),
        };
        let backend = |address| Backend { counted: self.memory.endpoint(address, self.protocol), via };
        let usable = addresses.into_iter().map(backend).collect();
        let sources = if traffic == Traffic::External { self.sources.clone() } else { Arc::default() };
        Arc::new(Backends { usable, affinity: self.affinity(), sources })
    }

    /// The API server is the one service that is not on the pod network.
    fn via(&self) -> Via {
        let is_api_server = self.key.namespace == "default" && self.key.name == "kubernetes";
        if is_api_server { Via::Host } else { Via::Fabric }
    }

    fn is_local_only(&self, traffic: Traffic) -> bool {
        let policy = match traffic {
            Traffic::Internal => &self.spec.internal_traffic_policy,
            Traffic::External => &self.spec.external_traffic_policy,
            Traffic::FromPods => &None,
        };
        policy.as_deref() == Some("Local")
    }

    fn affinity(&mut self) -> Option<(Arc<Affinity>, Duration)> {
        if self.spec.session_affinity.as_deref() != Some("ClientIP") {
            return None;
        }
        let client_ip = self.spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let seconds = client_ip.and_then(|client_ip| client_ip.timeout_seconds).unwrap_or(AFFINITY_SECONDS);
        let port = self.port.name.clone().unwrap_or_default();
        let affinity = self.memory.affinity(self.key.clone(), port, self.protocol);
        Some((affinity, Duration::from_secs(seconds.max(0).unsigned_abs().into())))
    }

    /// Every endpoint of this port in one family, each address once.
    fn candidates(&self, v4: bool) -> BTreeMap<SocketAddr, Candidate> {
        let mut found = BTreeMap::new();
        let family = if v4 { "IPv4" } else { "IPv6" };
        for slice in self.slices.iter().filter(|slice| slice.address_type == family) {
            let Some(port) = self.port_in(slice) else { continue };
            for endpoint in slice.endpoints.iter().flatten() {
                // Upstream writes one address per endpoint, and readers take the first.
                if let Some(Ok(ip)) = endpoint.addresses.first().map(|address| address.parse::<IpAddr>()) {
                    let candidate = Candidate::new(endpoint, self.node);
                    found.insert(SocketAddr::new(ip, port), candidate);
                }
            }
        }
        found
    }

    fn port_in(&self, slice: &EndpointSlice) -> Option<u16> {
        let name = self.port.name.as_deref().unwrap_or_default();
        let mut ports = slice.ports.iter().flatten();
        let port = ports.find(|port| {
            port.name.as_deref().unwrap_or_default() == name
                && protocol(port.protocol.as_deref()) == Some(self.protocol)
        })?;
        u16::try_from(port.port?).ok()
    }
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    ready: bool,
    /// Told to end, but still answering.
    draining: bool,
    local: bool,
    /// Whether it is meant for this node, or for this node's zone, before others; `None` when it does not say.
    for_node: Option<bool>,
    for_zone: Option<bool>,
}

impl Candidate {
    fn new(endpoint: &Endpoint, node: &Node) -> Self {
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        let ready = conditions.ready.unwrap_or(true);
        let serving = conditions.serving.unwrap_or(ready);
        let draining = serving && conditions.terminating.unwrap_or(false);
        let hints = endpoint.hints.as_ref();
        let nodes = hints.and_then(|hints| hints.for_nodes.as_ref()).filter(|nodes| !nodes.is_empty());
        let zones = hints.and_then(|hints| hints.for_zones.as_ref()).filter(|zones| !zones.is_empty());
        Self {
            ready,
            draining,
            local: endpoint.node_name.as_deref() == Some(&*node.name),
            for_node: nodes.map(|nodes| nodes.iter().any(|hint| hint.name == node.name)),
            for_zone: zones.map(|zones| zones.iter().any(|hint| Some(&hint.name) == node.zone.as_ref())),
        }
    }
}

/// Those that are ready, of them the nearest when the service prefers these; when none is ready, those that drain.
fn usable(candidates: &BTreeMap<SocketAddr, Candidate>, local_only: bool) -> Vec<SocketAddr> {
    let eligible = || candidates.iter().filter(|(_, candidate)| candidate.local || !local_only);
    let mut chosen: Vec<_> = eligible().filter(|(_, candidate)| candidate.ready).collect();
    if chosen.is_empty() {
        chosen = eligible().filter(|(_, candidate)| candidate.draining).collect();
    } else if !local_only && let Some(is_near) = nearness(&chosen) {
        chosen.retain(|(_, candidate)| is_near(candidate) == Some(true));
    }
    chosen.into_iter().map(|(address, _)| *address).collect()
}

type Hint = fn(&Candidate) -> Option<bool>;

/// The hint that decides: all must give it, and one of them must be for us.
fn nearness(ready: &[(&SocketAddr, &Candidate)]) -> Option<Hint> {
    let hints: [Hint; 2] = [|candidate| candidate.for_node, |candidate| candidate.for_zone];
    hints.into_iter().find(|hint| {
        ready.iter().all(|(_, candidate)| hint(candidate).is_some())
            && ready.iter().any(|(_, candidate)| hint(candidate) == Some(true))
    })
}

fn cluster_ips(spec: &ServiceSpec) -> Vec<IpAddr> {
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let several = spec.cluster_ips.iter().flatten();
    let mut ips: Vec<IpAddr> = several.filter_map(|ip| ip.parse().ok()).collect();
    if ips.is_empty() {
        ips.extend(spec.cluster_ip.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()));
    }
    ips
}

/// Addresses outside the cluster's ranges that lead to this service.
fn outer_ips(service: &Service, spec: &ServiceSpec) -> Vec<IpAddr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    // A proxy wants to see what is sent to it.
    let is_ours = |ingress: &&LoadBalancerIngress| ingress.ip_mode.as_deref() != Some("Proxy");
    let assigned = ingress.filter(is_ours).filter_map(|ingress| ingress.ip.as_ref());
    spec.external_ips.iter().flatten().chain(assigned).filter_map(|ip| ip.parse().ok()).collect()
}

/// From where a load balancer may be reached.
fn sources(spec: &ServiceSpec) -> Arc<[IpNet]> {
    let named = spec.load_balancer_source_ranges.iter().flatten();
    named.filter_map(|range| range.trim().parse().ok()).collect()
}

fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some(_) => None,
    }
}
