//! Counts a job's pods, each exactly once: a pod is written into the status, then let go, then added to a counter.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::{Plan, condition, is_complete};
use super::view::{self, View, find};
use crate::pods;

/// Pods that a status lists at most.
const UNCOUNTED_MAX: usize = 500;

/// What became of a plan's pods.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) n_created: i32,
    pub(super) n_deleted: i32,
    pub(super) n_ready_deleted: i32,
    /// Every pod that was to be deleted is, and the cache knows of all others.
    pub(super) is_whole: bool,
}

/// A first status to write, then pods to let go.
#[derive(Debug)]
pub(super) struct Tracking {
    pub(super) status: JobStatus,
    pub(super) release: Vec<Arc<Pod>>,
    /// How the job ends once all pods are counted.
    pub(super) end: Option<JobCondition>,
    pub(super) suspension: Option<bool>,
}

pub(super) fn track(view: &View<'_>, plan: &Plan, done: Done) -> Tracking {
    let mut status = view.status();
    let found = &plan.found;
    let n_active = found.n_active + done.n_created - done.n_deleted;
    if let Some(start) = plan.start {
        status.start_time = Some(Time(start));
    }
    let mut outcome = plan.outcome.clone().filter(|_| done.is_whole);
    let mut suspension = None;
    if plan.outcome.is_none() {
        if is_complete(view, found.n_succeeded, n_active) {
            let message = "Reached expected number of succeeded pods";
            outcome = Some(condition("SuccessCriteriaMet", "CompletionsReached", message, view.now));
        } else if let Some(suspended) = plan.suspended {
            suspension = suspend(&mut status, suspended, view.now);
        }
    }
    status.active = shown(n_active);
    status.ready = Some(found.n_ready - done.n_ready_deleted);
    status.terminating = Some(found.n_terminating + done.n_deleted);
    let release = collect(view, plan, &mut status, outcome.as_ref());
    let end = outcome.map(|outcome| announce(&mut status, outcome, view.now));
    Tracking { status, release, end, suspension }
}

/// These counts are left out when they are zero.
fn shown(n: i32) -> Option<i32> {
    (n != 0).then_some(n)
}

/// Says that the job rests, or goes on; returns which, when it was otherwise.
fn suspend(status: &mut JobStatus, suspended: bool, now: Timestamp) -> Option<bool> {
    let known = find(status, "Suspended").map(|condition| condition.status == "True");
    if known == Some(suspended) || (known.is_none() && !suspended) {
        return None;
    }
    let (reason, message) = if suspended { ("JobSuspended", "Job suspended") } else { ("JobResumed", "Job resumed") };
    let mut said = condition("Suspended", reason, message, now);
    said.status = if suspended { "True" } else { "False" }.to_owned();
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|condition| condition.type_ == "Suspended") {
        Some(condition) => *condition = said,
        None => conditions.push(said),
    }
    if !suspended {
        status.start_time = Some(Time(now));
    }
    Some(suspended)
}

/// Writes pods that have ended into the status, and returns those to let go.
fn collect(view: &View<'_>, plan: &Plan, status: &mut JobStatus, outcome: Option<&JobCondition>) -> Vec<Arc<Pod>> {
    let tracked: HashSet<&str> =
        view.pods.iter().filter(|pod| view.is_tracked(pod)).map(|pod| view::uid(pod)).collect();
    count_released(status, |uid| tracked.contains(uid));
    let is_failing = outcome.is_some_and(|outcome| outcome.type_ == "FailureTarget");
    let mut release = Vec::new();
    let mut all: Vec<&Arc<Pod>> = view.pods.iter().filter(|pod| view.is_tracked(pod)).collect();
    all.sort_by_key(|pod| view::index(pod));
    for pod in all {
        if !may_release(view, plan, pod, outcome.is_some()) {
            continue;
        }
        release.push(pod.clone());
        let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
        let is_listed = |list: &Option<Vec<String>>| list.iter().flatten().any(|uid| uid == view::uid(pod));
        if pods::phase(pod) == "Succeeded" && !is_listed(&uncounted.failed) {
            if !view.is_indexed() && !is_listed(&uncounted.succeeded) {
                uncounted.succeeded.get_or_insert_default().push(view::uid(pod).to_owned());
            }
        } else if (view.is_failed(pod) || is_failing)
            && !is_listed(&uncounted.failed)
            && view.has_place(pod)
            && view.meaning(pod).is_counted()
        {
            uncounted.failed.get_or_insert_default().push(view::uid(pod).to_owned());
        }
        if release.len() >= UNCOUNTED_MAX {
            break;
        }
    }
    if view.is_indexed() {
        status.succeeded = shown(plan.found.succeeded.count());
        status.completed_indexes = Some(plan.found.succeeded.to_string()).filter(|text| !text.is_empty());
        status.failed_indexes = plan.found.failed.as_ref().map(ToString::to_string);
    }
    release
}

fn may_release(view: &View<'_>, plan: &Plan, pod: &Arc<Pod>, is_over: bool) -> bool {
    if view.is_ending() || is_over || pods::phase(pod) == "Succeeded" {
        return true;
    }
    // It is needed until another pod of its index carries its count.
    let is_delayed = || {
        let delayed = view.index(pod).and_then(|index| plan.found.delayed.get(&index));
        delayed.is_some_and(|delayed| view::uid(delayed) == view::uid(pod))
    };
    view.is_failed(pod) && !is_delayed()
}

/// Pods that are let go move from the list into the counters.
pub(super) fn count_released(status: &mut JobStatus, is_tracked: impl Fn(&str) -> bool) {
    let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
    let take = |list: &mut Option<Vec<String>>| {
        let before = list.as_ref().map_or(0, Vec::len);
        if let Some(list) = list {
            list.retain(|uid| is_tracked(uid));
        }
        *list = list.take().filter(|list| !list.is_empty());
        i32::try_from(before - list.as_ref().map_or(0, Vec::len)).unwrap_or(0)
    };
    let (n_succeeded, n_failed) = (take(&mut uncounted.succeeded), take(&mut uncounted.failed));
    status.succeeded = shown(status.succeeded.unwrap_or(0) + n_succeeded);
    status.failed = shown(status.failed.unwrap_or(0) + n_failed);
}

/// Says what the job is heading for, and returns what it says at its end.
fn announce(status: &mut JobStatus, outcome: JobCondition, now: Timestamp) -> JobCondition {
    let end = if outcome.type_ == "FailureTarget" { "Failed" } else { "Complete" };
    let last =
        JobCondition { last_probe_time: Some(Time(now)), last_transition_time: Some(Time(now)), ..outcome.clone() };
    if find(status, &outcome.type_).is_none() {
        status.conditions.get_or_insert_default().push(outcome);
    }
    JobCondition { type_: end.to_owned(), ..last }
}

/// The status once the pods are let go; true when the job is over by it.
pub(super) fn conclude(
    mut status: JobStatus,
    tracked: impl Fn(&str) -> bool,
    end: Option<&JobCondition>,
) -> (JobStatus, bool) {
    count_released(&mut status, tracked);
    let uncounted = status.uncounted_terminated_pods.as_ref();
    let is_counted = uncounted.is_none_or(|pods| pods.succeeded.is_none() && pods.failed.is_none());
    let Some(end) = end.filter(|_| is_counted && status.terminating.unwrap_or(0) == 0) else { return (status, false) };
    if end.type_ == "Complete" {
        status.completion_time = end.last_transition_time.clone();
    }
    status.conditions.get_or_insert_default().push(end.clone());
    (status, true)
}
