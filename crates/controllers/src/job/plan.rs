//! Decides what a job's pods mean for it, and which pods to make or take away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::failure::Meaning;
use super::indexes::Indexes;
use super::view::{self, Backoff, View, annotation, find, is_true};
use crate::pods;

/// Pods that one reconcile creates or deletes at most.
const BURST_MAX: usize = 500;

/// A pod to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Creation {
    pub(super) index: Option<i32>,
    pub(super) n_failures: i32,
    pub(super) n_ignored: i32,
}

/// What is to be done about the job's pods, and what was found out on the way.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) create: Vec<Creation>,
    pub(super) delete: Vec<Arc<Pod>>,
    /// The deleted pods are let go at once: they do not count.
    pub(super) release_deleted: bool,
    /// How the job ends.
    pub(super) outcome: Option<JobCondition>,
    pub(super) found: Found,
    pub(super) backoff: Backoff,
    pub(super) next_look: Option<Duration>,
    /// The job was or is suspended now: what its condition says.
    pub(super) suspended: Option<bool>,
    pub(super) start: Option<Timestamp>,
}

/// The state of the pods before anything is done.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) n_active: i32,
    pub(super) n_ready: i32,
    pub(super) n_terminating: i32,
    pub(super) n_succeeded: i32,
    pub(super) succeeded: Indexes,
    pub(super) failed: Option<Indexes>,
    /// Failed pods that pass their count of failures on to a pod yet to come, by index.
    pub(super) delayed: HashMap<i32, Arc<Pod>>,
}

pub(super) fn condition(condition_type: &str, reason: &str, message: &str, now: Timestamp) -> JobCondition {
    JobCondition {
        type_: condition_type.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// `is_settled` says that the cache shows every pod that this job made or took away.
pub(super) fn plan(view: &View<'_>, is_settled: bool) -> Plan {
    let status = view.status();
    let (new_succeeded, new_failed) = newly_ended(view, &status);
    let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let n_uncounted = |list: &Option<Vec<String>>| count(list.as_ref().map_or(0, Vec::len));
    let counted_failures = new_failed.iter().filter(|pod| view.meaning(pod).is_counted()).count();
    let n_failed = status.failed.unwrap_or(0) + count(counted_failures) + n_uncounted(&uncounted.failed);
    let mut plan = Plan {
        create: Vec::new(),
        delete: Vec::new(),
        release_deleted: false,
        outcome: None,
        found: found(view, &status, new_succeeded.len() + uncounted.succeeded.map_or(0, |list| list.len())),
        backoff: view.backoff.after(&new_succeeded, &new_failed),
        next_look: None,
        suspended: None,
        start: None,
    };
    if status.start_time.is_none() && !view.is_suspended() {
        plan.start = Some(view.now);
    }
    plan.outcome = outcome(view, &status, n_failed, &mut plan);
    if plan.outcome.is_some() {
        plan.delete = view.active();
        return plan;
    }
    if is_settled && !view.is_ending() {
        manage(view, &mut plan);
        plan.suspended = Some(view.is_suspended());
    }
    plan
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn newly_ended<'a>(view: &View<'a>, status: &JobStatus) -> (Vec<&'a Arc<Pod>>, Vec<&'a Arc<Pod>>) {
    let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let is_new = |pod: &&Arc<Pod>, list: &Option<Vec<String>>| {
        let is_listed = list.iter().flatten().any(|uid| uid == view::uid(pod));
        !is_listed && view.is_tracked(pod) && view.has_place(pod)
    };
    let succeeded = view.pods.iter().filter(|p| pods::phase(p) == "Succeeded" && is_new(p, &uncounted.succeeded));
    let failed = view.pods.iter().filter(|pod| view.is_failed(pod) && is_new(pod, &uncounted.failed));
    (succeeded.collect(), failed.collect())
}

fn found(view: &View<'_>, status: &JobStatus, n_new_succeeded: usize) -> Found {
    let active = view.active();
    let mut found = Found {
        n_active: count(active.len()),
        n_ready: count(active.iter().filter(|pod| pods::is_ready(pod)).count()),
        n_terminating: view.n_terminating(),
        n_succeeded: status.succeeded.unwrap_or(0) + count(n_new_succeeded),
        ..Found::default()
    };
    if view.is_indexed() {
        found.succeeded = view.succeeded_indexes();
        found.n_succeeded = found.succeeded.count();
        if view.limit_per_index().is_some() {
            let failed = view.failed_indexes();
            found.delayed = delayed(view, &active, &found.succeeded, &failed);
            found.failed = Some(failed);
        }
    }
    found
}

/// Of each index that waits for another pod, the one that failed last.
fn delayed(view: &View<'_>, active: &[Arc<Pod>], succeeded: &Indexes, failed: &Indexes) -> HashMap<i32, Arc<Pod>> {
    let running: Indexes = active.iter().filter_map(|pod| view.index(pod)).collect();
    let n_all = |pod: &Pod| annotation(pod, view::FAILURE_COUNT) + annotation(pod, view::IGNORED_COUNT);
    let mut delayed: HashMap<i32, Arc<Pod>> = HashMap::new();
    for pod in view.pods.iter().filter(|pod| view.is_failed(pod) && view.is_tracked(pod)) {
        let Some(index) = view.index(pod) else { continue };
        let is_over = succeeded.has(index) || failed.has(index) || running.has(index);
        if !is_over && delayed.get(&index).is_none_or(|known| n_all(known) <= n_all(pod)) {
            delayed.insert(index, pod.clone());
        }
    }
    delayed
}

/// How the job ends, when it does: the first reason that holds.
fn outcome(view: &View<'_>, status: &JobStatus, n_failed: i32, plan: &mut Plan) -> Option<JobCondition> {
    let spec = view.spec();
    let failure = |reason: &str, message: &str| Some(condition("FailureTarget", reason, message, view.now));
    if let Some(met) = find(status, "SuccessCriteriaMet").filter(|met| met.status == "True") {
        return Some(met.clone());
    }
    if let Some(target) = find(status, "FailureTarget").filter(|target| target.status == "True") {
        return Some(target.clone());
    }
    if let Some(message) = policy_message(view) {
        return failure("PodFailurePolicy", &message);
    }
    if n_failed > spec.backoff_limit.unwrap_or(i32::MAX) || has_restarted_too_often(view) {
        return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
    }
    match deadline(view, status) {
        Some(left) if left.is_zero() => {
            return failure("DeadlineExceeded", "Job was active longer than specified deadline");
        }
        left => plan.next_look = left,
    }
    if let Some(failed) = &plan.found.failed {
        if spec.max_failed_indexes.is_some_and(|max| failed.count() > max) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return failure("MaxFailedIndexesExceeded", message);
        }
        let n_over = failed.count() + plan.found.succeeded.count();
        if failed.count() > 0 && n_over >= view.completions() {
            return failure("FailedIndexes", "Job has failed indexes");
        }
    }
    let rule = success_rule(view, &plan.found.succeeded)?;
    let message = format!("Matched rules at index {rule}");
    Some(condition("SuccessCriteriaMet", "SuccessPolicy", &message, view.now))
}

fn policy_message(view: &View<'_>) -> Option<String> {
    view.spec().pod_failure_policy.as_ref()?;
    let failed = view.pods.iter().filter(|pod| view.is_failed(pod));
    failed.into_iter().find_map(|pod| match view.meaning(pod) {
        Meaning::FailJob(message) => Some(message),
        Meaning::Count | Meaning::Ignore | Meaning::FailIndex => None,
    })
}

/// Containers that are started again in place count towards the limit, too.
fn has_restarted_too_often(view: &View<'_>) -> bool {
    let spec = view.spec();
    let policy = spec.template.spec.as_ref().and_then(|pod| pod.restart_policy.as_deref());
    if policy != Some("OnFailure") {
        return false;
    }
    let running = view.pods.iter().filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
    let statuses = running.filter_map(|pod| pod.status.as_ref()).flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    });
    let n_restarts: i32 = statuses.map(|container| container.restart_count).sum();
    let limit = spec.backoff_limit.unwrap_or(i32::MAX);
    if limit == 0 { n_restarts > 0 } else { n_restarts >= limit }
}

/// How long the job may still be active.
fn deadline(view: &View<'_>, status: &JobStatus) -> Option<Duration> {
    let seconds = view.spec().active_deadline_seconds.filter(|_| !view.is_suspended())?;
    let start = status.start_time.as_ref().map_or(view.now, |start| start.0);
    let end = start + jiff::SignedDuration::from_secs(seconds);
    Some(Duration::try_from(end.duration_since(view.now)).unwrap_or(Duration::ZERO))
}

fn success_rule(view: &View<'_>, succeeded: &Indexes) -> Option<usize> {
    let rules = &view.spec().success_policy.as_ref().filter(|_| view.is_indexed())?.rules;
    rules.iter().position(|rule| match (&rule.succeeded_indexes, rule.succeeded_count) {
        (Some(indexes), wanted) => {
            let required = Indexes::parse(indexes, view.completions());
            required.n_shared(succeeded) >= wanted.unwrap_or(required.count())
        }
        (None, Some(wanted)) => succeeded.count() >= wanted,
        (None, None) => false,
    })
}

/// As many pods as the job wants now, and no more.
fn manage(view: &View<'_>, plan: &mut Plan) {
    let active = view.active();
    plan.release_deleted = true;
    if view.is_suspended() {
        plan.delete = active;
        return;
    }
    let n_active = plan.found.n_active;
    let wanted = wanted(view, plan.found.n_succeeded, n_active);
    plan.delete = surplus(view, active, n_active - wanted);
    plan.delete.truncate(BURST_MAX);
    if !plan.delete.is_empty() {
        return;
    }
    let n_replaced = if view.replaces_failed_only() { plan.found.n_terminating } else { 0 };
    let n_missing = usize::try_from(wanted - n_replaced - n_active).unwrap_or(0).min(BURST_MAX);
    if n_missing == 0 {
        return;
    }
    if view.limit_per_index().is_none()
        && let Some(wait) = plan.backoff.remaining(view.now)
    {
        plan.next_look = Some(plan.next_look.map_or(wait, |known| known.min(wait)));
        return;
    }
    plan.create =
        if view.is_indexed() { by_index(view, plan, n_missing) } else { vec![Creation::default(); n_missing] };
}

fn wanted(view: &View<'_>, n_succeeded: i32, n_active: i32) -> i32 {
    match view.spec().completions {
        None if n_succeeded > 0 => n_active,
        None => view.parallelism(),
        Some(completions) => (completions - n_succeeded).min(view.parallelism()).max(0),
    }
}

/// Pods that share an index or have none, and as many others as are too many.
fn surplus(view: &View<'_>, mut active: Vec<Arc<Pod>>, n_too_many: i32) -> Vec<Arc<Pod>> {
    // Those that have done least go first.
    active.sort_by_key(|pod| {
        (!pods::node_name(pod).is_empty(), pods::phase(pod) == "Running", pods::is_ready(pod), pods::ready_since(pod))
    });
    let mut surplus = Vec::new();
    if view.is_indexed() {
        let mut kept = Indexes::default();
        let mut left = Vec::new();
        for pod in active.into_iter().rev() {
            match view.index(&pod).filter(|index| !kept.has(*index)) {
                Some(index) => {
                    kept.insert(index);
                    left.push(pod);
                }
                None => surplus.push(pod),
            }
        }
        left.reverse();
        active = left;
    }
    let n_more = usize::try_from(n_too_many).unwrap_or(0).saturating_sub(surplus.len());
    surplus.extend(active.into_iter().take(n_more));
    surplus
}

/// The first indexes that nobody works on.
fn by_index(view: &View<'_>, plan: &mut Plan, n: usize) -> Vec<Creation> {
    let is_busy = |pod: &&Arc<Pod>| {
        let is_leaving = pods::is_ending(pod) && !pods::is_finished(pod) && view.replaces_failed_only();
        pods::is_active(pod) || is_leaving
    };
    let busy: Indexes = view.pods.iter().filter(is_busy).filter_map(|pod| view.index(pod)).collect();
    let found = &plan.found;
    let is_over = |index: i32| found.succeeded.has(index) || found.failed.as_ref().is_some_and(|f| f.has(index));
    let free = (0..view.completions()).filter(|index| !busy.has(*index) && !is_over(*index));
    let (mut creations, mut wait) = (Vec::new(), None::<Duration>);
    for index in free.take(n) {
        let before = found.delayed.get(&index);
        let left = before.and_then(|pod| backoff_of_index(pod).remaining(view.now));
        match left {
            Some(left) => wait = Some(wait.map_or(left, |known| known.min(left))),
            None => creations.push(creation(view, index, before)),
        }
    }
    plan.next_look = [plan.next_look, wait].into_iter().flatten().min();
    creations
}

fn backoff_of_index(pod: &Pod) -> Backoff {
    let n = annotation(pod, view::FAILURE_COUNT) + annotation(pod, view::IGNORED_COUNT) + 1;
    Backoff { n_failures: u32::try_from(n).unwrap_or(0), last: view::ended_at(pod) }
}

fn creation(view: &View<'_>, index: i32, before: Option<&Arc<Pod>>) -> Creation {
    let mut creation = Creation { index: Some(index), ..Creation::default() };
    if let Some(before) = before {
        let is_counted = view.meaning(before).is_counted();
        creation.n_failures = annotation(before, view::FAILURE_COUNT) + i32::from(is_counted);
        creation.n_ignored = annotation(before, view::IGNORED_COUNT) + i32::from(!is_counted);
    }
    creation
}

/// True when the job has what it was made for.
pub(super) fn is_complete(view: &View<'_>, n_succeeded: i32, n_active: i32) -> bool {
    let is_enough = match view.spec().completions {
        None => n_succeeded > 0,
        Some(completions) => n_succeeded >= completions,
    };
    is_enough && n_active == 0 && !is_true(&view.status(), "FailureTarget")
}
