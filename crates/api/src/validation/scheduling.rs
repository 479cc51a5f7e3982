//! Where a pod may run: tolerations, gates, spreading.

use serde_json::json;

use super::{Cursor, Errors, FieldError, common, go_text, selectors};
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
            let shown = go_text::shown("Toleration", at.value());
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid_in_order(operator.path(), &shown, detail));
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
    if at.str().is_empty() {
        errors.push(at.required(""));
    } else if !EFFECTS.contains(&at.str()) {
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
    for (i, constraint) in at.items().enumerate() {
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
        let same = |other: &Cursor<'_, '_>| {
            other.get("topologyKey") == key.value() && other.get("whenUnsatisfiable") == unsatisfiable.value()
        };
        if at.items().skip(i + 1).any(|other| same(&other)) {
            let value = json!(format!("{{{}, {}}}", key.str(), unsatisfiable.str()));
            let both = constraint.with("{topologyKey, whenUnsatisfiable}", constraint.value());
            errors.push(FieldError::duplicate(both.path(), &value));
        }
        min_domains(constraint, errors);
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            common::optional_one_of(constraint.field(field), &["Honor", "Ignore"], errors);
        }
        match_label_keys(constraint, errors);
        selectors::label_selector(constraint.field("labelSelector"), errors);
    }
}

/// Keys whose values the pod itself has: they need a selector, which has not got them already.
fn match_label_keys(constraint: Cursor<'_, '_>, errors: &mut Errors) {
    let (keys, selector) = (constraint.field("matchLabelKeys"), constraint.field("labelSelector"));
    if keys.is_empty() {
        return;
    }
    if !selector.is_set() {
        errors.push(keys.forbidden("must not be specified when labelSelector is not set"));
    }
    for key in keys.items() {
        common::text(key, names::qualified_name, errors);
        let expressions = selector.field("matchExpressions");
        let expressed = expressions.items().any(|expression| expression.field("key").str() == key.str());
        if expressed || !selector.field("matchLabels").get(key.str()).is_null() {
            errors.push(key.invalid("exists in both matchLabelKeys and labelSelector"));
        }
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
