//! Tables of specs and what their guests find.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn pod(container: Value) -> core::Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u-1", "labels": {"app": "web", "tier": "f\"1"}},
        "spec": {"nodeName": "n1", "serviceAccountName": "web", "containers": [container]},
    }))
    .unwrap()
}

fn objects() -> Objects {
    let mut objects = Objects::default();
    let map = json!({"metadata": {"name": "cfg"}, "data": {"color": "blue", "size": "7"}});
    objects.insert_config_map("cfg", serde_json::from_value(map).unwrap());
    let secret = json!({"metadata": {"name": "sec"}, "data": {"password": "czNjcmV0"}});
    objects.insert_secret("sec", serde_json::from_value(secret).unwrap());
    objects
}

fn service(namespace: &str, name: &str, ports: Value) -> Arc<core::Service> {
    let value =
        json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": "10.96.0.9", "ports": ports}});
    Arc::new(serde_json::from_value(value).unwrap())
}

fn found(container: Value, services: Vec<(String, String)>) -> Result<Environment, String> {
    let mut container = container;
    container["name"] = "app".into();
    let pod = pod(container);
    let allocatable = BTreeMap::from([("cpu".to_owned(), "2".to_owned()), ("memory".to_owned(), "1Gi".to_owned())]);
    let facts = Facts {
        pod: &pod,
        pod_addresses: &["10.244.1.4".parse().unwrap(), "fd00::4".parse().unwrap()],
        host_addresses: &["192.168.0.5".parse().unwrap()],
        allocatable: &allocatable,
    };
    assemble(&facts, facts.container("app").unwrap(), &objects(), services).map_err(|error| error.to_string())
}

fn check(env: Value, expected: &[(&str, &str)]) {
    let variables = found(json!({"env": env}), vec![]).unwrap().variables;
    let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(variables, expected);
}

fn check_error(container: Value, expected: &str) {
    assert_eq!(found(container, vec![]).unwrap_err(), expected);
}

#[test]
fn values_are_expanded_from_those_before_them() {
    check(
        json!([
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(C)-$$(A)-$A-$(A"},
            {"name": "C", "value": "3"},
            {"name": "A", "value": "$(A)$(B)"},
        ]),
        &[("A", "11-$(C)-$(A)-$A-$(A"), ("B", "1-$(C)-$(A)-$A-$(A"), ("C", "3")],
    );
}

#[test]
fn fields_tell_a_pod_of_itself() {
    let field = |path: &str| json!({"name": path, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    check(
        json!([
            field("metadata.name"),
            field("metadata.namespace"),
            field("metadata.uid"),
            field("metadata.labels['app']"),
            field("metadata.labels['none']"),
            field("metadata.labels"),
            field("spec.nodeName"),
            field("spec.serviceAccountName"),
            field("status.podIP"),
            field("status.podIPs"),
            field("status.hostIP"),
        ]),
        &[
            ("metadata.name", "web-0"),
            ("metadata.namespace", "shop"),
            ("metadata.uid", "u-1"),
            ("metadata.labels['app']", "web"),
            ("metadata.labels['none']", ""),
            ("metadata.labels", "app=\"web\"\ntier=\"f\\\"1\""),
            ("spec.nodeName", "n1"),
            ("spec.serviceAccountName", "web"),
            ("status.podIP", "10.244.1.4"),
            ("status.podIPs", "10.244.1.4,fd00::4"),
            ("status.hostIP", "192.168.0.5"),
        ],
    );
}

#[test]
fn resources_are_rounded_up_and_fall_back_to_the_nodes() {
    let resource = |name: &str, resource: &str, divisor: &str| json!({"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}});
    let container = json!({
        "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "250m"}},
        "env": [
            resource("A", "requests.cpu", "1"), resource("B", "requests.cpu", "1m"), resource("C", "limits.memory", "1Mi"),
            resource("D", "limits.cpu", "1"), resource("E", "requests.memory", "1"),
        ],
    });
    let values: Vec<String> = found(container, vec![]).unwrap().variables.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["1", "250", "64", "2", "0"]);
}

#[test]
fn config_maps_and_secrets_give_single_keys_and_whole_sets() {
    let container = json!({
        "envFrom": [{"prefix": "CFG_", "configMapRef": {"name": "cfg"}}, {"secretRef": {"name": "sec"}},
                    {"configMapRef": {"name": "none", "optional": true}}],
        "env": [
            {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "color"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "password"}}},
            {"name": "NOTHING", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "none", "optional": true}}},
            {"name": "CFG_size", "value": "$(CFG_size)!"},
        ],
    });
    let variables = found(container, vec![]).unwrap().variables;
    let text: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(text, ["CFG_color=blue", "CFG_size=7!", "password=s3cret", "COLOR=blue", "PASSWORD=s3cret"]);
}

#[test]
fn what_is_missing_is_named_as_kubelet_names_it() {
    let key = |source: &str, name: &str, key: &str| json!({"env": [{"name": "X", "valueFrom": {source: {"name": name, "key": key}}}]});
    check_error(key("configMapKeyRef", "none", "k"), "configmap \"none\" not found");
    check_error(key("configMapKeyRef", "cfg", "k"), "couldn't find key k in ConfigMap shop/cfg");
    check_error(key("secretKeyRef", "none", "k"), "secret \"none\" not found");
    check_error(key("secretKeyRef", "sec", "k"), "couldn't find key k in Secret shop/sec");
    check_error(json!({"envFrom": [{"secretRef": {"name": "none"}}]}), "secret \"none\" not found");
    let field = json!({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]});
    check_error(field, "unsupported fieldPath: spec.nope");
}

#[test]
fn references_are_known_before_anything_is_fetched() {
    let container = json!({"name": "app",
        "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}],
        "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}}]});
    let container: core::Container = serde_json::from_value(container).unwrap();
    let expected = [Reference::ConfigMap("a".into()), Reference::Secret("b".into()), Reference::Secret("c".into())];
    assert_eq!(references(&container), BTreeSet::from(expected));
}

#[test]
fn the_command_line_is_command_and_args_with_variables() {
    let args = |container: Value| found(container, vec![]).unwrap().args;
    assert_eq!(args(json!({})), ["app"]);
    assert_eq!(args(json!({"args": ["-p", "80"]})), ["app", "-p", "80"]);
    let env = json!([{"name": "N", "value": "5"}]);
    assert_eq!(args(json!({"command": ["job", "$(N)"], "args": ["$(M)"], "env": env})), ["job", "5", "$(M)"]);
}

#[test]
fn services_are_told_as_links() {
    let services = [
        service("default", "kubernetes", json!([{"name": "https", "port": 443}])),
        service("shop", "my-db", json!([{"port": 5432, "protocol": "TCP"}])),
        service("other", "hidden", json!([{"port": 1}])),
    ];
    let names = |links: bool| -> Vec<String> {
        service_variables(&services, "shop", links).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    };
    assert_eq!(
        names(false),
        [
            "KUBERNETES_SERVICE_HOST=10.96.0.9",
            "KUBERNETES_SERVICE_PORT=443",
            "KUBERNETES_SERVICE_PORT_HTTPS=443",
            "KUBERNETES_PORT=tcp://10.96.0.9:443",
            "KUBERNETES_PORT_443_TCP=tcp://10.96.0.9:443",
            "KUBERNETES_PORT_443_TCP_PROTO=tcp",
            "KUBERNETES_PORT_443_TCP_PORT=443",
            "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.9",
        ]
    );
    assert_eq!(names(true)[8], "MY_DB_SERVICE_HOST=10.96.0.9");
    assert_eq!(names(true).len(), 15);
    let own = json!({"env": [{"name": "MY_DB_SERVICE_HOST", "value": "mine $(MY_DB_SERVICE_PORT)"}]});
    let found = found(own, service_variables(&services, "shop", true)).unwrap().variables;
    assert_eq!(found[0], ("MY_DB_SERVICE_HOST".to_owned(), "mine 5432".to_owned()));
    assert_eq!(found.iter().filter(|(name, _)| name == "MY_DB_SERVICE_HOST").count(), 1);
}
