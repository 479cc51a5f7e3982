//! Decides how many pods a ReplicaSet lacks, or which it gives up.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::{counts, rank};
use crate::template;

/// Pods that one reconcile creates or deletes at most.
const BURST_MAX: usize = 500;

/// The world as the set sees it.
pub(super) struct View<'a> {
    pub(super) set: &'a ReplicaSet,
    /// Every pod of the set, also those that finished or are being deleted.
    pub(super) owned: &'a [Arc<Pod>],
    /// Every pod of the set and of its siblings.
    pub(super) related: Vec<Arc<Pod>>,
    pub(super) now: Timestamp,
}

impl View<'_> {
    pub(super) fn wanted(&self) -> usize {
        let replicas = self.set.spec.replicas.unwrap_or(1);
        usize::try_from(replicas).unwrap_or(0)
    }

    pub(super) fn active(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.owned.iter().filter(|pod| counts(pod))
    }
}

/// What is to be done. The default is nothing.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) n_create: usize,
    pub(super) delete: Vec<Arc<Pod>>,
}

pub(super) fn plan(view: &View<'_>) -> Plan {
    if view.set.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let (n_active, n_wanted) = (view.active().count(), view.wanted());
    let n_create = n_wanted.saturating_sub(n_active).min(BURST_MAX);
    let n_delete = n_active.saturating_sub(n_wanted).min(BURST_MAX);
    Plan { n_create, delete: rank::first_to_go(view, n_delete) }
}

/// A pod of this set, yet to be created.
pub(super) fn pod_of(set: &ReplicaSet, owner: OwnerReference) -> Pod {
    let template = set.spec.template.clone().unwrap_or_default();
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    template::pod(&template, namespace, set.metadata.name.as_deref().unwrap_or_default(), owner)
}

#[cfg(test)]
mod tests;
