//! `LabelSelector` objects.

use super::{Cursor, Errors, FieldError, common, declared_json};
use crate::names;

/// A selector in the field of an object that is no template.
pub(crate) fn label_selector(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::labels(at.field("matchLabels"), errors);
    for expression in at.field("matchExpressions").items() {
        requirement(expression, errors);
    }
}

/// An error about a selector as a whole.
pub(super) fn invalid(at: Cursor<'_, '_>, detail: &str) -> FieldError {
    FieldError::invalid_in_order(at.path(), &declared_json(at.value(), &["matchLabels", "matchExpressions"]), detail)
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
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => errors.push(at.field("operator").invalid_str("not a valid selector operator")),
    }
    common::text(at.field("key"), names::qualified_name, errors);
    for value in values.items() {
        common::text(value, names::label_value, errors);
    }
}
