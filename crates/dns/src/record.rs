//! What one Service's name leads to. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// What one service's name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Cluster(Vec<IpAddr>),
    Headless { addresses: Vec<IpAddr>, hosts: BTreeMap<String, Vec<IpAddr>> },
    External(String),
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
        let mut ips: Vec<IpAddr> = several.filter_map(|ip| ip.parse().ok()).collect();
        if ips.is_empty() {
            ips.extend(spec.cluster_ip.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()));
        }
        (!ips.is_empty()).then_some(Self::Cluster(ips))
    }

    fn headless(slices: &[&EndpointSlice]) -> Self {
        let (mut addresses, mut hosts) = (Vec::new(), BTreeMap::<String, Vec<IpAddr>>::new());
        for endpoint in slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()) {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let Some(Ok(ip)) = endpoint.addresses.first().map(|ip| ip.parse()) else { continue };
            if !ready || addresses.contains(&ip) {
                continue;
            }
            addresses.push(ip);
            if let Some(hostname) = &endpoint.hostname {
                hosts.entry(hostname.clone()).or_default().push(ip);
            }
        }
        Self::Headless { addresses, hosts }
    }
}
