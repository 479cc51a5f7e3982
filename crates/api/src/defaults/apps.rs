//! Deployments, ReplicaSets and pod templates.

use serde_json::{Value, json};

use super::{Object, fill, fill_text, make, pod, text};

pub(crate) fn deployment(object: &mut Value) {
    let Some(spec) = object.as_object_mut().and_then(|o| make(o, "spec")) else { return };
    pod::template(spec);
    fill(spec, "replicas", 1);
    make(spec, "strategy").into_iter().for_each(strategy);
    fill(spec, "revisionHistoryLimit", 10);
    fill(spec, "progressDeadlineSeconds", 600);
}

fn strategy(strategy: &mut Object) {
    fill_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") != "RollingUpdate" {
        return;
    }
    if let Some(rolling) = make(strategy, "rollingUpdate") {
        fill(rolling, "maxUnavailable", json!("25%"));
        fill(rolling, "maxSurge", json!("25%"));
    }
}

pub(crate) fn replica_set(object: &mut Value) {
    let Some(spec) = object.as_object_mut().and_then(|o| make(o, "spec")) else { return };
    pod::template(spec);
    fill(spec, "replicas", 1);
}

pub(crate) fn pod_template(object: &mut Value) {
    object.as_object_mut().into_iter().for_each(pod::template);
}
