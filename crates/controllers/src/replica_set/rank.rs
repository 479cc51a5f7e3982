//! The order in which a ReplicaSet gives up pods: those that do least, and that are missed least, go first.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::counts;
use super::plan::View;
use crate::pods;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `n` active pods that go first.
pub(super) fn first_to_go(view: &View<'_>, n: usize) -> Vec<Arc<Pod>> {
    if n == 0 {
        return Vec::new();
    }
    let on_node = n_on_node(&view.related);
    let mut ranked: Vec<(Rank, &Arc<Pod>)> = view.active().map(|pod| (Rank::of(pod, &on_node), pod)).collect();
    ranked.sort_by(|(a, _), (b, _)| a.compare(b, view.now));
    ranked.into_iter().take(n).map(|(_, pod)| pod.clone()).collect()
}

fn n_on_node(related: &[Arc<Pod>]) -> HashMap<&str, usize> {
    let mut on_node = HashMap::new();
    for pod in related.iter().filter(|pod| counts(pod)) {
        *on_node.entry(pods::node_name(pod)).or_insert(0) += 1;
    }
    on_node
}

struct Rank<'a> {
    is_assigned: bool,
    phase: u8,
    is_ready: bool,
    cost: i32,
    n_neighbours: Reverse<usize>,
    ready_since: Option<Timestamp>,
    n_restarts: Reverse<i32>,
    created: Option<Timestamp>,
    uid: &'a str,
}

impl<'a> Rank<'a> {
    fn of(pod: &'a Pod, on_node: &HashMap<&str, usize>) -> Self {
        let node = pods::node_name(pod);
        Self {
            is_assigned: !node.is_empty(),
            phase: match pods::phase(pod) {
                "Unknown" => 1,
                "Running" => 2,
                _ => 0,
            },
            is_ready: pods::is_ready(pod),
            cost: deletion_cost(pod),
            n_neighbours: Reverse(on_node.get(node).copied().unwrap_or(0)),
            ready_since: pods::ready_since(pod),
            n_restarts: Reverse(n_restarts(pod)),
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            uid: pod.metadata.uid.as_deref().unwrap_or_default(),
        }
    }

    fn compare(&self, other: &Self, now: Timestamp) -> Ordering {
        let before = |rank: &Self| (rank.is_assigned, rank.phase, rank.is_ready, rank.cost, rank.n_neighbours);
        before(self)
            .cmp(&before(other))
            .then_with(|| younger_first(self.ready_since, other.ready_since, now))
            .then_with(|| self.n_restarts.cmp(&other.n_restarts))
            .then_with(|| younger_first(self.created, other.created, now))
            .then_with(|| self.uid.cmp(other.uid))
    }
}

/// Ages that differ by less than a factor of two are alike, so that a scale-down does not always hit the newest.
fn younger_first(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => magnitude(a, now).cmp(&magnitude(b, now)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

fn magnitude(since: Timestamp, now: Timestamp) -> i64 {
    let age_ns = now.as_nanosecond() - since.as_nanosecond();
    u128::try_from(age_ns).ok().and_then(u128::checked_ilog2).map_or(-1, i64::from)
}

fn deletion_cost(pod: &Pod) -> i32 {
    let text = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn n_restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|container| container.restart_count).max().unwrap_or(0)
}
