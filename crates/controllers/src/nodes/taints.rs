//! Taints nodes as their conditions say, so that pods stay away or leave; and tells pods that their node is not ready.

use std::sync::Arc;
use std::time::Duration;

use coracle_client::{EventType, Key, Recorder};
use coracle_stdx::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;

use super::{NodeTimings, READY, condition, condition_status};
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{BY_NODE, Informers};
use crate::{Error, batch, pods};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that keep new pods away while they are true.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
const NO_SCHEDULE: &str = "NoSchedule";
pub(super) const NO_EXECUTE: &str = "NoExecute";

pub(crate) struct NodeTaints {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) timings: NodeTimings,
    /// When a node was last told to give up its pods.
    pub(crate) last_eviction: Mutex<Option<Timestamp>>,
}

/// How many nodes seem to be gone, and what may therefore be done about one of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Disruption {
    /// Some nodes: their pods leave, one node after the other.
    Some(Duration),
    /// So many that it is rather we who are cut off: nothing leaves.
    Most,
}

pub(crate) fn disruption(n_ready: usize, n_all: usize, timings: &NodeTimings) -> Disruption {
    let n_gone = n_all - n_ready;
    #[expect(clippy::cast_precision_loss, reason = "a count of nodes is small")]
    let is_most = n_gone > 2 && n_gone as f64 >= timings.unhealthy_share * n_all as f64;
    match (n_ready, is_most, n_all > timings.large_cluster_nodes) {
        (0, _, _) | (_, true, false) => Disruption::Most,
        (_, true, true) => Disruption::Some(timings.secondary_eviction_interval),
        (_, false, _) => Disruption::Some(timings.eviction_interval),
    }
}

/// What keeps new pods away from this node, by its conditions.
fn no_schedule(node: &Node) -> Vec<&'static str> {
    let mut keys = Vec::new();
    match condition(node, READY).map(|ready| ready.status.as_str()) {
        Some("True") => {}
        // A node that has not spoken yet is not ready, and not silent either.
        Some("False") | None => keys.push(NOT_READY),
        Some(_) => keys.push(UNREACHABLE),
    }
    keys.extend(PRESSURES.iter().filter(|(of, _)| condition_status(node, of) == "True").map(|(_, key)| *key));
    if node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false) {
        keys.push(UNSCHEDULABLE);
    }
    keys
}

/// What makes pods leave this node, by its conditions.
fn no_execute(node: &Node) -> Option<&'static str> {
    match condition(node, READY)?.status.as_str() {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    }
}

fn is_ours(taint: &Taint) -> bool {
    let is_pressure = PRESSURES.iter().any(|(_, key)| *key == taint.key);
    match taint.effect.as_str() {
        NO_SCHEDULE => is_pressure || [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&taint.key.as_str()),
        NO_EXECUTE => [NOT_READY, UNREACHABLE].contains(&taint.key.as_str()),
        _ => false,
    }
}

/// Whether the pods of a node have to leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Leaving {
    No,
    /// They were told to, by this taint.
    Told(&'static str),
    /// They are told now, by this taint.
    Tell(&'static str),
    /// It is asked again after this long.
    Wait(Duration),
}

/// One node after the other is told, at the pace of the disruption; `last` is when one was.
pub(crate) fn leaving(
    node: &Node,
    disruption: Disruption,
    last: Option<Timestamp>,
    now: Timestamp,
    timings: &NodeTimings,
) -> Leaving {
    let Some(key) = no_execute(node) else { return Leaving::No };
    let Disruption::Some(interval) = disruption else { return Leaving::Wait(timings.monitor_period) };
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    if taints.into_iter().any(|taint| taint.effect == NO_EXECUTE && is_ours(taint)) {
        return Leaving::Told(key);
    }
    let due = last.map_or(now, |last| last + interval);
    if due > now {
        return Leaving::Wait(Duration::try_from(due.duration_since(now)).unwrap_or(interval));
    }
    Leaving::Tell(key)
}

/// The node's taints as they should be; those of others stay as they are, where they are.
pub(crate) fn wanted(node: &Node, no_execute: Option<&'static str>, now: Timestamp) -> Vec<Taint> {
    let known = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let scheduling = no_schedule(node).into_iter().map(|key| (key, NO_SCHEDULE));
    let ours: Vec<(&str, &str)> = scheduling.chain(no_execute.map(|key| (key, NO_EXECUTE))).collect();
    let is_wanted = |taint: &Taint| ours.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<Taint> = known.into_iter().filter(|taint| !is_ours(taint) || is_wanted(taint)).collect();
    for (key, effect) in ours {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            let time_added = Some(Time(now));
            taints.push(Taint { key: key.to_owned(), effect: effect.to_owned(), time_added, value: None });
        }
    }
    taints
}

impl Reconcile for NodeTaints {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(node) = self.informers.nodes.get("", &key.name) else { return Ok(Next::Change) };
        let now = self.clock.now();
        let (no_execute, wait) = self.paced(&node, now);
        let taints = wanted(&node, no_execute, now);
        let known = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        if taints != known {
            self.write(key, &node, &taints).await?;
        }
        if condition_status(&node, READY) != "True" {
            self.mark_pods(key).await?;
        }
        Ok(wait.into())
    }
}

impl NodeTaints {
    /// The taint that makes pods leave, if it is there or may be added now; otherwise when to ask again.
    fn paced(&self, node: &Node, now: Timestamp) -> (Option<&'static str>, Option<Duration>) {
        if no_execute(node).is_none() {
            return (None, None);
        }
        let nodes = self.informers.nodes.list();
        let n_ready = nodes.iter().filter(|node| condition_status(node, READY) == "True").count();
        let disruption = disruption(n_ready, nodes.len(), &self.timings);
        let mut last = self.last_eviction.lock();
        match leaving(node, disruption, *last, now, &self.timings) {
            Leaving::No => (None, None),
            Leaving::Told(key) => (Some(key), None),
            Leaving::Tell(key) => {
                *last = Some(now);
                (Some(key), None)
            }
            Leaving::Wait(wait) => (None, Some(wait)),
        }
    }

    async fn write(&self, key: &Key, node: &Node, taints: &[Taint]) -> Result<(), Error> {
        let revision = &node.metadata.resource_version;
        let patch = json!({"metadata": {"resourceVersion": revision}, "spec": {"taints": taints}});
        let api: Api<Node> = Api::all(self.client.clone());
        let answer = api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        answer.unless_gone().map_err(Error::at("taint node", key.clone()))?;
        Ok(())
    }

    /// Pods of a node that is not ready are not ready either: services must not lead to them.
    async fn mark_pods(&self, key: &Key) -> Result<(), Error> {
        let pods = self.informers.pods.by_index(BY_NODE, &key.name).into_iter().filter(|pod| pods::is_ready(pod));
        let (_, failure) = batch::all(pods, |pod| self.mark_pod(pod)).await;
        failure.map_or(Ok(()), Err)
    }

    async fn mark_pod(&self, pod: Arc<Pod>) -> Result<(), Error> {
        let key = Key::of(&pod.metadata);
        let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": Time(self.clock.now())});
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let answer = api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        answer.unless_gone().map_err(Error::at("mark as not ready", key))?;
        self.recorder.event(&*pod, EventType::Warning, "NodeNotReady", "Node is not ready");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn node(ready: &str, spec: Value) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n1"}, "spec": spec,
            "status": {"conditions": [{"type": "Ready", "status": ready}, {"type": "DiskPressure", "status": "False"}]},
        }))
        .unwrap()
    }

    fn keys(node: &Node) -> Vec<String> {
        let taints = wanted(node, no_execute(node), Timestamp::UNIX_EPOCH);
        taints.into_iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
    }

    #[test]
    fn conditions_become_taints_and_go_with_them() {
        assert!(keys(&node("True", json!({}))).is_empty());
        let not_ready = ["node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"];
        assert_eq!(keys(&node("False", json!({}))), not_ready);
        let unreachable = ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"];
        assert_eq!(keys(&node("Unknown", json!({}))), unreachable);
        let before = json!({"taints": [
            {"key": "mine", "effect": "NoSchedule"}, {"key": NOT_READY, "effect": "NoSchedule"}, {"key": NOT_READY, "effect": "NoExecute"}]});
        assert_eq!(keys(&node("True", before.clone())), ["mine:NoSchedule"]);
        assert_eq!(keys(&node("Unknown", before)), [&["mine:NoSchedule"], &unreachable[..]].concat());
    }

    #[test]
    fn a_node_that_has_not_spoken_gets_no_pods_and_loses_none() {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n1"}})).unwrap();
        assert_eq!(keys(&node), ["node.kubernetes.io/not-ready:NoSchedule"]);
    }

    #[test]
    fn a_cordoned_node_says_so() {
        assert_eq!(
            keys(&node("True", json!({"unschedulable": true}))),
            ["node.kubernetes.io/unschedulable:NoSchedule"]
        );
    }

    #[test]
    fn nobody_is_evicted_when_most_nodes_seem_gone() {
        let timings = NodeTimings::default();
        let slow = Disruption::Some(timings.secondary_eviction_interval);
        let normal = Disruption::Some(timings.eviction_interval);
        assert_eq!(disruption(0, 1, &timings), Disruption::Most);
        assert_eq!(disruption(1, 2, &timings), normal);
        assert_eq!(disruption(1, 3, &timings), normal);
        assert_eq!(disruption(4, 10, &timings), Disruption::Most);
        assert_eq!(disruption(40, 100, &timings), slow);
        assert_eq!(disruption(90, 100, &timings), normal);
    }
}
