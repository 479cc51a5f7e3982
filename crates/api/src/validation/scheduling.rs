//! Where a pod may run: tolerations, gates, spreading.

use serde_json::json;

use super::{Cursor, Errors, FieldError, common, selectors};
use crate::names;

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

pub(super) fn tolerations(at: Cursor<'_, '_>, errors: &mut Errors) {
    for toleration in at.items() {
        self::toleration(toleration, errors);
    }
}

fn toleration(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (key, operator, value, effect) = (at.field("key"), at.field("operator"), at.field("value"), at.field("effect"));
    if !key.str().is_empty() {
        common::text(key, names::qualified_name, errors);
    }
    if key.str().is_empty() && operator.str() != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(operator.invalid_str(detail));
    }
    if at.field("tolerationSeconds").is_set() && effect.str() != "NoExecute" {
        errors.push(effect.invalid_str("effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    match operator.str() {
        "Equal" | "" => {
            let problems = names::label_value(value.str());
            if !problems.is_empty() {
                errors.push(operator.invalid_value(value.str(), &problems.join(";")));
            }
        }
        "Exists" if !value.str().is_empty() => {
            errors.push(operator.invalid_value(at.value().clone(), "value must be empty when `operator` is 'Exists'"));
        }
        "Exists" | "Lt" | "Gt" => {}
        _ => errors.push(operator.not_supported(&["Equal", "Exists"])),
    }
    if !effect.str().is_empty() {
        self::effect(effect, errors);
    }
}

/// The effect of a taint.
pub(super) fn effect(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !EFFECTS.contains(&at.str()) {
        errors.push(at.not_supported(&["NoSchedule", "PreferNoSchedule", "NoExecute"]));
    }
}

pub(super) fn gates(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut seen = Vec::new();
    for gate in at.items() {
        let name = gate.field("name").str();
        let problems = names::qualified_name(name);
        errors.extend(problems.iter().map(|problem| gate.invalid_value(name, problem)));
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(gate.path(), &json!(name)));
        }
        seen.push(name);
    }
}

pub(super) fn readiness_gates(at: Cursor<'_, '_>, errors: &mut Errors) {
    for gate in at.items() {
        common::text(gate.field("conditionType"), names::qualified_name, errors);
    }
}

pub(super) fn spread(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut seen = Vec::new();
    for constraint in at.items() {
        let (skew, key) = (constraint.field("maxSkew"), constraint.field("topologyKey"));
        let unsatisfiable = constraint.field("whenUnsatisfiable");
        if skew.int() <= 0 {
            errors.push(skew.invalid_value(skew.int(), "must be greater than zero"));
        }
        if key.str().is_empty() {
            errors.push(key.required("can not be empty"));
        }
        if !["DoNotSchedule", "ScheduleAnyway"].contains(&unsatisfiable.str()) {
            errors.push(unsatisfiable.not_supported(&["DoNotSchedule", "ScheduleAnyway"]));
        }
        let pair = (key.str(), unsatisfiable.str());
        if seen.contains(&pair) {
            let value = json!(format!("{{{}, {}}}", pair.0, pair.1));
            let both = format!("{{{}, whenUnsatisfiable}}", key.path());
            errors.push(FieldError::duplicate(both, &value));
        }
        seen.push(pair);
        min_domains(constraint, errors);
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            common::optional_one_of(constraint.field(field), &["Honor", "Ignore"], errors);
        }
        selectors::label_selector(constraint.field("labelSelector"), errors);
    }
}

fn min_domains(constraint: Cursor<'_, '_>, errors: &mut Errors) {
    let domains = constraint.field("minDomains");
    if !domains.is_set() {
        return;
    }
    if domains.int() <= 0 {
        errors.push(domains.invalid("must be greater than zero"));
    }
    let unsatisfiable = constraint.field("whenUnsatisfiable").str();
    if unsatisfiable != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {unsatisfiable}");
        errors.push(domains.invalid(&detail));
    }
}
