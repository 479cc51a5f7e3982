//! Resource quotas.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::resource_names::{self, is_standard_of_quotas};
use super::{Cursor, Errors, FieldError};
use crate::kind::Part;

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];
const OPPOSITES: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
const COMPUTE: [&str; 6] = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const ONLY_EXISTS: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
const NOT_APPLICABLE: &str = "unsupported scope applied to resource";

pub(crate) fn quota(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    amounts(spec.field("hard"), &mut errors);
    scopes(spec, &mut errors);
    selector(spec, &mut errors);
    errors
}

pub(crate) fn quota_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    if part == Part::Status {
        return status(new);
    }
    let mut errors = quota(new);
    let named = |quota: &Value| -> BTreeSet<String> {
        let scopes = quota["spec"]["scopes"].as_array().into_iter().flatten();
        scopes.filter_map(|scope| scope.as_str().map(str::to_owned)).collect()
    };
    if named(new) != named(old) {
        errors.push(FieldError::immutable("spec.scopes", &new["spec"]["scopes"]));
    }
    errors
}

fn status(new: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let status = root.field("status");
    amounts(status.field("hard"), &mut errors);
    amounts(status.field("used"), &mut errors);
    errors
}

fn amounts(at: Cursor<'_, '_>, errors: &mut Errors) {
    for (name, amount) in at.entries() {
        resource_names::quota(amount, name, errors);
        resource_names::amount(amount, name, errors);
    }
}

fn scopes(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let at = spec.field("scopes");
    let mut seen = Vec::new();
    for scope in at.items() {
        if !SCOPES.contains(&scope.str()) {
            errors.push(at.invalid("unsupported scope"));
        }
        for _ in unsupported(spec.get("hard"), scope.str()) {
            errors.push(at.invalid(NOT_APPLICABLE));
        }
        seen.push(scope.str());
    }
    for _ in conflicts(&seen) {
        errors.push(at.invalid("conflicting scopes"));
    }
}

/// The bounded resources that a scope does not apply to.
fn unsupported<'v>(hard: &'v Value, scope: &str) -> impl Iterator<Item = &'v str> {
    let applies: fn(&str) -> bool = match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            |name| name == "pods" || COMPUTE.contains(&name)
        }
        "BestEffort" => |name| name == "pods",
        "VolumeAttributesClass" => |name| matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ => |_| true,
    };
    let names = hard.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    names.filter(move |name| is_standard_of_quotas(name) && !applies(name))
}

fn conflicts<'s>(seen: &'s [&str]) -> impl Iterator<Item = &'s [&'s str; 2]> {
    OPPOSITES.iter().filter(|pair| pair.iter().all(|scope| seen.contains(scope)))
}

fn selector(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let selector = spec.field("scopeSelector");
    let at = selector.field("matchExpressions");
    let mut seen = Vec::new();
    for expression in at.items() {
        let text = |field: &str| expression.get(field).as_str().unwrap_or_default();
        let (scope, operator, values) = (text("scopeName"), text("operator"), expression.field("values"));
        if !SCOPES.contains(&scope) {
            errors.push(at.field("scopeName").invalid_value(scope, "unsupported scope"));
        }
        for _ in unsupported(spec.get("hard"), scope) {
            errors.push(at.invalid_value(printed(selector), NOT_APPLICABLE));
        }
        if !matches!(scope, "PriorityClass" | "VolumeAttributesClass")
            && SCOPES.contains(&scope)
            && operator != "Exists"
        {
            errors.push(at.field("operator").invalid_value(operator, ONLY_EXISTS));
        }
        operands(at, operator, values, errors);
        seen.push(scope);
    }
    for _ in conflicts(&seen) {
        errors.push(at.invalid_value(spec.get("scopes").clone(), "conflicting scopes"));
    }
}

fn operands(at: Cursor<'_, '_>, operator: &str, values: Cursor<'_, '_>, errors: &mut Errors) {
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(at.field("values").required(detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
            errors.push(at.field("values").invalid_value(values.value().clone(), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => errors.push(at.field("operator").invalid_value(operator, "not a valid selector operator")),
    }
}

/// As Go prints its own structure.
fn printed(selector: Cursor<'_, '_>) -> Value {
    let expressions = selector.get("matchExpressions").as_array().into_iter().flatten();
    let expressions =
        expressions.map(|e| json!({"ScopeName": e["scopeName"], "Operator": e["operator"], "Values": e["values"]}));
    json!({"MatchExpressions": expressions.collect::<Vec<_>>()})
}
