//! Requests and limits.

use serde_json::Value;

use super::{Cursor, Errors, common};
use crate::names;
use crate::quantity::Quantity;

/// Resources that need no domain in their names.
const STANDARD: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "storage"];

/// A container's requests and limits.
pub(super) fn requirements(at: Cursor<'_, '_>, claims: &[&str], errors: &mut Errors) {
    let (limits, requests) = (at.field("limits"), at.field("requests"));
    for (name, limit) in limits.entries() {
        amount(&limit, name, errors);
    }
    for (name, request) in requests.entries() {
        amount(&request, name, errors);
        within_limit(requests, name, &request, limits.get(name), errors);
    }
    claims_exist(at.field("claims"), claims, errors);
}

fn amount(at: &Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    resource_name(at, name, errors);
    quantity(*at, errors);
    if is_whole(name) && parsed(at.value()).is_some_and(|q| !q.is_whole()) {
        errors.push(at.invalid("must be an integer"));
    }
}

fn resource_name(at: &Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    let problems = names::qualified_name(name);
    errors.extend(problems.iter().map(|problem| at.invalid_value(name, problem)));
    if !problems.is_empty() || name.starts_with("hugepages-") {
        return;
    }
    if !name.contains('/') && !STANDARD[..3].contains(&name) {
        errors.push(at.invalid_value(name, "must be a standard resource for containers"));
    }
}

/// Whatever is counted in devices or pages comes in whole numbers.
fn is_whole(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

fn within_limit(requests: Cursor<'_, '_>, name: &str, request: &Cursor<'_, '_>, limit: &Value, errors: &mut Errors) {
    let (Some(amount), Some(bound)) = (parsed(request.value()), parsed(limit)) else {
        if limit.is_null() && (is_whole(name) || name.starts_with("hugepages-")) {
            errors.push(requests.required("Limit must be set for non overcommitable resources"));
        }
        return;
    };
    if is_whole(name) && amount != bound {
        let detail = format!("must be equal to {name} limit of {bound}");
        errors.push(requests.invalid_value(amount.to_string(), &detail));
    } else if amount > bound {
        let detail = format!("must be less than or equal to {name} limit of {bound}");
        errors.push(requests.invalid_value(amount.to_string(), &detail));
    }
}

fn claims_exist(at: Cursor<'_, '_>, known: &[&str], errors: &mut Errors) {
    let mut seen = Vec::new();
    for claim in at.items() {
        let name = claim.field("name");
        if name.str().is_empty() {
            errors.push(name.required(""));
        } else if seen.contains(&(name.str(), claim.field("request").str())) {
            errors.push(claim.duplicate());
        } else if !known.contains(&name.str()) {
            errors.push(name.not_found());
        }
        seen.push((name.str(), claim.field("request").str()));
    }
}

/// A resource of a node: named in any way that is qualified, not below zero, and whole where it is counted in pieces.
pub(super) fn resource_amount(at: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    let problems = names::qualified_name(name);
    errors.extend(problems.iter().map(|problem| at.invalid_value(name, problem)));
    quantity(at, errors);
    if is_whole(name) && parsed(at.value()).is_some_and(|q| !q.is_whole()) {
        errors.push(at.invalid("must be an integer"));
    }
}

/// An amount that is not below zero.
pub(super) fn quantity(at: Cursor<'_, '_>, errors: &mut Errors) {
    if let Some(amount) = parsed(at.value())
        && amount.is_negative()
    {
        errors.push(at.invalid_value(amount.to_string(), common::NOT_NEGATIVE));
    }
}

pub(super) fn parsed(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
