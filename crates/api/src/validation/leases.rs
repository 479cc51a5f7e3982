//! Leases.

use serde_json::Value;

use super::{Cursor, FieldError, common};
use crate::kind::Part;

pub(crate) fn lease(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    let duration = spec.field("leaseDurationSeconds");
    if duration.is_set() && duration.int() <= 0 {
        errors.push(duration.invalid("must be greater than 0"));
    }
    common::not_negative(spec.field("leaseTransitions"), &mut errors);
    errors
}

pub(crate) fn lease_update(new: &Value, _: &Value, _: Part) -> Vec<FieldError> {
    lease(new)
}
