//! Environment variables and where their values come from.

use super::{Cursor, Errors, common};
use crate::names;
use crate::quantity::Quantity;

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const ENV_RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// Fields that exist, but that a variable cannot show.
const OTHER_FIELDS: [&str; 4] = ["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName"];
const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

pub(super) fn env(at: Cursor<'_, '_>, errors: &mut Errors) {
    for variable in at.items() {
        common::required_text(variable.field("name"), names::env_var_name, errors);
        if variable.field("valueFrom").is_set() {
            value_from(variable, errors);
        }
    }
}

fn value_from(variable: Cursor<'_, '_>, errors: &mut Errors) {
    let at = variable.field("valueFrom");
    let before = errors.len();
    let given: Vec<&str> = SOURCES.into_iter().filter(|name| at.field(name).is_set()).collect();
    for name in &given {
        let source = at.field(name);
        match *name {
            "fieldRef" => field_ref(source, &ENV_FIELDS, errors),
            "resourceFieldRef" => resource_field_ref(source, false, errors),
            _ => key_ref(source, errors),
        }
    }
    let several = if given.is_empty() {
        Some("must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`")
    } else if !variable.field("value").str().is_empty() {
        Some("may not be specified when `value` is not empty")
    } else if given.len() > 1 {
        Some("may not have more than one field specified at a time")
    } else {
        None
    };
    // Upstream says this first.
    errors.splice(before..before, several.map(|detail| at.invalid_value("", detail)));
}

fn key_ref(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.field("volumeName").is_set() || at.field("path").is_set() {
        common::required(at.field("key"), errors);
        return;
    }
    common::text(at.field("name"), names::dns_subdomain, errors);
    common::required_text(at.field("key"), names::config_map_key, errors);
}

/// A field of the pod itself. `allowed` says which.
pub(super) fn field_ref(at: Cursor<'_, '_>, allowed: &[&str], errors: &mut Errors) {
    let (version, path) = (at.field("apiVersion"), at.field("fieldPath"));
    if version.str().is_empty() {
        errors.push(version.required(""));
        return;
    }
    if path.str().is_empty() {
        errors.push(path.required(""));
        return;
    }
    if version.str() != "v1" {
        let detail = format!("error converting fieldPath: unsupported pod version: {}", version.str());
        errors.push(path.invalid(&detail));
        return;
    }
    match path.str().strip_suffix("']").and_then(|stem| stem.split_once("['")) {
        Some((map, key)) => subscript(at, map, key, errors),
        None if allowed.contains(&path.str()) => {}
        None if ENV_FIELDS.contains(&path.str()) || OTHER_FIELDS.contains(&path.str()) => {
            errors.push(path.not_supported(allowed));
        }
        None => {
            let detail = format!("error converting fieldPath: field label not supported: {}", path.str());
            errors.push(path.invalid(&detail));
        }
    }
}

fn subscript(at: Cursor<'_, '_>, map: &str, key: &str, errors: &mut Errors) {
    let problems = match map {
        "metadata.annotations" => names::qualified_name(&key.to_lowercase()),
        "metadata.labels" => names::qualified_name(key),
        other => {
            let path = at.field("fieldPath");
            let detail = format!("error converting fieldPath: field label does not support subscript: {other}");
            errors.push(path.invalid(&detail));
            return;
        }
    };
    errors.extend(problems.iter().map(|problem| at.invalid_value(key, problem)));
}

/// A container's request or limit, in units of a divisor.
pub(super) fn resource_field_ref(at: Cursor<'_, '_>, volume: bool, errors: &mut Errors) {
    let (container, resource) = (at.field("containerName"), at.field("resource"));
    if volume && container.str().is_empty() {
        errors.push(container.required(""));
    } else if resource.str().is_empty() {
        errors.push(resource.required(""));
    } else if !ENV_RESOURCES.contains(&resource.str()) && !resource.str().contains(".hugepages-") {
        errors.push(resource.not_supported(&ENV_RESOURCES));
    }
    divisor(at, errors);
}

fn divisor(at: Cursor<'_, '_>, errors: &mut Errors) {
    let Some(divisor) = super::resources::parsed(at.get("divisor")).filter(|q| !q.is_zero()) else { return };
    let resource = at.field("resource");
    let (allowed, name): (&[&str], _) = match resource.str().rsplit('.').next() {
        Some("cpu") => (&["1m", "1"], "cpu"),
        Some("memory") => {
            (&["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"], "memory")
        }
        Some("ephemeral-storage") => (
            &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"],
            "local ephemeral storage",
        ),
        _ => return,
    };
    if allowed.iter().any(|text| text.parse::<Quantity>() == Ok(divisor)) {
        return;
    }
    let values = if name == "cpu" { "1m and 1" } else { "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei" };
    let detail = format!("only divisor's values {values} are supported with the {name} resource");
    errors.push(at.field("divisor").invalid_value(resource.str(), &detail));
}

pub(super) fn env_from(at: Cursor<'_, '_>, errors: &mut Errors) {
    for source in at.items() {
        common::optional_text(source.field("prefix"), names::env_var_name, errors);
        let given: Vec<&str> = ["configMapRef", "secretRef"].into_iter().filter(|f| source.field(f).is_set()).collect();
        for name in &given {
            common::required_text(source.field(name).field("name"), names::dns_subdomain, errors);
        }
        match given.len() {
            0 => errors.push(at.invalid_value("", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(at.invalid_value("", "may not have more than one field specified at a time")),
        }
    }
}
