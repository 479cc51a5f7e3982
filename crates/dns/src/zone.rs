//! The cluster's domain at one moment, and what a name means to a pod of some namespace. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use coracle_client::Key;
use coracle_net::Answer;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::record::{HostPort, Port, Record};

/// A name with fewer dots is tried under the search path before it is taken as it is.
const NDOTS: usize = 5;
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The names of a cluster.
#[derive(Clone, Debug)]
pub struct Zone {
    domain: Arc<str>,
    records: HashMap<Key, Arc<Record>>,
    /// Whose an address is, relative to the domain: one may be behind several headless services.
    pointers: HashMap<IpAddr, Vec<Arc<str>>>,
}

/// What is known of a name to those who ask for more than addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Addresses(Vec<IpAddr>),
    Alias(String),
    /// Where a service listens: names, with their ports and addresses.
    Services(Vec<Target>),
    Pointers(Vec<String>),
    NoSuchName,
    NotOurs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) addresses: Vec<IpAddr>,
}

/// The service that a slice belongs to.
pub(crate) fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name))
}

impl Zone {
    /// A zone of `domain` (`cluster.local`) without services.
    pub fn empty(domain: &str) -> Self {
        Self {
            domain: domain.trim_matches('.').to_ascii_lowercase().into(),
            records: HashMap::new(),
            pointers: HashMap::new(),
        }
    }

    /// The zone of these services and their endpoints.
    pub fn new<'a>(
        domain: &str,
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
    ) -> Self {
        let mut by_service: HashMap<Key, Vec<&EndpointSlice>> = HashMap::new();
        for slice in slices {
            if let Some(service) = service_of(slice) {
                by_service.entry(service).or_default().push(slice);
            }
        }
        let mut zone = Self::empty(domain);
        for service in services {
            let key = Key::of(&service.metadata);
            let record = Record::new(service, by_service.get(&key).map_or(&[][..], Vec::as_slice));
            zone.set(key, record);
        }
        zone
    }

    pub(crate) fn record(&self, service: &Key) -> Option<&Record> {
        self.records.get(service).map(|record| &**record)
    }

    pub(crate) fn set(&mut self, service: Key, record: Option<Record>) {
        if let Some(known) = self.records.remove(&service) {
            for (ip, name) in names_of(&service, &known) {
                self.point_no_more(ip, &name);
            }
        }
        if let Some(record) = record {
            for (ip, name) in names_of(&service, &record) {
                self.pointers.entry(ip).or_default().push(name.into());
            }
            self.records.insert(service, Arc::new(record));
        }
    }

    /// What else leads there stays.
    fn point_no_more(&mut self, ip: IpAddr, name: &str) {
        if let Some(names) = self.pointers.get_mut(&ip) {
            names.retain(|known| **known != *name);
            if names.is_empty() {
                self.pointers.remove(&ip);
            }
        }
    }

    /// The cluster's domain.
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// What is known of a whole name, in lower case and without its last dot.
    pub(crate) fn look_up(&self, name: &str) -> Lookup {
        if let Some(ip) = reversed(name) {
            let known = self.pointers.get(&ip).map(|names| names.iter().map(|name| self.whole(name)).collect());
            return known.map_or(Lookup::NotOurs, Lookup::Pointers);
        }
        if let Some(relative) = name.strip_suffix(&*self.domain).and_then(|rest| rest.strip_suffix('.'))
            && relative.starts_with('_')
        {
            return self.services(relative).map_or(Lookup::NoSuchName, Lookup::Services);
        }
        match self.resolve_absolute(name) {
            Answer::Addresses(addresses) => Lookup::Addresses(addresses),
            Answer::Alias(target) => Lookup::Alias(target),
            Answer::NoSuchName => Lookup::NoSuchName,
            Answer::NotOurs => Lookup::NotOurs,
        }
    }

    /// What is behind `_port._protocol.service.namespace.svc`.
    fn services(&self, relative: &str) -> Option<Vec<Target>> {
        let [port, protocol, service, namespace, "svc"] = relative.split('.').collect::<Vec<_>>()[..] else {
            return None;
        };
        let (port, protocol) = (port.strip_prefix('_')?, protocol.strip_prefix('_')?);
        let is_asked = |known: &Port| known.name == port && known.protocol == protocol;
        let below = |host: &str| self.whole(&format!("{host}{service}.{namespace}.svc"));
        let found: Vec<Target> = match &**self.records.get(&Key::new(namespace, service))? {
            Record::Cluster { addresses, ports } => {
                let target = |port: &Port| Target { name: below(""), port: port.number, addresses: addresses.clone() };
                ports.iter().filter(|port| is_asked(port)).map(target).collect()
            }
            Record::Headless { hosts, ports, .. } => {
                let target = |HostPort { host, port }: &HostPort| Target {
                    name: below(&format!("{host}.")),
                    port: port.number,
                    addresses: hosts.get(host).cloned().unwrap_or_default(),
                };
                ports.iter().filter(|known| is_asked(&known.port)).map(target).collect()
            }
            Record::External(_) => return None,
        };
        (!found.is_empty()).then_some(found)
    }

    fn whole(&self, relative: &str) -> String {
        format!("{relative}.{}", self.domain)
    }

    /// What `name` means to a pod of `namespace`.
    pub fn resolve(&self, namespace: &str, name: &str) -> Answer {
        let name = name.to_ascii_lowercase();
        if let Some(absolute) = name.strip_suffix('.') {
            return self.resolve_absolute(absolute);
        }
        if name.matches('.').count() >= NDOTS {
            return match self.resolve_absolute(&name) {
                Answer::NoSuchName | Answer::NotOurs => self.search(namespace, &name),
                found @ (Answer::Addresses(_) | Answer::Alias(_)) => found,
            };
        }
        self.search(namespace, &name)
    }

    /// Tries the search path of a pod, and then the name as it is.
    fn search(&self, namespace: &str, name: &str) -> Answer {
        let below = [format!("{name}.{namespace}.svc"), format!("{name}.svc"), name.to_owned()];
        match below.iter().find_map(|relative| self.find(relative)) {
            Some(found) => found,
            None => self.resolve_absolute(name),
        }
    }

    fn resolve_absolute(&self, name: &str) -> Answer {
        match name.strip_suffix(&*self.domain) {
            Some("") => Answer::Addresses(Vec::new()),
            Some(relative) if relative.ends_with('.') => {
                self.find(&relative[..relative.len() - 1]).unwrap_or(Answer::NoSuchName)
            }
            Some(_) | None => Answer::NotOurs,
        }
    }

    /// What is known of a name relative to the domain.
    fn find(&self, relative: &str) -> Option<Answer> {
        let labels: Vec<&str> = relative.split('.').collect();
        match labels[..] {
            [service, namespace, "svc"] => Some(match &**self.records.get(&Key::new(namespace, service))? {
                Record::Cluster { addresses, .. } => Answer::Addresses(addresses.clone()),
                Record::Headless { addresses, .. } => Answer::Addresses(shuffled(addresses)),
                Record::External(name) => Answer::Alias(format!("{}.", name.trim_end_matches('.'))),
            }),
            [host, service, namespace, "svc"] => match &**self.records.get(&Key::new(namespace, service))? {
                Record::Headless { hosts, .. } => hosts.get(host).map(|ips| Answer::Addresses(ips.clone())),
                Record::Cluster { .. } | Record::External(_) => None,
            },
            [dashed, _, "pod"] => Some(Answer::Addresses(vec![dashed_address(dashed)?])),
            _ => None,
        }
    }
}

/// The addresses that lead back to a service, or to a host of it.
fn names_of(service: &Key, record: &Record) -> Vec<(IpAddr, String)> {
    let own = format!("{}.{}.svc", service.name, service.namespace);
    match record {
        Record::Cluster { addresses, .. } => addresses.iter().map(|ip| (*ip, own.clone())).collect(),
        Record::Headless { hosts, .. } => {
            let each = hosts.iter().flat_map(|(host, ips)| ips.iter().map(move |ip| (*ip, host)));
            each.map(|(ip, host)| (ip, format!("{host}.{own}"))).collect()
        }
        Record::External(_) => Vec::new(),
    }
}

/// The address that a name under `in-addr.arpa` or `ip6.arpa` spells backwards.
fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let forwards: Vec<&str> = labels.rsplit('.').collect();
        return forwards.join(".").parse().ok().map(IpAddr::V4);
    }
    let digits: String = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let is_whole = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bits = u128::from_str_radix(&digits, 16).ok().filter(|_| is_whole)?;
    Some(IpAddr::V6(bits.into()))
}

/// `10-244-1-2` or `fd00--2`, as the address that it spells.
fn dashed_address(dashed: &str) -> Option<IpAddr> {
    let v4 = dashed.replace('-', ".").parse().ok().map(IpAddr::V4);
    v4.or_else(|| dashed.replace('-', ":").parse::<Ipv6Addr>().ok().map(IpAddr::V6))
}

/// In another order each time: most clients take the first address.
fn shuffled(addresses: &[IpAddr]) -> Vec<IpAddr> {
    use rand::seq::SliceRandom;
    let mut addresses = addresses.to_vec();
    addresses.shuffle(&mut rand::rng());
    addresses
}

#[cfg(test)]
mod tests;
