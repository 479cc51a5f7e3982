//! What may change about a pod itself. Its status, and its resizing, are beside this file.

use serde_json::{Map, Value};

use super::{Cursor, Errors, FieldError, go_text, pod, pod_annotations, pod_status, scheduling};
use crate::kind::{Part, drop_null, name_of};

mod resize;

const RULE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn validate(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match part {
        Part::Object => object(new, old, &mut errors),
        Part::Status => pod_status::update(new, old, &mut errors),
        Part::EphemeralContainers => ephemeral(new, old, &mut errors),
        Part::Resize => resize::validate(new, old, &mut errors),
        Part::Finalize | Part::Approval => {}
    }
    errors
}

fn object(new: &Value, old: &Value, errors: &mut Errors) {
    let root = Cursor::root(new);
    let (spec, before) = (root.field("spec"), &old["spec"]);
    pod::metadata_and_spec(root, name_of(new), errors);
    pod_annotations::changes(root.field("metadata"), old, spec, errors);
    if !containers(spec.field("containers"), &before["containers"], errors)
        || !containers(spec.field("initContainers"), &before["initContainers"], errors)
        || !deadline(spec.field("activeDeadlineSeconds"), &before["activeDeadlineSeconds"], errors)
    {
        return;
    }
    tolerations(spec.field("tolerations"), &before["tolerations"], errors);
    gates(spec.field("schedulingGates"), &before["schedulingGates"], errors);
    let mut rest = spec.value().clone();
    forgive(&mut rest, before);
    if before["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        gated(spec, &mut rest, before, errors);
    }
    if rest != *before {
        errors.push(spec.forbidden(&format!("{RULE}\n{}", go_text::spec_diff(before, &rest))));
    }
}

/// False when there are others than before: nothing more can be said then.
fn containers(at: Cursor<'_, '_>, before: &Value, errors: &mut Errors) -> bool {
    if at.len() != before.as_array().map_or(0, Vec::len) {
        errors.push(at.forbidden("pod updates may not add or remove containers"));
        return false;
    }
    for container in at.items() {
        let image = container.field("image");
        if image.str().is_empty() {
            errors.push(image.required(""));
        } else if image.str().trim() != image.str() {
            errors.push(image.invalid("must not have leading or trailing whitespace"));
        }
    }
    true
}

/// It may be set, and made shorter. False when it is so wrong that nothing more is said.
fn deadline(at: Cursor<'_, '_>, before: &Value, errors: &mut Errors) -> bool {
    match (at.value().as_i64(), before.as_i64()) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            errors.push(at.invalid("must be between 0 and 2147483647, inclusive"));
            false
        }
        (Some(now), Some(before)) if now > before => {
            errors.push(at.invalid("must be less than or equal to previous value"));
            false
        }
        (None, Some(_)) => {
            errors.push(at.invalid("must not update from a positive integer to nil value"));
            true
        }
        _ => true,
    }
}

/// Tolerations may be added, and their seconds changed.
fn tolerations(at: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    let timeless = |toleration: &Value| {
        let mut fields = toleration.as_object().cloned().unwrap_or_default();
        fields.remove("tolerationSeconds");
        fields
    };
    let now: Vec<Map<String, Value>> = at.items().map(|t| timeless(t.value())).collect();
    let lost = before.as_array().into_iter().flatten().any(|t| !now.contains(&timeless(t)));
    if lost {
        errors.push(at.forbidden("existing toleration can not be modified except its tolerationSeconds"));
        return;
    }
    // Upstream looks at them once more.
    scheduling::tolerations(at, errors);
}

/// Gates may only be opened.
fn gates(at: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    let known: Vec<&Value> = before.as_array().into_iter().flatten().map(|gate| &gate["name"]).collect();
    for gate in at.items() {
        let name = gate.field("name");
        if !known.contains(&name.value()) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", name.str());
            errors.push(name.forbidden(&detail));
        }
    }
}

/// Takes everything from `before` that may change, so that what is left differs only where it must not.
fn forgive(spec: &mut Value, before: &Value) {
    for list in ["containers", "initContainers"] {
        for (i, container) in spec[list].as_array_mut().into_iter().flatten().enumerate() {
            container["image"] = before[list][i]["image"].clone();
        }
        drop_null(spec, list);
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        keep(spec, before, field);
    }
    let grace = |spec: &Value| spec["terminationGracePeriodSeconds"].as_i64();
    if grace(before).is_some_and(|seconds| seconds < 0) && grace(spec) == Some(1) {
        keep(spec, before, "terminationGracePeriodSeconds");
    }
}

fn keep(spec: &mut Value, before: &Value, field: &str) {
    spec[field] = before[field].clone();
    drop_null(spec, field);
}

/// While a pod waits at its gates, what nodes it wants may become narrower.
fn gated(spec: Cursor<'_, '_>, rest: &mut Value, before: &Value, errors: &mut Errors) {
    let selector = spec.field("nodeSelector");
    let kept = before["nodeSelector"].as_object().into_iter().flatten().all(|(key, value)| selector.get(key) == value);
    if !kept {
        errors.push(selector.invalid("only additions to spec.nodeSelector are allowed (no mutations or deletions)"));
    }
    keep(rest, before, "nodeSelector");
    let affinity = spec.field("affinity");
    let (now, old) = (affinity.field("nodeAffinity"), &before["affinity"]["nodeAffinity"]);
    if now.value() == old {
        return;
    }
    node_affinity(now, old, errors);
    let others = ["podAffinity", "podAntiAffinity"].iter().any(|field| !affinity.get(field).is_null());
    if before["affinity"].is_null() && !others {
        keep(rest, before, "affinity");
    } else {
        let mut affinity = affinity.value().clone();
        keep(&mut affinity, &before["affinity"], "nodeAffinity");
        rest["affinity"] = affinity;
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// Preferences are free; a requirement may be made, and only made stricter.
fn node_affinity(at: Cursor<'_, '_>, old: &Value, errors: &mut Errors) {
    let required = at.field(REQUIRED);
    let terms = required.field("nodeSelectorTerms");
    let before = old[REQUIRED]["nodeSelectorTerms"].as_array().map_or(&[][..], Vec::as_slice);
    if old[REQUIRED].is_null() || before.is_empty() {
        return;
    }
    if terms.len() != before.len() {
        let shown = go_text::shown("[]NodeSelectorTerm", terms.value());
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid_in_order(terms.path(), &shown, detail));
        return;
    }
    for (term, old) in terms.items().zip(before) {
        let was_empty =
            ["matchExpressions", "matchFields"].iter().all(|list| old[*list].as_array().is_none_or(Vec::is_empty));
        let added_only = |list: &str| {
            let now = term.field(list);
            let known = old[list].as_array().into_iter().flatten();
            known.enumerate().all(|(i, requirement)| now.index(i).value() == requirement)
        };
        let is_empty = term.field("matchExpressions").is_empty() && term.field("matchFields").is_empty();
        if (was_empty && !is_empty) || !added_only("matchExpressions") || !added_only("matchFields") {
            let detail = "only additions are allowed (no mutations or deletions)";
            let shown = go_text::shown("NodeSelectorTerm", term.value());
            errors.push(FieldError::invalid_in_order(term.path(), &shown, detail));
        }
    }
}

/// Debugging containers may be added, and stay.
fn ephemeral(new: &Value, old: &Value, errors: &mut Errors) {
    let root = Cursor::root(new);
    let spec = root.field("spec");
    if old["metadata"]["annotations"].get(pod_annotations::MIRROR).is_some() {
        *errors = vec![FieldError::forbidden("", "static pods do not support ephemeral containers")];
        return;
    }
    pod::metadata_and_spec(root, name_of(new), errors);
    pod_annotations::changes(root.field("metadata"), old, spec, errors);
    let at = spec.field("ephemeralContainers");
    for before in old["spec"]["ephemeralContainers"].as_array().into_iter().flatten() {
        let name = before["name"].as_str().unwrap_or_default();
        let what = format!("existing ephemeral containers {}", super::go_quote(name));
        match at.items().find(|container| container.field("name").str() == name) {
            None => errors.push(at.forbidden(&format!("{what} may not be removed\n"))),
            Some(now) if now.value() != before => {
                let diff = go_text::struct_diff("EphemeralContainer", before, now.value());
                errors.push(at.forbidden(&format!("{what} may not be changed\n{diff}")));
            }
            Some(_) => {}
        }
    }
}
