//! Jobs and CronJobs that are made, changed and refused.

use serde_json::{Value, json};

use crate::kind::{Kind, Part};
use crate::kinds::by_kind;
use crate::validation::aggregate;

fn kind(name: &str) -> &'static Kind {
    by_kind("batch", "v1", name).unwrap()
}

fn made(name: &str, spec: Value) -> Value {
    let metadata = json!({"name": "j", "namespace": "n", "uid": "u"});
    let mut object = json!({"apiVersion": "batch/v1", "kind": name, "metadata": metadata, "spec": spec});
    kind(name).default(&mut object);
    kind(name).prepare_create(&mut object);
    object
}

fn job(spec: Value) -> Value {
    let mut all =
        json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]}}});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    made("Job", all)
}

fn refused(object: &Value) -> String {
    aggregate(&kind(object["kind"].as_str().unwrap()).validate(object))
}

#[test]
fn a_job_selects_its_pods_by_its_own_uid() {
    let job = job(json!({}));
    assert_eq!(job["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    let labels = json!({"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j",
        "controller-uid": "u", "job-name": "j"});
    assert_eq!(job["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(job["metadata"]["labels"], labels);
    assert_eq!((&job["spec"]["backoffLimit"], &job["spec"]["completions"]), (&json!(6), &json!(1)));
    assert_eq!(kind("Job").validate(&job), []);
}

#[test]
fn a_job_that_makes_no_sense_is_told_why() {
    let indexed = |more: Value| {
        let mut spec = json!({"completionMode": "Indexed", "completions": 3});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let table = [
        (json!({"parallelism": -1}), "[spec.parallelism: Invalid value: -1: must be greater than or equal to 0]"),
        (
            json!({"completionMode": "Odd"}),
            "[spec.completionMode: Unsupported value: \"Odd\": supported values: \"NonIndexed\", \"Indexed\"]",
        ),
        (
            json!({"backoffLimitPerIndex": 1}),
            "[spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode]",
        ),
        (
            json!({"managedBy": "notadomain"}),
            "[spec.managedBy: Invalid value: \"notadomain\": must be a domain-prefixed path (such as \"acme.io/foo\")]",
        ),
        (
            json!({"podFailurePolicy": {"rules": [{"action": "FailJob"}]}}),
            "[spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required]",
        ),
        (
            json!({"successPolicy": {"rules": []}}),
            "[spec.successPolicy: Invalid value: {\"Rules\":[]}: requires indexed completion mode]",
        ),
        (
            indexed(json!({"successPolicy": {"rules": [{"succeededIndexes": "2-1"}]}})),
            "[spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"2-1\": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1]",
        ),
        (
            indexed(json!({"backoffLimitPerIndex": 1, "maxFailedIndexes": 5})),
            "[spec.maxFailedIndexes: Invalid value: 5: must be less than or equal to completions]",
        ),
    ];
    for (spec, why) in table {
        assert_eq!(format!("[{}]", refused(&job(spec.clone()))), why, "{spec}");
    }
}

#[test]
fn the_template_of_a_job_never_changes() {
    let old = job(json!({}));
    let mut new = old.clone();
    new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other");
    let errors = kind("Job").validate_update(&new, &old, Part::Object);
    let text = aggregate(&errors);
    assert!(text.starts_with("spec.template.spec: Invalid value: {\"Volumes\":null,\"InitContainers\":null"), "{text}");
    assert!(text.ends_with("\"SchedulingGroup\":null}: field is immutable"), "{text}");
    let mut elsewhere = old.clone();
    elsewhere["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    assert_eq!(kind("Job").validate_update(&elsewhere, &old, Part::Object).len(), 1);
    let mut waiting = old.clone();
    waiting["spec"]["suspend"] = json!(true);
    assert_eq!(kind("Job").validate_update(&elsewhere, &waiting, Part::Object), []);
}

#[test]
fn a_status_goes_forwards_only() {
    let mut old = job(json!({}));
    old["status"] = json!({"active": 1, "ready": 0, "succeeded": 1, "startTime": "2026-01-01T00:00:00Z"});
    let told = |status: Value| {
        let mut new = old.clone();
        new["status"] = status;
        aggregate(&kind("Job").validate_update(&new, &old, Part::Status))
    };
    assert_eq!(
        told(json!({"active": 1, "startTime": "2026-01-01T00:00:00Z"})),
        "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter"
    );
    assert_eq!(
        told(json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]})),
        "[status.completionTime: Required value: completionTime is required for Complete jobs, \
         status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition, \
         status.startTime: Required value: startTime is required for finished job, \
         status.startTime: Required value: startTime cannot be removed for unsuspended job]"
    );
}

#[test]
fn a_cron_job_is_told_about_its_schedule_and_zone() {
    let cron = |schedule: &str, zone: Value| {
        let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]}});
        let mut spec = json!({"schedule": schedule, "jobTemplate": {"spec": {"template": template}}});
        if !zone.is_null() {
            spec["timeZone"] = zone;
        }
        refused(&made("CronJob", spec))
    };
    let table = [
        ("", json!(null), "spec.schedule: Required value"),
        ("often", json!(null), "spec.schedule: Invalid value: \"often\": expected exactly 5 fields, found 1: [often]"),
        (
            "TZ=UTC 0 0 * * *",
            json!(null),
            "spec.schedule: Invalid value: \"TZ=UTC 0 0 * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ),
        ("@daily", json!("Mars/Base"), "spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base"),
        (
            "@daily",
            json!("Local"),
            "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ),
        ("@daily", json!(""), "spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"),
    ];
    for (schedule, zone, why) in table {
        assert_eq!(cron(schedule, zone), why);
    }
    assert_eq!(cron("@every 5m", json!("Europe/Berlin")), "[]");
}
