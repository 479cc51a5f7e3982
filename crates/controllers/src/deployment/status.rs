//! What a Deployment's status says of its sets, and whether that is progress.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};

use super::conditions::{self, AVAILABLE, Conditions, NEW_SET_AVAILABLE, PROGRESSING, TIMED_OUT, said};
use super::scale;

/// Slack for a look at the deadline, so that it is past by then.
const DEADLINE_SLACK: Duration = Duration::from_secs(1);

/// Whether the plan was part of a rollout, whose progress is to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    Progress,
    Nothing,
}

pub(super) struct Subject<'a> {
    pub(super) deployment: &'a Deployment,
    /// The newest first, if it exists.
    pub(super) new: Option<&'a ReplicaSet>,
    pub(super) old: Vec<&'a ReplicaSet>,
    pub(super) now: Timestamp,
}

pub(super) fn spec_replicas(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

fn ready(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

fn ending(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.terminating_replicas).unwrap_or(0)
}

/// These counts are left out when they are zero.
fn shown(n: i32) -> Option<i32> {
    (n > 0).then_some(n)
}

/// True when every wanted pod is of the newest template and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = scale::replicas(deployment);
    let is_observed = status.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0);
    let all = [status.updated_replicas, status.replicas, status.available_replicas];
    all.iter().all(|count| count.unwrap_or(0) == wanted) && is_observed
}

impl Subject<'_> {
    fn sum(&self, count: impl Fn(&ReplicaSet) -> i32) -> i32 {
        self.new.iter().chain(&self.old).map(|set| count(set)).sum()
    }

    /// The status of the deployment; `conditions` are those that the plan has set so far.
    pub(super) fn status(&self, conditions: Conditions, judge: Judge) -> DeploymentStatus {
        let n_available = self.sum(available);
        let mut status = DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: shown(self.sum(actual)),
            updated_replicas: shown(self.new.map_or(0, actual)),
            ready_replicas: shown(self.sum(ready)),
            available_replicas: shown(n_available),
            unavailable_replicas: shown(self.sum(spec_replicas) - n_available),
            terminating_replicas: Some(self.sum(ending)),
            collision_count: self.deployment.status.as_ref().and_then(|status| status.collision_count),
            conditions: None,
        };
        let mut conditions = conditions;
        self.judge_availability(&mut conditions, n_available);
        if judge == Judge::Progress {
            self.judge_progress(&mut conditions, &status);
            conditions.set_failure_of(self.new.iter().chain(&self.old).copied());
        }
        status.conditions = Some(conditions.0).filter(|conditions| !conditions.is_empty());
        status
    }

    fn judge_availability(&self, conditions: &mut Conditions, n_available: i32) {
        let min_available = scale::replicas(self.deployment) - scale::fence(self.deployment).unavailable;
        let judged = if n_available >= min_available {
            said("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            said("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        conditions.set(AVAILABLE, judged, self.now);
    }

    fn judge_progress(&self, conditions: &mut Conditions, status: &DeploymentStatus) {
        let Some(deadline) = conditions::deadline_seconds(self.deployment) else {
            return conditions.remove(PROGRESSING);
        };
        let current = conditions.get(PROGRESSING).cloned();
        let is_settled = status.replicas == status.updated_replicas
            && current.as_ref().and_then(|current| current.reason.as_deref()) == Some(NEW_SET_AVAILABLE);
        if is_settled {
            return;
        }
        if is_complete(self.deployment, status) {
            let text = self.text("has successfully progressed.");
            conditions.set(PROGRESSING, said("True", NEW_SET_AVAILABLE, text), self.now);
        } else if self.is_progressing(status) {
            conditions.renew(PROGRESSING, said("True", "ReplicaSetUpdated", self.text("is progressing.")), self.now);
        } else if current.is_some_and(|current| self.is_overdue(&current, deadline)) {
            let text = self.text("has timed out progressing.");
            conditions.set(PROGRESSING, said("False", TIMED_OUT, text), self.now);
        }
    }

    fn text(&self, what: &str) -> String {
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        match self.new {
            Some(set) => format!("ReplicaSet \"{}\" {what}", name(&set.metadata.name)),
            None => format!("Deployment \"{}\" {what}", name(&self.deployment.metadata.name)),
        }
    }

    /// More new pods, fewer old ones, or more that are ready or available.
    fn is_progressing(&self, status: &DeploymentStatus) -> bool {
        let before = self.deployment.status.clone().unwrap_or_default();
        let old = |status: &DeploymentStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
        status.updated_replicas > before.updated_replicas
            || old(status) < old(&before)
            || status.ready_replicas > before.ready_replicas
            || status.available_replicas > before.available_replicas
    }

    fn is_overdue(&self, current: &k8s_openapi::api::apps::v1::DeploymentCondition, deadline: i32) -> bool {
        match current.reason.as_deref() {
            Some(NEW_SET_AVAILABLE) => false,
            Some(TIMED_OUT) => true,
            _ => current.last_update_time.as_ref().is_some_and(|from| due(from.0, deadline) < self.now),
        }
    }

    /// When lack of progress is to be judged again, though nothing changes.
    pub(super) fn next_look(&self, status: &DeploymentStatus) -> Option<Duration> {
        let deadline = conditions::deadline_seconds(self.deployment)?;
        let current =
            status.conditions.iter().flatten().find(|condition| condition.type_.as_deref() == Some(PROGRESSING))?;
        if is_complete(self.deployment, status)
            || matches!(current.reason.as_deref(), Some(TIMED_OUT | NEW_SET_AVAILABLE))
        {
            return None;
        }
        let left = due(current.last_update_time.as_ref()?.0, deadline).duration_since(self.now);
        Some(Duration::try_from(left).unwrap_or_default() + DEADLINE_SLACK)
    }
}

fn due(from: Timestamp, deadline_seconds: i32) -> Timestamp {
    from + Duration::from_secs(u64::try_from(deadline_seconds).unwrap_or(0))
}
