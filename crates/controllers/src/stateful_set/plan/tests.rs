//! Worlds of a StatefulSet, and what is done about them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

struct World {
    set: StatefulSet,
    pods: BTreeMap<String, Pod>,
    claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
    update: &'static str,
}

fn template() -> PodTemplateSpec {
    PodTemplateSpec { metadata: None, spec: Some(k8s_openapi::api::core::v1::PodSpec::default()) }
}

fn revision(name: &str) -> Revision {
    Revision { name: name.to_owned(), template: template() }
}

impl World {
    fn new(replicas: i32, spec: Value) -> Self {
        let mut all = json!({"replicas": replicas, "serviceName": "svc", "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}});
        for (field, value) in spec.as_object().unwrap() {
            all[field] = value.clone();
        }
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "s", "namespace": "n", "uid": "s", "generation": 1}, "spec": all});
        let set = serde_json::from_value(set).unwrap();
        Self { set, pods: BTreeMap::new(), claims: BTreeMap::new(), update: "s-1" }
    }

    fn pod(&mut self, ordinal: i32, revision: &str, state: &str) -> &mut Self {
        let mut pod = identity::pod(&self.set, &template(), revision, ordinal);
        let phase = if matches!(state, "ready" | "ending") { "Running" } else { state };
        let status = json!({"phase": phase, "conditions": [{"type": "Ready", "status":
            if state == "ready" { "True" } else { "False" }, "lastTransitionTime": "1970-01-01T00:00:00Z"}]});
        pod.status = Some(serde_json::from_value(status).unwrap());
        pod.metadata.uid = pod.metadata.name.clone();
        if state == "ending" {
            pod.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        }
        self.pods.insert(pod.metadata.name.clone().unwrap(), pod);
        self
    }

    fn plan(&self) -> Plan {
        let pods: Vec<Arc<Pod>> = self.pods.values().cloned().map(Arc::new).collect();
        let claim = |name: &str| self.claims.get(name).cloned();
        let (current, update) = (revision("s-1"), revision(self.update));
        let now = Timestamp::from_second(100).unwrap();
        plan(&View {
            set: &self.set,
            pods: &pods,
            current: &current,
            update: &update,
            n_collisions: 0,
            claim: &claim,
            now,
        })
    }

    fn steps(&self) -> Vec<String> {
        let name = |meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| meta.name.clone().unwrap();
        let say = |action: Action| match action {
            Action::Create { pod, claims } => {
                let claims: String = claims.iter().map(|claim| format!(" with {}", name(&claim.metadata))).collect();
                format!("create {} of {}{claims}", name(&pod.metadata), identity::revision_of(&pod))
            }
            Action::Claim { pod, claims } => format!("claim {} for {}", name(&claims[0].metadata), name(&pod.metadata)),
            Action::Replace(pod) => format!("replace {}", name(&pod.metadata)),
            Action::Delete(pod) => format!("delete {}", name(&pod.metadata)),
            Action::Mend(pod) => format!("mend {}", name(&pod.metadata)),
            Action::Own { claim, owners } => format!("own {} by {}", name(&claim.metadata), owners[0].uid),
        };
        self.plan().actions.into_iter().map(say).collect()
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_ordered_set_makes_its_pods_one_by_one() {
    let mut world = World::new(3, json!({}));
    assert_eq!(world.steps(), ["create s-0 of s-1"]);
    assert_eq!(world.pod(0, "s-1", "Pending").steps(), NOTHING);
    assert_eq!(world.pod(0, "s-1", "ready").steps(), ["create s-1 of s-1"]);
    world.pod(1, "s-1", "ready").pod(2, "s-1", "ready");
    assert_eq!(world.steps(), NOTHING);
    assert_eq!(world.pod(0, "s-1", "ending").steps(), NOTHING);
}

#[test]
fn a_parallel_set_makes_them_all_at_once() {
    let world = World::new(2, json!({"podManagementPolicy": "Parallel", "ordinals": {"start": 5}}));
    assert_eq!(world.steps(), ["create s-5 of s-1", "create s-6 of s-1"]);
}

#[test]
fn an_ordered_set_shrinks_from_the_end_while_the_rest_is_well() {
    let mut world = World::new(1, json!({}));
    world.pod(0, "s-1", "ready").pod(1, "s-1", "ready").pod(2, "s-1", "ready");
    assert_eq!(world.steps(), ["delete s-2"]);
    assert_eq!(world.pod(2, "s-1", "ending").steps(), NOTHING);
    world.pods.remove("s-2");
    assert_eq!(world.steps(), ["delete s-1"]);
    world.pod(1, "s-1", "Pending");
    assert_eq!(world.steps(), ["delete s-1"], "the first that is not well may go");
    assert_eq!(world.pod(0, "s-1", "Pending").steps(), NOTHING);
}

#[test]
fn a_pod_that_has_ended_is_replaced() {
    let mut world = World::new(1, json!({}));
    assert_eq!(world.pod(0, "s-1", "Failed").steps(), ["replace s-0"]);
    assert_eq!(world.pod(0, "s-1", "Succeeded").steps(), ["replace s-0"]);
}

#[test]
fn an_update_goes_from_the_last_down_to_the_partition() {
    let mut world = World::new(3, json!({}));
    world.pod(0, "s-1", "ready").pod(1, "s-1", "ready").pod(2, "s-1", "ready");
    world.update = "s-2";
    assert_eq!(world.steps(), ["delete s-2"]);
    world.pods.remove("s-2");
    assert_eq!(world.steps(), ["create s-2 of s-2"]);
    assert_eq!(world.pod(2, "s-2", "Pending").steps(), NOTHING);
    assert_eq!(world.pod(2, "s-2", "ready").steps(), ["delete s-1"]);
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    world.set.spec.update_strategy = serde_json::from_value(strategy).unwrap();
    assert_eq!(world.steps(), NOTHING);
    world.pods.remove("s-1");
    assert_eq!(world.steps(), ["create s-1 of s-1"], "below the partition the old template holds");
    let on_delete = json!({"type": "OnDelete"});
    world.set.spec.update_strategy = serde_json::from_value(on_delete).unwrap();
    assert_eq!(world.steps(), ["create s-1 of s-2"]);
}

#[test]
fn an_update_may_take_several_away() {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1, "maxUnavailable": 2}});
    let mut world = World::new(4, json!({"updateStrategy": strategy, "podManagementPolicy": "Parallel"}));
    world.update = "s-2";
    for ordinal in 0..4 {
        world.pod(ordinal, "s-1", "ready");
    }
    assert_eq!(world.steps(), ["delete s-3", "delete s-2"]);
    assert_eq!(world.pod(3, "s-1", "ending").steps(), ["delete s-2"]);
}

#[test]
fn claims_come_before_their_pod_and_never_from_an_earlier_one() {
    let templates = json!([{"metadata": {"name": "data"}, "spec": {}}]);
    let policy = json!({"whenDeleted": "Delete", "whenScaled": "Retain"});
    let mut world =
        World::new(1, json!({"volumeClaimTemplates": templates, "persistentVolumeClaimRetentionPolicy": policy}));
    assert_eq!(world.steps(), ["create s-0 of s-1 with data-s-0"]);
    let claim = |ending: bool| {
        let mut claim = json!({"metadata": {"name": "data-s-0", "uid": "c"}});
        if ending {
            claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Arc::new(serde_json::from_value::<PersistentVolumeClaim>(claim).unwrap())
    };
    world.claims.insert("data-s-0".into(), claim(true));
    assert_eq!(world.steps(), NOTHING);
    world.claims.insert("data-s-0".into(), claim(false));
    assert_eq!(world.steps(), ["create s-0 of s-1"]);
    assert_eq!(world.pod(0, "s-1", "ready").steps(), ["own data-s-0 by s"]);
}

#[test]
fn a_pod_that_lost_its_identity_is_mended() {
    let mut world = World::new(1, json!({}));
    world.pod(0, "s-1", "ready");
    let labels = world.pods.get_mut("s-0").unwrap().metadata.labels.as_mut().unwrap();
    labels.remove("statefulset.kubernetes.io/pod-name");
    assert_eq!(world.steps(), ["mend s-0"]);
}

#[test]
fn the_status_counts_and_turns_over_when_an_update_is_complete() {
    let mut world = World::new(2, json!({}));
    world.update = "s-2";
    world.pod(0, "s-1", "ready").pod(1, "s-2", "Pending");
    let status = world.plan().status;
    assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (2, Some(1), Some(1)));
    assert_eq!((status.current_replicas, status.updated_replicas), (Some(1), Some(1)));
    assert_eq!(status.current_revision.as_deref(), Some("s-1"));
    world.pod(0, "s-2", "ready").pod(1, "s-2", "ready");
    let status = world.plan().status;
    assert_eq!((status.current_replicas, status.current_revision.as_deref()), (Some(2), Some("s-2")));
}
