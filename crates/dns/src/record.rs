//! What one Service's name leads to. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// What one service's name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Cluster { addresses: Vec<IpAddr>, ports: Vec<Port> },
    Headless { addresses: Vec<IpAddr>, hosts: BTreeMap<String, Vec<IpAddr>>, ports: Vec<HostPort> },
    External(String),
}

/// A port of a service, as SRV names it: `_name._protocol`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) protocol: String,
    pub(crate) number: u16,
}

/// A port of one endpoint of a headless service, whose name stands before the service's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: Port,
}

impl Port {
    fn new(name: Option<&String>, protocol: Option<&String>, number: i32) -> Option<Self> {
        let protocol = protocol.map_or_else(|| "tcp".to_owned(), |protocol| protocol.to_ascii_lowercase());
        Some(Self { name: name.cloned().unwrap_or_default(), protocol, number: u16::try_from(number).ok()? })
    }
}

impl Record {
    pub(crate) fn new(service: &Service, slices: &[&EndpointSlice]) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return spec.external_name.clone().map(Self::External);
        }
        if spec.cluster_ip.as_deref() == Some("None") {
            return Some(Self::headless(slices));
        }
        let several = spec.cluster_ips.iter().flatten();
        let mut addresses: Vec<IpAddr> = several.filter_map(|ip| ip.parse().ok()).collect();
        if addresses.is_empty() {
            addresses.extend(spec.cluster_ip.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()));
        }
        let ports = spec.ports.iter().flatten();
        let ports = ports.filter_map(|port| Port::new(port.name.as_ref(), port.protocol.as_ref(), port.port)).collect();
        (!addresses.is_empty()).then_some(Self::Cluster { addresses, ports })
    }

    fn headless(slices: &[&EndpointSlice]) -> Self {
        let (mut addresses, mut hosts) = (Vec::new(), BTreeMap::<String, Vec<IpAddr>>::new());
        let mut ports = BTreeSet::new();
        for slice in slices {
            for endpoint in slice.endpoints.iter().flatten() {
                let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
                let Some(Ok(ip)) = endpoint.addresses.first().map(|ip| ip.parse()) else { continue };
                if !ready || addresses.contains(&ip) {
                    continue;
                }
                addresses.push(ip);
                let host = endpoint.hostname.clone().unwrap_or_else(|| dashed(ip));
                hosts.entry(host.clone()).or_default().push(ip);
                let open = slice.ports.iter().flatten();
                let open = open.filter_map(|port| Port::new(port.name.as_ref(), port.protocol.as_ref(), port.port?));
                ports.extend(open.map(|port| HostPort { host: host.clone(), port }));
            }
        }
        Self::Headless { addresses, hosts, ports: ports.into_iter().collect() }
    }
}

/// An address as a label: how an endpoint without a host name is called.
fn dashed(ip: IpAddr) -> String {
    ip.to_string().replace(['.', ':'], "-")
}
