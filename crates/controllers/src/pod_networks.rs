//! Gives each node a network for its pods. It never takes one back while the node exists.

use std::net::IpAddr;
use std::sync::Arc;

use coracle_client::{EventType, Key, Recorder, is_conflict};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::Mutex;

use crate::Error;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;

/// Addresses of a network that no pod gets: its first two and its last.
const RESERVED: u64 = 3;

pub(crate) struct PodNetworks {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    /// The cluster's pod networks, one per family, with the prefix that a node gets of each at least.
    pub(crate) networks: Vec<(IpNet, u8)>,
    /// What was given and may not be in the cache yet. Held while one is chosen and written.
    pub(crate) given: Mutex<Vec<IpNet>>,
}

/// The first free part of `network`, of `prefix` length, that overlaps none of `taken`.
fn first_free(network: IpNet, prefix: u8, taken: &[IpNet]) -> Option<IpNet> {
    let mut candidates = network.subnets(prefix).ok()?.peekable();
    let overlaps = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
    candidates.find(|candidate| !taken.iter().any(|taken| overlaps(candidate, taken)))
}

/// The prefix of a network that holds `n_pods` and is at least as large as `prefix` says.
fn prefix_for(network: IpNet, prefix: u8, n_pods: u64) -> u8 {
    let bits = match network.addr() {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let holds = |prefix: u8| {
        let n_host_bits = u32::from(bits - prefix);
        n_host_bits >= 63 || (1u64 << n_host_bits) >= n_pods + RESERVED
    };
    (network.prefix_len()..=prefix).rev().find(|prefix| holds(*prefix)).unwrap_or(network.prefix_len())
}

fn networks_of(node: &Node) -> Vec<IpNet> {
    let spec = node.spec.as_ref();
    let all = spec.and_then(|spec| spec.pod_cidrs.clone().or(spec.pod_cidr.clone().map(|one| vec![one])));
    all.iter().flatten().filter_map(|text| text.parse().ok()).collect()
}

fn pods_max(node: &Node) -> u64 {
    let capacity = node.status.as_ref().and_then(|status| status.capacity.as_ref());
    capacity.and_then(|capacity| capacity.get("pods")?.0.parse().ok()).unwrap_or(0)
}

impl Reconcile for PodNetworks {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(node) = self.informers.nodes.get("", &key.name) else { return Ok(Next::Change) };
        if !networks_of(&node).is_empty() {
            return Ok(Next::Change);
        }
        let mut given = self.given.lock().await;
        let cached: Vec<IpNet> = self.informers.nodes.list().iter().flat_map(|node| networks_of(node)).collect();
        given.retain(|network| !cached.contains(network));
        let taken: Vec<IpNet> = cached.into_iter().chain(given.iter().copied()).collect();
        let chosen = |(network, prefix): &(IpNet, u8)| {
            first_free(*network, prefix_for(*network, *prefix, pods_max(&node)), &taken)
        };
        let Some(networks) = self.networks.iter().map(chosen).collect::<Option<Vec<IpNet>>>() else {
            let text = format!("Node {} status is now: CIDRNotAvailable", key.name);
            self.recorder.event(&*node, EventType::Normal, "CIDRNotAvailable", text);
            return Err(Error::NoPodNetwork { node: key.name.clone() });
        };
        if self.write(&node, &networks).await? {
            given.extend(networks);
        }
        Ok(Next::Change)
    }
}

impl PodNetworks {
    /// Writes the networks unless the node has changed since it was read: it is looked at again then.
    async fn write(&self, node: &Node, networks: &[IpNet]) -> Result<bool, Error> {
        let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
        let patch = json!({
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"podCIDR": texts.first(), "podCIDRs": texts},
        });
        let api: Api<Node> = Api::all(self.client.clone());
        let key = Key::of(&node.metadata);
        match api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if is_conflict(&error) => Ok(false),
            answer => {
                answer.unless_gone().map_err(Error::at("give a pod network to node", key))?;
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_gap_is_filled() {
        let taken = [net("10.244.0.0/24"), net("10.244.2.0/23")];
        assert_eq!(first_free(net("10.244.0.0/16"), 24, &taken), Some(net("10.244.1.0/24")));
        assert_eq!(first_free(net("10.244.0.0/16"), 23, &taken), Some(net("10.244.4.0/23")));
        assert_eq!(first_free(net("10.244.0.0/24"), 24, &taken), None);
        assert_eq!(first_free(net("fd00::/48"), 64, &[]), Some(net("fd00::/64")));
    }

    #[test]
    fn a_node_for_many_pods_gets_a_larger_network() {
        let network = net("10.244.0.0/16");
        assert_eq!([0, 110, 253, 254, 5000].map(|n| prefix_for(network, 24, n)), [24, 24, 24, 23, 19]);
        assert_eq!(prefix_for(network, 24, 1 << 30), 16);
        assert_eq!(prefix_for(net("fd00::/48"), 64, 1 << 30), 64);
    }

    proptest! {
        #[test]
        fn networks_never_overlap(prefixes in prop::collection::vec(20..27u8, 1..40)) {
            let mut taken: Vec<IpNet> = Vec::new();
            for prefix in prefixes {
                if let Some(network) = first_free(net("10.244.0.0/16"), prefix, &taken) {
                    prop_assert!(taken.iter().all(|other| !other.contains(&network) && !network.contains(other)));
                    taken.push(network);
                }
            }
        }
    }
}
