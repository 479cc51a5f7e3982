//! What may change about a pod, and through which endpoint.

use serde_json::{Map, Value};

use super::{Cursor, Errors, FieldError, common, pod};
use crate::kind::{Part, name_of};

const RULE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn validate(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match part {
        Part::Object => object(new, old, &mut errors),
        Part::Status => status(new, old, &mut errors),
        Part::EphemeralContainers => ephemeral(new, old, &mut errors),
        Part::Resize => resize(new, old, &mut errors),
        Part::Finalize | Part::Approval => {}
    }
    errors
}

fn object(new: &Value, old: &Value, errors: &mut Errors) {
    let root = Cursor::root(new);
    let (spec, before) = (root.field("spec"), &old["spec"]);
    pod::spec(spec, name_of(new), errors);
    if !same_length(spec, before, "containers", errors) || !same_length(spec, before, "initContainers", errors) {
        return;
    }
    images(spec, errors);
    deadline(spec.field("activeDeadlineSeconds"), &before["activeDeadlineSeconds"], errors);
    tolerations(spec.field("tolerations"), &before["tolerations"], errors);
    gates(spec.field("schedulingGates"), &before["schedulingGates"], errors);
    let gated = !before["schedulingGates"].as_array().is_none_or(Vec::is_empty);
    if gated {
        node_selector(spec.field("nodeSelector"), &before["nodeSelector"], errors);
    }
    if frozen(spec.value(), before, gated) != frozen(before, before, gated) {
        errors.push(spec.forbidden(RULE));
    }
    common::immutable(root.field("status").field("qosClass"), &old["status"]["qosClass"], errors);
}

fn same_length(spec: Cursor<'_, '_>, before: &Value, list: &str, errors: &mut Errors) -> bool {
    let at = spec.field(list);
    if at.len() == before[list].as_array().map_or(0, Vec::len) {
        return true;
    }
    errors.push(at.forbidden("pod updates may not add or remove containers"));
    false
}

/// Upstream asks for an image twice, and counts both.
fn images(spec: Cursor<'_, '_>, errors: &mut Errors) {
    for list in ["containers", "initContainers"] {
        for container in spec.field(list).items() {
            common::required(container.field("image"), errors);
        }
    }
}

/// It may be set, and made shorter.
fn deadline(at: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    let Some(before) = before.as_i64() else { return };
    match at.value().as_i64() {
        Some(now) if now > before => errors.push(at.invalid("must be less than or equal to previous value")),
        Some(_) => {}
        None => errors.push(at.invalid("must not update from a positive integer to nil value")),
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
    }
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

/// While a pod waits at its gates, its node selector may become narrower.
fn node_selector(at: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    let kept = before.as_object().into_iter().flatten().all(|(key, value)| at.get(key) == value);
    if !kept {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(at.invalid(detail));
    }
}

/// What of a spec may not change: the spec with everything else taken from `before`.
fn frozen(spec: &Value, before: &Value, gated: bool) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            container.remove("image");
        }
    }
    if let Some(fields) = spec.as_object_mut() {
        for list in ["containers", "initContainers"] {
            if fields.get(list).is_some_and(Value::is_null) {
                fields.remove(list);
            }
        }
        for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
            fields.remove(field);
        }
        if gated {
            fields.remove("nodeSelector");
            fields.remove("affinity");
        }
        let grace = |spec: &Value| spec["terminationGracePeriodSeconds"].as_i64();
        if fields.get("terminationGracePeriodSeconds").and_then(Value::as_i64) == Some(1)
            && grace(before).is_some_and(|g| g < 0)
        {
            fields.insert("terminationGracePeriodSeconds".to_owned(), before["terminationGracePeriodSeconds"].clone());
        }
    }
    spec
}

fn status(new: &Value, old: &Value, errors: &mut Errors) {
    let root = Cursor::root(new);
    let status = root.field("status");
    common::immutable(status.field("qosClass"), &old["status"]["qosClass"], errors);
    for list in ["podIPs", "hostIPs"] {
        let ips = status.field(list);
        for ip in ips.items() {
            let text = ip.get("ip");
            if text.as_str().is_none_or(|t| common::parse_ip(t).is_none()) {
                errors.push(FieldError::invalid(ip.path(), text, common::IP_ADDRESS));
            }
        }
    }
    let nominated = status.field("nominatedNodeName");
    if !nominated.str().is_empty() {
        common::text(nominated, crate::names::dns_subdomain, errors);
    }
}

fn ephemeral(new: &Value, old: &Value, errors: &mut Errors) {
    let root = Cursor::root(new);
    let spec = root.field("spec");
    pod::spec(spec, name_of(new), errors);
    let at = spec.field("ephemeralContainers");
    for before in old["spec"]["ephemeralContainers"].as_array().into_iter().flatten() {
        let name = before["name"].as_str().unwrap_or_default();
        match at.items().find(|container| container.field("name").str() == name) {
            None => {
                errors.push(at.forbidden(&format!("existing ephemeral containers \"{name}\" may not be removed\n")))
            }
            Some(now) if now.value() != before => {
                errors.push(at.forbidden(&format!("existing ephemeral containers \"{name}\" may not be changed")));
            }
            Some(_) => {}
        }
    }
}

fn resize(new: &Value, old: &Value, errors: &mut Errors) {
    let root = Cursor::root(new);
    let spec = root.field("spec");
    pod::spec(spec, name_of(new), errors);
    if without_resources(spec.value()) != without_resources(&old["spec"]) {
        errors.push(spec.forbidden("only cpu and memory resources are mutable"));
    }
}

/// A spec without the amounts that a resize may change.
fn without_resources(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let resources = container.get_mut("resources").and_then(Value::as_object_mut);
            resources.into_iter().for_each(without_amounts);
        }
    }
    spec
}

fn without_amounts(resources: &mut Map<String, Value>) {
    for list in ["requests", "limits"] {
        let Some(amounts) = resources.get_mut(list).and_then(Value::as_object_mut) else { continue };
        amounts.remove("cpu");
        amounts.remove("memory");
        if amounts.is_empty() {
            resources.remove(list);
        }
    }
}
