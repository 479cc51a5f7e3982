//! What counts for what.

use serde_json::json;

use super::*;

const PODS: Counted<'_> = Counted { group: "", plural: "pods" };

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

fn used(counted: Counted<'_>, object: &Value) -> String {
    printed(&counted.usage(object, now()))
}

#[test]
fn a_pod_counts_for_what_its_containers_need_at_any_time() {
    let pod = json!({"spec": {
        "initContainers": [{"name": "i", "resources": {"requests": {"memory": "3Gi"}}}],
        "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1"}}},
            {"name": "b", "resources": {"requests": {"cpu": "200m", "memory": "1Gi"}}},
        ],
    }});
    assert_eq!(
        used(PODS, &pod),
        "count/pods=1,cpu=300m,limits.cpu=1,memory=3Gi,pods=1,requests.cpu=300m,requests.memory=3Gi"
    );
    let over = json!({"spec": pod["spec"], "status": {"phase": "Succeeded"}});
    assert_eq!(used(PODS, &over), "count/pods=1");
}

#[test]
fn services_count_for_their_ports_and_claims_for_their_class() {
    let services = Counted { group: "", plural: "services" };
    let service = json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 81}]}});
    assert_eq!(used(services, &service), "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2");
    let claims = Counted { group: "", plural: "persistentvolumeclaims" };
    let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(
        used(claims, &claim),
        "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
         gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi"
    );
    assert_eq!(used(Counted { group: "apps", plural: "deployments" }, &json!({})), "count/deployments.apps=1");
}

#[test]
fn scopes_choose_pods() {
    let hard = amounts(&json!({"pods": "1"}));
    let plain = json!({"spec": {"containers": [{"name": "c"}]}});
    let ending =
        json!({"spec": {"activeDeadlineSeconds": 5, "priorityClassName": "high", "containers": [{"name": "c"}]}});
    let quota = |scopes: Value, expressions: Value| json!({"spec": {"scopes": scopes, "scopeSelector": {"matchExpressions": expressions}}});
    let high = json!([{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]);
    let table = [
        (quota(json!([]), json!([])), true, true),
        (quota(json!(["Terminating"]), json!([])), false, true),
        (quota(json!(["NotTerminating", "BestEffort"]), json!([])), true, false),
        (quota(json!(["NotBestEffort"]), json!([])), false, false),
        (quota(json!([]), high), false, true),
    ];
    for (quota, has_plain, has_ending) in table {
        assert_eq!(PODS.is_in(&quota, &hard, &plain), has_plain, "{quota}");
        assert_eq!(PODS.is_in(&quota, &hard, &ending), has_ending, "{quota}");
    }
    assert!(!Counted { group: "", plural: "secrets" }.is_in(&json!({}), &hard, &json!({})));
}

#[test]
fn containers_must_say_what_they_need_where_it_is_bounded() {
    let hard = amounts(&json!({"limits.cpu": "1", "requests.memory": "1Gi", "pods": "1"}));
    let pod = json!({"spec": {"containers": [
        {"name": "b"}, {"name": "a", "resources": {"requests": {"memory": "1Mi"}}}]}});
    assert_eq!(PODS.missing(&hard, &pod).as_deref(), Some("must specify limits.cpu for: a,b; requests.memory for: b"));
    assert_eq!(PODS.missing(&amounts(&json!({"pods": "1"})), &pod), None);
}

#[test]
fn only_what_is_more_than_before_is_asked_for() {
    let rest = exceeding(&amounts(&json!({"a": "3", "b": "1"})), &amounts(&json!({"a": "1", "b": "2"})));
    assert_eq!(printed(&rest), "a=2");
}
