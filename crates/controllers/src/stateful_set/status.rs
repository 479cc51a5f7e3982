//! What a StatefulSet's status says of its pods.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::StatefulSetStatus;
use k8s_openapi::api::core::v1::Pod;

use super::identity;
use super::plan::View;
use crate::pods;

pub(super) fn status(view: &View<'_>) -> StatefulSetStatus {
    let count = |is_counted: &dyn Fn(&Pod) -> bool| {
        let n = view.pods.iter().filter(|pod| !pods::phase(pod).is_empty() && is_counted(pod)).count();
        i32::try_from(n).unwrap_or(i32::MAX)
    };
    let of = |revision: &str| count(&|pod| !pods::is_ending(pod) && identity::revision_of(pod) == revision);
    let mut status = StatefulSetStatus {
        replicas: count(&|_| true),
        ready_replicas: shown(count(&View::is_running_and_ready)),
        available_replicas: Some(count(&|pod| view.is_available(pod))),
        current_replicas: shown(of(&view.current.name)),
        updated_replicas: shown(of(&view.update.name)),
        current_revision: Some(view.current.name.clone()),
        update_revision: Some(view.update.name.clone()),
        collision_count: Some(view.n_collisions),
        observed_generation: view.set.metadata.generation,
        conditions: view.set.status.as_ref().and_then(|status| status.conditions.clone()),
    };
    complete(view, &mut status);
    status
}

/// These counts are left out when they are zero.
fn shown(n: i32) -> Option<i32> {
    (n > 0).then_some(n)
}

/// Once every pod is of the new revision and ready, it is the current one.
fn complete(view: &View<'_>, status: &mut StatefulSetStatus) {
    let strategy = view.set.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    let is_done = |n: Option<i32>| n.unwrap_or(0) == status.replicas;
    if strategy != Some("OnDelete") && is_done(status.updated_replicas) && is_done(status.ready_replicas) {
        status.current_replicas = status.updated_replicas;
        status.current_revision = status.update_revision.clone();
    }
}

/// When a pod becomes available by time alone.
pub(super) fn next_look(view: &View<'_>) -> Option<Duration> {
    let waiting = view.pods.iter().filter(|pod| View::is_running_and_ready(pod) && !view.is_available(pod));
    let moments = waiting.filter_map(|pod| pods::ready_since(pod).map(|since| since + view.min_ready()));
    let wait = moments.min()?.duration_since(view.now).max(SignedDuration::ZERO);
    Duration::try_from(wait).ok()
}
