//! The loop's look at one budget in a simulated world, and an eviction as the API grants it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};

use super::plan::{self, View};
use crate::selectors_of::selector_of_budget;
use crate::simulation::{Refusal, World, of_app};
use crate::{labels, owners};

pub(crate) fn look(world: &mut World, name: &str) -> Result<(), Refusal> {
    let Some(budget) = world.budgets.seen(name) else { return Ok(()) };
    let selector = selector_of_budget(&budget);
    // A budget of a simulation has the name of its app.
    let mut pods = world.pods.seen_marked(&of_app(name));
    pods.retain(|pod| labels::matches(&selector, pod.metadata.labels.as_ref()));
    let scale = |owner: &OwnerReference| scale(world, owner);
    let status = plan::plan(&View { budget: &budget, pods: &pods, scale: &scale, now: world.now }).status;
    if budget.status.as_ref() != Some(&status) {
        world.replace(PodDisruptionBudget { status: Some(status), ..(*budget).clone() })?;
    }
    Ok(())
}

fn scale(world: &World, owner: &OwnerReference) -> Option<(String, i32)> {
    let set = world.replica_sets.seen(&owner.name)?;
    let above = owners::controller_of(&set.metadata)?;
    let deployment = world.deployments.seen(&above.name)?;
    Some((deployment.metadata.uid.clone()?, deployment.spec.replicas.unwrap_or(1)))
}

/// How many pods must stay healthy, as the budget's status says.
pub(crate) fn n_healthy_wanted(budget: &PodDisruptionBudget) -> i32 {
    budget.status.as_ref().and_then(|status| status.desired_healthy).unwrap_or(0)
}

/// Ends the pod, if its budget grants that; true when it does.
pub(crate) fn evict(world: &mut World, pod: &Pod) -> bool {
    let selects =
        |budget: &&Arc<PodDisruptionBudget>| labels::matches(&selector_of_budget(budget), pod.metadata.labels.as_ref());
    let found = world.budgets.all_actual().find(selects).cloned();
    if let Some(budget) = found {
        let mut budget = (*budget).clone();
        let generation = budget.metadata.generation;
        let Some(status) = budget.status.as_mut().filter(|status| status.observed_generation == generation) else {
            return false;
        };
        let n_allowed = status.disruptions_allowed.unwrap_or(0);
        if n_allowed < 1 {
            return false;
        }
        status.disruptions_allowed = Some(n_allowed - 1);
        let name = pod.metadata.name.clone().unwrap();
        status.disrupted_pods.get_or_insert_default().insert(name, Time(world.now));
        world.put(budget);
    }
    world.taken.extend(world.pods.actual(pod.metadata.name.as_deref().unwrap()));
    world.end::<Pod>(&pod.metadata, !crate::pods::node_name(pod).is_empty()).is_ok()
}
