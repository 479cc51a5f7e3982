//! The selectors by which workloads know their pods.

use coracle_api::selector::Selector;
use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::labels;

pub(crate) fn selector_of_stateful_set(set: &StatefulSet) -> Selector {
    labels::selector(&set.spec.selector)
}

pub(crate) fn selector_of_daemon_set(set: &DaemonSet) -> Selector {
    labels::selector(&set.spec.selector)
}

pub(crate) fn selector_of_job(job: &Job) -> Selector {
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.map_or_else(Selector::nothing, labels::selector)
}

/// An empty selector selects everything; none selects nothing.
pub(crate) fn selector_of_budget(budget: &PodDisruptionBudget) -> Selector {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.map_or_else(Selector::nothing, labels::selector)
}
