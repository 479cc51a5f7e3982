//! Decides on which nodes a DaemonSet's pods are missing, and which pods have to go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Taint};

use super::pod;
use crate::node_fit;
use crate::pods;
use crate::proportion::{Rounding, scaled};
use crate::tolerations::tolerates;

/// Pods that one reconcile creates or deletes at most.
const BURST_MAX: usize = 250;

/// The world as the set sees it.
pub(super) struct View<'a> {
    pub(super) set: &'a DaemonSet,
    pub(super) nodes: &'a [Arc<Node>],
    /// Every pod of the set, whatever its state.
    pub(super) pods: &'a [Arc<Pod>],
    /// The hash of the present template.
    pub(super) hash: &'a str,
    pub(super) now: Timestamp,
}

/// What is to be done. The default is nothing.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The nodes that get a pod.
    pub(super) create: Vec<String>,
    pub(super) delete: Vec<Arc<Pod>>,
    /// Pods that ended by themselves, with the event that says so; they are among the deleted.
    pub(super) ended: Vec<Arc<Pod>>,
}

/// What a node is to the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It should have a pod.
    Wanted,
    /// It may keep a pod that it has.
    Tolerated,
    Unwanted,
}

/// A pod of the set, on no node yet, with what every daemon tolerates.
pub(super) struct Demand(PodSpec);

impl View<'_> {
    pub(super) fn min_ready(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.set.spec.min_ready_seconds.unwrap_or(0)).unwrap_or(0))
    }

    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.min_ready(), self.now)
    }

    /// What the set's pods ask of a node.
    pub(super) fn demand(&self) -> Demand {
        let mut spec = self.set.spec.template.spec.clone().unwrap_or_default();
        pod::tolerate(&mut spec);
        Demand(spec)
    }

    /// The pods of each node, the oldest first; also of nodes that are gone.
    pub(super) fn by_node(&self) -> BTreeMap<&str, Vec<&Arc<Pod>>> {
        let mut by_node: BTreeMap<&str, Vec<&Arc<Pod>>> = BTreeMap::new();
        for pod in self.pods {
            by_node.entry(pod::node_of(pod)).or_default().push(pod);
        }
        for pods in by_node.values_mut() {
            let age =
                |pod: &&Arc<Pod>| (pod.metadata.creation_timestamp.as_ref().map(|t| t.0), pod.metadata.name.clone());
            pods.sort_by_key(age);
        }
        by_node
    }

    fn bounds(&self, n_wanted: usize) -> Bounds {
        let n_wanted = i32::try_from(n_wanted).unwrap_or(i32::MAX);
        let strategy = self.set.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let bound = |value| usize::try_from(scaled(value, n_wanted, Rounding::Up)).unwrap_or(0);
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref()).map_or(0, bound);
        let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).map_or(1, bound);
        Bounds { surge, unavailable: if surge == 0 { unavailable.max(1) } else { unavailable } }
    }

    fn is_rolling(&self) -> bool {
        let strategy = self.set.spec.update_strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete")
    }
}

impl Demand {
    pub(super) fn place(&self, node: &Node) -> Place {
        let Self(spec) = self;
        let is_elsewhere = |name: &String| !name.is_empty() && Some(name) != node.metadata.name.as_ref();
        if spec.node_name.as_ref().is_some_and(is_elsewhere) || !node_fit::wants(spec, node) {
            return Place::Unwanted;
        }
        let tolerations = spec.tolerations.as_deref().unwrap_or_default();
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let is_untolerated = |taint: &&Taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint));
        let mut untolerated = taints.iter().filter(is_untolerated).map(|taint| taint.effect.as_str());
        let (mut evicts, mut repels) = (false, false);
        untolerated.by_ref().for_each(|effect| {
            evicts |= effect == "NoExecute";
            repels |= effect == "NoSchedule";
        });
        match (evicts, repels) {
            (true, _) => Place::Unwanted,
            (false, true) => Place::Tolerated,
            (false, false) => Place::Wanted,
        }
    }
}

struct Bounds {
    surge: usize,
    unavailable: usize,
}

pub(super) fn plan(view: &View<'_>) -> Plan {
    if view.set.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let by_node = view.by_node();
    let demand = view.demand();
    let place = |node| (name_of(node), demand.place(node));
    let places: BTreeMap<&str, Place> = view.nodes.iter().map(|node| place(node)).collect();
    let n_wanted = places.values().filter(|place| **place == Place::Wanted).count();
    let bounds = view.bounds(n_wanted);
    let mut plan = manage(view, &places, &by_node, bounds.surge > 0 && view.is_rolling());
    if plan.create.is_empty() && plan.delete.is_empty() && view.is_rolling() {
        plan = if bounds.surge > 0 {
            surge(view, &by_node, bounds.surge)
        } else {
            roll(view, &by_node, bounds.unavailable)
        };
    }
    plan.create.truncate(BURST_MAX);
    plan.delete.truncate(BURST_MAX);
    plan
}

fn name_of(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

/// One pod on each wanted node, none on unwanted ones.
fn manage(
    view: &View<'_>,
    places: &BTreeMap<&str, Place>,
    by_node: &BTreeMap<&str, Vec<&Arc<Pod>>>,
    may_surge: bool,
) -> Plan {
    let mut plan = Plan::default();
    for (node, place) in places {
        match (place, by_node.get(node)) {
            (Place::Wanted, None) => plan.create.push((*node).to_owned()),
            (Place::Wanted | Place::Tolerated, Some(pods)) => keep_one(view, pods, may_surge, &mut plan),
            (Place::Unwanted, Some(pods)) => {
                plan.delete.extend(pods.iter().filter(|pod| !pods::is_ending(pod)).map(|pod| (*pod).clone()));
            }
            (Place::Tolerated | Place::Unwanted, None) => {}
        }
    }
    // A pod that waits for a node that is gone waits for ever.
    let lost = by_node.iter().filter(|(node, _)| !places.contains_key(*node)).flat_map(|(_, pods)| pods);
    let waits = |pod: &&&Arc<Pod>| pods::node_name(pod).is_empty() && !pods::is_ending(pod);
    plan.delete.extend(lost.filter(waits).map(|pod| (*pod).clone()));
    plan
}

fn keep_one(view: &View<'_>, pods: &[&Arc<Pod>], may_surge: bool, plan: &mut Plan) {
    let mut running = Vec::new();
    for pod in pods.iter().filter(|pod| !pods::is_ending(pod)) {
        if pods::is_finished(pod) {
            plan.ended.push((*pod).clone());
            plan.delete.push((*pod).clone());
        } else {
            running.push(*pod);
        }
    }
    if !may_surge {
        plan.delete.extend(running.into_iter().skip(1).cloned());
        return;
    }
    let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| pod::is_updated(pod, view.hash));
    plan.delete.extend(
        new.iter()
            .chain(&old)
            .skip(1)
            .filter(|pod| !is_first(pod, &new) && !is_first(pod, &old))
            .map(|pod| (*pod).clone()),
    );
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (!pods::is_ready(old) || view.is_available(new))
    {
        plan.delete.push((*old).clone());
    }
}

fn is_first(pod: &Arc<Pod>, pods: &[&Arc<Pod>]) -> bool {
    pods.first().is_some_and(|first| Arc::ptr_eq(first, pod))
}

/// A new and an old pod.
type Pair<'a> = (Option<&'a Arc<Pod>>, Option<&'a Arc<Pod>>);

/// The new and the old pod of a node; `None` when there are several of either.
fn pair<'a>(view: &View<'_>, pods: &[&'a Arc<Pod>]) -> Option<Pair<'a>> {
    let alive = pods.iter().copied().filter(|pod| !pods::is_ending(pod));
    let (new, old): (Vec<_>, Vec<_>) = alive.partition(|pod| pod::is_updated(pod, view.hash));
    (new.len() < 2 && old.len() < 2).then(|| (new.first().copied(), old.first().copied()))
}

/// Takes old pods away, never so many that more than `max` nodes are without.
fn roll(view: &View<'_>, by_node: &BTreeMap<&str, Vec<&Arc<Pod>>>, max: usize) -> Plan {
    let (mut n_unavailable, mut broken, mut candidates) = (0, Vec::new(), Vec::new());
    for pods in by_node.values() {
        match pair(view, pods) {
            None | Some((None, None) | (Some(_), Some(_))) => n_unavailable += 1,
            Some((Some(new), None)) => n_unavailable += usize::from(!view.is_available(new)),
            Some((None, Some(old))) if view.is_available(old) => candidates.push(old.clone()),
            Some((None, Some(old))) => broken.push(old.clone()),
        }
    }
    let n_free = max.saturating_sub(n_unavailable);
    broken.extend(candidates.into_iter().take(n_free));
    Plan { delete: broken, ..Plan::default() }
}

/// Puts new pods beside old ones on at most `max` nodes, and takes the old ones away once the new are available.
fn surge(view: &View<'_>, by_node: &BTreeMap<&str, Vec<&Arc<Pod>>>, max: usize) -> Plan {
    let (mut n_surging, mut delete) = (0, Vec::new());
    let (mut create, mut candidates) = (Vec::new(), Vec::new());
    for (node, pods) in by_node {
        match pair(view, pods) {
            None => n_surging += 1,
            Some((_, None)) => {}
            Some((None, Some(old))) if view.is_available(old) => candidates.push((*node).to_owned()),
            Some((None, Some(_))) => create.push((*node).to_owned()),
            Some((Some(new), Some(_))) if !view.is_available(new) => n_surging += 1,
            Some((Some(_), Some(old))) => delete.push(old.clone()),
        }
    }
    create.extend(candidates.into_iter().take(max.saturating_sub(n_surging)));
    Plan { create, delete, ended: Vec::new() }
}

#[cfg(test)]
mod tests;
