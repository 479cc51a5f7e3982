//! Giving running containers more or less: processors and memory may change, and nothing else.

use serde_json::Value;

use super::super::{Cursor, Errors, FieldError, pod, pod_annotations};
use crate::kind::{drop_null, name_of};
use crate::kinds::core::qos;

const RESIZABLE: [&str; 2] = ["cpu", "memory"];

pub(super) fn validate(new: &Value, old: &Value, errors: &mut Errors) {
    let root = Cursor::root(new);
    let spec = root.field("spec");
    if old["metadata"]["annotations"].get(pod_annotations::MIRROR).is_some() {
        *errors = vec![FieldError::forbidden("", "static pods cannot be resized")];
        return;
    }
    if old["spec"]["os"]["name"] == "windows" {
        *errors = vec![FieldError::forbidden("", "windows pods cannot be resized")];
        return;
    }
    pod::metadata_and_spec(root, name_of(new), errors);
    let before = old["status"]["qosClass"].as_str().unwrap_or_else(|| qos::class(old));
    if qos::class(new) != before {
        let value = new["status"]["qosClass"].as_str().unwrap_or_default();
        errors.push(spec.invalid_value(value, "Pod QOS Class may not change as a result of resizing"));
    }
    let n = errors.len();
    for list in ["containers", "initContainers"] {
        same_order(spec, list, &old["spec"][list], errors);
    }
    if errors.len() == n {
        lists(spec, &old["spec"], errors);
    }
}

fn same_order(spec: Cursor<'_, '_>, list: &str, old: &Value, errors: &mut Errors) {
    let (at, old) = (spec.field(list), old.as_array().map_or(&[][..], Vec::as_slice));
    if at.len() != old.len() {
        errors.push(spec.forbidden(&format!("{list} may not be added or removed on resize")));
        return;
    }
    for (container, old) in at.items().zip(old) {
        let name = container.field("name");
        if *name.value() != old["name"] {
            errors.push(name.forbidden(&format!("{list} may not be renamed or reordered on resize")));
        }
    }
}

fn lists(spec: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    for list in ["initContainers", "containers"] {
        let at = spec.field(list);
        for (i, container) in at.items().enumerate() {
            let old = &before[list][i];
            if list == "containers" || old["restartPolicy"].is_null() || old["restartPolicy"] == "Always" {
                removed(container.field("resources"), &old["resources"], errors);
            }
        }
    }
    for (i, container) in spec.field("initContainers").items().enumerate() {
        let old = &before["initContainers"][i];
        if old["restartPolicy"] != "Always" {
            if container.value() != old {
                errors.push(spec.forbidden("resources for non-sidecar init containers are immutable"));
            }
        } else if forgiven(container.value(), old) != *old {
            errors.push(spec.forbidden("only cpu and memory resources are mutable for sidecar containers"));
        }
    }
    let mut rest = spec.value().clone();
    for list in ["containers", "initContainers"] {
        for (i, container) in rest[list].as_array_mut().into_iter().flatten().enumerate() {
            let old = &before[list][i];
            if list == "containers" || old["restartPolicy"] == "Always" {
                *container = forgiven(container, old);
            }
        }
        drop_null(&mut rest, list);
    }
    if rest != *before {
        errors.push(spec.forbidden("only cpu and memory resources are mutable"));
    }
}

fn removed(at: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    for list in ["requests", "limits"] {
        let now = at.field(list);
        let lost = before[list].as_object().into_iter().flatten().any(|(name, _)| now.get(name).is_null());
        if lost {
            errors.push(now.forbidden(&format!("resource {list} cannot be removed")));
        }
    }
}

/// The container with everything from `old` that a resize may change.
fn forgiven(container: &Value, old: &Value) -> Value {
    let mut container = container.clone();
    container["resizePolicy"] = old["resizePolicy"].clone();
    drop_null(&mut container, "resizePolicy");
    for list in ["requests", "limits"] {
        for name in RESIZABLE {
            let amount = &old["resources"][list][name];
            if container["resources"][list].is_object() || !amount.is_null() {
                container["resources"][list][name] = amount.clone();
                drop_null(&mut container["resources"][list], name);
            }
        }
        let empty = container["resources"][list].as_object().is_none_or(serde_json::Map::is_empty);
        if empty && old["resources"][list].is_null() {
            container["resources"][list] = Value::Null;
            drop_null(&mut container["resources"], list);
        }
    }
    container
}
