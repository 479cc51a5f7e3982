//! What a ReplicaSet's status says of its pods.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::View;
use crate::{Error, labels, pods, template};

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Why the plan could not be carried out.
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) error: Error,
}

impl Failure {
    fn message(&self) -> String {
        match &self.error {
            Error::Api { source, .. } => template::message(source),
            error => error.to_string(),
        }
    }
}

/// The status to write, unless it is written already.
pub(super) fn status(view: &View<'_>, failure: Option<&Failure>) -> Option<ReplicaSetStatus> {
    let current = view.set.status.clone().unwrap_or_default();
    let mut status = counted(view);
    status.conditions = current.conditions.clone().filter(|conditions| !conditions.is_empty());
    match failure {
        Some(failure) => set_failure(&mut status, failure, view),
        None => clear_failure(&mut status),
    }
    (status != current).then_some(status)
}

/// When something becomes available by time alone.
pub(super) fn next_look(view: &View<'_>) -> Option<Duration> {
    let min_ready = min_ready(view);
    let waiting = view.active().filter(|pod| pods::is_ready(pod) && !pods::is_available(pod, min_ready, view.now));
    let moments = waiting.filter_map(|pod| pods::ready_since(pod).map(|since| since + min_ready));
    let wait = moments.min()?.duration_since(view.now).max(SignedDuration::ZERO);
    Duration::try_from(wait).ok()
}

fn min_ready(view: &View<'_>) -> Duration {
    let seconds = view.set.spec.min_ready_seconds.unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn counted(view: &View<'_>) -> ReplicaSetStatus {
    let template = view.set.spec.template.as_ref().and_then(|template| template.metadata.as_ref()?.labels.clone());
    let template = labels::selector_of_labels(&template.unwrap_or_default());
    let min_ready = min_ready(view);
    let active = || view.active();
    let n_ready = active().filter(|pod| pods::is_ready(pod)).count();
    let n_available = active().filter(|pod| pods::is_available(pod, min_ready, view.now)).count();
    let n_labelled = active().filter(|pod| labels::matches(&template, pod.metadata.labels.as_ref())).count();
    let n_ending = view.owned.iter().filter(|pod| pods::is_ending(pod) && !pods::is_finished(pod)).count();
    ReplicaSetStatus {
        replicas: count(active().count()),
        fully_labeled_replicas: shown(n_labelled),
        ready_replicas: shown(n_ready),
        available_replicas: shown(n_available),
        terminating_replicas: Some(count(n_ending)),
        observed_generation: view.set.metadata.generation,
        conditions: None,
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// These counts are left out when they are zero.
fn shown(n: usize) -> Option<i32> {
    (n > 0).then(|| count(n))
}

fn set_failure(status: &mut ReplicaSetStatus, failure: &Failure, view: &View<'_>) {
    let conditions = status.conditions.get_or_insert_default();
    if conditions.iter().any(|condition| condition.type_.as_deref() == Some(REPLICA_FAILURE)) {
        return;
    }
    conditions.push(ReplicaSetCondition {
        type_: Some(REPLICA_FAILURE.to_owned()),
        status: Some("True".to_owned()),
        reason: Some(failure.reason.to_owned()),
        message: Some(failure.message()),
        last_transition_time: Some(Time(view.now)),
    });
}

fn clear_failure(status: &mut ReplicaSetStatus) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_.as_deref() != Some(REPLICA_FAILURE));
    }
    status.conditions = status.conditions.take().filter(|conditions| !conditions.is_empty());
}
