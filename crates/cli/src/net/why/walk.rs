//! The walk from a pod to its target: name, service, endpoints, route. Pure.

use std::net::IpAddr;

use anyhow::{Context, bail};
use coracle_dns::Zone;
use coracle_net::Answer;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// How many aliases are followed.
const ALIASES_MAX: usize = 8;
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What decides where a connection goes.
pub(super) struct World {
    pub(super) pod: Pod,
    pub(super) services: Vec<Service>,
    pub(super) slices: Vec<EndpointSlice>,
    pub(super) nodes: Vec<Node>,
    /// Of the pod's node.
    pub(super) links: Vec<Link>,
    pub(super) domain: String,
}

pub(super) struct Link {
    pub(super) peer: String,
    pub(super) state: String,
    pub(super) relay: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) protocol: &'static str,
}

impl Target {
    /// `HOST`, `HOST:PORT`, or `[IPV6]:PORT`.
    pub(super) fn parse(text: &str, is_udp: bool) -> anyhow::Result<Self> {
        let protocol = if is_udp { "UDP" } else { "TCP" };
        let (host, port) = match text.rsplit_once(':') {
            _ if text.parse::<IpAddr>().is_ok() => (text, None),
            Some((host, port)) => (host, Some(port.parse().with_context(|| format!("{port:?} is no port"))?)),
            None => (text, None),
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            bail!("{text:?} names no target");
        }
        Ok(Self { host, port, protocol })
    }
}

pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) text: String,
}

#[derive(Default)]
pub(super) struct Way {
    pub(super) steps: Vec<Step>,
    /// Why it ends before the target.
    pub(super) failure: Option<String>,
}

/// Why a walk ends early.
type Ends = String;

pub(super) fn walk(world: &World, target: &Target) -> Way {
    let mut way = Way::default();
    way.failure = way.go(world, target).err();
    way
}

impl Way {
    fn say(&mut self, what: &'static str, text: String) {
        self.steps.push(Step { what, text });
    }

    fn go(&mut self, world: &World, target: &Target) -> Result<(), Ends> {
        self.from(world)?;
        let Some(addresses) = self.name(world, target)? else { return Ok(()) };
        let Some(ip) = addresses.first() else { return Err("the name exists, but nothing ready is behind it".into()) };
        match world.services.iter().find(|service| has_address(service, *ip)) {
            Some(service) => self.service(world, service, target),
            None => self.routes(world, &addresses, target.port),
        }
    }

    fn from(&mut self, world: &World) -> Result<(), Ends> {
        let status = world.pod.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
        let address = status.and_then(|status| status.pod_ip.as_deref()).filter(|ip| !ip.is_empty());
        let Some(address) = address else { return Err(format!("the pod has no address: it is {phase}")) };
        self.say("pod", format!("{} is {address} on {}, {phase}", named(&world.pod.metadata), node_of(&world.pod)));
        if phase == "Running" { Ok(()) } else { Err(format!("the pod is {phase}")) }
    }

    /// The addresses that the target's name leads to; `None` when that is not the cluster's to say.
    fn name(&mut self, world: &World, target: &Target) -> Result<Option<Vec<IpAddr>>, Ends> {
        if let Ok(ip) = target.host.parse() {
            return Ok(Some(vec![ip]));
        }
        let zone = Zone::new(&world.domain, &world.services, &world.slices);
        let namespace = world.pod.metadata.namespace.as_deref().unwrap_or_default();
        let mut name = target.host.clone();
        for _ in 0..ALIASES_MAX {
            match zone.resolve(namespace, &name) {
                Answer::Addresses(addresses) => {
                    self.say("name", format!("{name} is {}", list(&addresses)));
                    return Ok(Some(addresses));
                }
                Answer::Alias(other) => {
                    self.say("name", format!("{name} stands for {other}"));
                    name = other;
                }
                Answer::NoSuchName => return Err(format!("there is no name {name} in the cluster")),
                Answer::NotOurs => {
                    self.say("name", format!("{name} is not the cluster's: the node's resolver is asked"));
                    return Ok(None);
                }
            }
        }
        Err(format!("{name} is an alias of too many"))
    }

    fn service(&mut self, world: &World, service: &Service, target: &Target) -> Result<(), Ends> {
        let name = named(&service.metadata);
        let ports: Vec<&ServicePort> = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).collect();
        let wanted = |port: &&&ServicePort| {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            protocol == target.protocol && target.port.is_none_or(|number| i32::from(number) == port.port)
        };
        let found: Vec<&&ServicePort> = ports.iter().filter(wanted).collect();
        let port = match found[..] {
            [port] => port,
            [] => return Err(format!("service {name} has no such {} port; it has {}", target.protocol, shown(&ports))),
            _ => return Err(format!("service {name} has several ports, say which: {}", shown(&ports))),
        };
        self.say("service", format!("{name} takes it on {}", shown(&[port])));
        let addresses = self.endpoints(world, service, port)?;
        self.routes(world, &addresses, None)
    }

    /// The endpoints that a connection may be sent to.
    fn endpoints(&mut self, world: &World, service: &Service, port: &ServicePort) -> Result<Vec<IpAddr>, Ends> {
        let slices = slices_of(world, service).filter(|slice| has_port(slice, port));
        let all: Vec<&Endpoint> = slices.flat_map(|slice| slice.endpoints.iter().flatten()).collect();
        let ready: Vec<&Endpoint> = all.iter().copied().filter(|endpoint| is_ready(endpoint)).collect();
        let n_leaving = all.iter().filter(|endpoint| is_leaving(endpoint)).count();
        let n_unready = all.len() - ready.len() - n_leaving;
        self.say("endpoints", format!("{} ready, {n_unready} not ready, {n_leaving} leaving", ready.len()));
        let spec = service.spec.clone().unwrap_or_default();
        if all.is_empty() {
            return Err(match spec.selector.filter(|selector| !selector.is_empty()) {
                Some(selector) => {
                    let selector: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
                    format!("no pod with an address matches {}", selector.join(","))
                }
                None => "the service has no selector, and nobody has given it endpoints".to_owned(),
            });
        }
        let serving =
            |endpoint: &&Endpoint| endpoint.conditions.as_ref().is_some_and(|known| known.serving == Some(true));
        let mut usable = match ready.is_empty() {
            false => ready,
            // As in the proxy: when all are leaving, those that still serve are used.
            true => all.iter().copied().filter(|endpoint| is_leaving(endpoint)).filter(serving).collect(),
        };
        if usable.is_empty() {
            return Err("none of its endpoints is ready".into());
        }
        if spec.internal_traffic_policy.as_deref() == Some("Local") {
            let node = node_of(&world.pod);
            usable.retain(|endpoint| endpoint.node_name.as_deref() == Some(node));
            if usable.is_empty() {
                return Err(format!("its internal traffic policy is Local, and it has no endpoint on {node}"));
            }
        }
        Ok(usable.iter().filter_map(|endpoint| endpoint.addresses.first()?.parse().ok()).collect())
    }

    /// Says how each address is reached. One is enough.
    fn routes(&mut self, world: &World, addresses: &[IpAddr], port: Option<u16>) -> Result<(), Ends> {
        let routes: Vec<Result<(), Ends>> = addresses.iter().map(|ip| self.route(world, *ip, port)).collect();
        if routes.iter().any(Result::is_ok) { Ok(()) } else { routes.into_iter().collect() }
    }

    fn route(&mut self, world: &World, ip: IpAddr, port: Option<u16>) -> Result<(), Ends> {
        let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
        let here = node_of(&world.pod);
        let Some(node) = world.nodes.iter().find(|node| owns(node, ip)) else {
            self.say("route", format!("{ip}{port} is no pod's: over the network of {here}, if its policy allows"));
            return Ok(());
        };
        let node = node.metadata.name.as_deref().unwrap_or_default();
        if node == here {
            self.say("route", format!("{ip}{port} is on the same node"));
            return Ok(());
        }
        let link = world.links.iter().find(|link| link.peer == node);
        let via =
            link.and_then(|link| link.relay.as_ref()).map(|relay| format!(" through {relay}")).unwrap_or_default();
        match link.map(|link| link.state.as_str()) {
            Some("direct" | "relayed") => {
                let state = link.map(|link| link.state.as_str()).unwrap_or_default();
                self.say("route", format!("{ip}{port} is on {node}: {state} link{via}"));
                Ok(())
            }
            // Nodes of one process are linked in memory, and have no link to tell of.
            None if !world.links.iter().any(|link| world.nodes.iter().any(|node| is_called(node, &link.peer))) => {
                self.say("route", format!("{ip}{port} is on {node}"));
                Ok(())
            }
            state => {
                let state = state.unwrap_or("unknown");
                self.say("route", format!("{ip}{port} is on {node}: link {state}"));
                Err(format!("{here} has no way to {node}: the link is {state}"))
            }
        }
    }
}

fn is_called(node: &Node, name: &str) -> bool {
    node.metadata.name.as_deref() == Some(name)
}

fn named(metadata: &kube::core::ObjectMeta) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    format!("{}/{}", text(&metadata.namespace), text(&metadata.name))
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node")
}

fn list(addresses: &[IpAddr]) -> String {
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if shown.is_empty() { "without addresses".to_owned() } else { shown.join(", ") }
}

fn shown(ports: &[&ServicePort]) -> String {
    let one = |port: &&ServicePort| {
        let name = port.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{}/{}{name}", port.port, port.protocol.as_deref().unwrap_or("TCP"))
    };
    let all: Vec<String> = ports.iter().map(one).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn has_address(service: &Service, ip: IpAddr) -> bool {
    let Some(spec) = &service.spec else { return false };
    let several = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip).chain(spec.external_ips.iter().flatten());
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let balancers = status.into_iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    several.chain(balancers.filter_map(|ingress| ingress.ip.as_ref())).any(|known| known.parse() == Ok(ip))
}

fn slices_of<'a>(world: &'a World, service: &'a Service) -> impl Iterator<Item = &'a EndpointSlice> {
    world.slices.iter().filter(|slice| {
        let labels = slice.metadata.labels.as_ref();
        slice.metadata.namespace == service.metadata.namespace
            && labels.and_then(|labels| labels.get(SERVICE_NAME)) == service.metadata.name.as_ref()
    })
}

fn has_port(slice: &EndpointSlice, port: &ServicePort) -> bool {
    let name = port.name.as_deref().unwrap_or_default();
    slice.ports.iter().flatten().any(|known| known.name.as_deref().unwrap_or_default() == name)
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

fn is_leaving(endpoint: &Endpoint) -> bool {
    !is_ready(endpoint) && endpoint.conditions.as_ref().and_then(|conditions| conditions.terminating) == Some(true)
}

fn owns(node: &Node, ip: IpAddr) -> bool {
    let networks = node.spec.iter().flat_map(|spec| spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr));
    networks.filter_map(|network| network.parse::<IpNet>().ok()).any(|network| network.contains(&ip))
}

#[cfg(test)]
mod tests;
