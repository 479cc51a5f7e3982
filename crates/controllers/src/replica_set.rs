//! Keeps as many pods of one template as a ReplicaSet asks for. It never touches a pod that another owner has.

mod plan;
mod rank;
mod status;

use std::sync::Arc;

use coracle_client::{Change, EventType, Informer, Key, Recorder, is_not_found};
use coracle_stdx::Clock;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};

use self::plan::{Plan, View};
use self::status::Failure;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{BY_CONTROLLER, Informers};
use crate::outstanding::Outstanding;
use crate::{Error, batch, labels, owners, pods, template};

pub(crate) struct ReplicaSets {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) outstanding: Outstanding,
}

/// The sets that a change of a pod concerns: its owners before and after, or all that could adopt it.
pub(crate) fn keys_of_pod(sets: &Informer<ReplicaSet>, change: &Change<Pod>) -> Vec<Key> {
    let owner = |pod: &Option<Arc<Pod>>| owners::controller_key(&pod.as_ref()?.metadata, "ReplicaSet");
    let (before, after) = (owner(&change.old), owner(&change.new));
    let mut keys: Vec<Key> = before.into_iter().chain(after).collect();
    keys.dedup();
    if let Some(pod) = change.new.as_ref().filter(|pod| owners::controller_of(&pod.metadata).is_none()) {
        keys.extend(adopters(sets, pod));
    }
    keys
}

fn adopters(sets: &Informer<ReplicaSet>, pod: &Pod) -> Vec<Key> {
    let Some(pod_labels) = pod.metadata.labels.as_ref().filter(|labels| !labels.is_empty()) else { return Vec::new() };
    let sets = sets.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default());
    let could_adopt = |set: &&Arc<ReplicaSet>| labels::matches(&labels::selector(&set.spec.selector), Some(pod_labels));
    sets.iter().filter(could_adopt).map(|set| Key::of(&set.metadata)).collect()
}

impl Reconcile for ReplicaSets {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(set) = self.informers.replica_sets.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        let owned = self.claim(&set).await?;
        let view = View { set: &set, owned: &owned, related: self.related(&set), now: self.clock.now() };
        let plan = if self.is_settled(key) { plan::plan(&view) } else { Plan::default() };
        let failure = self.carry_out(key, &set, &plan).await;
        if let Some(status) = status::status(&view, failure.as_ref()) {
            self.write_status(&set, status).await?;
        }
        match failure {
            Some(failure) => Err(failure.error),
            None => Ok(status::next_look(&view).into()),
        }
    }
}

impl ReplicaSets {
    async fn claim(&self, set: &ReplicaSet) -> Result<Vec<Arc<Pod>>, Error> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let mut candidates =
            self.informers.pods.by_index(BY_CONTROLLER, set.metadata.uid.as_deref().unwrap_or_default());
        candidates.extend(self.informers.orphan_pods(namespace));
        let claim = owners::claim(&set.metadata, &labels::selector(&set.spec.selector), candidates);
        let claimant = owners::Claimant {
            owners: Api::namespaced(self.client.clone(), namespace),
            owner: set,
            objects: Api::namespaced(self.client.clone(), namespace),
        };
        claimant.carry_out(claim).await
    }

    /// The pods of all sets that share this set's owner: an update of a Deployment spreads over nodes as one.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let sets: Vec<Arc<ReplicaSet>> = match owners::controller_of(&set.metadata) {
            Some(owner) => self.informers.replica_sets.by_index(BY_CONTROLLER, &owner.uid),
            None => vec![Arc::new(set.clone())],
        };
        let uids = sets.iter().filter_map(|set| set.metadata.uid.as_deref());
        uids.flat_map(|uid| self.informers.pods.by_index(BY_CONTROLLER, uid)).collect()
    }

    fn is_settled(&self, key: &Key) -> bool {
        let find = |uid: &str| self.informers.pod_by_uid(uid).map(|pod| pod.metadata.clone());
        self.outstanding.is_settled(key, &self.informers.pods, find)
    }

    async fn carry_out(&self, key: &Key, set: &ReplicaSet, plan: &Plan) -> Option<Failure> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        if plan.n_create > 0 {
            let pod = plan::pod_of(set);
            let (_, failure) = batch::slow_start(plan.n_create, |_| self.create(key, &pods, set, &pod)).await;
            return failure.map(|error| Failure { reason: "FailedCreate", error });
        }
        let (_, failure) = batch::all(plan.delete.clone(), |pod| self.delete(key, &pods, set, pod)).await;
        failure.map(|error| Failure { reason: "FailedDelete", error })
    }

    async fn create(&self, key: &Key, api: &Api<Pod>, set: &ReplicaSet, pod: &Pod) -> Result<(), Error> {
        match api.create(&PostParams::default(), pod).await {
            Ok(created) => {
                self.outstanding.wrote(key, &created.metadata);
                let name = created.metadata.name.unwrap_or_default();
                self.recorder.event(set, EventType::Normal, "SuccessfulCreate", format!("Created pod: {name}"));
                Ok(())
            }
            Err(error) if template::is_namespace_ending(&error) => Ok(()),
            Err(error) => {
                let text = format!("Error creating: {}", template::message(&error));
                self.recorder.event(set, EventType::Warning, "FailedCreate", text);
                Err(Error::at("create a pod of", key.clone())(error))
            }
        }
    }

    async fn delete(&self, key: &Key, api: &Api<Pod>, set: &ReplicaSet, pod: Arc<Pod>) -> Result<(), Error> {
        let ObjectMeta { name, uid, .. } = &pod.metadata;
        let name = name.as_deref().unwrap_or_default();
        let preconditions = Some(Preconditions { uid: uid.clone(), ..Preconditions::default() });
        match api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Ok(_) => {
                self.outstanding.deleted(key, uid.as_deref());
                self.recorder.event(set, EventType::Normal, "SuccessfulDelete", format!("Deleted pod: {name}"));
                Ok(())
            }
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => {
                let text = format!("Error deleting: {}", template::message(&error));
                self.recorder.event(set, EventType::Warning, "FailedDelete", text);
                Err(Error::at("delete", Key::of(&pod.metadata))(error))
            }
        }
    }

    async fn write_status(&self, set: &ReplicaSet, status: ReplicaSetStatus) -> Result<(), Error> {
        let key = Key::of(&set.metadata);
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &key.namespace);
        let set = ReplicaSet { status: Some(status), ..set.clone() };
        let written = api.replace_status(&key.name, &PostParams::default(), &set).await;
        written.unless_gone().map_err(Error::at("write status of", key))?;
        Ok(())
    }
}

/// True when this pod still counts: it is neither finished nor being deleted.
fn counts(pod: &Arc<Pod>) -> bool {
    pods::is_active(pod)
}
