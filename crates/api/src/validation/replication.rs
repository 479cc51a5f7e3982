//! ReplicationControllers.

use serde_json::Value;

use super::apps::replica_set_status;
use super::{Cursor, Errors, FieldError, common, pod};
use crate::kind::Part;

pub(crate) fn replication_controller(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    common::not_negative(spec.field("minReadySeconds"), &mut errors);
    if spec.field("selector").is_empty() {
        errors.push(spec.field("selector").required(""));
    }
    common::not_negative(spec.field("replicas"), &mut errors);
    template(spec, &mut errors);
    errors
}

pub(crate) fn replication_controller_update(new: &Value, _: &Value, part: Part) -> Vec<FieldError> {
    if part == Part::Status { replica_set_status(new) } else { replication_controller(new) }
}

fn template(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let (selector, at) = (spec.field("selector"), spec.field("template"));
    if !at.is_set() {
        errors.push(at.required(""));
        return;
    }
    let metadata = at.field("metadata");
    let labels = metadata.field("labels");
    if selector.entries().any(|(key, value)| labels.get(key) != value.value()) {
        errors.push(labels.invalid("`selector` does not match template `labels`"));
    }
    pod::template(at, errors);
    let pod = at.field("spec");
    if pod.field("restartPolicy").str() != "Always" {
        errors.push(pod.field("restartPolicy").not_supported(&["Always"]));
    }
    if pod.field("activeDeadlineSeconds").is_set() {
        let detail = "activeDeadlineSeconds in ReplicationController is not Supported";
        errors.push(pod.field("activeDeadlineSeconds").forbidden(detail));
    }
}
