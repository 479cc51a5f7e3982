//! The conditions of a Deployment, with their reasons and texts.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) const AVAILABLE: &str = "Available";
pub(super) const PROGRESSING: &str = "Progressing";
pub(super) const REPLICA_FAILURE: &str = "ReplicaFailure";

pub(super) const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(super) const PAUSED: &str = "DeploymentPaused";

/// What a condition says.
pub(super) struct Said {
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

pub(super) fn said(status: &'static str, reason: &'static str, message: impl Into<String>) -> Said {
    Said { status, reason, message: message.into() }
}

/// A deployment's conditions, as they change in the course of one plan.
#[derive(Clone, Debug)]
pub(super) struct Conditions(pub(super) Vec<DeploymentCondition>);

impl Conditions {
    pub(super) fn get(&self, condition_type: &str) -> Option<&DeploymentCondition> {
        self.0.iter().find(|condition| condition.type_.as_deref() == Some(condition_type))
    }

    pub(super) fn remove(&mut self, condition_type: &str) {
        self.0.retain(|condition| condition.type_.as_deref() != Some(condition_type));
    }

    /// Sets the condition, unless it has this status and reason already.
    pub(super) fn set(&mut self, condition_type: &str, said: Said, now: Timestamp) {
        let known = self.get(condition_type);
        if known.is_some_and(|known| {
            known.status.as_deref() == Some(said.status) && known.reason.as_deref() == Some(said.reason)
        }) {
            return;
        }
        self.renew(condition_type, said, now);
    }

    /// Sets the condition and its time of update, whatever it was.
    pub(super) fn renew(&mut self, condition_type: &str, said: Said, now: Timestamp) {
        let known = self.get(condition_type).filter(|known| known.status.as_deref() == Some(said.status));
        let last_transition_time = known.map_or(Some(Time(now)), |known| known.last_transition_time.clone());
        self.remove(condition_type);
        self.0.push(DeploymentCondition {
            type_: Some(condition_type.to_owned()),
            status: Some(said.status.to_owned()),
            reason: Some(said.reason.to_owned()),
            message: Some(said.message),
            last_update_time: Some(Time(now)),
            last_transition_time,
        });
    }

    /// Takes over what a set complains of: the new set's complaint before those of old ones.
    pub(super) fn set_failure_of<'a>(&mut self, sets: impl Iterator<Item = &'a ReplicaSet>) {
        let Some(failure) = sets.filter_map(failure).next() else { return self.remove(REPLICA_FAILURE) };
        let known = self.get(REPLICA_FAILURE);
        if known.is_some_and(|known| known.status == failure.status && known.reason == failure.reason) {
            return;
        }
        self.remove(REPLICA_FAILURE);
        self.0.push(DeploymentCondition {
            type_: failure.type_.clone(),
            status: failure.status.clone(),
            reason: failure.reason.clone(),
            message: failure.message.clone(),
            last_update_time: failure.last_transition_time.clone(),
            last_transition_time: failure.last_transition_time.clone(),
        });
    }
}

fn failure(set: &ReplicaSet) -> Option<&ReplicaSetCondition> {
    let conditions = set.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_.as_deref() == Some(REPLICA_FAILURE))
}

/// The time by which progress must show, in seconds; `None` when there is no deadline.
pub(super) fn deadline_seconds(deployment: &Deployment) -> Option<i32> {
    deployment.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
}

/// The status of a deployment whose new set was refused; `None` when there is no deadline whose clock would tell.
pub(super) fn create_failed(deployment: &Deployment, message: String, now: Timestamp) -> Option<DeploymentStatus> {
    deadline_seconds(deployment)?;
    let mut status = deployment.status.clone().unwrap_or_default();
    let mut conditions = Conditions(status.conditions.take().unwrap_or_default());
    conditions.set(PROGRESSING, said("False", "ReplicaSetCreateError", message), now);
    status.conditions = Some(conditions.0);
    Some(status)
}
