//! Pods: how they begin, and what their endpoints change.

use serde_json::{Value, json};

use super::qos;
use crate::kind::{Part, drop_null};

pub(in super::super) fn pod_create(pod: &mut Value) {
    if pod["spec"]["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    }
    drop_stop_signals(&mut pod["spec"]);
    pod["status"] = json!({"phase": "Pending", "qosClass": qos::class(pod)});
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        let message = "Scheduling is blocked due to non-empty scheduling gates";
        pod["status"]["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "lastProbeTime": null, "lastTransitionTime": pod["metadata"]["creationTimestamp"],
            "reason": "SchedulingGated", "message": message,
        }]);
    }
    drop_null(pod, "spec");
}

/// Upstream knows the field, and drops it unless a feature is switched on.
pub(crate) fn drop_stop_signals(spec: &mut Value) {
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(lifecycle) = container.get_mut("lifecycle").and_then(Value::as_object_mut) else { continue };
            if lifecycle.remove("stopSignal").is_some() && lifecycle.is_empty() {
                container["lifecycle"] = Value::Null;
                drop_null(container, "lifecycle");
            }
        }
    }
}

pub(in super::super) fn pod_update(new: &mut Value, old: &Value, part: Part) {
    match part {
        Part::Status => {
            for field in ["deletionTimestamp", "ownerReferences"] {
                new["metadata"][field] = old["metadata"][field].clone();
                drop_null(&mut new["metadata"], field);
            }
            if new["status"]["qosClass"].is_null() && !old["status"]["qosClass"].is_null() {
                new["status"]["qosClass"] = old["status"]["qosClass"].clone();
            }
        }
        Part::EphemeralContainers => only_spec_field(new, old, "ephemeralContainers"),
        Part::Resize => only_resources(new, old),
        Part::Object | Part::Finalize | Part::Approval => {}
    }
}

/// Everything but one field of the spec is as it was.
fn only_spec_field(new: &mut Value, old: &Value, field: &str) {
    let wanted = new["spec"][field].take();
    restore(new, old);
    new["spec"][field] = wanted;
    drop_null(&mut new["spec"], field);
}

/// Everything but the resources of containers is as it was. Containers keep the order that was asked for: it is checked.
fn only_resources(new: &mut Value, old: &Value) {
    let wanted = new["spec"].take();
    restore(new, old);
    for list in ["containers", "initContainers"] {
        let containers = wanted[list].as_array().into_iter().flatten();
        let containers: Vec<Value> = containers.map(|container| resized(container, &old["spec"][list])).collect();
        new["spec"][list] = if containers.is_empty() { Value::Null } else { containers.into() };
        drop_null(&mut new["spec"], list);
    }
}

fn resized(wanted: &Value, old: &Value) -> Value {
    let known = old.as_array().into_iter().flatten().find(|container| container["name"] == wanted["name"]);
    let Some(mut container) = known.cloned() else { return wanted.clone() };
    for field in ["resources", "resizePolicy"] {
        container[field] = wanted[field].clone();
        drop_null(&mut container, field);
    }
    container
}

fn restore(new: &mut Value, old: &Value) {
    new["spec"] = old["spec"].clone();
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        new["metadata"][field] = old["metadata"][field].clone();
        drop_null(&mut new["metadata"], field);
    }
}
