//! Namespaces.

use serde_json::Value;

use super::metadata::qualified_finalizer;
use super::{Cursor, Errors, FieldError, common};
use crate::kind::Part;
use crate::names;

pub(crate) fn namespace(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    let at = spec.field("finalizers");
    for finalizer in at.items() {
        let problems = names::qualified_name(finalizer.str());
        errors.extend(problems.iter().map(|problem| at.invalid_value(finalizer.str(), problem)));
        if problems.is_empty() && !is_known(finalizer.str()) {
            errors.push(
                at.invalid_value(
                    finalizer.str(),
                    "name is neither a standard finalizer name nor is it fully qualified",
                ),
            );
        }
    }
    errors
}

fn is_known(finalizer: &str) -> bool {
    finalizer.contains('/') || ["kubernetes", "orphan", "foregroundDeletion"].contains(&finalizer)
}

pub(crate) fn namespace_update(new: &Value, _: &Value, part: Part) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Cursor::root(new);
    match part {
        Part::Status => phase(root, &mut errors),
        Part::Finalize => finalize(root, &mut errors),
        Part::Object | Part::EphemeralContainers | Part::Resize | Part::Approval => {}
    }
    errors
}

/// A namespace is terminating when it is being deleted, and only then.
fn phase(root: Cursor<'_, '_>, errors: &mut Errors) {
    let deleted = !root.value()["metadata"]["deletionTimestamp"].is_null();
    let status = root.field("status");
    let phase = status.with("Phase", status.get("phase"));
    match (deleted, phase.str()) {
        (false, "Active") | (true, "Terminating") => {}
        (false, _) => errors.push(phase.invalid_str("may only be 'Active' if `deletionTimestamp` is empty")),
        (true, _) => errors.push(phase.invalid_str("may only be 'Terminating' if `deletionTimestamp` is not empty")),
    }
}

fn finalize(root: Cursor<'_, '_>, errors: &mut Errors) {
    let spec = root.field("spec");
    for finalizer in spec.field("finalizers").items() {
        common::text(finalizer, names::qualified_name, errors);
        if names::qualified_name(finalizer.str()).is_empty() {
            qualified_finalizer(finalizer, errors);
        }
    }
}
