//! Deletes pods that do not tolerate, or no longer, that their node wants them gone.

use std::sync::Arc;
use std::time::Duration;

use coracle_client::{Change, EventType, Informer, Key, Recorder};
use coracle_stdx::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;

use super::taints::NO_EXECUTE;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{BY_NODE, Informers};
use crate::tolerations::tolerates;
use crate::{Error, pods};

pub(crate) struct Evictions {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
}

pub(crate) fn no_execute(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().filter(|taint| taint.effect == NO_EXECUTE)
}

/// The pods of a node whose wish that pods leave changed.
pub(crate) fn keys_of_node(pods: &Informer<Pod>, change: &Change<Node>) -> Vec<Key> {
    let taints = |node: &Option<Arc<Node>>| -> Vec<Taint> {
        node.as_ref().map(|node| no_execute(node).cloned().collect()).unwrap_or_default()
    };
    if taints(&change.old) == taints(&change.new) {
        return Vec::new();
    }
    pods.by_index(BY_NODE, &change.key.name).iter().map(|pod| Key::of(&pod.metadata)).collect()
}

/// The pod itself, when it has come to a node or its tolerations changed.
pub(crate) fn keys_of_pod(change: &Change<Pod>) -> Vec<Key> {
    let view = |pod: &Option<Arc<Pod>>| {
        pod.as_ref().map(|pod| (pods::node_name(pod).to_owned(), pod.spec.as_ref().and_then(|s| s.tolerations.clone())))
    };
    let is_placed = change.new.as_ref().is_some_and(|pod| !pods::node_name(pod).is_empty());
    if is_placed && view(&change.old) != view(&change.new) { vec![change.key.clone()] } else { Vec::new() }
}

/// When the pod has to leave: now, at a time, or never.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    At(Timestamp),
    Never,
}

pub(crate) fn leave(pod: &Pod, taints: &[&Taint], now: Timestamp) -> Leave {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut earliest = Leave::Never;
    for taint in taints {
        let accepting: Vec<&Toleration> =
            tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if accepting.is_empty() {
            return Leave::At(now);
        }
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let limits = accepting.iter().filter_map(|toleration| toleration.toleration_seconds);
        let Some(seconds) = limits.min() else { continue };
        let at = since + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        earliest = match earliest {
            Leave::At(known) => Leave::At(known.min(at)),
            Leave::Never => Leave::At(at),
        };
    }
    earliest
}

impl Reconcile for Evictions {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(pod) = self.informers.pods.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        if !pods::is_active(&pod) {
            return Ok(Next::Change);
        }
        let Some(node) = self.informers.nodes.get("", pods::node_name(&pod)) else { return Ok(Next::Change) };
        let now = self.clock.now();
        match leave(&pod, &no_execute(&node).collect::<Vec<_>>(), now) {
            Leave::Never => Ok(Next::Change),
            Leave::At(at) if at > now => {
                Ok(Next::After(Duration::try_from(at.duration_since(now)).unwrap_or_default()))
            }
            Leave::At(_) => self.evict(key, &pod).await.map(|()| Next::Change),
        }
    }
}

impl Evictions {
    async fn evict(&self, key: &Key, pod: &Pod) -> Result<(), Error> {
        self.recorder.event(pod, EventType::Normal, "TaintManagerEviction", format!("Marking for deletion Pod {key}"));
        let text = "Taint manager: deleting due to NoExecute taint";
        disrupt(&self.client, key, pod, None, "DeletionByTaintManager", text, self.clock.now()).await?;
        let preconditions = Some(Preconditions { uid: pod.metadata.uid.clone(), ..Preconditions::default() });
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let answer = api.delete(&key.name, &DeleteParams { preconditions, ..DeleteParams::default() }).await;
        answer.unless_gone().map_err(Error::at("evict", key.clone()))?;
        Ok(())
    }
}

/// Says on a pod that it goes by no fault of its own, and sets its phase if one is given.
pub(crate) async fn disrupt(
    client: &Client,
    key: &Key,
    pod: &Pod,
    phase: Option<&str>,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let condition = PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(now)),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    };
    let mut patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
    if let Some(phase) = phase {
        patch["status"]["phase"] = json!(phase);
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
    let answer = api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
    answer.unless_gone().map_err(Error::at("mark as disrupted", key.clone()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn left(tolerations: Value, taints: Value) -> Leave {
        let spec = json!({"containers": [], "tolerations": tolerations});
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
        let taints: Vec<Taint> = serde_json::from_value(taints).unwrap();
        leave(&pod, &taints.iter().collect::<Vec<_>>(), at(1000))
    }

    fn taint(key: &str) -> Value {
        json!({"key": key, "effect": "NoExecute", "timeAdded": "1970-01-01T00:15:00Z"})
    }

    #[test]
    fn a_pod_leaves_when_its_tolerance_ends() {
        let five_minutes = json!([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]);
        assert_eq!(left(json!([]), json!([])), Leave::Never);
        assert_eq!(left(json!([]), json!([taint("k")])), Leave::At(at(1000)));
        assert_eq!(left(five_minutes.clone(), json!([taint("k")])), Leave::At(at(1200)));
        assert_eq!(left(five_minutes, json!([taint("k"), taint("other")])), Leave::At(at(1000)));
        assert_eq!(left(json!([{"operator": "Exists"}]), json!([taint("k")])), Leave::Never);
    }

    #[test]
    fn the_shortest_tolerance_counts() {
        let both = json!([
            {"key": "a", "operator": "Exists", "tolerationSeconds": 500}, {"key": "b", "operator": "Exists", "tolerationSeconds": 200}]);
        assert_eq!(left(both, json!([taint("a"), taint("b")])), Leave::At(at(1100)));
    }
}
