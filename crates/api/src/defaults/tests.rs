//! Defaults on whole objects.

use serde_json::{Value, json};

use crate::kinds;

fn defaulted(mut object: Value) -> Value {
    let api_version = object["apiVersion"].as_str().expect("apiVersion").to_owned();
    let kind = kinds::by_api_version(&api_version, object["kind"].as_str().expect("kind")).expect("a built-in kind");
    kind.default(&mut object);
    let mut again = object.clone();
    kind.default(&mut again);
    assert_eq!(again, object, "defaults are stable");
    object
}

#[test]
fn a_pod_gets_all_that_clients_rely_on() {
    let pod = defaulted(json!({"apiVersion": "v1", "kind": "Pod", "spec": {
        "containers": [{"name": "a", "image": "a", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 80}],
            "livenessProbe": {"httpGet": {"port": 80}}, "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
        "volumes": [{"name": "v"}, {"name": "c", "configMap": {"name": "c"}}]}}));
    assert_eq!(
        pod["spec"],
        json!({
            "containers": [{"name": "a", "image": "a", "imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                    "successThreshold": 1, "failureThreshold": 3},
                "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}]}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c", "defaultMode": 420}}],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {}, "terminationGracePeriodSeconds": 30,
            "schedulerName": "default-scheduler", "enableServiceLinks": true
        })
    );
}

#[test]
fn a_template_keeps_its_requests() {
    let rs = defaulted(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": {"template": {"spec": {
        "containers": [{"name": "a", "image": "a:1", "resources": {"limits": {"cpu": "1"}}}]}}}}));
    let spec = &rs["spec"]["template"]["spec"];
    assert_eq!(spec["containers"][0]["resources"], json!({"limits": {"cpu": "1"}}));
    assert!(spec.get("enableServiceLinks").is_none());
    assert_eq!(rs["spec"]["replicas"], 1);
}

#[test]
fn a_service_of_another_cluster_has_no_traffic_policy() {
    let service = |spec: Value| defaulted(json!({"apiVersion": "v1", "kind": "Service", "spec": spec}))["spec"].clone();
    assert_eq!(
        service(json!({"ports": [{"port": 80}]})),
        json!({"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster"})
    );
    assert_eq!(service(json!({"type": "ExternalName"})), json!({"type": "ExternalName", "sessionAffinity": "None"}));
    let external = service(json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP"}));
    assert_eq!(external["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10800);
    assert_eq!(
        (&external["externalTrafficPolicy"], &external["allocateLoadBalancerNodePorts"]),
        (&json!("Cluster"), &json!(true))
    );
}

#[test]
fn a_secret_takes_its_plain_text_into_its_data() {
    let secret = defaulted(
        json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "YQ=="}, "stringData": {"a": "b", "c": "d"}}),
    );
    assert_eq!(
        secret,
        json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"a": "Yg==", "c": "ZA=="}})
    );
}
