//! Affinity to nodes and to other pods.

use super::{Cursor, Errors, common, selectors};
use crate::names;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(at: Cursor<'_, '_>, errors: &mut Errors) {
    node(at.field("nodeAffinity"), errors);
    pods(at.field("podAffinity"), errors);
    pods(at.field("podAntiAffinity"), errors);
}

fn node(at: Cursor<'_, '_>, errors: &mut Errors) {
    let required = at.field(REQUIRED);
    if required.is_set() {
        node_selector(required, errors);
    }
    for term in at.field(PREFERRED).items() {
        weight(term.field("weight"), errors);
        node_term(term.field("preference"), errors);
    }
}

/// Terms of which one must be met.
pub(super) fn node_selector(at: Cursor<'_, '_>, errors: &mut Errors) {
    let terms = at.field("nodeSelectorTerms");
    if terms.is_empty() {
        errors.push(terms.required("must have at least one node selector term"));
    }
    for term in terms.items() {
        node_term(term, errors);
    }
}

fn node_term(at: Cursor<'_, '_>, errors: &mut Errors) {
    for requirement in at.field("matchExpressions").items() {
        self::requirement(requirement, errors);
        let key = requirement.field("key");
        errors.extend(names::qualified_name(key.str()).iter().map(|problem| key.invalid_str(problem)));
        for value in requirement.field("values").items() {
            common::text(value, names::label_value, errors);
        }
    }
    for requirement in at.field("matchFields").items() {
        field_requirement(requirement, errors);
    }
}

fn requirement(at: Cursor<'_, '_>, errors: &mut Errors) {
    let values = at.field("values");
    match at.field("operator").str() {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(values.required("must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.push(values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errors.push(values.required("must be specified single value when `operator` is 'Lt' or 'Gt'"));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => errors.push(at.field("operator").invalid_str("not a valid selector operator")),
    }
}

/// Nodes may be chosen by one field only: their name.
fn field_requirement(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (operator, values, key) = (at.field("operator"), at.field("values"), at.field("key"));
    match operator.str() {
        "In" | "NotIn" if values.len() != 1 => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(values.required(detail));
        }
        "In" | "NotIn" => {}
        _ => errors.push(operator.invalid_str("not a valid selector operator")),
    }
    if key.str() != "metadata.name" {
        errors.push(key.invalid_str("not a valid field selector key"));
        return;
    }
    for value in values.items() {
        common::text(value, names::dns_subdomain, errors);
    }
}

fn pods(at: Cursor<'_, '_>, errors: &mut Errors) {
    for term in at.field(REQUIRED).items() {
        pod_term(term, errors);
    }
    for term in at.field(PREFERRED).items() {
        weight(term.field("weight"), errors);
        pod_term(term.field("podAffinityTerm"), errors);
    }
}

fn pod_term(at: Cursor<'_, '_>, errors: &mut Errors) {
    selectors::label_selector(at.field("labelSelector"), errors);
    selectors::label_selector(at.field("namespaceSelector"), errors);
    for namespace in at.field("namespaces").items() {
        // Upstream's path is that of a field that there is not.
        common::text(at.with("namespace", namespace.value()), names::dns_label, errors);
    }
    label_keys(at, errors);
    let key = at.field("topologyKey");
    if key.str().is_empty() {
        errors.push(key.required("can not be empty"));
    }
    errors.extend(names::qualified_name(key.str()).iter().map(|problem| key.invalid_str(problem)));
}

/// Keys whose values the pod itself has, to match or not to match.
fn label_keys(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (matched, mismatched) = (at.field("matchLabelKeys"), at.field("mismatchLabelKeys"));
    let selector = at.field("labelSelector");
    for keys in [matched, mismatched] {
        if !keys.is_empty() && !selector.is_set() {
            errors.push(keys.forbidden("must not be specified when labelSelector is not set"));
        } else {
            keys.items().for_each(|key| common::text(key, names::qualified_name, errors));
        }
    }
    for key in matched.items() {
        if mismatched.items().any(|other| other.str() == key.str()) {
            errors.push(key.invalid("exists in both matchLabelKeys and mismatchLabelKeys"));
        }
    }
}

fn weight(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !(1..=100).contains(&at.int()) {
        errors.push(at.invalid_value(at.int(), "must be in the range 1-100"));
    }
}
