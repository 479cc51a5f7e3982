//! Events, in the forms of both groups.

use serde_json::Value;

use super::{Cursor, Errors, FieldError, common};
use crate::kind::{Part, namespace_of};
use crate::names;

const TEXT_MAX: usize = 1024;
const NAME_MAX: usize = 128;

/// An event of the core group. Old reporters send no eventTime, and are believed.
pub(crate) fn core(event: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(event), Vec::new());
    let object = root.field("involvedObject");
    involved(root, object, &mut errors);
    if root.field("eventTime").is_set() {
        modern(root, "reportingComponent", "message", &mut errors);
    }
    errors
}

/// An event of its own group.
pub(crate) fn own_group(event: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(event), Vec::new());
    involved(root, root.field("regarding"), &mut errors);
    if !root.field("eventTime").is_set() {
        errors.push(root.field("eventTime").required(""));
    }
    modern(root, "reportingController", "note", &mut errors);
    let kind = root.field("type");
    if !["Normal", "Warning"].contains(&kind.str()) {
        errors.push(kind.invalid_str(&format!("has invalid value: {}", kind.str())));
    }
    errors
}

fn involved(root: Cursor<'_, '_>, object: Cursor<'_, '_>, errors: &mut Errors) {
    let namespace = namespace_of(root.value());
    let at = object.field("namespace");
    // What has no namespace is told about in `default`.
    let cluster_scoped = at.str().is_empty() && !object.field("kind").str().is_empty();
    let fits = if cluster_scoped { ["default", "kube-system"].contains(&namespace) } else { at.str() == namespace };
    if !fits {
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            &at.str().into(),
            "does not match event.namespace",
        ));
    }
}

fn modern(root: Cursor<'_, '_>, controller: &str, note: &str, errors: &mut Errors) {
    let reporter = root.field(controller);
    if reporter.str().is_empty() {
        errors.push(reporter.required(""));
    }
    common::text(reporter, names::qualified_name, errors);
    bounded(root.field("reportingInstance"), NAME_MAX, true, errors);
    bounded(root.field("action"), NAME_MAX, true, errors);
    bounded(root.field("reason"), NAME_MAX, true, errors);
    bounded(root.field(note), TEXT_MAX, false, errors);
    let series = root.field("series");
    if series.is_set() {
        if series.field("count").int() < 2 {
            errors.push(series.field("count").invalid_value("", "should be at least 2"));
        }
        if !series.field("lastObservedTime").is_set() {
            errors.push(series.field("lastObservedTime").required(""));
        }
    }
}

fn bounded(at: Cursor<'_, '_>, max: usize, needed: bool, errors: &mut Errors) {
    if needed && at.str().is_empty() {
        errors.push(at.required(""));
    }
    if at.str().len() > max {
        errors.push(at.invalid_value("", &format!("can have at most {max} characters")));
    }
}

pub(crate) fn core_update(new: &Value, _: &Value, _: Part) -> Vec<FieldError> {
    core(new)
}

/// Nothing but the series may change.
pub(crate) fn own_group_update(new: &Value, old: &Value, _: Part) -> Vec<FieldError> {
    let mut errors = own_group(new);
    let root = Cursor::root(new);
    let fixed = [
        "regarding",
        "reason",
        "action",
        "type",
        "note",
        "related",
        "reportingController",
        "reportingInstance",
        "eventTime",
    ];
    for field in fixed {
        common::immutable(root.field(field), &old[field], &mut errors);
    }
    errors
}
