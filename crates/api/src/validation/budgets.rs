//! PodDisruptionBudgets.

use serde_json::Value;

use super::apps::{amount, count_or_percent, counts};
use super::go_struct::{self, Field, Print};
use super::{Cursor, Errors, FieldError, conditions, selectors};
use crate::kind::Part;

const SPEC: &[Field] = &[
    ("MinAvailable", "minAvailable", Print::Plain("null")),
    ("Selector", "selector", Print::Plain("null")),
    ("MaxUnavailable", "maxUnavailable", Print::Plain("null")),
    ("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy", Print::Plain("null")),
];

pub(crate) fn disruption_budget(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    let (min, max) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if min.is_set() && max.is_set() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid_in_order(spec.path(), &go_struct::print(spec.value(), SPEC), detail));
    }
    for bound in [min, max].into_iter().filter(Cursor::is_set) {
        self::bound(bound, &mut errors);
    }
    selectors::label_selector(spec.field("selector"), &mut errors);
    let policy = spec.field("unhealthyPodEvictionPolicy");
    if policy.is_set() && !["AlwaysAllow", "IfHealthyBudget"].contains(&policy.str()) {
        errors.push(policy.not_supported(&["AlwaysAllow", "IfHealthyBudget"]));
    }
    errors
}

fn bound(at: Cursor<'_, '_>, errors: &mut Errors) {
    count_or_percent(at, errors);
    if at.value().is_string() && amount(at) > 100 {
        errors.push(at.invalid("must not be greater than 100%"));
    }
}

pub(crate) fn disruption_budget_update(new: &Value, _: &Value, part: Part) -> Vec<FieldError> {
    if part != Part::Status {
        return disruption_budget(new);
    }
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let status = root.field("status");
    conditions::conditions(status.field("conditions"), &mut errors);
    counts(status, &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"], &mut errors);
    errors
}
