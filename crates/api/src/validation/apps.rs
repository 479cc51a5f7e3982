//! Deployments, ReplicaSets, revisions, and the scale of the first two.

use serde_json::{Value, json};

use super::{Cursor, Errors, FieldError, common, metadata, pod, selectors};
use crate::kind::Part;
use crate::selector::labels_match_object;

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

pub(crate) fn deployment(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    common::not_negative(spec.field("replicas"), &mut errors);
    let unusable = selector(spec, &mut errors);
    workload_template(spec, unusable, &mut errors);
    strategy(spec.field("strategy"), &mut errors);
    common::not_negative(spec.field("minReadySeconds"), &mut errors);
    common::not_negative(spec.field("revisionHistoryLimit"), &mut errors);
    progress(spec, &mut errors);
    errors
}

pub(crate) fn deployment_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    if part == Part::Status {
        return deployment_status(new, old);
    }
    let mut errors = deployment(new);
    let root = Cursor::root(new);
    same_selector(root.field("spec"), old, &mut errors);
    errors
}

pub(super) fn same_selector(spec: Cursor<'_, '_>, old: &Value, errors: &mut Errors) {
    if spec.get("selector") != &old["spec"]["selector"] {
        errors.push(selectors::invalid(spec.field("selector"), "field is immutable"));
    }
}

fn deployment_status(new: &Value, old: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let status = root.field("status");
    counts(
        status,
        &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
        ],
        &mut errors,
    );
    let collisions = status.field("collisionCount");
    if collisions.is_set() {
        common::not_negative(collisions, &mut errors);
    }
    at_most(
        status,
        &["updatedReplicas", "readyReplicas", "availableReplicas"],
        "replicas",
        "status.replicas",
        &mut errors,
    );
    at_most(status, &["availableReplicas"], "readyReplicas", "readyReplicas", &mut errors);
    let before = old["status"]["collisionCount"].as_i64();
    if before.is_some() && collisions.int() < before.unwrap_or_default() {
        errors.push(collisions.invalid("cannot be decremented"));
    }
    errors
}

pub(super) fn counts(status: Cursor<'_, '_>, fields: &[&str], errors: &mut Errors) {
    for field in fields {
        common::not_negative(status.field(field), errors);
    }
}

pub(super) fn at_most(status: Cursor<'_, '_>, fields: &[&str], bound: &str, named: &str, errors: &mut Errors) {
    for field in fields {
        let at = status.field(field);
        if at.int() > status.field(bound).int() {
            errors.push(at.invalid_value(at.int(), &format!("cannot be greater than {named}")));
        }
    }
}

/// True when the selector cannot be compared with labels.
fn selector(spec: Cursor<'_, '_>, errors: &mut Errors) -> bool {
    let at = spec.field("selector");
    if !at.is_set() {
        errors.push(at.required(""));
        return false;
    }
    selectors::label_selector(at, errors);
    let empty = at.field("matchLabels").len() + at.field("matchExpressions").len() == 0;
    if empty {
        errors.push(selectors::invalid(at, "empty selector is invalid for deployment"));
    }
    if crate::selector::from_label_selector(at.value()).is_err() {
        errors.push(selectors::invalid(at, "invalid label selector"));
        return true;
    }
    false
}

fn workload_template(spec: Cursor<'_, '_>, unusable: bool, errors: &mut Errors) {
    let (selector, template) = (spec.field("selector"), spec.field("template"));
    if unusable {
        return;
    }
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    let empty =
        selector.is_set() && selector.field("matchLabels").len() + selector.field("matchExpressions").len() == 0;
    if !empty && !labels_match_object(selector.value(), labels.value()) {
        errors.push(labels.invalid("`selector` does not match template `labels`"));
    }
    pod::template(template, errors);
    let pod = template.field("spec");
    if pod.field("restartPolicy").str() != "Always" {
        errors.push(pod.field("restartPolicy").not_supported(&["Always"]));
    }
    if pod.field("activeDeadlineSeconds").is_set() {
        let detail = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(pod.field("activeDeadlineSeconds").forbidden(detail));
    }
}

fn strategy(at: Cursor<'_, '_>, errors: &mut Errors) {
    let rolling = at.field("rollingUpdate");
    match at.field("type").str() {
        "Recreate" if rolling.is_set() => {
            errors.push(rolling.forbidden("may not be specified when strategy `type` is 'Recreate'"));
        }
        "Recreate" => {}
        "RollingUpdate" if !rolling.is_set() => {
            errors.push(rolling.required("this should be defaulted and never be nil"));
        }
        "RollingUpdate" => rolling_update(rolling, errors),
        other => {
            let value = json!({"Type": other, "RollingUpdate": null});
            errors.push(FieldError::not_supported_in_order(
                at.path(),
                &value,
                &["Type", "RollingUpdate"],
                &["Recreate", "RollingUpdate"],
            ));
        }
    }
}

fn rolling_update(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (unavailable, surge) = (at.field("maxUnavailable"), at.field("maxSurge"));
    count_or_percent(unavailable, errors);
    count_or_percent(surge, errors);
    if amount(unavailable) == 0 && amount(surge) == 0 {
        errors.push(unavailable.invalid("may not be 0 when `maxSurge` is 0"));
    }
    if unavailable.value().is_string() && amount(unavailable) > 100 {
        errors.push(unavailable.invalid("must not be greater than 100%"));
    }
}

/// The number, or that before the percent sign. What is neither counts as 0.
pub(super) fn amount(at: Cursor<'_, '_>) -> i64 {
    match at.value() {
        Value::String(text) => text.strip_suffix('%').and_then(|n| n.parse().ok()).unwrap_or_default(),
        _ => at.int(),
    }
}

pub(super) fn count_or_percent(at: Cursor<'_, '_>, errors: &mut Errors) {
    match at.value() {
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                errors.push(at.invalid(PERCENT));
            }
        }
        _ => common::not_negative(at, errors),
    }
}

fn progress(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let deadline = spec.field("progressDeadlineSeconds");
    if !deadline.is_set() {
        return;
    }
    common::not_negative(deadline, errors);
    if deadline.int() <= spec.field("minReadySeconds").int() {
        errors.push(deadline.invalid("must be greater than minReadySeconds"));
    }
}

pub(crate) fn replica_set(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    common::not_negative(spec.field("replicas"), &mut errors);
    common::not_negative(spec.field("minReadySeconds"), &mut errors);
    let unusable = selector(spec, &mut errors);
    workload_template(spec, unusable, &mut errors);
    errors
}

pub(crate) fn replica_set_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    if part == Part::Status {
        return replica_set_status(new);
    }
    let mut errors = replica_set(new);
    let root = Cursor::root(new);
    same_selector(root.field("spec"), old, &mut errors);
    errors
}

pub(super) fn replica_set_status(new: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let status = root.field("status");
    counts(
        status,
        &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"],
        &mut errors,
    );
    let bounded = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    at_most(status, &bounded, "replicas", "status.replicas", &mut errors);
    at_most(status, &["availableReplicas"], "readyReplicas", "readyReplicas", &mut errors);
    errors
}

pub(crate) fn pod_template(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    pod::template(root.field("template"), &mut errors);
    errors
}

/// A `Scale` that is written to a workload.
pub fn scale(scale: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(scale), Vec::new());
    common::not_negative(root.field("spec").field("replicas"), &mut errors);
    metadata::annotations(root.field("metadata").field("annotations"), &mut errors);
    errors
}

pub(crate) fn controller_revision(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    if !root.field("data").is_set() {
        errors.push(root.field("data").required("data is mandatory"));
    }
    common::not_negative(root.field("revision"), &mut errors);
    errors
}

pub(crate) fn controller_revision_update(new: &Value, old: &Value, _: Part) -> Vec<FieldError> {
    let mut errors = controller_revision(new);
    common::immutable(Cursor::root(new).field("data"), &old["data"], &mut errors);
    errors
}
