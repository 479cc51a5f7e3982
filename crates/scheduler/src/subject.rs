//! A pod as the scheduler sees it: what it asks for, worked out once.

use std::sync::Arc;

use coracle_client::Key;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::resources::{self, Resources};

/// A port that a pod takes on its node itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostPort {
    pub(crate) address: String,
    pub(crate) protocol: String,
    pub(crate) port: i32,
}

const ANY_ADDRESS: &str = "0.0.0.0";

impl HostPort {
    /// True when both cannot be on one node.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        let is_any = self.address == ANY_ADDRESS || other.address == ANY_ADDRESS;
        self.port == other.port && self.protocol == other.protocol && (is_any || self.address == other.address)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) pod: Arc<Pod>,
    pub(crate) key: Key,
    pub(crate) requested: Resources,
    pub(crate) compared: Resources,
    pub(crate) ports: Vec<HostPort>,
}

impl Subject {
    pub(crate) fn new(pod: Arc<Pod>) -> Self {
        let empty = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&empty);
        Self {
            key: Key::of(&pod.metadata),
            requested: resources::requested(spec),
            compared: resources::requested_non_zero(spec),
            ports: host_ports(spec),
            pod,
        }
    }

    pub(crate) fn spec(&self) -> Option<&PodSpec> {
        self.pod.spec.as_ref()
    }

    pub(crate) fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn node_name(&self) -> &str {
        self.spec().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
    }

    pub(crate) fn priority(&self) -> i32 {
        self.spec().and_then(|spec| spec.priority).unwrap_or(0)
    }

    pub(crate) fn tolerations(&self) -> &[Toleration] {
        self.spec().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default()
    }

    /// The uid of what manages this pod: its replicas are to be spread.
    pub(crate) fn controller(&self) -> Option<&str> {
        let is_controller = |owner: &&OwnerReference| owner.controller == Some(true);
        self.pod.metadata.owner_references.iter().flatten().find(is_controller).map(|owner| owner.uid.as_str())
    }

    pub(crate) fn is_finished(&self) -> bool {
        let phase = self.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Waits for a node, and for this scheduler to choose it.
    pub(crate) fn is_pending_for(&self, scheduler: &str) -> bool {
        let Some(spec) = self.spec() else { return false };
        let is_ours = spec.scheduler_name.as_deref().unwrap_or(scheduler) == scheduler;
        let is_gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
        self.node_name().is_empty() && is_ours && !is_gated && !self.is_finished() && !self.is_ending()
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let host_port = |port: &k8s_openapi::api::core::v1::ContainerPort| {
        Some(HostPort {
            port: port.host_port.filter(|port| *port > 0)?,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            address: port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| ANY_ADDRESS.to_owned()),
        })
    };
    ports.filter_map(host_port).collect()
}
