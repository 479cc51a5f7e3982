//! CronJobs.

use serde_json::Value;

use super::{Cursor, Errors, FieldError, common, jobs, selectors};
use crate::cron;
use crate::kind::{Part, name_of};

/// A job's name is this one's with a time, and no longer than a label.
const NAME_MAX: usize = 52;
const ZONE_PART_MAX: usize = 14;

pub(crate) fn cron_job(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    spec(root.field("spec"), None, &mut errors);
    if name_of(object).len() > NAME_MAX {
        let detail = format!("must be no more than {NAME_MAX} characters");
        errors.push(root.field("metadata").field("name").invalid(&detail));
    }
    errors
}

pub(crate) fn cron_job_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    if part != Part::Status {
        spec(root.field("spec"), Some(&old["spec"]), &mut errors);
    }
    errors
}

fn spec(at: Cursor<'_, '_>, before: Option<&Value>, errors: &mut Errors) {
    schedule(at, before, errors);
    common::not_negative(at.field("startingDeadlineSeconds"), errors);
    if before.is_none_or(|before| &before["timeZone"] != at.get("timeZone")) {
        time_zone(at.field("timeZone"), errors);
    }
    common::one_of(at.field("concurrencyPolicy"), &["Allow", "Forbid", "Replace"], errors);
    job_template(at.field("jobTemplate"), errors);
    common::not_negative(at.field("successfulJobsHistoryLimit"), errors);
    common::not_negative(at.field("failedJobsHistoryLimit"), errors);
}

fn schedule(spec: Cursor<'_, '_>, before: Option<&Value>, errors: &mut Errors) {
    let at = spec.field("schedule");
    if at.str().is_empty() {
        errors.push(at.required(""));
        return;
    }
    if let Err(why) = cron::parse(at.str()) {
        errors.push(at.invalid(&why));
    }
    let had_zone = before.is_some_and(|before| before["schedule"].as_str().unwrap_or_default().contains("TZ"));
    if !at.str().contains("TZ") {
        return;
    }
    if !had_zone {
        errors.push(at.invalid("cannot use TZ or CRON_TZ in schedule, use timeZone field instead"));
    } else if spec.field("timeZone").is_set() {
        errors.push(at.invalid("cannot use both timeZone field and TZ or CRON_TZ in schedule"));
    }
}

fn time_zone(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    let name = at.str();
    if name.is_empty() {
        errors.push(at.invalid("timeZone must be nil or non-empty string"));
        return;
    }
    let unknown = || at.invalid(&format!("unknown time zone {name}"));
    if !name.split('/').all(is_part) {
        errors.push(unknown());
        return;
    }
    let is_local = name.eq_ignore_ascii_case("local");
    if is_local {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(at.invalid(detail));
    }
    if name != "Local" && cron::time_zone(name).is_none() {
        errors.push(unknown());
    }
}

/// One component of a zone's name.
fn is_part(part: &str) -> bool {
    let is_known = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
    (1..=ZONE_PART_MAX).contains(&part.len())
        && part.bytes().all(is_known)
        && !matches!(part, "." | "..")
        && !part.starts_with('-')
}

fn job_template(at: Cursor<'_, '_>, errors: &mut Errors) {
    let spec = at.field("spec");
    jobs::spec(spec, errors);
    let (selector, manual) = (spec.field("selector"), spec.field("manualSelector"));
    if selector.is_set() {
        errors.push(selectors::invalid(selector, "`selector` will be auto-generated"));
    }
    if manual.bool() {
        errors.push(manual.not_supported(&["nil", "false"]));
    }
}
