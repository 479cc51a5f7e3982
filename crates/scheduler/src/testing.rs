//! Small worlds for tests.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) fn node(name: &str, cpu: &str, memory: &str) -> Arc<Node> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "10Gi"}},
        }))
        .unwrap(),
    )
}

pub(crate) fn pod(name: &str, cpu: &str, memory: &str) -> Arc<Pod> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]},
        }))
        .unwrap(),
    )
}

/// The object with `change` merged into it.
pub(crate) fn changed<K: Serialize + DeserializeOwned>(object: &Arc<K>, change: Value) -> Arc<K> {
    let mut value = serde_json::to_value(&**object).unwrap();
    merge(&mut value, change);
    Arc::new(serde_json::from_value(value).unwrap())
}

fn merge(target: &mut Value, change: Value) {
    match (target, change) {
        (Value::Object(target), Value::Object(change)) => {
            for (key, value) in change {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, change) => *target = change,
    }
}
