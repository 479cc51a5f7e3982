//! What a DaemonSet's status says of its nodes.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::DaemonSetStatus;

use super::plan::{Place, View};
use super::pod;
use crate::pods;

pub(super) fn status(view: &View<'_>) -> DaemonSetStatus {
    let by_node = view.by_node();
    let current = view.set.status.as_ref();
    let mut status = DaemonSetStatus {
        observed_generation: view.set.metadata.generation,
        collision_count: current.and_then(|status| status.collision_count),
        conditions: current.and_then(|status| status.conditions.clone()),
        ..DaemonSetStatus::default()
    };
    let (mut n_available, mut n_updated) = (0, 0);
    let demand = view.demand();
    for node in view.nodes {
        let pods = by_node.get(node.metadata.name.as_deref().unwrap_or_default());
        if demand.place(node) != Place::Wanted {
            status.number_misscheduled += i32::from(pods.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pods) = pods else { continue };
        status.current_number_scheduled += 1;
        // While a new pod stands beside an old one, the node has what the better of the two offers.
        let is_ready = pods.iter().any(|pod| pods::is_ready(pod) && !pods::is_ending(pod));
        let is_available = pods.iter().any(|pod| view.is_available(pod) && !pods::is_ending(pod));
        status.number_ready += i32::from(is_ready);
        n_available += i32::from(is_available);
        n_updated += i32::from(pods.iter().any(|pod| pod::is_updated(pod, view.hash)));
    }
    let n_unavailable = status.desired_number_scheduled - n_available;
    let shown = |n: i32| (n != 0).then_some(n);
    status.number_available = shown(n_available);
    status.number_unavailable = shown(n_unavailable);
    status.updated_number_scheduled = shown(n_updated);
    status
}

/// When a pod becomes available by time alone.
pub(super) fn next_look(view: &View<'_>) -> Option<Duration> {
    let waiting = view.pods.iter().filter(|pod| pods::is_ready(pod) && !view.is_available(pod));
    let moments = waiting.filter_map(|pod| pods::ready_since(pod).map(|since| since + view.min_ready()));
    let wait = moments.min()?.duration_since(view.now).max(SignedDuration::ZERO);
    Duration::try_from(wait).ok()
}
