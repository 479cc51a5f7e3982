//! How a cluster is laid out: what every node must know before it has pods. The control plane publishes it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
const MANAGER: &str = "coracle";

/// The networks and the domain of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) pod_cidr: IpNet,
    pub(crate) service_cidr: IpNet,
    pub(crate) cluster_domain: String,
}

impl Layout {
    /// Where pods find the cluster's names: by custom, the tenth address of services.
    pub(crate) fn name_server(&self) -> Option<IpAddr> {
        self.service_cidr.hosts().nth(match self.service_cidr {
            IpNet::V4(_) => 9,
            IpNet::V6(_) => 10,
        })
    }

    /// Makes it known to nodes that join.
    pub(crate) async fn publish(&self, client: Client) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "data": {
                "podCIDR": self.pod_cidr.to_string(),
                "serviceCIDR": self.service_cidr.to_string(),
                "clusterDomain": self.cluster_domain,
            },
        });
        let params = PatchParams::apply(MANAGER).force();
        let published = api.patch(NAME, &params, &Patch::Apply(map)).await;
        published.map(drop).context("publish how the cluster is laid out")
    }

    /// What the control plane published.
    pub(crate) async fn learn(client: Client) -> Result<Self> {
        let api: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
        let map = api.get(NAME).await.context("ask how the cluster is laid out")?;
        Self::read(&map.data.unwrap_or_default())
    }

    fn read(data: &BTreeMap<String, String>) -> Result<Self> {
        let text = |key: &str| data.get(key).with_context(|| format!("{NAMESPACE}/{NAME} has no {key}"));
        let net = |key: &str| text(key)?.parse::<IpNet>().with_context(|| format!("{key} in {NAMESPACE}/{NAME}"));
        Ok(Self {
            pod_cidr: net("podCIDR")?,
            service_cidr: net("serviceCIDR")?,
            cluster_domain: text("clusterDomain")?.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_at_the_tenth_address_of_services() {
        let at = |service_cidr: &str| {
            let service_cidr = service_cidr.parse().unwrap();
            let pod_cidr = "10.244.0.0/16".parse().unwrap();
            Layout { pod_cidr, service_cidr, cluster_domain: String::new() }.name_server().unwrap().to_string()
        };
        assert_eq!(at("10.96.0.0/16"), "10.96.0.10");
        assert_eq!(at("fd00::/112"), "fd00::a");
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut data = BTreeMap::from([("podCIDR".to_owned(), "10.244.0.0/16".to_owned())]);
        assert_eq!(Layout::read(&data).unwrap_err().to_string(), "kube-public/cluster-info has no serviceCIDR");
        data.insert("serviceCIDR".to_owned(), "10.96.0.0/16".to_owned());
        data.insert("clusterDomain".to_owned(), "cluster.local".to_owned());
        assert_eq!(Layout::read(&data).unwrap().cluster_domain, "cluster.local");
    }
}
