//! The kinds of the group `batch`.

use serde_json::{Value, json};

use super::{fields, row, status, strings};
use crate::kind::{Generation, Hooks, Kind, name_of, uid_of};
use crate::{columns, defaults, names, validation, warnings};

const COMPLETIONS_MAX: i64 = 100_000;
const PARALLELISM_MAX: i64 = 10_000;

pub(super) fn rows() -> Vec<Kind> {
    vec![cron_job(), job()]
}

fn cron_job() -> Kind {
    Kind {
        short_names: strings(&["cj"]),
        categories: strings(&["all"]),
        generation: Generation::Spec,
        subresources: vec![status("CronJob", "batch")],

        columns: columns::batch::cron_job(),
        hooks: Hooks {
            defaults: defaults::batch::cron_job,
            validate: validation::cron_jobs::cron_job,
            validate_update: validation::cron_jobs::cron_job_update,
            warnings: cron_job_warnings,
            ..Hooks::default()
        },
        empty_status: Some(json!({})),
        ..row("batch", "v1", "CronJob", "cronjobs")
    }
}

fn job() -> Kind {
    let n_succeeded = |job: &Value| job["status"]["succeeded"].as_i64().unwrap_or(0).to_string();
    Kind {
        categories: strings(&["all"]),
        generation: Generation::Spec,
        orphans: true,
        subresources: vec![status("Job", "batch")],
        fields: fields(&[("status.successful", n_succeeded)]),

        columns: columns::batch::job(),
        hooks: Hooks {
            defaults: defaults::batch::job,
            prepare_create: generate_selector,
            validate: validation::jobs::job,
            validate_update: validation::jobs::job_update,
            unknown_field: |field| format!("field label {field:?} not supported for Job"),
            warnings: job_warnings,
            ..Hooks::default()
        },
        empty_status: Some(json!({})),
        ..row("batch", "v1", "Job", "jobs")
    }
}

/// Unless the user asked for the selector to be left alone, a job selects its pods by its own uid.
fn generate_selector(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let (name, uid) = (json!(name_of(job)), json!(uid_of(job)));
    let generated = [
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
    ];
    let labels = &mut job["spec"]["template"]["metadata"]["labels"];
    for (key, value) in generated {
        if labels[key].is_null() {
            labels[key] = value.clone();
        }
    }
    let selected = &mut job["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"];
    if selected.is_null() {
        *selected = uid;
    }
    // A name that is no label is told of where it is in the template, and not once more.
    if names::label_value(name_of(job)).is_empty() {
        job.as_object_mut().into_iter().for_each(defaults::batch::labels_of_template);
    }
}

fn job_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = warnings::workload(new, old);
    let spec = &new["spec"];
    let number = |field: &str| spec[field].as_i64().unwrap_or(0);
    let is_changed = old.is_none_or(|old| &old["spec"] != spec);
    let is_large = number("completions") > COMPLETIONS_MAX && number("parallelism") > PARALLELISM_MAX;
    if is_changed && is_large && spec["completionMode"] == "Indexed" {
        let text = "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail";
        warnings.push(text.to_owned());
    }
    warnings
}

fn cron_job_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut all = Vec::new();
    if old.is_none() {
        warnings::workload_name(new, &mut all);
    }
    if new["spec"]["schedule"].as_str().is_some_and(|schedule| schedule.contains("TZ")) {
        let page = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/";
        all.push(format!(
            "CRON_TZ or TZ used in spec.schedule is not officially supported, see {page} for more details"
        ));
    }
    all
}

#[cfg(test)]
mod tests;
