//! Worlds of one ReplicaSet, and what it does about them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::super::status;
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn set(replicas: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "set", "generation": 3},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}}, "spec": {"containers": []}},
        },
    }))
    .unwrap()
}

/// A ready pod on `node`; `change` makes it another.
fn pod(name: &str, node: &str, change: serde_json::Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": {"name": name, "uid": name, "labels": {"app": "web"}, "creationTimestamp": "1970-01-01T00:01:00Z"},
        "spec": {"containers": [], "nodeName": node},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:01:40Z"}]},
    });
    merge(&mut pod, change);
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn merge(target: &mut serde_json::Value, change: serde_json::Value) {
    match (target, change) {
        (serde_json::Value::Object(target), serde_json::Value::Object(change)) => {
            for (key, value) in change {
                merge(target.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (target, change) => *target = change,
    }
}

fn not_ready() -> serde_json::Value {
    json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
}

fn deleted(replicas: i32, pods: &[Arc<Pod>]) -> Vec<String> {
    let set = set(replicas);
    let view = View { set: &set, owned: pods, related: pods.to_vec(), now: at(1_000_000) };
    plan(&view).delete.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect()
}

#[test]
fn it_creates_what_is_missing_and_does_not_count_what_goes() {
    let set = set(5);
    let ending = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:02:00Z"}});
    let pods =
        [pod("a", "n1", json!({})), pod("b", "n1", ending), pod("c", "n1", json!({"status": {"phase": "Failed"}}))];
    let view = View { set: &set, owned: &pods, related: Vec::new(), now: at(200) };
    let plan = plan(&view);
    assert_eq!((plan.n_create, plan.delete.len()), (4, 0));
}

#[test]
fn a_set_that_is_being_deleted_does_nothing() {
    let mut set = set(5);
    set.metadata.deletion_timestamp = Some(Time(at(1)));
    assert_eq!(plan(&View { set: &set, owned: &[], related: Vec::new(), now: at(200) }).n_create, 0);
}

#[test]
fn a_burst_is_bounded() {
    let set = set(10_000);
    assert_eq!(plan(&View { set: &set, owned: &[], related: Vec::new(), now: at(200) }).n_create, BURST_MAX);
}

#[test]
fn pods_go_in_the_order_of_their_worth() {
    let cost = |cost: &str| json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}});
    let pods = [
        pod("cheap", "n1", cost("-5")),
        pod("running", "n1", json!({})),
        pod("dear", "n1", cost("7")),
        pod("unready", "n1", not_ready()),
        pod("pending", "n1", json!({"status": {"phase": "Pending", "conditions": []}})),
        pod("unassigned", "", json!({"status": {"phase": "Pending", "conditions": []}})),
    ];
    assert_eq!(deleted(0, &pods), ["unassigned", "pending", "unready", "cheap", "running", "dear"]);
    assert_eq!(deleted(4, &pods), ["unassigned", "pending"]);
}

#[test]
fn a_crowded_node_is_relieved_first() {
    let pods = [pod("a", "n1", json!({})), pod("b", "n2", json!({})), pod("c", "n2", json!({}))];
    assert_eq!(deleted(1, &pods), ["b", "c"]);
}

#[test]
fn the_much_younger_and_the_restarted_go_before_the_settled() {
    let ready_at = |second: i64| {
        json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": at(second).to_string()}]}})
    };
    let restarted = json!({"status": {"containerStatuses": [
        {"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 9}]}});
    let pods = [pod("old", "n1", ready_at(100)), pod("new", "n1", ready_at(999_990)), pod("shaky", "n1", restarted)];
    assert_eq!(deleted(0, &pods), ["new", "shaky", "old"]);
}

#[test]
fn ages_of_one_magnitude_are_alike() {
    let ready_at = |second: i64| {
        json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": at(second).to_string()}]}})
    };
    let pods = [pod("b", "n1", ready_at(100)), pod("a", "n1", ready_at(5_000))];
    assert_eq!(deleted(1, &pods), ["a"], "the uid decides");
    let pods = [pod("a", "n1", ready_at(100)), pod("b", "n1", ready_at(5_000))];
    assert_eq!(deleted(1, &pods), ["a"], "the uid decides");
}

#[test]
fn a_pod_is_made_from_the_template() {
    let pod = pod_of(&set(1), crate::owners::reference_to(&set(1)));
    insta::assert_snapshot!(serde_json::to_string_pretty(&pod).unwrap(), @r#"
    {
      "apiVersion": "v1",
      "kind": "Pod",
      "metadata": {
        "annotations": {
          "a": "b"
        },
        "generateName": "web-",
        "labels": {
          "app": "web"
        },
        "namespace": "default",
        "ownerReferences": [
          {
            "apiVersion": "apps/v1",
            "blockOwnerDeletion": true,
            "controller": true,
            "kind": "ReplicaSet",
            "name": "web",
            "uid": "set"
          }
        ]
      },
      "spec": {
        "containers": []
      }
    }
    "#);
}

#[test]
fn the_status_counts_pods() {
    let mut set = set(3);
    set.spec.min_ready_seconds = Some(10);
    let ending = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:02:00Z"}});
    let relabelled = json!({"metadata": {"labels": {"app": "other"}}});
    let pods =
        [pod("a", "n1", json!({})), pod("b", "n1", not_ready()), pod("c", "n1", relabelled), pod("d", "n1", ending)];
    let view = View { set: &set, owned: &pods, related: Vec::new(), now: at(105) };
    let counted = status::status(&view, None).unwrap();
    insta::assert_snapshot!(serde_json::to_string(&counted).unwrap(), @r#"{"fullyLabeledReplicas":2,"observedGeneration":3,"readyReplicas":2,"replicas":3,"terminatingReplicas":1}"#);
    assert_eq!(status::next_look(&view).map(|wait| wait.as_secs()), Some(5), "two become available by time alone");

    let later = View { now: at(110), ..view };
    let counted = status::status(&later, None).unwrap();
    assert_eq!(counted.available_replicas, Some(2));
    assert_eq!(status::next_look(&later), None);
    set.status = Some(counted);
    let written = View { set: &set, owned: &pods, related: Vec::new(), now: at(120) };
    assert_eq!(status::status(&written, None), None, "nothing to write");
}

#[test]
fn a_failure_becomes_a_condition_and_goes_again() {
    let mut set = set(3);
    let source =
        kube::Error::Api(kube::core::Status::failure("pods \"web-x\" is forbidden: quota", "Forbidden").boxed());
    let error = crate::Error::at("create a pod of", coracle_client::Key::new("default", "web"))(source);
    let failure = status::Failure { reason: "FailedCreate", error };
    let view = View { set: &set, owned: &[], related: Vec::new(), now: at(105) };
    let failed = status::status(&view, Some(&failure)).unwrap();
    insta::assert_snapshot!(serde_json::to_string(&failed.conditions).unwrap(), @r#"[{"lastTransitionTime":"1970-01-01T00:01:45Z","message":"pods \"web-x\" is forbidden: quota","reason":"FailedCreate","status":"True","type":"ReplicaFailure"}]"#);
    set.status = Some(failed);
    let view = View { set: &set, owned: &[], related: Vec::new(), now: at(106) };
    assert_eq!(status::status(&view, Some(&failure)), None, "it is said once");
    assert_eq!(status::status(&view, None).unwrap().conditions, None);
}
