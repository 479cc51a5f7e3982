//! Rows as kubectl shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::kinds;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a time")
}

fn shown(object: &Value) -> String {
    let text = |field: &str| object[field].as_str().expect("apiVersion and kind are given").to_owned();
    let kind = kinds::by_api_version(&text("apiVersion"), &text("kind")).expect("a built-in kind");
    let cells = cells(kind, object, now());
    assert_eq!(cells.len(), kind.columns.headings.len());
    let plain = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
    cells.iter().map(plain).collect::<Vec<_>>().join(" | ")
}

fn pod(status: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:50:00Z"},
        "spec": {"nodeName": "n", "containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}, "status": status})
}

#[test]
fn a_pod_says_how_it_does() {
    let table = [
        (json!({"phase": "Pending"}), "p | 0/1 | Pending | 0 | 10m | <none> | n | <none> | <none>"),
        (
            json!({"phase": "Running", "podIPs": [{"ip": "10.244.0.2"}], "containerStatuses": [{"name": "c", "ready": true, "restartCount": 2,
                "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}}]}),
            "p | 1/1 | Running | 2 (5m ago) | 10m | 10.244.0.2 | n | <none> | <none>",
        ),
        (
            json!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            "p | 0/1 | CrashLoopBackOff | 1 | 10m | <none> | n | <none> | <none>",
        ),
        (
            json!({"phase": "Failed", "containerStatuses": [{"name": "c", "restartCount": 0, "state": {"terminated": {"exitCode": 3}}}]}),
            "p | 0/1 | ExitCode:3 | 0 | 10m | <none> | n | <none> | <none>",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "restartCount": 0, "state": {"running": {}}}]}),
            "p | 0/1 | Init:0/1 | 0 | 10m | <none> | n | <none> | <none>",
        ),
    ];
    for (status, row) in table {
        assert_eq!(shown(&pod(status)), row);
    }
    let mut gated =
        pod(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}));
    gated["spec"]["readinessGates"] = json!([{"conditionType": "a/b"}]);
    assert_eq!(shown(&gated), "p | 0/1 | SchedulingGated | 0 | 10m | <none> | n | <none> | 0/1");
    let mut lost = pod(json!({"phase": "Running", "reason": "NodeLost"}));
    lost["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    assert!(shown(&lost).starts_with("p | 0/1 | Unknown | 0"));
    let mut leaving = pod(json!({"phase": "Running"}));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    assert!(shown(&leaving).contains("Terminating"));
}

#[test]
fn services_show_where_they_are_reached() {
    let service = |spec: Value, status: Value| {
        shown(
            &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec, "status": status}),
        )
    };
    let ports = json!([{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]);
    assert_eq!(
        service(
            json!({"type": "NodePort", "clusterIPs": ["10.96.0.2"], "ports": ports, "selector": {"a": "b"}}),
            json!({})
        ),
        "s | NodePort | 10.96.0.2 | <none> | 80:30080/TCP,53/UDP | <unknown> | a=b"
    );
    let points = json!({"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "a.b"}, {"ip": "1.1.1.1"}]}});
    assert!(service(json!({"type": "LoadBalancer"}), points).contains("| 1.1.1.1,2.2.2.2,a.b |"));
    assert_eq!(
        service(json!({"type": "LoadBalancer"}), json!({})),
        "s | LoadBalancer | <none> | <pending> | <none> | <unknown> | <none>"
    );
}

#[test]
fn other_kinds_show_their_facts() {
    let table = [
        (
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": {"readyReplicas": 1, "updatedReplicas": 2},
                "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}}}),
            "d | 1/3 | 2 | 0 | <unknown> | c | i:1 | a=b",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "o", "kernelVersion": "k", "architecture": "amd64"}}}),
            "n | Ready,SchedulingDisabled | control-plane | <unknown> | v1.37.0 | 127.0.0.1 | <none> | o | k (amd64) | <unknown>",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "Pulled",
                "message": " done ", "source": {"component": "kubelet", "host": "n"}, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:59:00Z", "count": 4}),
            "60s | Normal | Pulled | pod/p |  | kubelet, n | done | 60m | 4 | e",
        ),
        (
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "e"}, "addressType": "IPv4", "ports": [{"port": 80}],
                "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.3"]}, {"addresses": ["10.0.0.4"]}]}),
            "e | IPv4 | 80 | 10.0.0.1,10.0.0.2,10.0.0.3 + 1 more... | <unknown>",
        ),
    ];
    for (object, row) in table {
        assert_eq!(shown(&object), row);
    }
}

#[test]
fn a_row_carries_as_much_of_its_object_as_was_asked_for() {
    let kind = kinds::by_plural("", "v1", "configmaps").expect("a built-in kind");
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}});
    let table = |include_object, no_headers| {
        let options = TableOptions { now: now(), include_object, no_headers, version: "v1" };
        super::table(kind, [&object], json!({"resourceVersion": "7"}), options)
    };
    assert_eq!(table(IncludeObject::None, false)["rows"][0]["object"], Value::Null);
    assert_eq!(table(IncludeObject::Object, false)["rows"][0]["object"], object);
    let metadata = table(IncludeObject::Metadata, true);
    assert_eq!(metadata["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(metadata["columnDefinitions"], Value::Null);
    assert_eq!(metadata["metadata"]["resourceVersion"], "7");
}
