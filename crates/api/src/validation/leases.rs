//! Leases.

use serde_json::Value;

use super::{Cursor, FieldError, common};
use crate::kind::Part;
use crate::names;

pub(crate) fn lease(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    let duration = spec.field("leaseDurationSeconds");
    if duration.is_set() && duration.int() <= 0 {
        errors.push(duration.invalid("must be greater than 0"));
    }
    common::not_negative(spec.field("leaseTransitions"), &mut errors);
    let strategy = spec.field("strategy");
    if strategy.is_set() && !["OldestEmulationVersion"].contains(&strategy.str()) && !strategy.str().contains('/') {
        errors.push(strategy.not_supported(&["OldestEmulationVersion"]));
    }
    let preferred = spec.field("preferredHolder");
    if preferred.is_set() {
        if !strategy.is_set() {
            errors.push(preferred.forbidden("may only be specified when `strategy` is defined"));
        }
        common::optional_text(preferred, names::dns_subdomain, &mut errors);
    }
    errors
}

pub(crate) fn lease_update(new: &Value, _: &Value, _: Part) -> Vec<FieldError> {
    lease(new)
}
