//! A job's world, and the words in which it is talked about. Plain values; the time is given.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::failure::{self, Meaning};
use super::indexes::Indexes;
use crate::pods;

pub(super) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
pub(super) const FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
pub(super) const IGNORED_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// How often and when a job's pods failed since one succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    pub(super) n_failures: u32,
    pub(super) last: Option<Timestamp>,
}

/// The world as the job sees it.
pub(super) struct View<'a> {
    pub(super) job: &'a Job,
    /// Every pod of the job, whatever its state.
    pub(super) pods: &'a [Arc<Pod>],
    /// Pods whose finalizer was taken away, though the cache still shows it.
    pub(super) released: &'a HashSet<String>,
    /// The failures of earlier looks.
    pub(super) backoff: Backoff,
    pub(super) now: Timestamp,
}

impl<'a> View<'a> {
    pub(super) fn spec(&self) -> &'a JobSpec {
        self.job.spec.as_ref().expect("a job that was read has a spec")
    }

    pub(super) fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    pub(super) fn parallelism(&self) -> i32 {
        self.spec().parallelism.unwrap_or(1)
    }

    pub(super) fn completions(&self) -> i32 {
        self.spec().completions.unwrap_or(0)
    }

    pub(super) fn is_indexed(&self) -> bool {
        self.spec().completion_mode.as_deref() == Some("Indexed")
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.spec().suspend.unwrap_or(false)
    }

    pub(super) fn is_ending(&self) -> bool {
        self.job.metadata.deletion_timestamp.is_some()
    }

    pub(super) fn limit_per_index(&self) -> Option<i32> {
        self.spec().backoff_limit_per_index
    }

    /// A pod on its way out is not replaced before it has ended.
    pub(super) fn replaces_failed_only(&self) -> bool {
        self.spec().pod_replacement_policy.as_deref() == Some("Failed")
    }

    pub(super) fn active(&self) -> Vec<Arc<Pod>> {
        self.pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect()
    }

    pub(super) fn n_terminating(&self) -> i32 {
        let is_terminating = |pod: &&Arc<Pod>| pods::is_ending(pod) && !pods::is_finished(pod);
        i32::try_from(self.pods.iter().filter(is_terminating).count()).unwrap_or(i32::MAX)
    }

    /// The pod still has to be counted.
    pub(super) fn is_tracked(&self, pod: &Pod) -> bool {
        let has_finalizer = pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
        has_finalizer && !self.released.contains(uid(pod))
    }

    pub(super) fn is_failed(&self, pod: &Pod) -> bool {
        let is_given_up = pods::is_ending(pod) && pods::phase(pod) != "Succeeded" && !self.replaces_failed_only();
        pods::phase(pod) == "Failed" || is_given_up
    }

    /// The pod's index, when the job has it.
    pub(super) fn index(&self, pod: &Pod) -> Option<i32> {
        index(pod).filter(|index| (0..self.completions()).contains(index))
    }

    /// The pod has a place in the job: any, or that of a known index.
    pub(super) fn has_place(&self, pod: &Pod) -> bool {
        !self.is_indexed() || self.index(pod).is_some()
    }

    pub(super) fn meaning(&self, pod: &Pod) -> Meaning {
        failure::meaning(self.job, pod)
    }

    /// The indexes that succeeded before, and those of pods that have to be counted.
    pub(super) fn succeeded_indexes(&self) -> Indexes {
        let status = self.status();
        let mut all = Indexes::parse(status.completed_indexes.as_deref().unwrap_or_default(), self.completions());
        let done = self.pods.iter().filter(|pod| pods::phase(pod) == "Succeeded" && self.is_tracked(pod));
        done.filter_map(|pod| self.index(pod)).for_each(|index| all.insert(index));
        all
    }

    /// The indexes that failed for good.
    pub(super) fn failed_indexes(&self) -> Indexes {
        let status = self.status();
        let mut all = Indexes::parse(status.failed_indexes.as_deref().unwrap_or_default(), self.completions());
        let lost = self.pods.iter().filter(|pod| self.is_failed(pod) && self.is_tracked(pod) && self.fails_index(pod));
        lost.filter_map(|pod| self.index(pod)).for_each(|index| all.insert(index));
        all
    }

    fn fails_index(&self, pod: &Pod) -> bool {
        let limit = self.limit_per_index().unwrap_or(i32::MAX);
        match self.meaning(pod) {
            Meaning::FailIndex => true,
            Meaning::Ignore => false,
            Meaning::Count | Meaning::FailJob(_) => annotation(pod, FAILURE_COUNT) >= limit,
        }
    }
}

pub(super) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub(super) fn index(pod: &Pod) -> Option<i32> {
    pod.metadata.annotations.as_ref()?.get(INDEX)?.parse().ok()
}

pub(super) fn annotation(pod: &Pod, key: &str) -> i32 {
    let text = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(key));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn is_true(status: &JobStatus, condition: &str) -> bool {
    find(status, condition).is_some_and(|condition| condition.status == "True")
}

pub(super) fn find<'a>(status: &'a JobStatus, condition: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|known| known.type_ == condition)
}

pub(crate) fn is_finished(job: &Job) -> bool {
    job.status.as_ref().is_some_and(|status| is_true(status, "Complete") || is_true(status, "Failed"))
}

/// When a pod's last container ended, or when the pod was given up.
pub(super) fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let ends = statuses.filter_map(|container| container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    let ready = || pods::condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref());
    let deleted = || pod.metadata.deletion_timestamp.as_ref();
    let last = ends.max_by_key(|time| time.0).or_else(deleted).or_else(ready);
    last.or(pod.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}

const BACKOFF_FIRST: Duration = Duration::from_secs(10);
const BACKOFF_MAX: Duration = Duration::from_secs(600);

impl Backoff {
    /// How long to wait yet.
    pub(super) fn remaining(self, now: Timestamp) -> Option<Duration> {
        let last = self.last.filter(|_| self.n_failures > 0)?;
        let factor = 1 << (self.n_failures - 1).min(20);
        let wait = (BACKOFF_FIRST * factor).min(BACKOFF_MAX);
        let until = (last + wait).duration_since(now);
        Duration::try_from(until).ok().filter(|left| !left.is_zero())
    }

    /// After these pods have ended.
    pub(super) fn after(self, succeeded: &[&Arc<Pod>], failed: &[&Arc<Pod>]) -> Self {
        let last_success = succeeded.iter().filter_map(|pod| ended_at(pod)).max();
        let mut times: Vec<Timestamp> = failed.iter().filter_map(|pod| ended_at(pod)).collect();
        times.sort_unstable();
        let mut next = if succeeded.is_empty() { self } else { Self::default() };
        for time in times.into_iter().filter(|time| last_success.is_none_or(|success| *time > success)) {
            next = Self { n_failures: next.n_failures + 1, last: Some(time) };
        }
        next
    }
}
