//! Decides the next step of a StatefulSet: which pods to make, delete or mend, in which order, and what waits.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::{identity, retention, status};
use crate::pods;
use crate::proportion::{Rounding, scaled};

/// A template and the name of the revision that keeps it.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) template: PodTemplateSpec,
}

/// The world as the set sees it.
pub(super) struct View<'a> {
    pub(super) set: &'a StatefulSet,
    /// Every pod of the set, whatever its state.
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) current: &'a Revision,
    pub(super) update: &'a Revision,
    pub(super) n_collisions: i32,
    pub(super) claim: &'a (dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>> + Sync),
    pub(super) now: Timestamp,
}

/// One thing to do. Those of an ordered set are done one after the other.
#[derive(Debug)]
pub(super) enum Action {
    /// Make the claims, then the pod.
    Create {
        pod: Box<Pod>,
        claims: Vec<PersistentVolumeClaim>,
    },
    /// Make claims that a waiting pod lacks.
    Claim {
        pod: Arc<Pod>,
        claims: Vec<PersistentVolumeClaim>,
    },
    /// The pod has ended, and another will take its place.
    Replace(Arc<Pod>),
    Delete(Arc<Pod>),
    /// Give the pod its identity back.
    Mend(Box<Pod>),
    /// Say with whom a claim goes.
    Own {
        claim: Arc<PersistentVolumeClaim>,
        owners: Vec<OwnerReference>,
    },
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) status: StatefulSetStatus,
}

impl View<'_> {
    pub(super) fn min_ready(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.set.spec.min_ready_seconds.unwrap_or(0)).unwrap_or(0))
    }

    fn is_ordered(&self) -> bool {
        self.set.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    pub(super) fn is_running_and_ready(pod: &Pod) -> bool {
        pods::phase(pod) == "Running" && pods::is_ready(pod)
    }

    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        Self::is_running_and_ready(pod) && pods::is_available(pod, self.min_ready(), self.now)
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        self.is_available(pod) && !pods::is_ending(pod)
    }

    fn partition(&self) -> i32 {
        let strategy = self.set.spec.update_strategy.as_ref();
        strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.partition).unwrap_or(0)
    }

    fn is_on_delete(&self) -> bool {
        let strategy = self.set.spec.update_strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete")
    }

    /// How many pods an update may take away at once; `None` when it goes one by one.
    fn max_unavailable(&self) -> Option<i32> {
        let rolling = self.set.spec.update_strategy.as_ref()?.rolling_update.as_ref()?;
        let bound = rolling.max_unavailable.as_ref()?;
        Some(scaled(bound, identity::n_replicas(self.set), Rounding::Down).max(1))
    }

    /// The revision that a new pod of this ordinal has.
    fn revision(&self, ordinal: i32) -> &Revision {
        let is_below = ordinal < identity::first_ordinal(self.set) + self.partition();
        let was_there = ordinal < identity::first_ordinal(self.set) + self.n_current();
        let has_partition = self.set.spec.update_strategy.as_ref().is_some_and(|s| s.rolling_update.is_some());
        let is_current = if has_partition { is_below } else { was_there };
        if is_current && !self.is_on_delete() { self.current } else { self.update }
    }

    fn n_current(&self) -> i32 {
        self.set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0)
    }
}

pub(super) fn plan(view: &View<'_>) -> Plan {
    let status = status::status(view);
    let mut steps = Steps { view, actions: Vec::new() };
    if view.set.metadata.deletion_timestamp.is_none() {
        steps.all();
    }
    Plan { actions: steps.actions, status }
}

/// Whether the steps that follow may be taken now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Wait,
}

struct Steps<'a> {
    view: &'a View<'a>,
    actions: Vec<Action>,
}

type Slot<'a> = (i32, Option<&'a Arc<Pod>>);

impl<'a> Steps<'a> {
    fn all(&mut self) {
        let view = self.view;
        let slots = slots(view);
        for slot in &slots {
            if self.keep(slot) == Flow::Wait && view.is_ordered() {
                return;
            }
        }
        let condemned = condemned(view);
        for pod in &condemned {
            self.own_claims(pod);
        }
        let first_unhealthy = first_unhealthy(view, &slots, &condemned);
        for pod in &condemned {
            if self.condemn(pod, first_unhealthy) == Flow::Wait && view.is_ordered() {
                return;
            }
        }
        if !view.is_on_delete() {
            self.roll(&slots);
        }
    }

    /// What one ordinal needs, so that a healthy pod is there.
    fn keep(&mut self, (ordinal, pod): &Slot<'a>) -> Flow {
        let Some(pod) = pod else { return self.create(*ordinal) };
        if pods::is_finished(pod) {
            if !pods::is_ending(pod) {
                self.actions.push(Action::Replace((*pod).clone()));
            }
            return Flow::Wait;
        }
        if pods::phase(pod) == "Pending" && !pods::is_ending(pod) {
            self.claim(*ordinal, pod);
        }
        if !self.view.is_healthy(pod) && self.view.is_ordered() {
            return Flow::Wait;
        }
        self.mend(*ordinal, pod);
        Flow::On
    }

    fn create(&mut self, ordinal: i32) -> Flow {
        // A claim of an earlier pod that is on its way out would take the new pod's data along.
        if self.has_stale_claim(ordinal) {
            return Flow::Wait;
        }
        let revision = self.view.revision(ordinal);
        let pod = identity::pod(self.view.set, &revision.template, &revision.name, ordinal);
        let mut claims = self.missing_claims(ordinal);
        for claim in &mut claims {
            if let Some(owners) = retention::owners_of_claim(self.view.set, &pod, ordinal, claim) {
                claim.metadata.owner_references = Some(owners);
            }
        }
        self.actions.push(Action::Create { pod: Box::new(pod), claims });
        Flow::Wait
    }

    fn has_stale_claim(&self, ordinal: i32) -> bool {
        let claims = identity::claims(self.view.set, ordinal);
        let mut known = claims.iter().filter_map(|(_, claim)| (self.view.claim)(identity::name_of(&claim.metadata)));
        known.any(|claim| {
            let owners = claim.metadata.owner_references.iter().flatten();
            let is_of_pod = owners.into_iter().any(|owner| owner.kind == "Pod" && owner.controller == Some(true));
            claim.metadata.deletion_timestamp.is_some() || is_of_pod
        })
    }

    fn missing_claims(&self, ordinal: i32) -> Vec<PersistentVolumeClaim> {
        let claims = identity::claims(self.view.set, ordinal).into_iter().map(|(_, claim)| claim);
        claims.filter(|claim| (self.view.claim)(identity::name_of(&claim.metadata)).is_none()).collect()
    }

    fn claim(&mut self, ordinal: i32, pod: &Arc<Pod>) {
        let claims = self.missing_claims(ordinal);
        if !claims.is_empty() {
            self.actions.push(Action::Claim { pod: pod.clone(), claims });
        }
    }

    fn mend(&mut self, ordinal: i32, pod: &Arc<Pod>) {
        if pods::is_ending(pod) {
            return;
        }
        self.own_claims(pod);
        if !identity::has_identity(self.view.set, pod, ordinal) {
            let mut mended = Pod::clone(pod);
            identity::identify(self.view.set, &mut mended, ordinal);
            self.actions.push(Action::Mend(Box::new(mended)));
        }
    }

    fn own_claims(&mut self, pod: &Arc<Pod>) {
        let set = self.view.set;
        let Some(ordinal) = identity::ordinal(set, pod) else { return };
        let names =
            identity::claims(set, ordinal).into_iter().map(|(_, claim)| claim.metadata.name.unwrap_or_default());
        for claim in names.filter_map(|name| (self.view.claim)(&name)) {
            if let Some(owners) = retention::owners_of_claim(set, pod, ordinal, &claim) {
                self.actions.push(Action::Own { claim, owners });
            }
        }
    }

    /// Takes away a pod beyond the wanted size, the last one first; in an ordered set only while the others are well.
    fn condemn(&mut self, pod: &Arc<Pod>, first_unhealthy: Option<&str>) -> Flow {
        if pods::is_ending(pod) {
            return Flow::Wait;
        }
        let is_first_unhealthy = first_unhealthy == pod.metadata.name.as_deref();
        if self.view.is_ordered() && !self.view.is_available(pod) && !is_first_unhealthy {
            return Flow::Wait;
        }
        self.actions.push(Action::Delete(pod.clone()));
        Flow::Wait
    }

    /// Takes away pods of an old revision, from the last on down to the partition.
    fn roll(&mut self, slots: &[Slot<'a>]) {
        let view = self.view;
        let n_fixed = usize::try_from(view.partition()).unwrap_or(0);
        let is_well = |slot: &Slot<'_>| slot.1.is_some_and(|pod| view.is_healthy(pod) && !pods::is_finished(pod));
        let is_old = |pod: &Arc<Pod>| identity::revision_of(pod) != view.update.name && !pods::is_ending(pod);
        let targets = slots.iter().skip(n_fixed).rev();
        if let Some(max) = view.max_unavailable() {
            let n_unwell = slots.iter().filter(|slot| !is_well(slot)).count();
            let n_free = usize::try_from(max).unwrap_or(0).saturating_sub(n_unwell);
            let old = targets.filter_map(|slot| slot.1).filter(|pod| is_old(pod));
            self.actions.extend(old.take(n_free).map(|pod| Action::Delete(pod.clone())));
            return;
        }
        for slot in targets {
            if let Some(pod) = slot.1.filter(|pod| is_old(pod) && !pods::is_finished(pod)) {
                self.actions.push(Action::Delete(pod.clone()));
                return;
            }
            if !is_well(slot) {
                return;
            }
        }
    }
}

/// The wanted ordinals, each with its pod.
fn slots<'a>(view: &View<'a>) -> Vec<Slot<'a>> {
    let first = identity::first_ordinal(view.set);
    let of = |ordinal| view.pods.iter().find(|pod| identity::ordinal(view.set, pod) == Some(ordinal));
    (first..first + identity::n_replicas(view.set)).map(|ordinal| (ordinal, of(ordinal))).collect()
}

/// Pods beyond the wanted ordinals, the last one first.
fn condemned<'a>(view: &View<'a>) -> Vec<&'a Arc<Pod>> {
    let ordinal = |pod: &&Arc<Pod>| identity::ordinal(view.set, pod);
    let is_beyond = |pod: &&Arc<Pod>| ordinal(pod).is_some_and(|ordinal| !identity::is_in_range(view.set, ordinal));
    let mut condemned: Vec<&Arc<Pod>> = view.pods.iter().filter(is_beyond).collect();
    condemned.sort_by_key(|pod| std::cmp::Reverse(ordinal(pod)));
    condemned
}

fn first_unhealthy<'a>(view: &View<'_>, slots: &[Slot<'a>], condemned: &[&'a Arc<Pod>]) -> Option<&'a str> {
    let kept = slots.iter().filter_map(|slot| slot.1);
    let mut all = kept.chain(condemned.iter().rev().copied());
    all.find(|pod| !view.is_healthy(pod)).and_then(|pod| pod.metadata.name.as_deref())
}

#[cfg(test)]
mod tests;
