//! Worlds of a CronJob, and what it does about them.

use serde_json::{Value, json};

use super::*;

fn cron_job(spec: Value, last: Option<&str>) -> CronJob {
    let mut all = json!({"schedule": "*/10 * * * *", "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {}}}});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    let status = last.map_or(json!({}), |last| json!({"lastScheduleTime": last}));
    let object = json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": all, "status": status,
        "metadata": {"name": "c", "namespace": "n", "uid": "c", "creationTimestamp": "2026-01-01T00:00:00Z"}});
    serde_json::from_value(object).unwrap()
}

fn job(name: &str, condition: Option<&str>, start: &str) -> Arc<Job> {
    let conditions: Vec<Value> = condition.map(|c| json!({"type": c, "status": "True"})).into_iter().collect();
    let end = condition.filter(|c| *c == "Complete").map(|_| "2026-01-01T00:05:00Z");
    Arc::new(
        serde_json::from_value(json!({"metadata": {"name": name, "uid": name}, "spec": {"template": {}},
            "status": {"startTime": start, "completionTime": end, "conditions": conditions}}))
        .unwrap(),
    )
}

fn at(cron_job: &CronJob, jobs: &[Arc<Job>], now: &str) -> Plan {
    plan(&View { cron_job, jobs, now: now.parse().unwrap() })
}

fn started(plan: &Plan) -> Option<&str> {
    plan.start.as_ref().and_then(|start| start.job.metadata.name.as_deref())
}

fn reasons(plan: &Plan) -> Vec<&str> {
    plan.events.iter().map(|told| told.reason).collect()
}

#[test]
fn a_job_is_started_for_the_last_moment_that_has_come() {
    let fresh = cron_job(json!({}), None);
    let early = at(&fresh, &[], "2026-01-01T00:09:00Z");
    assert_eq!((started(&early), early.next_look), (None, Some(Duration::from_millis(60_100))));
    let due = at(&fresh, &[], "2026-01-01T00:10:00Z");
    let start = due.start.unwrap();
    assert_eq!(start.job.metadata.name.as_deref(), Some("c-29453770"));
    assert_eq!(start.job.metadata.annotations.unwrap()[SCHEDULED], "2026-01-01T00:10:00Z");
    assert_eq!(start.job.metadata.owner_references.unwrap()[0].kind, "CronJob");
    assert_eq!(started(&at(&fresh, &[], "2026-01-01T00:45:00Z")), Some("c-29453800"), "only the last of many");
    let done = cron_job(json!({}), Some("2026-01-01T00:10:00Z"));
    assert_eq!(started(&at(&done, &[], "2026-01-01T00:11:00Z")), None);
    let long = at(&fresh, &[], "2026-01-03T00:00:00Z");
    assert_eq!(reasons(&long), ["TooManyMissedTimes"]);
}

#[test]
fn a_zone_decides_when_its_day_begins() {
    let daily = cron_job(json!({"schedule": "0 0 * * *", "timeZone": "Asia/Tokyo"}), Some("2026-01-01T15:00:00Z"));
    let due = at(&daily, &[], "2026-01-02T15:00:30Z");
    let start = due.start.unwrap();
    assert_eq!(start.at, "2026-01-02T15:00:00Z".parse().unwrap());
    assert_eq!(start.job.metadata.annotations.unwrap()[SCHEDULED], "2026-01-03T00:00:00+09:00");
}

#[test]
fn nothing_starts_when_it_may_not() {
    let table = [
        (json!({"suspend": true}), vec![]),
        (json!({"timeZone": "Mars/Base"}), vec!["UnknownTimeZone"]),
        (json!({"schedule": "never"}), vec!["UnparseableSchedule"]),
    ];
    for (spec, expected) in table {
        let plan = at(&cron_job(spec.clone(), None), &[], "2026-01-01T00:10:00Z");
        assert_eq!((started(&plan), reasons(&plan)), (None, expected), "{spec}");
    }
    let strict = cron_job(json!({"startingDeadlineSeconds": 10}), None);
    assert_eq!(started(&at(&strict, &[], "2026-01-01T00:10:11Z")), None, "the moment is past its deadline");
    assert!(started(&at(&strict, &[], "2026-01-01T00:10:09Z")).is_some());
}

#[test]
fn what_still_runs_is_waited_for_or_replaced() {
    let with = |policy: &str| {
        let mut cron_job = cron_job(json!({"concurrencyPolicy": policy}), Some("2026-01-01T00:00:00Z"));
        let active = json!([{"name": "old", "uid": "old"}]);
        cron_job.status.as_mut().unwrap().active = serde_json::from_value(active).unwrap();
        cron_job
    };
    let jobs = [job("old", None, "2026-01-01T00:00:00Z")];
    let now = "2026-01-01T00:10:00Z";
    let forbid = at(&with("Forbid"), &jobs, now);
    assert_eq!((started(&forbid), reasons(&forbid)), (None, vec!["JobAlreadyActive"]));
    assert!(at(&with("Allow"), &jobs, now).start.unwrap().instead_of.is_empty());
    assert_eq!(at(&with("Replace"), &jobs, now).start.unwrap().instead_of.len(), 1);
}

#[test]
fn ended_jobs_leave_the_list_and_then_the_history() {
    let mut cron_job = cron_job(json!({"suspend": true}), None);
    let active = json!([{"name": "a", "uid": "a"}, {"name": "gone", "uid": "gone"}]);
    cron_job.status.as_mut().unwrap().active = serde_json::from_value(active).unwrap();
    let jobs = [
        job("a", Some("Complete"), "2026-01-01T00:02:00Z"),
        job("b", Some("Complete"), "2026-01-01T00:01:00Z"),
        job("c", Some("Failed"), "2026-01-01T00:01:00Z"),
        job("stray", None, "2026-01-01T00:01:00Z"),
    ];
    let plan = at(&cron_job, &jobs, "2026-01-01T00:10:00Z");
    assert_eq!(reasons(&plan), ["SawCompletedJob", "UnexpectedJob", "MissingJob"]);
    assert_eq!(plan.status.active, None);
    assert_eq!(plan.status.last_successful_time.unwrap().0, "2026-01-01T00:05:00Z".parse().unwrap());
    let obsolete: Vec<&str> = plan.obsolete.iter().map(|job| name(job)).collect();
    assert_eq!(obsolete, ["b"]);
}
