//! Jobs and CronJobs.

use serde_json::Value;

use super::workloads::fill_map;
use super::{Object, child, fill, fill_text, is_unset, items, make, pod};

const BACKOFF_LIMIT: i32 = 6;

pub(crate) fn job(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    let Some(spec) = make(object, "spec") else { return };
    template_of_job(spec);
    if is_unset(spec, "completions") && is_unset(spec, "parallelism") {
        fill(spec, "completions", 1);
    }
    fill(spec, "parallelism", 1);
    // With a limit for each index there is none for all together.
    let per_index = !is_unset(spec, "backoffLimitPerIndex");
    fill(spec, "backoffLimit", if per_index { i32::MAX } else { BACKOFF_LIMIT });
    fill(spec, "completionMode", "NonIndexed");
    fill(spec, "suspend", false);
    let with_policy = !is_unset(spec, "podFailurePolicy");
    fill(spec, "podReplacementPolicy", if with_policy { "Failed" } else { "TerminatingOrFailed" });
    fill(spec, "manualSelector", false);
    labels_of_template(object);
}

/// A job without labels has those of its template.
pub(crate) fn labels_of_template(job: &mut Object) {
    let labels = job.get("spec").map(|spec| spec["template"]["metadata"]["labels"].clone()).unwrap_or_default();
    if labels.is_object()
        && let Some(metadata) = make(job, "metadata")
    {
        fill_map(metadata, "labels", &labels);
    }
}

/// A template's job is given its own defaults when it is made.
fn template_of_job(spec: &mut Object) {
    pod::template(spec);
    let Some(policy) = child(spec, "podFailurePolicy") else { return };
    for rule in items(policy, "rules") {
        items(rule, "onPodConditions").for_each(|pattern| fill_text(pattern, "status", "True"));
    }
}

pub(crate) fn cron_job(object: &mut Value) {
    let Some(spec) = object.as_object_mut().and_then(|o| make(o, "spec")) else { return };
    if let Some(job) = child(spec, "jobTemplate").and_then(|template| make(template, "spec")) {
        template_of_job(job);
    }
    fill_text(spec, "concurrencyPolicy", "Allow");
    fill(spec, "suspend", false);
    fill(spec, "successfulJobsHistoryLimit", 3);
    fill(spec, "failedJobsHistoryLimit", 1);
}
