//! Works out how many pods of a budget may be disrupted now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::proportion::{Rounding, scaled};
use crate::{owners, pods};

/// An eviction that has not led to a deletion by then has come to nothing.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);
const ALLOWED: &str = "DisruptionAllowed";

/// The world as the budget sees it.
pub(super) struct View<'a> {
    pub(super) budget: &'a PodDisruptionBudget,
    /// The pods that it selects.
    pub(super) pods: &'a [Arc<Pod>],
    /// The identity and the size of what manages a pod, or of what manages that.
    pub(super) scale: &'a (dyn Fn(&OwnerReference) -> Option<(String, i32)> + Sync),
    pub(super) now: Timestamp,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) status: PodDisruptionBudgetStatus,
    /// Pods were found that nothing manages, where a share of the managed is asked for.
    pub(super) has_unmanaged: bool,
    /// Why the numbers could not be worked out.
    pub(super) failure: Option<String>,
    /// Pods whose eviction has come to nothing.
    pub(super) not_deleted: Vec<Arc<Pod>>,
    pub(super) next_look: Option<Duration>,
}

/// How many pods there should be, and how many of them healthy.
struct Expected {
    n_pods: i32,
    n_healthy: i32,
    has_unmanaged: bool,
}

pub(super) fn plan(view: &View<'_>) -> Plan {
    let before = view.budget.status.clone().unwrap_or_default();
    let mut plan =
        Plan { status: before, has_unmanaged: false, failure: None, not_deleted: Vec::new(), next_look: None };
    match expected(view) {
        Ok(expected) => fill(view, &expected, &mut plan),
        Err(why) => {
            plan.status.disruptions_allowed = Some(0);
            say(view, &mut plan.status, "SyncFailed", &why);
            plan.failure = Some(why);
        }
    }
    plan
}

fn fill(view: &View<'_>, expected: &Expected, plan: &mut Plan) {
    let disrupted = disrupted(view, plan);
    let is_healthy = |pod: &&Arc<Pod>| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        !pods::is_ending(pod) && !disrupted.contains_key(name) && pods::is_ready(pod)
    };
    let n_healthy = i32::try_from(view.pods.iter().filter(is_healthy).count()).unwrap_or(i32::MAX);
    let n_allowed = if expected.n_pods > 0 { (n_healthy - expected.n_healthy).max(0) } else { 0 };
    plan.has_unmanaged = expected.has_unmanaged;
    let status = &mut plan.status;
    status.current_healthy = Some(n_healthy);
    status.desired_healthy = Some(expected.n_healthy);
    status.expected_pods = Some(expected.n_pods);
    status.disruptions_allowed = Some(n_allowed);
    status.disrupted_pods = Some(disrupted).filter(|pods| !pods.is_empty());
    status.observed_generation = view.budget.metadata.generation;
    say(view, status, if n_allowed > 0 { "SufficientPods" } else { "InsufficientPods" }, "");
}

fn expected(view: &View<'_>) -> Result<Expected, String> {
    let spec = view.budget.spec.as_ref();
    let n_selected = i32::try_from(view.pods.len()).unwrap_or(i32::MAX);
    if let Some(max) = spec.and_then(|spec| spec.max_unavailable.as_ref()) {
        let (n_pods, has_unmanaged) = managed(view)?;
        let n_healthy = (n_pods - scaled(max, n_pods, Rounding::Up)).max(0);
        return Ok(Expected { n_pods, n_healthy, has_unmanaged });
    }
    match spec.and_then(|spec| spec.min_available.as_ref()) {
        Some(IntOrString::Int(min)) => Ok(Expected { n_pods: n_selected, n_healthy: *min, has_unmanaged: false }),
        Some(percent) => {
            let (n_pods, has_unmanaged) = managed(view)?;
            Ok(Expected { n_pods, n_healthy: scaled(percent, n_pods, Rounding::Up), has_unmanaged })
        }
        None => Ok(Expected { n_pods: 0, n_healthy: 0, has_unmanaged: false }),
    }
}

/// The sizes of everything that manages one of the pods, and whether a pod has nobody.
fn managed(view: &View<'_>) -> Result<(i32, bool), String> {
    let (mut scales, mut has_unmanaged) = (BTreeMap::new(), false);
    for pod in view.pods {
        let Some(owner) = owners::controller_of(&pod.metadata) else {
            has_unmanaged = true;
            continue;
        };
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let (uid, scale) = (view.scale)(owner).ok_or_else(|| format!("found no controllers for pod \"{name}\""))?;
        scales.insert(uid, scale);
    }
    Ok((scales.values().sum(), has_unmanaged))
}

/// Evicted pods that are about to go.
fn disrupted(view: &View<'_>, plan: &mut Plan) -> BTreeMap<String, Time> {
    let before = plan.status.disrupted_pods.take().unwrap_or_default();
    let mut disrupted = BTreeMap::new();
    for pod in view.pods.iter().filter(|pod| !pods::is_ending(pod)) {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let Some(time) = before.get(&name) else { continue };
        let left = (time.0 + DELETION_TIMEOUT).duration_since(view.now);
        if left.is_negative() {
            plan.not_deleted.push(pod.clone());
            continue;
        }
        let left = Duration::try_from(left).unwrap_or(Duration::ZERO) + Duration::from_secs(1);
        plan.next_look = Some(plan.next_look.map_or(left, |known| known.min(left)));
        disrupted.insert(name, time.clone());
    }
    disrupted
}

fn say(view: &View<'_>, status: &mut PodDisruptionBudgetStatus, reason: &str, message: &str) {
    let conditions = status.conditions.get_or_insert_default();
    let value = if reason == "SufficientPods" { "True" } else { "False" };
    let known = conditions.iter().find(|condition| condition.type_ == ALLOWED && condition.status == value);
    let last_transition_time = known.map_or(Time(view.now), |known| known.last_transition_time.clone());
    let said = Condition {
        type_: ALLOWED.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: status.observed_generation,
        last_transition_time,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == ALLOWED) {
        Some(condition) => *condition = said,
        None => conditions.push(said),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn budget(spec: Value, disrupted: Value) -> PodDisruptionBudget {
        serde_json::from_value(json!({"metadata": {"name": "b", "generation": 3}, "spec": spec,
            "status": {"disruptedPods": disrupted}}))
        .unwrap()
    }

    fn pod(name: &str, ready: bool, owner: Option<&str>) -> Arc<Pod> {
        let owners: Vec<Value> = owner
            .map(|uid| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": uid, "uid": uid, "controller": true}))
            .into_iter()
            .collect();
        let status = if ready { "True" } else { "False" };
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": owners},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}}))
            .unwrap(),
        )
    }

    fn of(budget: &PodDisruptionBudget, pods: &[Arc<Pod>]) -> Plan {
        let scale = |owner: &OwnerReference| (owner.uid != "odd").then(|| (owner.uid.clone(), 4));
        let now = Timestamp::from_second(1000).unwrap();
        plan(&View { budget, pods, scale: &scale, now })
    }

    #[test]
    fn a_budget_counts_what_is_healthy_against_what_should_be() {
        let pods = [pod("a", true, Some("r")), pod("b", true, Some("r")), pod("c", false, Some("r"))];
        let table = [
            (json!({"minAvailable": 1}), 3, 1, 1),
            (json!({"minAvailable": 2}), 3, 2, 0),
            (json!({"minAvailable": "50%"}), 4, 2, 0),
            (json!({"maxUnavailable": 3}), 4, 1, 1),
            (json!({"maxUnavailable": "30%"}), 4, 2, 0),
            (json!({"maxUnavailable": 9}), 4, 0, 2),
        ];
        for (spec, n_pods, n_healthy, n_allowed) in table {
            let status = of(&budget(spec.clone(), json!({})), &pods).status;
            let numbers = (status.expected_pods, status.desired_healthy, status.disruptions_allowed);
            assert_eq!(numbers, (Some(n_pods), Some(n_healthy), Some(n_allowed)), "{spec}");
            assert_eq!((status.current_healthy, status.observed_generation), (Some(2), Some(3)));
            let condition = &status.conditions.unwrap()[0];
            let reason = if n_allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
            assert_eq!(condition.reason, reason, "{spec}");
        }
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        assert_eq!(of(&budget(json!({"minAvailable": 0}), json!({})), &[]).status.disruptions_allowed, Some(0));
    }

    #[test]
    fn an_evicted_pod_does_not_count_until_its_time_is_over() {
        let pods = [pod("a", true, Some("r")), pod("b", true, Some("r")), pod("c", true, Some("r"))];
        let evicted = json!({"a": "1970-01-01T00:15:00Z", "b": "1970-01-01T00:01:00Z", "x": "1970-01-01T00:15:00Z"});
        let plan = of(&budget(json!({"minAvailable": 1}), evicted), &pods);
        assert_eq!(plan.status.current_healthy, Some(2));
        assert_eq!(plan.status.disrupted_pods.unwrap().len(), 1);
        assert_eq!((plan.not_deleted.len(), plan.next_look.unwrap().as_secs()), (1, 21));
    }

    #[test]
    fn a_share_needs_somebody_who_knows_the_whole() {
        let odd = of(&budget(json!({"maxUnavailable": 1}), json!({})), &[pod("a", true, Some("odd"))]);
        assert_eq!(odd.failure.as_deref(), Some("found no controllers for pod \"a\""));
        assert_eq!(odd.status.conditions.unwrap()[0].reason, "SyncFailed");
        let alone = of(&budget(json!({"maxUnavailable": 1}), json!({})), &[pod("a", true, None)]);
        assert!(alone.has_unmanaged && alone.failure.is_none());
    }
}
