//! What a job's failed and succeeded pods mean for it.

use serde_json::Value;

use super::indexes;
use crate::names;
use crate::validation::go_struct::{self, Field, Print};
use crate::validation::{Cursor, ErrorType, Errors, FieldError, common};

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
const INDEXES_LENGTH_MAX: usize = 64 * 1024;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

const EXIT_CODES: &[Field] = &[
    ("ContainerName", "containerName", Print::Plain("null")),
    ("Operator", "operator", Print::Plain("\"\"")),
    ("Values", "values", Print::Plain("null")),
];
const CONDITION: &[Field] = &[("Type", "type", Print::Plain("\"\"")), ("Status", "status", Print::Plain("\"\""))];
const FAILURE_RULE: &[Field] = &[
    ("Action", "action", Print::Plain("\"\"")),
    ("OnExitCodes", "onExitCodes", Print::Reference(EXIT_CODES)),
    ("OnPodConditions", "onPodConditions", Print::List(CONDITION)),
];
const SUCCESS_RULE: &[Field] = &[
    ("SucceededIndexes", "succeededIndexes", Print::Plain("null")),
    ("SucceededCount", "succeededCount", Print::Plain("null")),
];
pub(super) const FAILURE: &[Field] = &[("Rules", "rules", Print::List(FAILURE_RULE))];
pub(super) const SUCCESS: &[Field] = &[("Rules", "rules", Print::List(SUCCESS_RULE))];

/// A policy that may not change.
pub(super) fn immutable(at: Cursor<'_, '_>, before: &Value, fields: &[Field], errors: &mut Errors) {
    if at.value() != before {
        errors.push(invalid(at, fields, "field is immutable"));
    }
}

fn invalid(at: Cursor<'_, '_>, fields: &[Field], detail: &str) -> FieldError {
    let printed = if at.is_set() { go_struct::print(at.value(), fields) } else { "null".to_owned() };
    FieldError::invalid_in_order(at.path(), &printed, detail)
}

pub(super) fn failure(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let at = spec.field("podFailurePolicy");
    let rules = at.field("rules");
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(rules.path(), rules.len(), RULES_MAX));
    }
    let pod = &spec.value()["template"]["spec"];
    let containers =
        ["containers", "initContainers"].into_iter().flat_map(|list| pod[list].as_array().into_iter().flatten());
    let containers: Vec<&str> = containers.filter_map(|container| container["name"].as_str()).collect();
    for rule in rules.items() {
        failure_rule(rule, spec, &containers, errors);
    }
}

fn failure_rule(rule: Cursor<'_, '_>, spec: Cursor<'_, '_>, containers: &[&str], errors: &mut Errors) {
    let action = rule.field("action");
    match action.str() {
        "" => errors.push(action.required(&valid(&ACTIONS))),
        "FailIndex" if !spec.field("backoffLimitPerIndex").is_set() => {
            errors.push(action.invalid("requires the backoffLimitPerIndex to be set"));
        }
        known if ACTIONS.contains(&known) => {}
        _ => errors.push(action.not_supported(&ACTIONS)),
    }
    let (codes, conditions) = (rule.field("onExitCodes"), rule.field("onPodConditions"));
    if codes.is_set() {
        exit_codes(codes, containers, errors);
    }
    pod_conditions(conditions, errors);
    let detail = match (codes.is_set(), !conditions.is_empty()) {
        (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
        (true, false) | (false, true) => return,
    };
    errors.push(without_value(rule, detail));
}

/// An error that does not show what is wrong.
pub(super) fn without_value(at: Cursor<'_, '_>, detail: &str) -> FieldError {
    FieldError { error_type: ErrorType::Invalid, field: at.path(), message: format!("Invalid value: {detail}") }
}

/// Go's `%q` of a list.
fn valid(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn exit_codes(at: Cursor<'_, '_>, containers: &[&str], errors: &mut Errors) {
    let (operator, container, values) = (at.field("operator"), at.field("containerName"), at.field("values"));
    match operator.str() {
        "In" | "NotIn" => {}
        "" => errors.push(operator.required(&valid(&["In", "NotIn"]))),
        _ => errors.push(operator.not_supported(&["In", "NotIn"])),
    }
    if container.is_set() && !containers.contains(&container.str()) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(container.invalid(detail));
    }
    if values.is_empty() {
        errors.push(values.invalid("at least one value is required"));
    } else if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(values.path(), values.len(), EXIT_CODES_MAX));
    }
    let mut seen: Vec<i64> = Vec::new();
    for value in values.items() {
        if operator.str() == "In" && value.int() == 0 {
            errors.push(value.invalid("must not be 0 for the In operator"));
        }
        if seen.contains(&value.int()) {
            errors.push(value.duplicate());
        }
        seen.push(value.int());
    }
    if !seen.is_sorted() {
        errors.push(values.invalid("must be ordered"));
    }
}

fn pod_conditions(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(at.path(), at.len(), CONDITIONS_MAX));
    }
    for pattern in at.items() {
        common::text(pattern.field("type"), names::qualified_name, errors);
        let status = pattern.field("status");
        if status.str().is_empty() {
            errors.push(status.required(&valid(&STATUSES)));
        } else if !STATUSES.contains(&status.str()) {
            errors.push(status.not_supported(&STATUSES));
        }
    }
}

pub(super) fn success(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let at = spec.field("successPolicy");
    if !at.is_set() {
        return;
    }
    if spec.field("completionMode").str() != "Indexed" {
        errors.push(invalid(at, SUCCESS, "requires indexed completion mode"));
        return;
    }
    let rules = at.field("rules");
    if rules.is_empty() {
        errors.push(rules.required("at least one rules must be specified when the successPolicy is specified"));
    }
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(rules.path(), rules.len(), RULES_MAX));
    }
    for rule in rules.items() {
        success_rule(rule, spec.field("completions").int(), errors);
    }
}

fn success_rule(rule: Cursor<'_, '_>, completions: i64, errors: &mut Errors) {
    let (count, indexes) = (rule.field("succeededCount"), rule.field("succeededIndexes"));
    if !count.is_set() && !indexes.is_set() {
        errors.push(rule.required("at least one of succeededCount or succeededIndexes must be specified"));
    }
    let mut n_indexes = 0;
    if indexes.is_set() {
        if indexes.str().len() > INDEXES_LENGTH_MAX {
            errors.push(FieldError::too_long(indexes.path(), INDEXES_LENGTH_MAX));
        }
        match indexes::count(indexes.str(), completions) {
            Ok(n) => n_indexes = n,
            Err(why) => errors.push(indexes.invalid(&format!("error parsing succeededIndexes: {why}"))),
        }
    }
    common::not_negative(count, errors);
    let at_most =
        |bound: i64, of: &str| count.invalid(&format!("must be less than or equal to {bound} (the number of {of})"));
    if count.int() > completions {
        errors.push(at_most(completions, "specified completions"));
    }
    if indexes.is_set() && count.int() > n_indexes {
        errors.push(at_most(n_indexes, "indexes in the specified succeededIndexes field"));
    }
}

pub(super) fn replacement(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let at = spec.field("podReplacementPolicy");
    if !at.is_set() {
        return;
    }
    let with_failure_policy = spec.field("podFailurePolicy").is_set();
    let supported: &[&str] = if with_failure_policy { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if !supported.contains(&at.str()) {
        errors.push(at.not_supported(supported));
    }
}
