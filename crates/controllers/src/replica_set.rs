//! Keeps as many pods of one template as a ReplicaSet or a ReplicationController asks for. It never touches a pod that
//! another owner has.

mod plan;
mod rank;
mod replicated;
#[cfg(test)]
pub(crate) mod simulated;
mod status;

use std::sync::Arc;

use coracle_client::{Change, Informer, Key};
use coracle_stdx::Clock;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;

use self::plan::{Plan, View};
pub(crate) use self::replicated::Replicated;
use self::status::Failure;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{BY_CONTROLLER, Informers};
use crate::pod_control::PodControl;
use crate::{Error, batch, owners, pods};

/// The loop over one of the two kinds.
pub(crate) struct ReplicaSets<K: Replicated> {
    pub(crate) control: PodControl,
    pub(crate) informers: Arc<Informers>,
    pub(crate) all: Informer<K>,
    pub(crate) clock: Clock,
}

/// The sets that a change of a pod concerns: its owners before and after, or all that could adopt it.
pub(crate) fn keys_of_pod<K: Replicated>(sets: &Informer<K>, change: &Change<Pod>) -> Vec<Key> {
    owners::keys_of_pod(sets, K::KIND, Replicated::selector, change)
}

impl<K: Replicated> Reconcile for ReplicaSets<K> {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(object) = self.all.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        let set = object.as_set();
        self.control.resolve(key, &set.metadata).await?;
        let owned = self.claim(&object).await?;
        let view = View { set: &set, owned: &owned, related: self.related(&set), now: self.clock.now() };
        let plan = if self.is_settled(key) { plan::plan(&view) } else { Plan::default() };
        let failure = self.carry_out(key, &object, &set, &plan).await;
        // A status must not count on pods that were given up.
        let owned = self.control.outstanding.with_deletions(key, &owned, view.now);
        let view = View { owned: &owned, ..view };
        let status = status::status(&view, failure.as_ref());
        if let Some(status) = status.filter(|status| !object.has_status(status)) {
            self.write_status(&object, status).await?;
        }
        match failure {
            Some(failure) => Err(failure.error),
            None => Ok(status::next_look(&view).into()),
        }
    }
}

impl<K: Replicated> ReplicaSets<K> {
    async fn claim(&self, object: &K) -> Result<Vec<Arc<Pod>>, Error> {
        let meta = object.meta();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let mut candidates = self.informers.pods.by_index(BY_CONTROLLER, meta.uid.as_deref().unwrap_or_default());
        candidates.extend(self.informers.orphan_pods(namespace));
        let claim = owners::claim(meta, &object.selector(), candidates);
        let claimant = owners::Claimant {
            owners: Api::namespaced(self.control.client.clone(), namespace),
            owner: object,
            objects: Api::namespaced(self.control.client.clone(), namespace),
        };
        claimant.carry_out(claim).await
    }

    /// The pods of all sets that share this set's owner: an update of a Deployment spreads over nodes as one.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let own = set.metadata.uid.clone().into_iter().collect();
        let uids: Vec<String> = match owners::controller_of(&set.metadata) {
            Some(owner) => {
                let sets = self.informers.replica_sets.by_index(BY_CONTROLLER, &owner.uid);
                sets.iter().filter_map(|set| set.metadata.uid.clone()).collect()
            }
            None => own,
        };
        uids.iter().flat_map(|uid| self.informers.pods.by_index(BY_CONTROLLER, uid)).collect()
    }

    fn is_settled(&self, key: &Key) -> bool {
        let find = |uid: &str| self.informers.pod_by_uid(uid).map(|pod| pod.metadata.clone());
        self.control.outstanding.is_settled(key, &self.informers.pods, find)
    }

    async fn carry_out(&self, key: &Key, object: &K, set: &ReplicaSet, plan: &Plan) -> Option<Failure> {
        let control = &self.control;
        if plan.n_create > 0 {
            let pod = plan::pod_of(set, owners::reference_to(object));
            let (_, failure) = batch::slow_start(plan.n_create, |_| control.create(key, object, &pod)).await;
            return failure.map(|error| Failure { reason: "FailedCreate", error });
        }
        let delete = async |pod: Arc<Pod>| control.delete(key, object, &pod).await;
        let (_, failure) = batch::all(plan.delete.clone(), delete).await;
        failure.map(|error| Failure { reason: "FailedDelete", error })
    }

    async fn write_status(&self, object: &K, status: ReplicaSetStatus) -> Result<(), Error> {
        let key = Key::of(object.meta());
        let api: Api<K> = Api::namespaced(self.control.client.clone(), &key.namespace);
        let written = api.replace_status(&key.name, &PostParams::default(), &object.with_status(status)).await;
        written.unless_gone().map_err(Error::at("write status of", key))?;
        Ok(())
    }
}

/// True when this pod still counts: it is neither finished nor being deleted.
fn counts(pod: &Arc<Pod>) -> bool {
    pods::is_active(pod)
}
