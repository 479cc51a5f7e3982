//! What the status of a job may become. Rules about fields that a write leaves alone are not asked.

use jiff::Timestamp;
use serde_json::Value;

use super::indexes;
use super::policies::without_value;
use crate::validation::{Cursor, Errors, FieldError, common};

pub(super) fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let at = root.field("status");
    let change = Change { job: new, new: &new["status"], old: &old["status"] };
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        common::not_negative(at.field(field), &mut errors);
    }
    uncounted(at.field("uncountedTerminatedPods"), &mut errors);
    ended(at, &change, &mut errors);
    finished(at, &change, &mut errors);
    lists(at, &change, &mut errors);
    counters(at, &change, &mut errors);
    criteria(at.field("conditions"), &change, &mut errors);
    transitions(at, &change, &mut errors);
    errors
}

struct Change<'a> {
    job: &'a Value,
    new: &'a Value,
    old: &'a Value,
}

impl Change<'_> {
    fn is(&self, condition: &str) -> bool {
        is_true(self.new, condition)
    }

    fn was(&self, condition: &str) -> bool {
        is_true(self.old, condition)
    }

    fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn finishes(&self) -> bool {
        self.is_finished() != (self.was("Complete") || self.was("Failed"))
    }

    fn turns(&self, condition: &str) -> bool {
        self.is(condition) != self.was(condition)
    }

    fn changes(&self, field: &str) -> bool {
        self.new[field] != self.old[field]
    }
}

fn is_true(status: &Value, condition: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|c| c["type"] == condition && c["status"] == "True")
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn uncounted(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for list in ["succeeded", "failed"] {
        for uid in at.field(list).items() {
            if uid.str().is_empty() {
                errors.push(uid.invalid_str("must not be empty"));
            } else if seen.contains(&uid.str()) {
                errors.push(uid.duplicate());
            }
            seen.push(uid.str());
        }
    }
}

/// A job ends in one way, and the time of its completion says when.
fn ended(at: Cursor<'_, '_>, change: &Change<'_>, errors: &mut Errors) {
    let (conditions, completion) = (at.field("conditions"), at.field("completionTime"));
    if change.is("Complete") {
        for (other, words) in [("Failed", "Failed=true"), ("FailureTarget", "FailureTarget=true")] {
            if change.is(other) && (change.turns("Complete") || change.turns(other)) {
                errors.push(without_value(conditions, &format!("cannot set Complete=True and {words} conditions")));
            }
        }
    }
    if change.turns("Complete") || change.changes("completionTime") {
        match (completion.is_set(), change.is("Complete")) {
            (true, false) => {
                errors.push(completion.invalid("cannot set completionTime when there is no Complete=True condition"));
            }
            (false, true) => errors.push(completion.required("completionTime is required for Complete jobs")),
            (true, true) | (false, false) => {}
        }
    }
    let times = time(&change.new["startTime"]).zip(time(&change.new["completionTime"]));
    let is_early = times.is_some_and(|(start, end)| end < start);
    if is_early && (change.changes("startTime") || change.changes("completionTime")) {
        errors.push(completion.invalid("completionTime cannot be set before startTime"));
    }
    if change.is("Failed") && !change.is("FailureTarget") && change.turns("Failed") {
        let detail = "cannot set Failed=True condition without the FailureTarget=true condition";
        errors.push(without_value(conditions, detail));
    }
    if change.is("Complete") && !change.is("SuccessCriteriaMet") && change.turns("Complete") {
        let detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        errors.push(without_value(conditions, detail));
    }
}

/// Nothing is left of a finished job's pods, and it began some time.
fn finished(at: Cursor<'_, '_>, change: &Change<'_>, errors: &mut Errors) {
    if !change.is_finished() {
        return;
    }
    let asked = |field: &str| change.finishes() || change.changes(field);
    if asked("active") && at.field("active").int() > 0 {
        errors.push(at.field("active").invalid("active>0 is invalid for finished job"));
    }
    if asked("startTime") && !at.field("startTime").is_set() {
        errors.push(at.field("startTime").required("startTime is required for finished job"));
    }
    let uncounted = at.field("uncountedTerminatedPods");
    let n_uncounted = uncounted.field("succeeded").len() + uncounted.field("failed").len();
    if asked("uncountedTerminatedPods") && n_uncounted > 0 {
        errors.push(uncounted.invalid("uncountedTerminatedPods needs to be empty for finished job"));
    }
}

fn lists(at: Cursor<'_, '_>, change: &Change<'_>, errors: &mut Errors) {
    let spec = &change.job["spec"];
    let (completed, failed) = (at.field("completedIndexes"), at.field("failedIndexes"));
    let completions = spec["completions"].as_i64();
    let per_index = !spec["backoffLimitPerIndex"].is_null();
    let mut format = |list: Cursor<'_, '_>, name: &str| {
        let outcome = completions.map(|completions| indexes::count(list.str(), completions));
        if let Some(Err(why)) = outcome {
            errors.push(list.invalid(&format!("error parsing {name}: {why}")));
        }
    };
    if change.changes("completedIndexes") {
        format(completed, "completedIndexes");
    }
    if change.changes("failedIndexes") && per_index && failed.is_set() {
        format(failed, "failedIndexes");
    }
    if change.changes("completedIndexes") && !completed.str().is_empty() && spec["completionMode"] != "Indexed" {
        errors.push(completed.invalid("cannot set non-empty completedIndexes when non-indexed completion mode"));
    }
    if change.changes("failedIndexes") && failed.is_set() && !per_index {
        errors.push(failed.invalid("cannot set non-null failedIndexes when backoffLimitPerIndex is null"));
    }
    let changed = change.changes("failedIndexes") || change.changes("completedIndexes");
    let shared = completions.and_then(|n| indexes::overlap(completed.str(), failed.str(), n));
    if let Some(index) = shared.filter(|_| changed) {
        errors.push(failed.invalid(&format!("failedIndexes and completedIndexes overlap at index: {index}")));
    }
}

fn counters(at: Cursor<'_, '_>, change: &Change<'_>, errors: &mut Errors) {
    let terminating = at.field("terminating");
    let asked = change.finishes() || change.changes("terminating");
    if asked && change.is_finished() && terminating.int() > 0 {
        errors.push(terminating.invalid("terminating>0 is invalid for finished job"));
    }
    let ready = at.field("ready");
    let asked = change.changes("active") || change.changes("ready");
    if asked && ready.is_set() && ready.int() > at.field("active").int() {
        errors.push(ready.invalid("cannot set more ready pods than active"));
    }
}

fn criteria(at: Cursor<'_, '_>, change: &Change<'_>, errors: &mut Errors) {
    if change.is("SuccessCriteriaMet") && change.is("Failed") {
        errors.push(without_value(at, "cannot set SuccessCriteriaMet=True and Failed=true conditions"));
    }
    if change.is("SuccessCriteriaMet") && change.is("FailureTarget") {
        errors.push(without_value(at, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"));
    }
    let has_policy = !change.job["spec"]["successPolicy"].is_null();
    if has_policy && change.is("Complete") && !change.is("SuccessCriteriaMet") {
        let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        errors.push(without_value(at, detail));
    }
}

fn transitions(at: Cursor<'_, '_>, change: &Change<'_>, errors: &mut Errors) {
    let conditions = at.field("conditions");
    for condition in ["Failed", "Complete", "FailureTarget"] {
        if change.was(condition) && !change.is(condition) {
            let detail = format!("cannot disable the terminal {condition}=True condition");
            errors.push(without_value(conditions, &detail));
        }
    }
    let spec = &change.job["spec"];
    // Such a job can be made smaller, and has fewer successes then.
    let is_elastic = spec["completionMode"] == "Indexed" && spec["completions"] == spec["parallelism"];
    for (field, is_free) in [("failed", false), ("succeeded", is_elastic)] {
        let (now, before) = (at.field(field), change.old[field].as_i64().unwrap_or_default());
        if !is_free && now.int() < before {
            errors.push(now.invalid_value(now.int(), &format!("cannot decrease the {field} counter")));
        }
    }
    let (completion, start) = (at.field("completionTime"), at.field("startTime"));
    if completion.is_set() && !change.old["completionTime"].is_null() && change.changes("completionTime") {
        errors.push(completion.invalid("completionTime cannot be mutated"));
    }
    let is_suspended = spec["suspend"] == true;
    if !change.old["startTime"].is_null() && change.changes("startTime") && !is_suspended {
        errors.push(start.required("startTime cannot be removed for unsuspended job"));
    }
    if change.was("SuccessCriteriaMet") && !change.is("SuccessCriteriaMet") {
        errors.push(without_value(conditions, "cannot disable the SuccessCriteriaMet=True condition"));
    }
    if change.was("Complete") && !change.was("SuccessCriteriaMet") && change.is("SuccessCriteriaMet") {
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(without_value(conditions, detail));
    }
}
