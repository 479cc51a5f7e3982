//! Keeps one pod of a template on every node that fits. Where a pod goes is written into its affinity, and the scheduler
//! puts it there.

mod backoff;
mod plan;
mod pod;
#[cfg(test)]
pub(crate) mod simulated;
mod status;

use std::sync::Arc;

use coracle_client::{Change, EventType, Informer, Key};
use coracle_stdx::Clock;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::PostParams;

pub(crate) use self::backoff::Failures;
use self::plan::{Plan, View};
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::history::{self, Draft, Keeper, Present};
use crate::informers::{BY_CONTROLLER, Informers};
use crate::outstanding::{OUTSTANDING_MAX, Outstanding};
use crate::pod_control::PodControl;
use crate::{Error, batch, deployment, labels, owners, pods};

pub(crate) struct DaemonSets {
    pub(crate) control: PodControl,
    pub(crate) informers: Arc<Informers>,
    pub(crate) clock: Clock,
    /// Written revisions.
    pub(crate) revisions_written: Outstanding,
    pub(crate) failures: Failures,
}

/// Every set, when a node comes, goes, or changes in what decides who may run there.
pub(crate) fn keys_of_node(sets: &Informer<DaemonSet>, change: &Change<Node>) -> Vec<Key> {
    let view = |node: &Option<Arc<Node>>| {
        node.as_ref().map(|node| {
            let taints = node.spec.as_ref().map(|spec| (spec.taints.clone(), spec.unschedulable));
            (node.metadata.labels.clone(), taints)
        })
    };
    if view(&change.old) == view(&change.new) {
        return Vec::new();
    }
    sets.list().iter().map(|set| Key::of(&set.metadata)).collect()
}

/// The revisions of a set.
struct Revisions {
    /// Of the present template.
    hash: String,
    all: Vec<Arc<ControllerRevision>>,
    n_collisions: Option<i32>,
}

impl Reconcile for DaemonSets {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(set) = self.informers.daemon_sets.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        self.control.resolve(key, &set.metadata).await?;
        if !self.is_settled(key) {
            return Ok(Next::After(OUTSTANDING_MAX));
        }
        let owned = self.claim_pods(&set).await?;
        let Revisions { hash, all: revisions, n_collisions } = self.revisions(key, &set).await?;
        let nodes = self.informers.nodes.list();
        let view = View { set: &set, nodes: &nodes, pods: &owned, hash: &hash, now: self.clock.now() };
        let mut plan = plan::plan(&view);
        let wait = self.failures.hold_back(&set, &mut plan, view.now);
        let done = self.carry_out(key, &set, &hash, plan).await;
        let status = DaemonSetStatus { collision_count: n_collisions, ..status::status(&view) };
        if set.status.as_ref() != Some(&status) {
            self.write_status(key, &set, status).await?;
        }
        done?;
        self.forget(&set, &owned, &hash, &revisions).await?;
        Ok([status::next_look(&view), wait].into_iter().flatten().min().into())
    }
}

impl DaemonSets {
    fn is_settled(&self, key: &Key) -> bool {
        let find = |uid: &str| self.informers.pod_by_uid(uid).map(|pod| pod.metadata.clone());
        self.control.outstanding.is_settled(key, &self.informers.pods, find)
            && self.revisions_written.is_settled(key, &self.informers.controller_revisions, |_| None)
    }

    async fn claim_pods(&self, set: &DaemonSet) -> Result<Vec<Arc<Pod>>, Error> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let mut candidates = self.informers.pods.by_index(BY_CONTROLLER, uid);
        candidates.extend(self.informers.orphan_pods(namespace));
        let claim = owners::claim(&set.metadata, &labels::selector(&set.spec.selector), candidates);
        let claimant = owners::Claimant {
            owners: Api::namespaced(self.control.client.clone(), namespace),
            owner: set,
            objects: Api::namespaced(self.control.client.clone(), namespace),
        };
        claimant.carry_out(claim).await
    }

    async fn claim_revisions(&self, set: &DaemonSet) -> Result<Vec<Arc<ControllerRevision>>, Error> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let candidates = self.informers.controller_revisions.in_namespace(namespace);
        let claim = owners::claim(&set.metadata, &labels::selector(&set.spec.selector), candidates);
        let claimant = owners::Claimant {
            owners: Api::namespaced(self.control.client.clone(), namespace),
            owner: set,
            objects: Api::namespaced(self.control.client.clone(), namespace),
        };
        let mut revisions = claimant.carry_out(claim).await?;
        history::sort(&mut revisions);
        Ok(revisions)
    }

    /// The revision of the present template exists by then.
    async fn revisions(&self, key: &Key, set: &DaemonSet) -> Result<Revisions, Error> {
        let all = self.claim_revisions(set).await?;
        let keeper = Keeper::new(&self.control.client, &key.namespace);
        let data = history::data(&set.spec.template);
        let mut n_collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let present = match history::present(&all, &data) {
            Present::Newest(revision) => revision,
            Present::Again(revision, number) => {
                let written = keeper.renumber(&revision, number).await?;
                self.revisions_written.wrote(key, &written.metadata);
                Arc::new(written)
            }
            Present::New(number) => {
                let hash = |n: i32| deployment::template_hash(&set.spec.template, Some(n).filter(|n| *n > 0));
                let draft = Draft {
                    owner: owners::reference_to(set),
                    meta: &set.metadata,
                    labels: set.spec.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default(),
                    data,
                    number,
                    hash: &hash,
                };
                let (created, n) = keeper.create(draft, n_collisions.unwrap_or(0)).await?;
                n_collisions = Some(n).filter(|n| *n > 0);
                self.revisions_written.wrote(key, &created.metadata);
                Arc::new(created)
            }
        };
        let hash = present.metadata.labels.as_ref().and_then(|labels| labels.get(history::HASH)).cloned();
        Ok(Revisions { hash: hash.unwrap_or_default(), all, n_collisions })
    }

    async fn forget(
        &self,
        set: &DaemonSet,
        owned: &[Arc<Pod>],
        hash: &str,
        revisions: &[Arc<ControllerRevision>],
    ) -> Result<(), Error> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let is_used = |revision: &str| {
            let is_of = |pod: &Arc<Pod>| {
                let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(history::REVISION_HASH));
                label.is_some_and(|label| history::name(name, label) == revision)
            };
            revision == history::name(name, hash) || owned.iter().any(is_of)
        };
        let obsolete = history::obsolete(revisions, set.spec.revision_history_limit.unwrap_or(10), is_used);
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        Keeper::new(&self.control.client, namespace).delete(&obsolete).await
    }

    async fn carry_out(&self, key: &Key, set: &DaemonSet, hash: &str, plan: Plan) -> Result<(), Error> {
        let control = &self.control;
        plan.ended.iter().for_each(|pod| self.tell_of_end(set, pod));
        let nodes = &plan.create;
        let create = async |idx: usize| control.create(key, set, &pod::pod(set, hash, &nodes[idx])).await;
        let (_, not_created) = batch::slow_start(nodes.len(), create).await;
        let delete = async |pod: Arc<Pod>| control.delete(key, set, &pod).await;
        let (_, not_deleted) = batch::all(plan.delete, delete).await;
        not_created.or(not_deleted).map_or(Ok(()), Err)
    }

    fn tell_of_end(&self, set: &DaemonSet, pod: &Pod) {
        let (subject, node) = (Key::of(&pod.metadata), pod::node_of(pod));
        let pod_name = format!("{}/{}", subject.namespace, subject.name);
        let (event_type, reason, text) = match pods::phase(pod) {
            "Failed" => {
                let text = format!("Found failed daemon pod {pod_name} on node {node}, will try to kill it");
                (EventType::Warning, "FailedDaemonPod", text)
            }
            _ => {
                let text = format!("Found succeeded daemon pod {pod_name} on node {node}, will try to delete it");
                (EventType::Normal, "SucceededDaemonPod", text)
            }
        };
        self.control.recorder.event(set, event_type, reason, text);
    }

    async fn write_status(&self, key: &Key, set: &DaemonSet, status: DaemonSetStatus) -> Result<(), Error> {
        let api: Api<DaemonSet> = Api::namespaced(self.control.client.clone(), &key.namespace);
        let set = DaemonSet { status: Some(status), ..set.clone() };
        let written = api.replace_status(&key.name, &PostParams::default(), &set).await;
        written.unless_gone().map_err(Error::at("write status of", key.clone()))?;
        Ok(())
    }
}
