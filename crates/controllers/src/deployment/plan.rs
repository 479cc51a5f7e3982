//! Decides the next step of a Deployment: which sets to create, scale, mark or delete, and what its status says.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::conditions::{self, Conditions, PAUSED, PROGRESSING, TIMED_OUT, said};
use super::revision;
use super::scale::{self, Fence};
use super::status::{Judge, Subject, actual, available, is_complete, spec_replicas};
use crate::{owners, pods};

/// The world as the deployment sees it.
pub(super) struct View<'a> {
    pub(super) deployment: &'a Deployment,
    /// Every set of the deployment.
    pub(super) sets: &'a [Arc<ReplicaSet>],
    /// Every pod of those sets; only looked at when old pods must be gone before new ones come.
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) now: Timestamp,
}

/// A set to be written, and what to tell users once it is.
#[derive(Debug)]
pub(super) struct Scaling {
    pub(super) set: ReplicaSet,
    pub(super) event: Option<String>,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) create: Option<Scaling>,
    pub(super) update: Vec<Scaling>,
    pub(super) delete: Vec<Arc<ReplicaSet>>,
    /// The revision to be noted on the deployment.
    pub(super) revision: Option<String>,
    pub(super) status: DeploymentStatus,
    pub(super) next_look: Option<Duration>,
}

pub(super) fn plan(view: &View<'_>) -> Plan {
    let mut planner = Planner::new(view);
    if view.deployment.metadata.deletion_timestamp.is_some() {
        planner.sync_new_set();
        return planner.finish(Judge::Nothing);
    }
    planner.note_pause();
    planner.sync_new_set();
    let is_paused = view.deployment.spec.paused.unwrap_or(false);
    if is_paused || planner.is_resized() {
        planner.resize();
        if is_paused {
            planner.clean_up();
        }
        return planner.finish(Judge::Nothing);
    }
    if scale::is_recreate(view.deployment) {
        planner.recreate();
    } else {
        planner.roll();
    }
    planner.finish(Judge::Progress)
}

/// A set as the plan leaves it.
struct Draft {
    set: ReplicaSet,
    /// As it is now; `None` when it is yet to be created.
    current: Option<Arc<ReplicaSet>>,
    event: Option<String>,
}

struct Planner<'a> {
    view: &'a View<'a>,
    wanted: i32,
    fence: Fence,
    new: Option<Draft>,
    /// Oldest first.
    old: Vec<Draft>,
    conditions: Conditions,
    delete: Vec<Arc<ReplicaSet>>,
}

impl<'a> Planner<'a> {
    fn new(view: &'a View<'a>) -> Self {
        let mut sets: Vec<&Arc<ReplicaSet>> = view.sets.iter().collect();
        sets.sort_by_key(|set| (created(set), set.metadata.name.clone()));
        let newest = sets.iter().position(|set| revision::is_same_template(set, view.deployment));
        let draft = |set: &Arc<ReplicaSet>| Draft { set: (**set).clone(), current: Some(set.clone()), event: None };
        let new = newest.map(|idx| draft(sets.remove(idx)));
        let conditions = view.deployment.status.as_ref().and_then(|status| status.conditions.clone());
        Self {
            view,
            wanted: scale::replicas(view.deployment),
            fence: scale::fence(view.deployment),
            new,
            old: sets.into_iter().map(draft).collect(),
            conditions: Conditions(conditions.unwrap_or_default()),
            delete: Vec::new(),
        }
    }

    /// A pause stops the clock of progress, and its end starts it anew.
    fn note_pause(&mut self) {
        if conditions::deadline_seconds(self.view.deployment).is_none() {
            return;
        }
        let reason = self.conditions.get(PROGRESSING).and_then(|condition| condition.reason.clone());
        let is_paused = self.view.deployment.spec.paused.unwrap_or(false);
        let was_paused = reason.as_deref() == Some(PAUSED);
        let (is_timed_out, now) = (reason.as_deref() == Some(TIMED_OUT), self.view.now);
        if is_paused && !was_paused && !is_timed_out {
            self.conditions.set(PROGRESSING, said("Unknown", PAUSED, "Deployment is paused"), now);
        } else if !is_paused && was_paused {
            self.conditions.set(PROGRESSING, said("Unknown", "DeploymentResumed", "Deployment is resumed"), now);
        }
    }

    fn newest_number(&self) -> i64 {
        self.old.iter().map(|draft| revision::number(&draft.set)).max().unwrap_or(0) + 1
    }

    /// The set of the present template, if it exists, is marked as the newest.
    fn sync_new_set(&mut self) {
        let (deployment, newest) = (self.view.deployment, self.newest_number());
        let Some(new) = &mut self.new else { return };
        revision::promote(&mut new.set, deployment, newest);
        new.set.spec.min_ready_seconds = deployment.spec.min_ready_seconds;
        let has_deadline = conditions::deadline_seconds(deployment).is_some();
        if has_deadline && self.conditions.get(PROGRESSING).is_none() {
            let text = format!("Found new replica set \"{}\"", name(&new.set));
            self.conditions.set(PROGRESSING, said("True", "FoundNewReplicaSet", text), self.view.now);
        }
    }

    fn create_new_set(&mut self) {
        let deployment = self.view.deployment;
        let mut set = fresh_set(deployment);
        revision::promote(&mut set, deployment, self.newest_number());
        revision::note_sizes(&mut set, self.wanted, self.wanted + self.fence.surge);
        let size = match scale::is_recreate(deployment) {
            true => self.wanted,
            false => scale::new_set_size(self.wanted, self.fence, 0, self.total()),
        };
        resize_to(&mut set, size);
        let set_name = name(&set).to_owned();
        if conditions::deadline_seconds(deployment).is_some() {
            let text = format!("Created new replica set \"{set_name}\"");
            self.conditions.set(PROGRESSING, said("True", "NewReplicaSetCreated", text), self.view.now);
        }
        let event = (size > 0).then(|| format!("Scaled up replica set {set_name} from 0 to {size}"));
        self.new = Some(Draft { set, current: None, event });
    }

    fn all(&self) -> impl Iterator<Item = &Draft> {
        self.old.iter().chain(&self.new)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Draft> {
        self.old.iter_mut().chain(&mut self.new)
    }

    fn total(&self) -> i32 {
        self.all().map(Draft::size).sum()
    }

    /// True when the deployment's size changed since its sets were last scaled.
    fn is_resized(&self) -> bool {
        let active = self.all().filter(|draft| draft.size() > 0);
        active.filter_map(|draft| revision::desired(&draft.set)).any(|desired| desired != self.wanted)
    }

    /// Follows a change of size alone, keeping the proportions of a rollout that is under way.
    fn resize(&mut self) {
        let (wanted, fence) = (self.wanted, self.fence);
        let n_active = self.all().filter(|draft| draft.size() > 0).count();
        if n_active <= 1 {
            if let Some(only) = self.only_or_newest()
                && only.size() != wanted
            {
                only.scale(wanted, wanted, fence);
            }
            return;
        }
        if self.new.as_ref().is_some_and(|new| is_saturated(&new.set, wanted)) {
            self.old.iter_mut().filter(|draft| draft.size() > 0).for_each(|draft| draft.scale(0, wanted, fence));
        } else if !scale::is_recreate(self.view.deployment) {
            self.resize_in_proportion();
        }
    }

    /// The only active set; without any, the newest.
    fn only_or_newest(&mut self) -> Option<&mut Draft> {
        if self.all().any(|draft| draft.size() > 0) {
            return self.all_mut().find(|draft| draft.size() > 0);
        }
        self.new.as_mut().or(self.old.last_mut())
    }

    fn resize_in_proportion(&mut self) {
        let (wanted, fence) = (self.wanted, self.fence);
        let allowed = if wanted > 0 { wanted + fence.surge } else { 0 };
        let to_add = allowed - self.total();
        let n_status = self.view.deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
        let mut active: Vec<&mut Draft> = self.all_mut().filter(|draft| draft.size() > 0).collect();
        match to_add >= 0 {
            true => active.sort_by_key(|draft| (Reverse(draft.size()), Reverse(draft.age()))),
            false => active.sort_by_key(|draft| (Reverse(draft.size()), draft.age())),
        }
        let mut added = 0;
        let mut sizes = Vec::new();
        for draft in &active {
            let before = revision::max(&draft.set).filter(|max| *max > 0).unwrap_or(n_status);
            let fraction = scale::fraction(draft.size(), before, wanted + fence.surge, wanted);
            let share = if to_add == added { 0 } else { scale::within(fraction, to_add - added) };
            added += share;
            sizes.push(draft.size() + share);
        }
        if let Some(largest) = sizes.first_mut() {
            *largest = (*largest + to_add - added).max(0);
        }
        active.into_iter().zip(sizes).for_each(|(draft, size)| draft.scale_and_note(size, wanted, fence));
    }

    /// All old pods first go, then new ones come.
    fn recreate(&mut self) {
        let (wanted, fence) = (self.wanted, self.fence);
        if self.old.iter().any(|draft| draft.size() > 0) {
            self.old.iter_mut().filter(|draft| draft.size() > 0).for_each(|draft| draft.scale(0, wanted, fence));
            return;
        }
        if self.has_old_pods() {
            return;
        }
        match &mut self.new {
            Some(new) => new.scale(wanted, wanted, fence),
            None => self.create_new_set(),
        }
        self.clean_up_when_complete();
    }

    fn has_old_pods(&self) -> bool {
        let new_uid = self.new.as_ref().and_then(|new| new.set.metadata.uid.as_deref());
        let is_old = |pod: &Pod| owners::controller_of(&pod.metadata).map(|owner| owner.uid.as_str()) != new_uid;
        self.old.iter().any(|draft| actual(&draft.set) > 0)
            || self.view.pods.iter().any(|pod| is_old(pod) && !pods::is_finished(pod))
    }

    /// New pods come as the surge allows, old ones go as availability allows.
    fn roll(&mut self) {
        if self.new.is_none() {
            self.create_new_set();
        }
        if self.grow_new() || self.shrink_old() {
            return;
        }
        self.clean_up_when_complete();
    }

    fn grow_new(&mut self) -> bool {
        let (wanted, fence, total) = (self.wanted, self.fence, self.total());
        let Some(new) = &mut self.new else { return false };
        let before = new.size();
        if before == wanted {
            return false;
        }
        let size = if before > wanted { wanted } else { scale::new_set_size(wanted, fence, before, total) };
        new.scale(size, wanted, fence);
        size != before
    }

    fn shrink_old(&mut self) -> bool {
        let (wanted, fence, total) = (self.wanted, self.fence, self.total());
        let old: i32 = self.old.iter().map(Draft::size).sum();
        let Some(new) = self.new.as_ref().filter(|_| old > 0) else { return false };
        // What a set said before its size changed may count on pods that it was told to give up meanwhile.
        if self.all().any(|draft| !draft.is_observed()) {
            return false;
        }
        let n_excess = scale::old_excess(wanted, fence, total, new.size(), new.n_serving());
        if n_excess <= 0 {
            return false;
        }
        self.drop_unhealthy(n_excess) + self.drop_healthy() > 0
    }

    /// Old pods that serve nobody go first: they are missed least.
    fn drop_unhealthy(&mut self, n_max: i32) -> i32 {
        let (wanted, fence) = (self.wanted, self.fence);
        let mut n_dropped = 0;
        for draft in &mut self.old {
            let n_unhealthy = draft.size() - available(&draft.set);
            let n = n_unhealthy.min(n_max - n_dropped);
            if draft.size() > 0 && n > 0 {
                draft.scale(draft.size() - n, wanted, fence);
                n_dropped += n;
            }
        }
        n_dropped
    }

    fn drop_healthy(&mut self) -> i32 {
        let (wanted, fence) = (self.wanted, self.fence);
        let n_serving: i32 = self.all().map(Draft::n_serving).sum();
        let n_max = n_serving - (wanted - fence.unavailable);
        let mut n_dropped = 0;
        for draft in &mut self.old {
            let n = draft.size().min(n_max - n_dropped);
            if n > 0 {
                draft.scale(draft.size() - n, wanted, fence);
                n_dropped += n;
            }
        }
        n_dropped
    }

    fn clean_up_when_complete(&mut self) {
        if self.view.deployment.status.as_ref().is_some_and(|status| is_complete(self.view.deployment, status)) {
            self.clean_up();
        }
    }

    /// Deletes empty old sets beyond the history limit, the oldest revisions first.
    fn clean_up(&mut self) {
        let limit = self.view.deployment.spec.revision_history_limit;
        let Some(limit) = limit.filter(|limit| *limit != i32::MAX) else { return };
        let is_alive = |draft: &&Draft| draft.set.metadata.deletion_timestamp.is_none();
        let mut alive: Vec<&Draft> = self.old.iter().filter(is_alive).collect();
        let n_beyond = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        alive.sort_by_key(|draft| (revision::number(&draft.set), created(&draft.set)));
        let beyond = alive.into_iter().take(n_beyond).filter(|draft| draft.is_empty());
        self.delete = beyond.filter_map(|draft| draft.current.clone()).collect();
    }

    fn finish(self, judge: Judge) -> Plan {
        let view = self.view;
        let new = self.new.as_ref().map(|draft| &draft.set);
        let old = self.old.iter().map(|draft| &draft.set).collect();
        let subject = Subject { deployment: view.deployment, new, old, now: view.now };
        let status = subject.status(self.conditions.clone(), judge);
        let next_look = subject.next_look(&status).filter(|_| judge == Judge::Progress);
        let number = new.map(|set| revision::number(set).to_string());
        let noted = view.deployment.metadata.annotations.as_ref().and_then(|noted| noted.get(revision::REVISION));
        let revision = number.filter(|number| Some(number) != noted);
        let mut plan = Plan { create: None, update: Vec::new(), delete: self.delete, revision, status, next_look };
        for draft in self.new.into_iter().chain(self.old) {
            let scaling = Scaling { set: draft.set, event: draft.event };
            match draft.current {
                None => plan.create = Some(scaling),
                Some(current) if *current != scaling.set => plan.update.push(scaling),
                Some(_) => {}
            }
        }
        plan
    }
}

impl Draft {
    fn size(&self) -> i32 {
        spec_replicas(&self.set)
    }

    /// Available pods that are to stay: those that the set was told to give up already are not counted on.
    fn n_serving(&self) -> i32 {
        available(&self.set).min(self.size())
    }

    /// The older, the less.
    fn age(&self) -> (Option<Timestamp>, Option<String>) {
        (created(&self.set), self.set.metadata.name.clone())
    }

    /// A set that has its size already keeps what is noted on it.
    fn scale(&mut self, size: i32, wanted: i32, fence: Fence) {
        if size != self.size() {
            self.scale_and_note(size, wanted, fence);
        }
    }

    fn scale_and_note(&mut self, size: i32, wanted: i32, fence: Fence) {
        let before = self.size();
        revision::note_sizes(&mut self.set, wanted, wanted + fence.surge);
        if size != before {
            let current = self.current.as_deref().map_or(before, spec_replicas);
            let direction = if size > current { "up" } else { "down" };
            let set_name = name(&self.set);
            self.event = Some(format!("Scaled {direction} replica set {set_name} from {current} to {size}"));
            resize_to(&mut self.set, size);
        }
    }

    /// What the set says is of its present size.
    fn is_observed(&self) -> bool {
        let observed = self.set.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
        self.set.metadata.generation.unwrap_or(0) <= observed
    }

    /// Neither has pods nor wants any, and the set knows it.
    fn is_empty(&self) -> bool {
        self.size() == 0 && actual(&self.set) == 0 && self.is_observed()
    }
}

fn fresh_set(deployment: &Deployment) -> ReplicaSet {
    let spec = deployment.spec.clone();
    let collision_count = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = revision::template_hash(&spec.template, collision_count);
    let (mut template, mut selector) = (spec.template, spec.selector);
    let template_meta = template.metadata.get_or_insert_default();
    template_meta.labels.get_or_insert_default().insert(revision::TEMPLATE_HASH.to_owned(), hash.clone());
    selector.match_labels.get_or_insert_default().insert(revision::TEMPLATE_HASH.to_owned(), hash.clone());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default())),
            namespace: deployment.metadata.namespace.clone(),
            owner_references: Some(vec![owners::reference_to(deployment)]),
            labels: template_meta.labels.clone(),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        },
        status: None,
    }
}

/// All wanted pods are there, available, and were wanted by this size.
fn is_saturated(set: &ReplicaSet, wanted: i32) -> bool {
    spec_replicas(set) == wanted && revision::desired(set) == Some(wanted) && available(set) == wanted
}

fn resize_to(set: &mut ReplicaSet, size: i32) {
    set.spec.replicas = Some(size);
}

fn created(set: &ReplicaSet) -> Option<Timestamp> {
    set.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn name(set: &ReplicaSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
