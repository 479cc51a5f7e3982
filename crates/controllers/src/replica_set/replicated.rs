//! The two kinds that keep pods by number alone, one read as the other.

use std::borrow::Cow;

use coracle_api::selector::Selector;
use coracle_client::Cached;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    ReplicationController, ReplicationControllerCondition, ReplicationControllerSpec, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use kube::core::NamespaceResourceScope;

use crate::labels;

/// A kind that is decided about as a ReplicaSet is.
pub(crate) trait Replicated:
    Cached<DynamicType = ()> + Resource<DynamicType = (), Scope = NamespaceResourceScope> + serde::Serialize
{
    const KIND: &'static str;

    fn selector(&self) -> Selector;

    fn as_set(&self) -> Cow<'_, ReplicaSet>;

    fn with_status(&self, status: ReplicaSetStatus) -> Self;

    /// True when the object says this already.
    fn has_status(&self, status: &ReplicaSetStatus) -> bool;
}

impl Replicated for ReplicaSet {
    const KIND: &'static str = "ReplicaSet";

    fn selector(&self) -> Selector {
        labels::selector(&self.spec.selector)
    }

    fn as_set(&self) -> Cow<'_, ReplicaSet> {
        Cow::Borrowed(self)
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self { status: Some(status), ..self.clone() }
    }

    fn has_status(&self, status: &ReplicaSetStatus) -> bool {
        self.status.as_ref() == Some(status)
    }
}

impl Replicated for ReplicationController {
    const KIND: &'static str = "ReplicationController";

    fn selector(&self) -> Selector {
        let selector = self.spec.as_ref().and_then(|spec| spec.selector.as_ref()).filter(|labels| !labels.is_empty());
        selector.map_or_else(Selector::nothing, labels::selector_of_labels)
    }

    fn as_set(&self) -> Cow<'_, ReplicaSet> {
        let ReplicationControllerSpec { min_ready_seconds, replicas, selector, template } =
            self.spec.clone().unwrap_or_default();
        let selector = LabelSelector { match_labels: selector, match_expressions: None };
        let spec = ReplicaSetSpec { min_ready_seconds, replicas, selector, template };
        let status = self.status.clone().map(set_status);
        Cow::Owned(ReplicaSet { metadata: self.metadata.clone(), spec, status })
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self { status: Some(own_status(status)), ..self.clone() }
    }

    fn has_status(&self, status: &ReplicaSetStatus) -> bool {
        self.status == Some(own_status(status.clone()))
    }
}

fn set_status(status: ReplicationControllerStatus) -> ReplicaSetStatus {
    let conditions = status.conditions.map(|conditions| {
        let as_set = |c: ReplicationControllerCondition| ReplicaSetCondition {
            type_: Some(c.type_),
            status: Some(c.status),
            reason: c.reason,
            message: c.message,
            last_transition_time: c.last_transition_time,
        };
        conditions.into_iter().map(as_set).collect()
    });
    ReplicaSetStatus {
        replicas: status.replicas,
        fully_labeled_replicas: status.fully_labeled_replicas,
        ready_replicas: status.ready_replicas,
        available_replicas: status.available_replicas,
        observed_generation: status.observed_generation,
        terminating_replicas: None,
        conditions,
    }
}

fn own_status(status: ReplicaSetStatus) -> ReplicationControllerStatus {
    let conditions = status.conditions.map(|conditions| {
        let own = |c: ReplicaSetCondition| ReplicationControllerCondition {
            type_: c.type_.unwrap_or_default(),
            status: c.status.unwrap_or_default(),
            reason: c.reason,
            message: c.message,
            last_transition_time: c.last_transition_time,
        };
        conditions.into_iter().map(own).collect()
    });
    ReplicationControllerStatus {
        replicas: status.replicas,
        fully_labeled_replicas: status.fully_labeled_replicas,
        ready_replicas: status.ready_replicas,
        available_replicas: status.available_replicas,
        observed_generation: status.observed_generation,
        conditions,
    }
}

#[cfg(test)]
mod tests;
