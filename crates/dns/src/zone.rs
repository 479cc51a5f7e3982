//! The cluster's domain at one moment, and what a name means to a pod of some namespace. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use coracle_client::Key;
use coracle_net::Answer;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::record::Record;

/// A name with fewer dots is tried under the search path before it is taken as it is.
const NDOTS: usize = 5;
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The names of a cluster.
#[derive(Clone, Debug)]
pub struct Zone {
    domain: Arc<str>,
    records: HashMap<Key, Arc<Record>>,
}

/// The service that a slice belongs to.
pub(crate) fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name))
}

impl Zone {
    /// A zone of `domain` (`cluster.local`) without services.
    pub fn empty(domain: &str) -> Self {
        Self { domain: domain.trim_matches('.').to_ascii_lowercase().into(), records: HashMap::new() }
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

    pub(crate) fn set(&mut self, service: Key, record: Option<Record>) {
        match record {
            Some(record) => self.records.insert(service, Arc::new(record)),
            None => self.records.remove(&service),
        };
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
                Record::Cluster(ips) => Answer::Addresses(ips.clone()),
                Record::Headless { addresses, .. } => Answer::Addresses(shuffled(addresses)),
                Record::External(name) => Answer::Alias(format!("{}.", name.trim_end_matches('.'))),
            }),
            [host, service, namespace, "svc"] => match &**self.records.get(&Key::new(namespace, service))? {
                Record::Headless { hosts, .. } => hosts.get(host).map(|ips| Answer::Addresses(ips.clone())),
                Record::Cluster(_) | Record::External(_) => None,
            },
            [dashed, _, "pod"] => Some(Answer::Addresses(vec![dashed_address(dashed)?])),
            _ => None,
        }
    }
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
