//! Storage classes.

use serde_json::Value;

use super::{Cursor, Errors, FieldError, common};
use crate::kind::Part;
use crate::names;

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_SIZE_MAX: usize = 256 * 1024;

pub(crate) fn class(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let provisioner = root.field("provisioner");
    if provisioner.str().is_empty() {
        errors.push(provisioner.required(""));
    } else {
        let problems = names::qualified_name(&provisioner.str().to_lowercase());
        errors.extend(problems.iter().map(|problem| provisioner.invalid(problem)));
    }
    parameters(root.field("parameters"), &mut errors);
    common::optional_one_of(root.field("reclaimPolicy"), &["Delete", "Retain"], &mut errors);
    common::one_of(root.field("volumeBindingMode"), &["Immediate", "WaitForFirstConsumer"], &mut errors);
    topologies(root.field("allowedTopologies"), &mut errors);
    errors
}

fn parameters(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.len() > PARAMETERS_MAX {
        errors.push(FieldError::too_long(at.path(), PARAMETERS_MAX));
        return;
    }
    let mut size = 0;
    for (key, value) in at.entries() {
        if key.is_empty() {
            errors.push(at.invalid_value(key, "field can not be empty."));
        }
        size += key.len() + value.str().len();
    }
    if size > PARAMETERS_SIZE_MAX {
        errors.push(FieldError::too_long(at.path(), PARAMETERS_SIZE_MAX));
    }
}

fn topologies(at: Cursor<'_, '_>, errors: &mut Errors) {
    for term in at.items() {
        let mut keys = Vec::new();
        for requirement in term.field("matchLabelExpressions").items() {
            let (key, values) = (requirement.field("key"), requirement.field("values"));
            if values.is_empty() {
                errors.push(values.required(""));
            }
            let mut seen = Vec::new();
            for value in values.items() {
                if seen.contains(&value.str()) {
                    errors.push(value.duplicate());
                }
                seen.push(value.str());
            }
            common::text(key, names::qualified_name, errors);
            if keys.contains(&key.str()) {
                errors.push(key.duplicate());
            }
            keys.push(key.str());
        }
    }
}

pub(crate) fn class_update(new: &Value, old: &Value, _: Part) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if root.get(field) != &old[field] {
            errors.push(root.field(field).forbidden(&format!("updates to {field} are forbidden.")));
        }
    }
    common::immutable(root.field("volumeBindingMode"), &old["volumeBindingMode"], &mut errors);
    topologies(root.field("allowedTopologies"), &mut errors);
    errors
}
