//! Jobs.

use serde_json::Value;

use super::{Cursor, Errors, FieldError, common, pod, selectors};
use crate::kind::{Part, name_of, uid_of};
use crate::selector::labels_match_object;

mod indexes;
mod managed_by;
mod policies;
mod status;
mod template;

/// Every index of a job is listed in its status: there is room for so many.
const INDEXES_MAX: i64 = 100_000;
const MANY_COMPLETIONS_MAX: i64 = 10_000;
const NO_MATCH: &str = "`selector` does not match template `labels`";

pub(crate) fn job(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let at = root.field("spec");
    generated(object, at, &mut errors);
    spec_with_selector(at, &mut errors);
    host_names(object, &root, &mut errors);
    errors
}

/// Upstream checks the whole job, and then its spec again.
pub(crate) fn job_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    if part == Part::Status {
        return status::status(new, old);
    }
    let mut errors = job(new);
    let root = Cursor::root(new);
    let (at, before) = (root.field("spec"), &old["spec"]);
    spec_with_selector(at, &mut errors);
    completions(at, before, &mut errors);
    if at.get("selector") != &before["selector"] {
        errors.push(selectors::invalid(at.field("selector"), "field is immutable"));
    }
    template::immutable(at.field("template"), old, &mut errors);
    common::immutable(at.field("completionMode"), &before["completionMode"], &mut errors);
    policies::immutable(at.field("podFailurePolicy"), &before["podFailurePolicy"], policies::FAILURE, &mut errors);
    common::immutable(at.field("backoffLimitPerIndex"), &before["backoffLimitPerIndex"], &mut errors);
    common::immutable(at.field("managedBy"), &before["managedBy"], &mut errors);
    policies::immutable(at.field("successPolicy"), &before["successPolicy"], policies::SUCCESS, &mut errors);
    errors
}

/// The labels and the selector that the server makes are there as it makes them.
fn generated(job: &Value, spec: Cursor<'_, '_>, errors: &mut Errors) {
    let selector = spec.field("selector");
    if spec.field("manualSelector").bool() || !selector.is_set() {
        return;
    }
    let expected = [
        ("controller-uid", uid_of(job)),
        ("job-name", name_of(job)),
        ("batch.kubernetes.io/controller-uid", uid_of(job)),
        ("batch.kubernetes.io/job-name", name_of(job)),
    ];
    let template = spec.field("template");
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    for (key, value) in expected {
        let at = labels.key(key);
        let detail = format!("must be '{value}'");
        if !at.is_set() {
            errors.push(at.required(&detail));
        }
        if at.str() != value {
            errors.push(FieldError::invalid(at.path(), labels.value(), &detail));
        }
    }
    let expected: Value = expected.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
    let is_usable = crate::selector::from_label_selector(selector.value()).is_ok();
    if is_usable && !labels_match_object(selector.value(), &expected) {
        errors.push(selectors::invalid(selector, "`selector` not auto-generated"));
    }
}

fn spec_with_selector(at: Cursor<'_, '_>, errors: &mut Errors) {
    spec(at, errors);
    let selector = at.field("selector");
    if selector.is_set() {
        selectors::label_selector(selector, errors);
    } else {
        errors.push(selector.required(""));
    }
    let template = at.field("template");
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    let is_usable = crate::selector::from_label_selector(selector.value()).is_ok();
    if is_usable && !labels_match_object(selector.value(), labels.value()) {
        errors.push(labels.invalid(NO_MATCH));
    }
}

/// The last pod of an indexed job must have a name that is a host name.
fn host_names(job: &Value, root: &Cursor<'_, '_>, errors: &mut Errors) {
    let spec = &job["spec"];
    let completions = spec["completions"].as_i64().unwrap_or_default();
    if spec["completionMode"] != "Indexed" || completions <= 0 {
        return;
    }
    let last = format!("{}-{}", name_of(job), completions - 1);
    if !crate::names::dns_label(&last).is_empty() {
        let detail = format!("will not able to create pod with invalid DNS label: {last}");
        errors.push(root.field("metadata").field("name").invalid(&detail));
    }
}

/// A job's spec without its selector, which a template's job does not have.
pub(super) fn spec(at: Cursor<'_, '_>, errors: &mut Errors) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        common::not_negative(at.field(field), errors);
    }
    if at.field("maxFailedIndexes").is_set() && !at.field("backoffLimitPerIndex").is_set() {
        errors.push(at.field("backoffLimitPerIndex").required("when maxFailedIndexes is specified"));
    }
    if at.field("managedBy").is_set() {
        managed_by::managed_by(at.field("managedBy"), errors);
    }
    completion_mode(at, errors);
    policies::failure(at, errors);
    policies::success(at, errors);
    policies::replacement(at, errors);
    pod::template(at.field("template"), errors);
    restart_policy(at, errors);
}

fn completion_mode(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mode = at.field("completionMode");
    match mode.str() {
        "Indexed" => indexed(at, errors),
        "NonIndexed" | "" => not_indexed(at, errors),
        _ => errors.push(mode.not_supported(&["NonIndexed", "Indexed"])),
    }
}

fn not_indexed(at: Cursor<'_, '_>, errors: &mut Errors) {
    for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        if at.field(field).is_set() {
            errors.push(at.field(field).invalid("requires indexed completion mode"));
        }
    }
}

fn indexed(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (completions, parallelism) = (at.field("completions"), at.field("parallelism"));
    let failed_max = at.field("maxFailedIndexes");
    if !completions.is_set() {
        errors.push(completions.required("when completion mode is Indexed"));
    }
    if parallelism.int() > INDEXES_MAX {
        let detail = format!("must be less than or equal to {INDEXES_MAX} when completion mode is Indexed");
        errors.push(parallelism.invalid(&detail));
    }
    if completions.is_set() && failed_max.int() > completions.int() {
        errors.push(failed_max.invalid("must be less than or equal to completions"));
    }
    if failed_max.int() > INDEXES_MAX {
        errors.push(failed_max.invalid(&format!("must be less than or equal to {INDEXES_MAX}")));
    }
    if completions.int() > INDEXES_MAX && at.field("backoffLimitPerIndex").is_set() {
        many_completions(parallelism, failed_max, errors);
    }
}

fn many_completions(parallelism: Cursor<'_, '_>, failed_max: Cursor<'_, '_>, errors: &mut Errors) {
    if !failed_max.is_set() {
        errors.push(failed_max.required(&format!("must be specified when completions is above {INDEXES_MAX}")));
    }
    for at in [parallelism, failed_max] {
        if at.int() > MANY_COMPLETIONS_MAX {
            let why = "and used with backoff limit per index";
            let bound = format!("{MANY_COMPLETIONS_MAX} when completions are above {INDEXES_MAX}");
            errors.push(at.invalid(&format!("must be less than or equal to {bound} {why}")));
        }
    }
}

fn restart_policy(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let template = spec.field("template");
    let pod = template.field("spec");
    let at = pod.field("restartPolicy");
    match at.str() {
        "Always" | "" => errors.push(at.required("valid values: \"OnFailure\", \"Never\"")),
        "Never" => {}
        "OnFailure" if !spec.field("podFailurePolicy").is_set() => {}
        "OnFailure" => errors.push(at.invalid("only \"Never\" is supported when podFailurePolicy is specified")),
        _ => errors.push(at.not_supported(&["OnFailure", "Never"])),
    }
}

/// An indexed job may grow and shrink, as wide as it is long.
fn completions(spec: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    let at = spec.field("completions");
    if spec.field("completionMode").str() != "Indexed" {
        common::immutable(at, &before["completions"], errors);
    } else if at.value() != &before["completions"] && at.is_set() && at.int() != spec.field("parallelism").int() {
        errors.push(at.invalid("can only be modified in tandem with spec.parallelism"));
    }
}
