//! Runs pods to their end, as often as a Job asks for. It counts each pod exactly once, whatever happens meanwhile.

mod failure;
mod indexes;
mod plan;
mod pod;
#[cfg(test)]
pub(crate) mod simulated;
mod track;
pub(crate) mod ttl;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use coracle_client::{Change, EventType, Informer, Key};
use coracle_stdx::Clock;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use parking_lot::Mutex;
use serde_json::json;

use self::plan::Plan;
use self::track::{Done, Tracking};
pub(crate) use self::view::is_finished;
use self::view::{Backoff, FINALIZER, View, uid};
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{BY_CONTROLLER, Informers, TRACKED};
use crate::outstanding::{OUTSTANDING_MAX, Outstanding};
use crate::pod_control::PodControl;
use crate::selectors_of::selector_of_job;
use crate::{Error, batch, owners};

/// The name of this controller where a job names its own.
const CONTROLLER: &str = "kubernetes.io/job-controller";

pub(crate) struct Jobs {
    pub(crate) control: PodControl,
    pub(crate) informers: Arc<Informers>,
    pub(crate) clock: Clock,
    pub(crate) self_written: Outstanding,
    /// What is known of a job beside its status.
    pub(crate) memory: Mutex<HashMap<Key, Memory>>,
}

#[derive(Clone, Default)]
pub(crate) struct Memory {
    backoff: Backoff,
    /// Pods that were let go, until the cache shows it.
    released: HashSet<String>,
}

/// The jobs that a change of a pod concerns.
pub(crate) fn keys_of_pod(jobs: &Informer<Job>, change: &Change<Pod>) -> Vec<Key> {
    owners::keys_of_pod(jobs, "Job", selector_of_job, change)
}

/// `namespace/job` of a pod that a job has to let go before it can vanish.
pub(crate) fn tracked(pod: &Pod) -> Vec<String> {
    let has_finalizer = pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    let key = owners::controller_key(&pod.metadata, "Job").filter(|_| has_finalizer);
    key.map(|key| key.to_string()).into_iter().collect()
}

impl Reconcile for Jobs {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let job = self.informers.jobs.get(&key.namespace, &key.name);
        let Some(job) = job else { return self.let_go(key).await };
        let managed_by = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
        if managed_by.is_some_and(|name| name != CONTROLLER) {
            return Ok(Next::Change);
        }
        if is_finished(&job) {
            return self.let_go(key).await;
        }
        if !self.self_written.is_settled(key, &self.informers.jobs, |_| None) {
            return Ok(Next::After(OUTSTANDING_MAX));
        }
        self.look(key, &job).await
    }
}

impl Jobs {
    async fn look(&self, key: &Key, job: &Job) -> Result<Next, Error> {
        self.control.resolve(key, &job.metadata).await?;
        let is_settled = self.is_settled(key);
        let pods = self.claim(job).await?;
        let memory = self.remember(key, &pods);
        let view =
            View { job, pods: &pods, released: &memory.released, backoff: memory.backoff, now: self.clock.now() };
        let plan = plan::plan(&view, is_settled);
        let (done, failure) = self.carry_out(key, job, &plan, is_settled).await;
        let Tracking { status, release, end, suspension } = track::track(&view, &plan, done);
        let mut current = job.clone();
        if current.status.as_ref() != Some(&status) {
            current = self.write_status(key, &current, status).await?;
        }
        self.memory.lock().entry(key.clone()).or_default().backoff = plan.backoff;
        self.tell_of_suspension(job, suspension);
        let (released, not_released) = batch::all(release, |pod| self.release(pod)).await;
        self.memory.lock().entry(key.clone()).or_default().released.extend(released.iter().cloned());
        let released: HashSet<String> = released.into_iter().collect();
        let still: HashSet<&str> =
            pods.iter().filter(|p| view.is_tracked(p) && !released.contains(uid(p))).map(|p| uid(p)).collect();
        let status = current.status.clone().unwrap_or_default();
        let (last, is_over) = track::conclude(status, |uid| still.contains(uid), end.as_ref());
        if current.status.as_ref() != Some(&last) {
            self.write_status(key, &current, last).await?;
        }
        if let Some(end) = end.filter(|_| is_over) {
            self.tell_of_end(job, &end, &current);
        }
        match failure.or(not_released) {
            Some(error) => Err(error),
            None => Ok(plan.next_look.into()),
        }
    }

    fn is_settled(&self, key: &Key) -> bool {
        let find = |uid: &str| self.informers.pod_by_uid(uid).map(|pod| pod.metadata.clone());
        self.control.outstanding.is_settled(key, &self.informers.pods, find)
    }

    async fn claim(&self, job: &Job) -> Result<Vec<Arc<Pod>>, Error> {
        let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
        let job_uid = job.metadata.uid.as_deref().unwrap_or_default();
        let mut candidates = self.informers.pods.by_index(BY_CONTROLLER, job_uid);
        candidates.extend(self.informers.orphan_pods(namespace));
        let claim = owners::claim(&job.metadata, &selector_of_job(job), candidates);
        let claimant = owners::Claimant {
            owners: Api::namespaced(self.control.client.clone(), namespace),
            owner: job,
            objects: Api::namespaced(self.control.client.clone(), namespace),
        };
        claimant.carry_out(claim).await
    }

    /// What is remembered; what the cache has caught up with is forgotten.
    fn remember(&self, key: &Key, pods: &[Arc<Pod>]) -> Memory {
        let mut all = self.memory.lock();
        let memory = all.entry(key.clone()).or_default();
        let shown: HashSet<&str> = pods.iter().filter(|pod| !tracked(pod).is_empty()).map(|pod| uid(pod)).collect();
        memory.released.retain(|uid| shown.contains(uid.as_str()));
        memory.clone()
    }

    async fn carry_out(&self, key: &Key, job: &Job, plan: &Plan, is_settled: bool) -> (Done, Option<Error>) {
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let mut done = Done { is_whole: is_settled, ..Done::default() };
        let delete = async |pod: Arc<Pod>| {
            if plan.release_deleted {
                self.release(pod.clone()).await?;
            }
            self.control.delete(key, job, &pod).await.map(|()| pod)
        };
        let (deleted, not_deleted) = batch::all(plan.delete.clone(), delete).await;
        done.n_deleted = count(deleted.len());
        done.n_ready_deleted = count(deleted.iter().filter(|pod| crate::pods::is_ready(pod)).count());
        done.is_whole &= deleted.len() == plan.delete.len();
        let create = async |idx: usize| self.control.create(key, job, &pod::pod(job, &plan.create[idx])).await;
        let (created, not_created) = batch::slow_start(plan.create.len(), create).await;
        done.n_created = count(created.iter().filter(|is_created| **is_created).count());
        (done, not_deleted.or(not_created))
    }

    /// Lets a pod go; returns its uid.
    async fn release(&self, pod: Arc<Pod>) -> Result<String, Error> {
        let key = Key::of(&pod.metadata);
        let api: Api<Pod> = Api::namespaced(self.control.client.clone(), &key.namespace);
        let finalizer =
            json!({"metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
        let answer = api.patch(&key.name, &PatchParams::default(), &Patch::Strategic(finalizer)).await;
        answer.unless_gone().map_err(Error::at("let go of", key))?;
        Ok(uid(&pod).to_owned())
    }

    /// The job is gone or finished: nobody counts its pods any more.
    async fn let_go(&self, key: &Key) -> Result<Next, Error> {
        self.memory.lock().remove(key);
        let pods = self.informers.pods.by_index(TRACKED, &key.to_string());
        let (_, failure) = batch::all(pods, |pod| self.release(pod)).await;
        failure.map_or(Ok(Next::Change), Err)
    }

    async fn write_status(&self, key: &Key, job: &Job, status: JobStatus) -> Result<Job, Error> {
        let api: Api<Job> = Api::namespaced(self.control.client.clone(), &key.namespace);
        let job = Job { status: Some(status), ..job.clone() };
        let answer = api.replace_status(&key.name, &PostParams::default(), &job).await;
        let written = answer.map_err(Error::at("write status of", key.clone()))?;
        self.self_written.wrote(key, &written.metadata);
        Ok(written)
    }

    fn tell_of_suspension(&self, job: &Job, suspension: Option<bool>) {
        let (reason, text) = match suspension {
            Some(true) => ("Suspended", "Job suspended"),
            Some(false) => ("Resumed", "Job resumed"),
            None => return,
        };
        self.control.recorder.event(job, EventType::Normal, reason, text);
    }

    fn tell_of_end(&self, job: &Job, end: &JobCondition, written: &Job) {
        let recorder = &self.control.recorder;
        if end.type_ == "Complete" {
            let n_succeeded = written.status.as_ref().and_then(|status| status.succeeded).unwrap_or(0);
            if job.spec.as_ref().and_then(|spec| spec.completions).is_some_and(|wanted| n_succeeded > wanted) {
                let text = "Too many succeeded pods running after completion count reached";
                recorder.event(job, EventType::Warning, "TooManySucceededPods", text);
            }
            recorder.event(job, EventType::Normal, "Completed", "Job completed");
            return;
        }
        let reason = match end.reason.as_deref().unwrap_or_default() {
            "PodFailurePolicy" => "PodFailurePolicy",
            "BackoffLimitExceeded" => "BackoffLimitExceeded",
            "DeadlineExceeded" => "DeadlineExceeded",
            "MaxFailedIndexesExceeded" => "MaxFailedIndexesExceeded",
            _ => "FailedIndexes",
        };
        recorder.event(job, EventType::Warning, reason, end.message.clone().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
