//! Brings a Deployment's ReplicaSets to its template and size, step by step. It never touches a pod.

mod conditions;
mod plan;
mod revision;
mod scale;
#[cfg(test)]
pub(crate) mod simulated;
mod status;

use std::sync::Arc;

use coracle_client::{Change, EventType, Informer, Key, Recorder, is_already_exists};
use coracle_stdx::Clock;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;

use self::plan::{Plan, Scaling, View};
pub(crate) use self::revision::template_hash;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{BY_CONTROLLER, Informers};
use crate::outstanding::{Doubt, Outstanding};
use crate::{Error, labels, owners, pods, template};

pub(crate) struct Deployments {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    /// Written ReplicaSets.
    pub(crate) sets_written: Outstanding,
    /// Written Deployments: mostly status.
    pub(crate) self_written: Outstanding,
}

/// The deployments that a change of a ReplicaSet concerns.
pub(crate) fn keys_of_set(deployments: &Informer<Deployment>, change: &Change<ReplicaSet>) -> Vec<Key> {
    let owner = |set: &Option<Arc<ReplicaSet>>| owners::controller_key(&set.as_ref()?.metadata, "Deployment");
    let mut keys: Vec<Key> = owner(&change.old).into_iter().chain(owner(&change.new)).collect();
    keys.dedup();
    if let Some(set) = change.new.as_ref().filter(|set| owners::controller_of(&set.metadata).is_none()) {
        let all = deployments.in_namespace(&change.key.namespace);
        let could_adopt = |deployment: &&Arc<Deployment>| {
            labels::matches(&labels::selector(&deployment.spec.selector), set.metadata.labels.as_ref())
        };
        keys.extend(all.iter().filter(could_adopt).map(|deployment| Key::of(&deployment.metadata)));
    }
    keys
}

/// The deployment that waits for a pod to be gone before it makes new ones.
pub(crate) fn keys_of_pod(informers: &Informers, change: &Change<Pod>) -> Vec<Key> {
    if change.new.as_ref().is_some_and(|pod| !pods::is_finished(pod)) {
        return Vec::new();
    }
    let waiting = || {
        let set = owners::controller_key(&change.old.as_ref()?.metadata, "ReplicaSet")?;
        let set = informers.replica_sets.get(&set.namespace, &set.name)?;
        let key = owners::controller_key(&set.metadata, "Deployment")?;
        let deployment = informers.deployments.get(&key.namespace, &key.name)?;
        scale::is_recreate(&deployment).then_some(key)
    };
    waiting().into_iter().collect()
}

impl Reconcile for Deployments {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let informers = &self.informers;
        let Some(deployment) = informers.deployments.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        self.sets_written.resolve(key, deployment.metadata.uid.as_deref(), &self.sets(key)).await?;
        if !self.is_settled(key) {
            return Ok(Next::After(crate::outstanding::OUTSTANDING_MAX));
        }
        let sets = self.claim(&deployment).await?;
        let pods = if scale::is_recreate(&deployment) { self.pods_of(&sets) } else { Vec::new() };
        let view = View { deployment: &deployment, sets: &sets, pods: &pods, now: self.clock.now() };
        let plan = plan::plan(&view);
        let next = plan.next_look.into();
        self.carry_out(key, &deployment, plan).await?;
        Ok(next)
    }
}

impl Deployments {
    fn is_settled(&self, key: &Key) -> bool {
        let Informers { replica_sets, deployments, .. } = &*self.informers;
        let none_deleted = |_: &str| None;
        self.sets_written.is_settled(key, replica_sets, none_deleted)
            && self.self_written.is_settled(key, deployments, none_deleted)
    }

    async fn claim(&self, deployment: &Deployment) -> Result<Vec<Arc<ReplicaSet>>, Error> {
        let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
        let candidates = self.informers.replica_sets.in_namespace(namespace);
        let claim = owners::claim(&deployment.metadata, &labels::selector(&deployment.spec.selector), candidates);
        let claimant = owners::Claimant {
            owners: Api::namespaced(self.client.clone(), namespace),
            owner: deployment,
            objects: Api::namespaced(self.client.clone(), namespace),
        };
        claimant.carry_out(claim).await
    }

    fn pods_of(&self, sets: &[Arc<ReplicaSet>]) -> Vec<Arc<Pod>> {
        let uids = sets.iter().filter_map(|set| set.metadata.uid.as_deref());
        uids.flat_map(|uid| self.informers.pods.by_index(BY_CONTROLLER, uid)).collect()
    }

    async fn carry_out(&self, key: &Key, deployment: &Deployment, plan: Plan) -> Result<(), Error> {
        for scaling in plan.update {
            self.update_set(key, deployment, scaling).await?;
        }
        if let Some(scaling) = plan.create {
            self.create_set(key, deployment, scaling).await?;
        }
        for set in &plan.delete {
            self.delete_set(set).await?;
        }
        // What is written next is built upon the answer: a finalizer may have come meanwhile, and must stay.
        let noted = match plan.revision {
            Some(number) => Some(self.write_revision(key, &number).await?),
            None => None,
        };
        if deployment.status.as_ref() != Some(&plan.status) {
            self.write_status(key, noted.as_ref().unwrap_or(deployment), plan.status).await?;
        }
        Ok(())
    }

    fn sets(&self, key: &Key) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn deployments(&self, key: &Key) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn scaled(&self, key: &Key, deployment: &Deployment, written: &ReplicaSet, event: Option<String>) {
        self.sets_written.wrote(key, &written.metadata);
        if let Some(text) = event {
            self.recorder.event(deployment, EventType::Normal, "ScalingReplicaSet", text);
        }
    }

    async fn update_set(&self, key: &Key, deployment: &Deployment, scaling: Scaling) -> Result<(), Error> {
        let Scaling { set, event } = scaling;
        let name = set.metadata.name.as_deref().unwrap_or_default();
        match self.sets(key).replace(name, &PostParams::default(), &set).await {
            Ok(written) => {
                self.scaled(key, deployment, &written, event);
                Ok(())
            }
            Err(error) => {
                self.sets_written.failed(key, Doubt::Written(name.to_owned()), &error);
                Err(Error::at("update", Key::of(&set.metadata))(error))
            }
        }
    }

    async fn create_set(&self, key: &Key, deployment: &Deployment, scaling: Scaling) -> Result<(), Error> {
        let Scaling { set, event } = scaling;
        match self.sets(key).create(&PostParams::default(), &set).await {
            Ok(written) => {
                self.scaled(key, deployment, &written, event);
                Ok(())
            }
            Err(error) if is_already_exists(&error) => self.resolve_collision(key, deployment, &set).await,
            Err(error) if template::is_namespace_ending(&error) => Ok(()),
            Err(error) => {
                let name = set.metadata.name.as_deref().unwrap_or_default();
                self.sets_written.failed(key, Doubt::Written(name.to_owned()), &error);
                let text = format!("Failed to create new replica set \"{name}\": {}", template::message(&error));
                self.recorder.event(deployment, EventType::Warning, "ReplicaSetCreateError", text.as_str());
                if let Some(failed) = conditions::create_failed(deployment, text, self.clock.now()) {
                    self.write_status(key, deployment, failed).await?;
                }
                Err(Error::at("create", Key::of(&set.metadata))(error))
            }
        }
    }

    /// The name is taken: by our own set that the cache lacks, or by a stranger, and then the hash takes another turn.
    async fn resolve_collision(&self, key: &Key, deployment: &Deployment, wanted: &ReplicaSet) -> Result<(), Error> {
        let subject = Key::of(&wanted.metadata);
        let found = self.sets(key).get(&subject.name).await.map_err(Error::at("get", subject.clone()))?;
        let is_ours =
            owners::controller_of(&found.metadata).map(|owner| &owner.uid) == deployment.metadata.uid.as_ref();
        if is_ours && revision::is_same_template(&found, deployment) {
            return Err(Error::Replaced { subject });
        }
        let mut status = deployment.status.clone().unwrap_or_default();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.write_status(key, deployment, status).await?;
        Err(Error::Replaced { subject })
    }

    async fn delete_set(&self, set: &ReplicaSet) -> Result<(), Error> {
        let key = Key::of(&set.metadata);
        let uid = set.metadata.uid.clone();
        let preconditions = Some(Preconditions { uid, ..Preconditions::default() });
        let answer =
            self.sets(&key).delete(&key.name, &DeleteParams { preconditions, ..DeleteParams::background() }).await;
        answer.unless_gone().map_err(Error::at("delete", key))?;
        Ok(())
    }

    async fn write_revision(&self, key: &Key, number: &str) -> Result<Deployment, Error> {
        let patch = json!({"metadata": {"annotations": {revision::REVISION: number}}});
        let answer = self.deployments(key).patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        let written = answer.map_err(Error::at("write the revision of", key.clone()))?;
        self.self_written.wrote(key, &written.metadata);
        Ok(written)
    }

    async fn write_status(&self, key: &Key, deployment: &Deployment, status: DeploymentStatus) -> Result<(), Error> {
        let deployment = Deployment { status: Some(status), ..deployment.clone() };
        let answer = self.deployments(key).replace_status(&key.name, &PostParams::default(), &deployment).await;
        let written = answer.unless_gone().map_err(Error::at("write status of", key.clone()))?;
        written.iter().for_each(|written| self.self_written.wrote(key, &written.metadata));
        Ok(())
    }
}
