//! Worlds of one ReplicationController, and what it does and says about them.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::sync::Arc;

use super::super::plan::{View, plan, pod_of};
use super::super::status::{self, Failure};
use super::*;
use crate::{Error, owners};

fn controller(spec: Value) -> ReplicationController {
    let mut all = json!({"selector": {"app": "old"}, "template": {"metadata": {"labels": {"app": "old"}},
        "spec": {"containers": [{"name": "c", "image": "v0"}]}}});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": "old", "namespace": "n", "uid": "me", "generation": 2},
        "spec": all}))
    .unwrap()
}

/// `phase`, followed by `!` for one that is ready and by `-` for one that is being deleted.
fn pod(name: &str, look: &str) -> Arc<Pod> {
    let mut pod = json!({"metadata": {"name": name, "uid": name, "labels": {"app": "old"}},
        "spec": {"containers": [], "nodeName": "node"},
        "status": {"phase": look.trim_end_matches(['!', '-'])}});
    if look.contains('!') {
        let since = "1970-01-01T00:01:40Z";
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]);
    }
    if look.contains('-') {
        pod["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:02:00Z");
    }
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn pods(looks: &[&str]) -> Vec<Arc<Pod>> {
    looks.iter().enumerate().map(|(idx, look)| pod(&format!("p{idx}"), look)).collect()
}

fn with_view<T>(controller: &ReplicationController, pods: &[Arc<Pod>], read: impl FnOnce(&View<'_>) -> T) -> T {
    let set = controller.as_set();
    let now = Timestamp::from_second(110).unwrap();
    read(&View { set: &set, owned: pods, related: pods.to_vec(), now })
}

#[test]
fn it_makes_what_is_missing_and_gives_up_what_is_too_much() {
    let table: [(Value, &[&str], usize, &[&str]); 9] = [
        (json!({"replicas": 3}), &[], 3, &[]),
        (json!({}), &[], 1, &[]),
        (json!({"replicas": 0}), &["Running!"], 0, &["p0"]),
        (json!({"replicas": 2}), &["Running!", "Pending"], 0, &[]),
        (json!({"replicas": 1}), &["Running!", "Pending"], 0, &["p1"]),
        (json!({"replicas": 1}), &["Running", "Running!"], 0, &["p0"]),
        (json!({"replicas": 2}), &["Running!", "Failed"], 1, &[]),
        (json!({"replicas": 2}), &["Running!", "Succeeded", "Running!-"], 1, &[]),
        (json!({"replicas": 1}), &["Running!", "Running!-"], 0, &[]),
    ];
    for (spec, looks, n_create, delete) in table {
        let (controller, pods) = (controller(spec.clone()), pods(looks));
        let plan = with_view(&controller, &pods, plan);
        let deleted: Vec<_> = plan.delete.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
        assert_eq!(
            (plan.n_create, deleted),
            (n_create, delete.iter().map(ToString::to_string).collect()),
            "{spec} {looks:?}"
        );
    }
}

#[test]
fn its_status_counts_its_pods() {
    let table: [(_, &[&str], _); 4] = [
        (json!({"replicas": 2}), &[], [Some(0), None, None, None]),
        (json!({"replicas": 2}), &["Running!", "Pending"], [Some(2), Some(2), Some(1), Some(1)]),
        (json!({"replicas": 2}), &["Running!", "Failed", "Running!-"], [Some(1), Some(1), Some(1), Some(1)]),
        (json!({"replicas": 1, "minReadySeconds": 60}), &["Running!"], [Some(1), Some(1), Some(1), None]),
    ];
    for (spec, looks, counts) in table {
        let (controller, pods) = (controller(spec.clone()), pods(looks));
        let status = with_view(&controller, &pods, |view| status::status(view, None)).expect("it has none yet");
        let written = controller.with_status(status.clone());
        let told = written.status.clone().unwrap();
        let found = [Some(told.replicas), told.fully_labeled_replicas, told.ready_replicas, told.available_replicas];
        assert_eq!((found, told.observed_generation), (counts, Some(2)), "{spec} {looks:?}");
        assert!(written.has_status(&status));
        let again = with_view(&written, &pods, |view| status::status(view, None));
        assert!(again.is_none_or(|status| written.has_status(&status)), "what is written is not written again");
    }
}

#[test]
fn a_failure_is_a_condition_until_it_is_over() {
    let controller = controller(json!({"replicas": 2}));
    let failure = Failure { reason: "FailedCreate", error: Error::NoPodNetwork { node: "a".into() } };
    let failed = with_view(&controller, &[], |view| status::status(view, Some(&failure))).unwrap();
    let failed = controller.with_status(failed);
    let told = failed.status.clone().unwrap().conditions.unwrap();
    let told: Vec<_> = told.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_deref())).collect();
    assert_eq!(told, [("ReplicaFailure", "True", Some("FailedCreate"))]);
    let over = with_view(&failed, &pods(&["Running!", "Running!"]), |view| status::status(view, None)).unwrap();
    assert_eq!(failed.with_status(over).status.unwrap().conditions, None);
}

#[test]
fn its_pods_are_its_own_by_labels_and_name() {
    let controller = controller(json!({"replicas": 1}));
    let pod = pod_of(&controller.as_set(), owners::reference_to(&controller));
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("old-"));
    let owner = owners::controller_of(&pod.metadata).unwrap();
    assert_eq!(
        (owner.kind.as_str(), owner.api_version.as_str(), owner.uid.as_str()),
        ("ReplicationController", "v1", "me")
    );
    assert!(labels::matches(&controller.selector(), pod.metadata.labels.as_ref()));
}

#[test]
fn without_a_selector_nothing_is_its_own() {
    for selector in [json!({}), Value::Null] {
        let controller = controller(json!({"selector": selector}));
        assert!(!labels::matches(&controller.selector(), pod("a", "Running").metadata.labels.as_ref()));
    }
}
