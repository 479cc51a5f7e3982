//! StatefulSets, DaemonSets and ReplicationControllers.

use serde_json::{Map, Value, json};

use super::{Object, child, fill, fill_text, items, make, pod, text};

pub(crate) fn stateful_set(object: &mut Value) {
    let Some(spec) = object.as_object_mut().and_then(|o| make(o, "spec")) else { return };
    pod::template(spec);
    items(spec, "volumeClaimTemplates").for_each(claim);
    fill_text(spec, "podManagementPolicy", "OrderedReady");
    make(spec, "updateStrategy").into_iter().for_each(stateful_strategy);
    if let Some(policy) = make(spec, "persistentVolumeClaimRetentionPolicy") {
        fill_text(policy, "whenDeleted", "Retain");
        fill_text(policy, "whenScaled", "Retain");
    }
    fill(spec, "replicas", 1);
    fill(spec, "revisionHistoryLimit", 10);
}

fn claim(claim: &mut Object) {
    fill_text(claim, "apiVersion", "v1");
    fill_text(claim, "kind", "PersistentVolumeClaim");
    if let Some(spec) = make(claim, "spec") {
        fill_text(spec, "volumeMode", "Filesystem");
    }
    if let Some(status) = make(claim, "status") {
        fill_text(status, "phase", "Pending");
    }
}

fn stateful_strategy(strategy: &mut Object) {
    if text(strategy, "type").is_empty() {
        fill_text(strategy, "type", "RollingUpdate");
        fill(strategy, "rollingUpdate", Map::new());
    }
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = child(strategy, "rollingUpdate")
    {
        fill(rolling, "partition", 0);
    }
}

pub(crate) fn daemon_set(object: &mut Value) {
    let Some(spec) = object.as_object_mut().and_then(|o| make(o, "spec")) else { return };
    pod::template(spec);
    if let Some(strategy) = make(spec, "updateStrategy") {
        fill_text(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = make(strategy, "rollingUpdate")
        {
            fill(rolling, "maxUnavailable", json!(1));
            fill(rolling, "maxSurge", json!(0));
        }
    }
    fill(spec, "revisionHistoryLimit", 10);
}

/// Its selector and labels are those of its template.
pub(crate) fn replication_controller(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    let Some(spec) = make(object, "spec") else { return };
    pod::template(spec);
    let labels = spec.get("template").map(|template| template["metadata"]["labels"].clone()).unwrap_or_default();
    fill(spec, "replicas", 1);
    if !labels.is_object() {
        return;
    }
    fill_map(spec, "selector", &labels);
    if let Some(metadata) = make(object, "metadata") {
        fill_map(metadata, "labels", &labels);
    }
}

/// Sets the map `field` when it is absent or empty.
pub(super) fn fill_map(object: &mut Object, field: &str, value: &Value) {
    if object.get(field).and_then(Value::as_object).is_none_or(Map::is_empty) {
        object.insert(field.to_owned(), value.clone());
    }
}
