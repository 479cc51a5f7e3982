//! The names of resources in lists of amounts, and which of them are counted in whole numbers.

use serde_json::Value;

use super::resources::{parsed, quantity};
use super::{Cursor, Errors};
use crate::names;

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Counted in objects.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const MEASURED: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "requests.storage",
];

/// A resource of whatever has resources.
pub(super) fn any(at: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    let problems = names::qualified_name(name);
    errors.extend(problems.iter().map(|problem| at.invalid_value(name, problem)));
    if problems.is_empty() && !name.contains('/') && !is_standard(name) {
        errors.push(at.invalid_value(name, "must be a standard resource type or fully qualified"));
    }
}

/// A resource of a container.
pub(super) fn container(at: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    any(at, name, errors);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !name.starts_with("hugepages-") {
            errors.push(at.invalid_value(name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(at.invalid_value(name, "doesn't follow extended resource name standard"));
    }
}

/// A resource that a quota can bound.
pub(super) fn quota(at: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    any(at, name, errors);
    if !name.contains('/') && !is_standard_of_quotas(name) {
        errors.push(at.invalid_value(name, "must be a standard resource for quota"));
    }
}

/// An amount that is not below zero, and whole where things are counted.
pub(super) fn amount(at: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    quantity(at, errors);
    if let Some(amount) = parsed(at.value())
        && is_whole(name)
        && amount.milli_value() % 1000 != 0
    {
        errors.push(at.invalid_value(amount.to_string(), "must be an integer"));
    }
}

/// More than zero.
pub(super) fn positive(at: Cursor<'_, '_>, errors: &mut Errors) {
    if let Some(amount) = parsed(at.value())
        && (amount.is_zero() || amount.is_negative())
    {
        errors.push(at.invalid_value(amount.to_string(), "must be greater than zero"));
    }
}

/// Upstream's check of an amount that comes from elsewhere; it prints the number and not the amount.
pub(super) fn basic(at: Cursor<'_, '_>, errors: &mut Errors) {
    if let Some(amount) = parsed(at.value())
        && amount.value() < 0
    {
        errors.push(at.invalid_value(amount.value(), "must be a valid resource quantity"));
    }
}

pub(super) fn is_standard_of_quotas(name: &str) -> bool {
    COUNTED.contains(&name)
        || MEASURED.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// Whether more may be promised than there is.
pub(super) fn may_overcommit(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}

fn is_standard(name: &str) -> bool {
    is_standard_of_quotas(name) || name == "storage"
}

fn is_whole(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Each amount of a list.
pub(super) fn amounts(at: Cursor<'_, '_>, check: fn(Cursor<'_, '_>, &str, &mut Errors), errors: &mut Errors) {
    for (name, amount) in at.entries() {
        check(amount, name, errors);
    }
}

/// The amount of `name` in a list.
pub(super) fn amount_of(list: &Value, name: &str) -> Option<crate::quantity::Quantity> {
    parsed(list.get(name)?)
}
