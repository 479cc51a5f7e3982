//! Keeps the status of disruption budgets, from which evictions learn whether they may happen.

mod plan;
#[cfg(test)]
pub(crate) mod simulated;
pub(crate) mod stale;

use std::sync::Arc;

use coracle_client::{Change, EventType, Informer, Key, Recorder};
use coracle_stdx::Clock;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::{Api, Client};

use self::plan::{Plan, View};
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;
use crate::selectors_of::selector_of_budget;
use crate::{Error, labels, owners};

pub(crate) struct Budgets {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
}

/// The budgets that select a pod, before or after its change.
pub(crate) fn keys_of_pod(budgets: &Informer<PodDisruptionBudget>, change: &Change<Pod>) -> Vec<Key> {
    let all = budgets.in_namespace(&change.key.namespace);
    let selects = |budget: &&Arc<PodDisruptionBudget>| {
        let selector = selector_of_budget(budget);
        let pods = [&change.old, &change.new].into_iter().flatten();
        pods.into_iter().any(|pod| labels::matches(&selector, pod.metadata.labels.as_ref()))
    };
    all.iter().filter(selects).map(|budget| Key::of(&budget.metadata)).collect()
}

/// Every budget of the namespace: something that manages pods has another size.
pub(crate) fn keys_of_owner<K>(budgets: &Informer<PodDisruptionBudget>, change: &Change<K>) -> Vec<Key> {
    budgets.in_namespace(&change.key.namespace).iter().map(|budget| Key::of(&budget.metadata)).collect()
}

impl Reconcile for Budgets {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let found = self.informers.disruption_budgets.get(&key.namespace, &key.name);
        let Some(budget) = found else { return Ok(Next::Change) };
        let pods = self.informers.selected_pods(&key.namespace, &selector_of_budget(&budget));
        let scale = |owner: &OwnerReference| self.scale(&key.namespace, owner);
        let view = View { budget: &budget, pods: &pods, scale: &scale, now: self.clock.now() };
        let plan = plan::plan(&view);
        self.tell(&budget, &pods, &plan);
        let Plan { status, next_look, .. } = plan;
        if budget.status.as_ref() != Some(&status) {
            self.write_status(key, &budget, status).await?;
        }
        Ok(next_look.into())
    }
}

impl Budgets {
    /// A ReplicaSet's own owner decides how many there should be.
    fn scale(&self, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
        let Informers { replica_sets, deployments, stateful_sets, replication_controllers, .. } = &*self.informers;
        let of = |replicas: Option<i32>| Some((owner.uid.clone(), replicas.unwrap_or(1)));
        match owner.kind.as_str() {
            "ReplicaSet" => {
                let set = replica_sets.get(namespace, &owner.name)?;
                let above = owners::controller_of(&set.metadata).filter(|above| above.kind == "Deployment");
                let deployment = above.and_then(|above| deployments.get(namespace, &above.name));
                match deployment {
                    Some(deployment) => Some((deployment.metadata.uid.clone()?, deployment.spec.replicas.unwrap_or(1))),
                    None => of(set.spec.replicas),
                }
            }
            "StatefulSet" => of(stateful_sets.get(namespace, &owner.name)?.spec.replicas),
            "ReplicationController" => {
                let controller = replication_controllers.get(namespace, &owner.name)?;
                of(controller.spec.as_ref().and_then(|spec| spec.replicas))
            }
            _ => None,
        }
    }

    fn tell(&self, budget: &PodDisruptionBudget, pods: &[Arc<Pod>], plan: &Plan) {
        if pods.is_empty() {
            self.recorder.event(budget, EventType::Normal, "NoPods", "No matching pods found");
        }
        if let Some(why) = &plan.failure {
            let text = format!("Failed to calculate the number of expected pods: {why}");
            self.recorder.event(budget, EventType::Warning, "CalculateExpectedPodCountFailed", text);
        }
        if plan.has_unmanaged {
            let selector = selector_of_budget(budget);
            let text = format!(
                "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, \
                 the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account \
                 for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
            );
            self.recorder.event(budget, EventType::Warning, "UnmanagedPods", text);
        }
        for pod in &plan.not_deleted {
            let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
            let text = format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't");
            self.recorder.event(&**pod, EventType::Warning, "NotDeleted", text);
        }
    }

    async fn write_status(
        &self,
        key: &Key,
        budget: &PodDisruptionBudget,
        status: PodDisruptionBudgetStatus,
    ) -> Result<(), Error> {
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), &key.namespace);
        let budget = PodDisruptionBudget { status: Some(status), ..budget.clone() };
        let written = api.replace_status(&key.name, &PostParams::default(), &budget).await;
        written.unless_gone().map_err(Error::at("write status of", key.clone()))?;
        Ok(())
    }
}
