//! Which objects a quota's scopes contain.

use serde_json::Value;

use super::Counted;
use crate::kinds::core::qos;

/// All of a quota's scopes contain the object. Kinds without scopes are in quotas without scopes only.
pub(super) fn contain(quota: &Value, counted: Counted<'_>, object: &Value) -> bool {
    let spec = &quota["spec"];
    let plain = spec["scopes"].as_array().into_iter().flatten();
    let plain = plain.map(|scope| (scope.as_str().unwrap_or_default(), "Exists", &Value::Null));
    let chosen = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten().map(|expression| {
        let text = |field: &str| expression[field].as_str().unwrap_or_default();
        (text("scopeName"), text("operator"), &expression["values"])
    });
    plain.chain(chosen).all(|(scope, operator, values)| match (counted.group, counted.plural) {
        ("", "pods") => pod(object, scope, operator, values),
        ("", "persistentvolumeclaims") if scope == "VolumeAttributesClass" => {
            named(object["spec"]["volumeAttributesClassName"].as_str(), operator, values)
        }
        _ => false,
    })
}

fn pod(pod: &Value, scope: &str, operator: &str, values: &Value) -> bool {
    let spec = &pod["spec"];
    let ends = spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
    match scope {
        "Terminating" => ends,
        "NotTerminating" => !ends,
        "BestEffort" => qos::class(pod) == "BestEffort",
        "NotBestEffort" => qos::class(pod) != "BestEffort",
        "PriorityClass" => named(spec["priorityClassName"].as_str(), operator, values),
        "CrossNamespacePodAffinity" => looks_elsewhere(spec),
        _ => false,
    }
}

fn named(name: Option<&str>, operator: &str, values: &Value) -> bool {
    let name = name.filter(|name| !name.is_empty());
    let listed = |name: &str| values.as_array().is_some_and(|values| values.iter().any(|value| value == name));
    match operator {
        "Exists" => name.is_some(),
        "DoesNotExist" => name.is_none(),
        "In" => name.is_some_and(listed),
        "NotIn" => !name.is_some_and(listed),
        _ => false,
    }
}

/// A pod that wants to be near, or far from, pods of other namespaces.
fn looks_elsewhere(spec: &Value) -> bool {
    let names_others = |term: &Value| {
        term["namespaceSelector"].is_object() || term["namespaces"].as_array().is_some_and(|names| !names.is_empty())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|field| {
        let affinity = &spec["affinity"][field];
        let list = |name: &str| affinity[name].as_array().into_iter().flatten();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(names_others)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|term| names_others(&term["podAffinityTerm"]))
    })
}
