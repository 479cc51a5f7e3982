//! Jobs and CronJobs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::apps::{containers, selector};
use super::{Columns, NONE, age, human_duration, name, number, or_none, text};

pub(crate) fn job() -> Columns {
    Columns::of("Job", job_cells)
}

fn job_cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let (names, images) = containers(&spec["template"]);
    vec![
        name(object),
        json!(state(object)),
        json!(completions(object)),
        json!(duration(&object["status"], now)),
        age(object, now),
        names,
        images,
        selector(&spec["selector"]),
    ]
}

fn completions(job: &Value) -> String {
    let (spec, done) = (&job["spec"], number(&job["status"]["succeeded"]));
    match (spec["completions"].as_i64(), number(&spec["parallelism"])) {
        (Some(completions), _) => format!("{done}/{completions}"),
        (None, wide) if wide > 1 => format!("{done}/1 of {wide}"),
        (None, _) => format!("{done}/1"),
    }
}

fn duration(status: &Value, now: Timestamp) -> String {
    let time = |field: &str| text(&status[field]).parse::<Timestamp>().ok();
    let Some(start) = time("startTime") else { return String::new() };
    let end = time("completionTime").unwrap_or(now);
    human_duration((end.as_millisecond() - start.as_millisecond()) / 1000)
}

fn state(job: &Value) -> &'static str {
    let conditions = job["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let is = |name: &&str| conditions.iter().any(|c| c["type"] == *name && c["status"] == "True");
    if let Some(ended) = ["Complete", "Failed"].into_iter().find(is) {
        return ended;
    }
    if !job["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating";
    }
    ["Suspended", "FailureTarget", "SuccessCriteriaMet"].into_iter().find(is).unwrap_or("Running")
}

pub(crate) fn cron_job() -> Columns {
    Columns::of("CronJob", cron_job_cells)
}

fn cron_job_cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (names, images) = containers(&spec["jobTemplate"]["spec"]["template"]);
    let suspended = match spec["suspend"].as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last = &status["lastScheduleTime"];
    let last = if last.is_null() { NONE.to_owned() } else { super::age::since(last, now) };
    vec![
        name(object),
        spec["schedule"].clone(),
        or_none(text(&spec["timeZone"])),
        json!(suspended),
        json!(status["active"].as_array().map_or(0, Vec::len)),
        json!(last),
        age(object, now),
        names,
        images,
        selector(&spec["jobTemplate"]["spec"]["selector"]),
    ]
}
