//! Keeps pods that have names, an order and volumes of their own. It never touches a pod that is not named after its set.

mod identity;
mod plan;
mod retention;
#[cfg(test)]
pub(crate) mod simulated;
mod status;

use std::sync::Arc;

use coracle_client::{EventType, Key, Recorder, is_already_exists, is_not_found};
use coracle_stdx::Clock;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;

use self::plan::{Action, Plan, Revision, View};
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::history::{self, Draft, Keeper, Present};
use crate::informers::{BY_CONTROLLER, Informers};
use crate::outstanding::{Doubt, Fate, OUTSTANDING_MAX, Outstanding};
use crate::{Error, batch, labels, owners, template};

pub(crate) struct StatefulSets {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    /// Written pods.
    pub(crate) outstanding: Outstanding,
    /// Written revisions.
    pub(crate) revisions_written: Outstanding,
    /// Written sets.
    pub(crate) self_written: Outstanding,
}

/// The two revisions between which a set is, and every one that it has.
struct Revisions {
    current: Revision,
    update: Revision,
    all: Vec<Arc<ControllerRevision>>,
    n_collisions: i32,
}

impl Reconcile for StatefulSets {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(set) = self.informers.stateful_sets.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        let written: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        self.outstanding.resolve(key, set.metadata.uid.as_deref(), &written).await?;
        if !self.is_settled(key) {
            return Ok(Next::After(OUTSTANDING_MAX));
        }
        let pods = self.claim_pods(&set).await?;
        let revisions = self.revisions(key, &set).await?;
        let claims = &self.informers.claims;
        let claim = |name: &str| claims.get(&key.namespace, name);
        let view = View {
            set: &set,
            pods: &pods,
            current: &revisions.current,
            update: &revisions.update,
            n_collisions: revisions.n_collisions,
            claim: &claim,
            now: self.clock.now(),
        };
        let Plan { actions, status } = plan::plan(&view);
        let next = status::next_look(&view);
        let done = self.carry_out(key, &set, actions).await;
        if set.status.as_ref() != Some(&status) {
            self.write_status(key, &set, status).await?;
        }
        done?;
        self.forget(&set, &pods, &revisions).await?;
        Ok(next.into())
    }
}

impl StatefulSets {
    fn is_settled(&self, key: &Key) -> bool {
        let Informers { pods, controller_revisions, stateful_sets, .. } = &*self.informers;
        let find = |uid: &str| self.informers.pod_by_uid(uid).map(|pod| pod.metadata.clone());
        self.outstanding.is_settled(key, pods, find)
            && self.revisions_written.is_settled(key, controller_revisions, |_| None)
            && self.self_written.is_settled(key, stateful_sets, |_| None)
    }

    async fn claim_pods(&self, set: &StatefulSet) -> Result<Vec<Arc<Pod>>, Error> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let mut candidates = self.informers.pods.by_index(BY_CONTROLLER, uid);
        let orphans = self.informers.orphan_pods(namespace).into_iter();
        candidates.extend(orphans.filter(|pod| identity::ordinal(set, pod).is_some()));
        let claim = owners::claim(&set.metadata, &labels::selector(&set.spec.selector), candidates);
        let claimant = owners::Claimant {
            owners: Api::namespaced(self.client.clone(), namespace),
            owner: set,
            objects: Api::namespaced(self.client.clone(), namespace),
        };
        claimant.carry_out(claim).await
    }

    async fn claim_revisions(&self, set: &StatefulSet) -> Result<Vec<Arc<ControllerRevision>>, Error> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let candidates = self.informers.controller_revisions.in_namespace(namespace);
        let claim = owners::claim(&set.metadata, &labels::selector(&set.spec.selector), candidates);
        let claimant = owners::Claimant {
            owners: Api::namespaced(self.client.clone(), namespace),
            owner: set,
            objects: Api::namespaced(self.client.clone(), namespace),
        };
        let mut revisions = claimant.carry_out(claim).await?;
        history::sort(&mut revisions);
        Ok(revisions)
    }

    async fn revisions(&self, key: &Key, set: &StatefulSet) -> Result<Revisions, Error> {
        let mut all = self.claim_revisions(set).await?;
        let keeper = Keeper::new(&self.client, &key.namespace);
        let status = set.status.as_ref();
        let mut n_collisions = status.and_then(|status| status.collision_count).unwrap_or(0);
        let data = history::data(&set.spec.template);
        let update = match history::present(&all, &data) {
            Present::Newest(revision) => revision,
            Present::Again(revision, number) => {
                let written = Arc::new(keeper.renumber(&revision, number).await?);
                self.revisions_written.wrote(key, &written.metadata);
                all.retain(|known| known.metadata.uid != written.metadata.uid);
                all.push(written.clone());
                written
            }
            Present::New(number) => {
                let hash = |n_collisions| history::hash(&data, n_collisions);
                let draft = Draft {
                    owner: owners::reference_to(set),
                    meta: &set.metadata,
                    labels: set.spec.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default(),
                    data: data.clone(),
                    number,
                    hash: &hash,
                };
                let (created, n) = keeper.create(draft, n_collisions).await?;
                self.revisions_written.wrote(key, &created.metadata);
                n_collisions = n;
                let created = Arc::new(created);
                all.push(created.clone());
                created
            }
        };
        let name = status.and_then(|status| status.current_revision.as_deref());
        let current = all.iter().find(|revision| name == Some(history::name_of(revision))).unwrap_or(&update).clone();
        let of = |revision: &ControllerRevision| Revision {
            name: history::name_of(revision).to_owned(),
            template: history::template_of(revision).unwrap_or_else(|| set.spec.template.clone()),
        };
        Ok(Revisions { current: of(&current), update: of(&update), all, n_collisions })
    }

    /// Lets go of revisions that nobody can come back to.
    async fn forget(&self, set: &StatefulSet, pods: &[Arc<Pod>], revisions: &Revisions) -> Result<(), Error> {
        let is_used = |name: &str| {
            name == revisions.current.name
                || name == revisions.update.name
                || pods.iter().any(|pod| identity::revision_of(pod) == name)
        };
        let limit = set.spec.revision_history_limit.unwrap_or(10);
        let obsolete = history::obsolete(&revisions.all, limit, is_used);
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        Keeper::new(&self.client, namespace).delete(&obsolete).await
    }

    async fn carry_out(&self, key: &Key, set: &StatefulSet, actions: Vec<Action>) -> Result<(), Error> {
        if set.spec.pod_management_policy.as_deref() == Some("Parallel") {
            let (_, failure) = batch::all(actions, |action| self.act(key, set, action)).await;
            return failure.map_or(Ok(()), Err);
        }
        for action in actions {
            self.act(key, set, action).await?;
        }
        Ok(())
    }

    async fn act(&self, key: &Key, set: &StatefulSet, action: Action) -> Result<(), Error> {
        match action {
            Action::Create { pod, claims } => self.create(key, set, &pod, claims).await,
            Action::Claim { pod, claims } => self.claim(key, set, &pod, claims).await,
            Action::Replace(pod) => {
                self.tell_of_end(key, set, &pod);
                self.delete(key, set, &pod).await
            }
            Action::Delete(pod) => self.delete(key, set, &pod).await,
            Action::Mend(pod) => self.mend(key, set, &pod).await,
            Action::Own { claim, owners } => self.own(&claim, owners).await,
        }
    }

    fn tell_of_end(&self, key: &Key, set: &StatefulSet, pod: &Pod) {
        let Key { namespace, name } = key;
        let pod_name = identity::name_of(&pod.metadata);
        let (reason, how) = match crate::pods::phase(pod) {
            "Failed" => ("RecreatingFailedPod", "failed"),
            _ => ("RecreatingTerminatedPod", "terminated"),
        };
        let text = format!("StatefulSet {namespace}/{name} is recreating {how} Pod {pod_name}");
        self.recorder.event(set, EventType::Warning, reason, text);
    }

    async fn create(
        &self,
        key: &Key,
        set: &StatefulSet,
        pod: &Pod,
        claims: Vec<PersistentVolumeClaim>,
    ) -> Result<(), Error> {
        self.claim(key, set, pod, claims).await?;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let subject = Key::of(&pod.metadata);
        let told = Told { verb: "create", pod: &subject.name, claim: None };
        match api.create(&PostParams::default(), pod).await {
            Ok(created) => {
                self.outstanding.wrote(key, &created.metadata);
                self.tell(set, &told, None);
                Ok(())
            }
            Err(error) if template::is_namespace_ending(&error) => Ok(()),
            Err(error) if is_already_exists(&error) => Err(Error::Replaced { subject }),
            Err(error) => {
                self.outstanding.failed(key, Doubt::created(&pod.metadata), &error);
                self.tell(set, &told, Some(&error));
                Err(Error::at("create", subject)(error))
            }
        }
    }

    async fn claim(
        &self,
        key: &Key,
        set: &StatefulSet,
        pod: &Pod,
        claims: Vec<PersistentVolumeClaim>,
    ) -> Result<(), Error> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        for claim in claims {
            let subject = Key::of(&claim.metadata);
            let pod = identity::name_of(&pod.metadata);
            let told = Told { verb: "create", pod, claim: Some(&subject.name) };
            match api.create(&PostParams::default(), &claim).await {
                Ok(_) => self.tell(set, &told, None),
                Err(error) if is_already_exists(&error) => {}
                Err(error) => {
                    self.tell(set, &told, Some(&error));
                    return Err(Error::at("create", subject)(error));
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, key: &Key, set: &StatefulSet, pod: &Pod) -> Result<(), Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let ObjectMeta { uid, .. } = &pod.metadata;
        let subject = Key::of(&pod.metadata);
        let preconditions = Some(Preconditions { uid: uid.clone(), ..Preconditions::default() });
        let told = Told { verb: "delete", pod: &subject.name, claim: None };
        match api.delete(&subject.name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Ok(answer) => {
                self.outstanding.deleted(key, uid.as_deref(), Fate::of(answer.left().as_ref()));
                self.tell(set, &told, None);
                Ok(())
            }
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => {
                self.outstanding.failed(key, Doubt::deleted(&pod.metadata), &error);
                self.tell(set, &told, Some(&error));
                Err(Error::at("delete", subject)(error))
            }
        }
    }

    async fn mend(&self, key: &Key, set: &StatefulSet, pod: &Pod) -> Result<(), Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let subject = Key::of(&pod.metadata);
        let told = Told { verb: "update", pod: &subject.name, claim: None };
        match api.replace(&subject.name, &PostParams::default(), pod).await {
            Ok(written) => {
                self.outstanding.wrote(key, &written.metadata);
                self.tell(set, &told, None);
                Ok(())
            }
            Err(error) => {
                self.outstanding.failed(key, Doubt::Written(subject.name.clone()), &error);
                self.tell(set, &told, Some(&error));
                Err(Error::at("update", subject)(error))
            }
        }
    }

    async fn own(
        &self,
        claim: &PersistentVolumeClaim,
        owners: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference>,
    ) -> Result<(), Error> {
        let key = Key::of(&claim.metadata);
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        let ObjectMeta { uid, resource_version, .. } = &claim.metadata;
        let patch = json!({"metadata": {"uid": uid, "resourceVersion": resource_version, "ownerReferences": owners}});
        let answer = api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        answer.unless_gone().map_err(Error::at("set the owners of", key))?;
        Ok(())
    }

    fn tell(&self, set: &StatefulSet, told: &Told<'_>, error: Option<&kube::Error>) {
        let (event_type, reason) = match (told.verb, error.is_some()) {
            ("create", false) => (EventType::Normal, "SuccessfulCreate"),
            ("create", true) => (EventType::Warning, "FailedCreate"),
            ("delete", false) => (EventType::Normal, "SuccessfulDelete"),
            ("delete", true) => (EventType::Warning, "FailedDelete"),
            (_, false) => (EventType::Normal, "SuccessfulUpdate"),
            (_, true) => (EventType::Warning, "FailedUpdate"),
        };
        let name = identity::name_of(&set.metadata);
        let Told { verb, pod, claim } = told;
        let subject = match claim {
            Some(claim) => format!("{verb} Claim {claim} Pod {pod} in StatefulSet {name}"),
            None => format!("{verb} Pod {pod} in StatefulSet {name}"),
        };
        let outcome = match (error, claim.is_some()) {
            (Some(error), _) => format!("failed error: {}", template::message(error)),
            (None, true) => "success".to_owned(),
            (None, false) => "successful".to_owned(),
        };
        self.recorder.event(set, event_type, reason, format!("{subject} {outcome}"));
    }

    async fn write_status(&self, key: &Key, set: &StatefulSet, status: StatefulSetStatus) -> Result<(), Error> {
        let api: Api<StatefulSet> = Api::namespaced(self.client.clone(), &key.namespace);
        let set = StatefulSet { status: Some(status), ..set.clone() };
        let answer = api.replace_status(&key.name, &PostParams::default(), &set).await;
        let written = answer.unless_gone().map_err(Error::at("write status of", key.clone()))?;
        written.iter().for_each(|written| self.self_written.wrote(key, &written.metadata));
        Ok(())
    }
}

/// What was tried, for an event.
struct Told<'a> {
    verb: &'static str,
    pod: &'a str,
    claim: Option<&'a str>,
}
