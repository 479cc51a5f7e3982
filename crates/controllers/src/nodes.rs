//! The life of nodes: who is silent, what that means for others, and when pods have to leave.

pub(crate) mod eviction;
pub(crate) mod health;
pub(crate) mod taints;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeCondition};

/// How long nodes may be silent, and how fast what follows may happen.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeTimings {
    /// How often all nodes are looked at.
    pub monitor_period: Duration,
    /// A node that was silent for so long is not ready.
    pub grace_period: Duration,
    /// A node that never spoke has so long to begin.
    pub startup_grace_period: Duration,
    /// Between two nodes that are told to give up their pods.
    pub eviction_interval: Duration,
    /// The same when most of a large cluster seems gone; a small cluster then evicts nothing.
    pub secondary_eviction_interval: Duration,
    /// Most of the cluster is this share of its nodes.
    pub unhealthy_share: f64,
    /// A cluster is large beyond this many nodes.
    pub large_cluster_nodes: usize,
}

impl Default for NodeTimings {
    fn default() -> Self {
        Self {
            monitor_period: Duration::from_secs(5),
            grace_period: Duration::from_secs(40),
            startup_grace_period: Duration::from_secs(60),
            eviction_interval: Duration::from_secs(10),
            secondary_eviction_interval: Duration::from_secs(100),
            unhealthy_share: 0.55,
            large_cluster_nodes: 50,
        }
    }
}

pub(crate) const READY: &str = "Ready";

pub(crate) fn condition<'a>(node: &'a Node, condition_type: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == condition_type)
}

/// The status of a condition; absence is not knowing.
pub(crate) fn condition_status<'a>(node: &'a Node, condition_type: &str) -> &'a str {
    condition(node, condition_type).map_or("Unknown", |condition| condition.status.as_str())
}
