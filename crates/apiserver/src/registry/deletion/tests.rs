use coracle_api::kinds;
use serde_json::json;

use super::*;
use crate::resources::Catalog;

fn resource(group: &str, plural: &str) -> std::sync::Arc<Resource> {
    Catalog::new(kinds::all()).find(group, "v1", plural).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn pod(extra: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p", "uid": "u", "resourceVersion": "7", "generation": 1},
        "spec": {"terminationGracePeriodSeconds": 30, "nodeName": "n"}});
    overlay(&mut pod, extra);
    pod
}

fn overlay(target: &mut Value, extra: Value) {
    match (target, extra) {
        (Value::Object(target), Value::Object(extra)) => {
            for (name, value) in extra {
                overlay(target.entry(name).or_insert(Value::Null), value);
            }
        }
        (target, extra) => *target = extra,
    }
}

fn decide(plural: &str, object: &Value, options: &DeleteOptions) -> Plan {
    plan(&resource("", plural), object, options, now()).unwrap()
}

fn grace(seconds: i64) -> DeleteOptions {
    DeleteOptions { grace_seconds: Some(seconds), ..DeleteOptions::default() }
}

#[test]
fn a_running_pod_is_given_time() {
    let Plan::Mark(marked) = decide("pods", &pod(json!({})), &DeleteOptions::default()) else { panic!("not marked") };
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-01T00:00:30Z");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked["metadata"]["generation"], 2);
}

#[test]
fn a_pod_without_node_or_life_goes_at_once() {
    for extra in [json!({"spec": {"nodeName": ""}}), json!({"status": {"phase": "Succeeded"}})] {
        assert!(matches!(decide("pods", &pod(extra), &grace(40)), Plan::MarkAndRemove(_)));
    }
    assert!(matches!(decide("pods", &pod(json!({})), &grace(0)), Plan::MarkAndRemove(_)));
}

#[test]
fn time_once_given_may_only_be_shortened() {
    let deleting = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}});
    assert_eq!(decide("pods", &pod(deleting.clone()), &grace(60)), Plan::Leave);
    assert_eq!(decide("pods", &pod(deleting.clone()), &DeleteOptions::default()), Plan::Leave);
    let Plan::Mark(marked) = decide("pods", &pod(deleting), &grace(10)) else { panic!("not marked") };
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-01T00:00:10Z");
    assert_eq!(marked["metadata"]["generation"], 1);
}

#[test]
fn finalizers_hold_an_object_and_propagation_adds_its_own() {
    let object = json!({"metadata": {"name": "c", "finalizers": ["example.com/hold"], "generation": 3}});
    let options = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() };
    let Plan::Mark(marked) = decide("configmaps", &object, &options) else { panic!("not marked") };
    assert_eq!(marked["metadata"]["finalizers"], json!(["example.com/hold", "foregroundDeletion"]));
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(marked["metadata"]["generation"], 4);
    let free = json!({"metadata": {"name": "c"}});
    assert_eq!(decide("configmaps", &free, &DeleteOptions::default()), Plan::Remove);
    let orphan = DeleteOptions { propagation: Some(Propagation::Orphan), ..DeleteOptions::default() };
    let Plan::Mark(marked) = decide("configmaps", &free, &orphan) else { panic!("not marked") };
    assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
}

#[test]
fn a_namespace_waits_for_its_finalizer() {
    let namespace =
        json!({"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
    let Plan::Mark(marked) = decide("namespaces", &namespace, &DeleteOptions::default()) else { panic!("not marked") };
    assert_eq!(marked["status"]["phase"], "Terminating");
    assert_eq!(decide("namespaces", &marked, &DeleteOptions::default()), Plan::Leave);
    let mut emptied = marked.clone();
    emptied["spec"]["finalizers"] = json!([]);
    assert!(is_complete(&resource("", "namespaces"), &emptied, &marked));
    assert!(!is_complete(&resource("", "namespaces"), &marked, &marked));
}

#[test]
fn preconditions_that_do_not_hold_conflict() {
    let uid = DeleteOptions { uid: Some("other".into()), ..DeleteOptions::default() };
    let status = plan(&resource("", "pods"), &pod(json!({})), &uid, now()).unwrap_err();
    assert_eq!(
        status.message,
        "Operation cannot be fulfilled on Pod \"p\": the UID in the precondition (other) does not match the UID in \
         record (u). The object might have been deleted and then recreated"
    );
    let version = DeleteOptions { resource_version: Some("6".into()), ..DeleteOptions::default() };
    assert_eq!(plan(&resource("", "pods"), &pod(json!({})), &version, now()).unwrap_err().code, 409);
}
