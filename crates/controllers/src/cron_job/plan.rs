//! Decides what a CronJob does now: which job to start, which to end, which to forget, and what its status says.

use std::sync::Arc;
use std::time::Duration;

use coracle_client::EventType;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::times::Times;
use crate::{job, owners};

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The world as the CronJob sees it.
pub(super) struct View<'a> {
    pub(super) cron_job: &'a CronJob,
    /// Every job that it owns.
    pub(super) jobs: &'a [Arc<Job>],
    pub(super) now: Timestamp,
}

pub(super) struct Told {
    pub(super) event_type: EventType,
    pub(super) reason: &'static str,
    pub(super) text: String,
}

/// A job to start, and the moment that it is for.
pub(super) struct Start {
    pub(super) at: Timestamp,
    pub(super) job: Job,
    /// Jobs whose place it takes.
    pub(super) instead_of: Vec<ObjectReference>,
}

pub(super) struct Plan {
    /// The status, but for the job to start.
    pub(super) status: CronJobStatus,
    pub(super) start: Option<Start>,
    /// Finished jobs beyond the limits.
    pub(super) obsolete: Vec<Arc<Job>>,
    pub(super) events: Vec<Told>,
    pub(super) next_look: Option<Duration>,
}

impl View<'_> {
    fn spec(&self) -> &CronJobSpec {
        &self.cron_job.spec
    }
}

impl Plan {
    fn tell(&mut self, event_type: EventType, reason: &'static str, text: impl Into<String>) {
        self.events.push(Told { event_type, reason, text: text.into() });
    }
}

pub(super) fn plan(view: &View<'_>) -> Plan {
    let mut plan = Plan {
        status: view.cron_job.status.clone().unwrap_or_default(),
        start: None,
        obsolete: obsolete(view),
        events: Vec::new(),
        next_look: None,
    };
    account(view, &mut plan);
    if view.cron_job.metadata.deletion_timestamp.is_some() {
        plan.obsolete.clear();
        return plan;
    }
    match Times::of(view.cron_job) {
        Err((reason, text)) => plan.tell(EventType::Warning, reason, text),
        Ok(_) if view.spec().suspend.unwrap_or(false) => {}
        Ok(times) => schedule(view, &times, &mut plan),
    }
    plan
}

fn uid(job: &Job) -> Option<&String> {
    job.metadata.uid.as_ref()
}

fn name(job: &Job) -> &str {
    job.metadata.name.as_deref().unwrap_or_default()
}

fn is(job: &Job, condition: &str) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == condition && c.status == "True")
}

/// Strikes jobs that have ended or vanished off the list, and notes the last success.
fn account(view: &View<'_>, plan: &mut Plan) {
    for job in view.jobs {
        let is_listed = plan.status.active.iter().flatten().any(|active| active.uid.as_ref() == uid(job));
        match (is_listed, job::is_finished(job)) {
            (false, false) => {
                let text = format!("Saw a job that the controller did not create or forgot: {}", name(job));
                plan.tell(EventType::Warning, "UnexpectedJob", text);
            }
            (true, true) => {
                plan.status.active.iter_mut().for_each(|all| all.retain(|active| active.uid.as_ref() != uid(job)));
                let condition = if is(job, "Complete") { "Complete" } else { "Failed" };
                let text = format!("Saw completed job: {}, condition: {condition}", name(job));
                plan.tell(EventType::Normal, "SawCompletedJob", text);
            }
            (true, false) | (false, true) => {}
        }
        let end = job.status.as_ref().and_then(|status| status.completion_time.clone());
        if is(job, "Complete") && end.as_ref().map(|t| t.0) > plan.status.last_successful_time.as_ref().map(|t| t.0) {
            plan.status.last_successful_time = end;
        }
    }
    let is_known = |active: &ObjectReference| view.jobs.iter().any(|job| uid(job) == active.uid.as_ref());
    let all = plan.status.active.take().unwrap_or_default();
    let (known, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(is_known);
    for active in missing {
        let text = format!("Active job went missing: {}", active.name.unwrap_or_default());
        plan.tell(EventType::Normal, "MissingJob", text);
    }
    plan.status.active = Some(known).filter(|known| !known.is_empty());
}

fn schedule(view: &View<'_>, times: &Times, plan: &mut Plan) {
    let spec = view.spec();
    plan.next_look = times.until_next(view.cron_job, view.now);
    let due = times.due(view.cron_job, view.now, true);
    if due.is_far_behind {
        let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.tell(EventType::Warning, "TooManyMissedTimes", text);
    }
    let Some(at) = due.at else { return };
    let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    if deadline.is_some_and(|deadline| at + deadline < view.now) {
        let time = at.strftime("%a, %d %b %Y %H:%M:%S +0000");
        plan.tell(EventType::Warning, "MissSchedule", format!("Missed scheduled time to start a job: {time}"));
        return;
    }
    let job = job_for(view.cron_job, times, at);
    let active = plan.status.active.clone().unwrap_or_default();
    let is_started = active.iter().any(|active| active.name == job.metadata.name);
    if is_started || plan.status.last_schedule_time.as_ref().is_some_and(|last| last.0 == at) {
        return;
    }
    let policy = spec.concurrency_policy.as_deref().unwrap_or("Allow");
    if policy == "Forbid" && !active.is_empty() {
        let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
        plan.tell(EventType::Normal, "JobAlreadyActive", text);
        return;
    }
    let instead_of = if policy == "Replace" { active } else { Vec::new() };
    plan.start = Some(Start { at, job, instead_of });
}

/// The job of one moment. Its name tells the moment, so that it is never started twice.
fn job_for(cron_job: &CronJob, times: &Times, at: Timestamp) -> Job {
    let template = &cron_job.spec.job_template;
    let meta = template.metadata.clone().unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), local(at, times));
    let owner = cron_job.metadata.name.as_deref().unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(format!("{owner}-{}", at.as_second() / 60)),
        namespace: cron_job.metadata.namespace.clone(),
        labels: meta.labels,
        annotations: Some(annotations),
        owner_references: Some(vec![owners::reference_to(cron_job)]),
        ..ObjectMeta::default()
    };
    Job { metadata, spec: template.spec.clone(), status: None }
}

/// As Go writes RFC 3339: `Z` where the zone is UTC.
fn local(at: Timestamp, times: &Times) -> String {
    let local = at.to_zoned(times.zone.clone());
    let form = if local.offset().is_zero() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    local.strftime(form).to_string()
}

fn obsolete(view: &View<'_>) -> Vec<Arc<Job>> {
    let spec = view.spec();
    let mut obsolete = oldest(view, "Complete", spec.successful_jobs_history_limit);
    obsolete.extend(oldest(view, "Failed", spec.failed_jobs_history_limit));
    obsolete
}

/// The jobs that ended like this and started first, down to the limit.
fn oldest(view: &View<'_>, condition: &str, limit: Option<i32>) -> Vec<Arc<Job>> {
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return Vec::new() };
    let mut ended: Vec<&Arc<Job>> = view.jobs.iter().filter(|job| is(job, condition)).collect();
    let start = |job: &Job| job.status.as_ref().and_then(|status| status.start_time.as_ref().map(|time| time.0));
    ended.sort_by_key(|job| (start(job), job.metadata.name.clone()));
    let n_obsolete = ended.len().saturating_sub(limit);
    let is_going = |job: &&&Arc<Job>| job.metadata.deletion_timestamp.is_none();
    ended.iter().take(n_obsolete).filter(is_going).map(|job| (*job).clone()).collect()
}

#[cfg(test)]
mod tests;
