//! Starts jobs at the times of a schedule. It never starts two for one moment: a job's name is its moment.

mod plan;
#[cfg(test)]
pub(crate) mod simulated;
mod times;

use std::sync::Arc;

use coracle_client::{Change, EventType, Key, Recorder, is_already_exists};
use coracle_stdx::Clock;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};

use self::plan::{Plan, Start, View};
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{BY_CONTROLLER, Informers};
use crate::outstanding::{OUTSTANDING_MAX, Outstanding};
use crate::{Error, owners, template};

pub(crate) struct CronJobs {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    /// Started jobs.
    pub(crate) jobs_written: Outstanding,
    pub(crate) self_written: Outstanding,
}

/// The CronJob that a change of a job concerns.
pub(crate) fn keys_of_job(change: &Change<Job>) -> Vec<Key> {
    let owner = |job: &Option<Arc<Job>>| owners::controller_key(&job.as_ref()?.metadata, "CronJob");
    let mut keys: Vec<Key> = owner(&change.old).into_iter().chain(owner(&change.new)).collect();
    keys.dedup();
    keys
}

impl Reconcile for CronJobs {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let informers = &self.informers;
        let Some(cron_job) = informers.cron_jobs.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        let is_settled = self.jobs_written.is_settled(key, &informers.jobs, |_| None)
            && self.self_written.is_settled(key, &informers.cron_jobs, |_| None);
        if !is_settled {
            return Ok(Next::After(OUTSTANDING_MAX));
        }
        let jobs = informers.jobs.by_index(BY_CONTROLLER, cron_job.metadata.uid.as_deref().unwrap_or_default());
        let Plan { mut status, start, obsolete, events, next_look } =
            plan::plan(&View { cron_job: &cron_job, jobs: &jobs, now: self.clock.now() });
        for told in events {
            self.recorder.event(&*cron_job, told.event_type, told.reason, told.text);
        }
        let started = match start {
            Some(start) => self.start(key, &cron_job, start, &mut status).await,
            None => Ok(()),
        };
        if cron_job.status.as_ref().unwrap_or(&CronJobStatus::default()) != &status {
            self.write_status(key, &cron_job, status).await?;
        }
        started?;
        for job in obsolete {
            self.delete(&cron_job, &Key::of(&job.metadata)).await?;
        }
        Ok(next_look.into())
    }
}

impl CronJobs {
    async fn start(
        &self,
        key: &Key,
        cron_job: &CronJob,
        start: Start,
        status: &mut CronJobStatus,
    ) -> Result<(), Error> {
        for job in &start.instead_of {
            self.delete(cron_job, &Key::new(&key.namespace, job.name.as_deref().unwrap_or_default())).await?;
            status.active.iter_mut().for_each(|all| all.retain(|active| active.uid != job.uid));
        }
        let Some(job) = self.create(key, cron_job, &start.job).await? else { return Ok(()) };
        status.active.get_or_insert_default().push(reference(&job));
        status.last_schedule_time = Some(Time(start.at));
        Ok(())
    }

    /// The job, also when it was there already; `None` when it is somebody else's or the namespace is going.
    async fn create(&self, key: &Key, cron_job: &CronJob, job: &Job) -> Result<Option<Job>, Error> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        let subject = Key::of(&job.metadata);
        match api.create(&PostParams::default(), job).await {
            Ok(created) => {
                self.jobs_written.wrote(key, &created.metadata);
                let text = format!("Created job {}", subject.name);
                self.recorder.event(cron_job, EventType::Normal, "SuccessfulCreate", text);
                Ok(Some(created))
            }
            Err(error) if is_already_exists(&error) => {
                let found = api.get_opt(&subject.name).await.map_err(Error::at("get", subject))?;
                let is_ours = |job: &Job| {
                    owners::controller_of(&job.metadata).map(|owner| &owner.uid) == cron_job.metadata.uid.as_ref()
                };
                Ok(found.filter(is_ours))
            }
            Err(error) if template::is_namespace_ending(&error) => Ok(None),
            Err(error) => {
                let text = format!("Error creating job: {}", template::message(&error));
                self.recorder.event(cron_job, EventType::Warning, "FailedCreate", text);
                Err(Error::at("create", subject)(error))
            }
        }
    }

    async fn delete(&self, cron_job: &CronJob, job: &Key) -> Result<(), Error> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &job.namespace);
        match api.delete(&job.name, &DeleteParams::background()).await.unless_gone() {
            Ok(_) => {
                let text = format!("Deleted job {}", job.name);
                self.recorder.event(cron_job, EventType::Normal, "SuccessfulDelete", text);
                Ok(())
            }
            Err(error) => {
                let text = format!("Deleted job: {}", template::message(&error));
                self.recorder.event(cron_job, EventType::Warning, "FailedDelete", text);
                Err(Error::at("delete", job.clone())(error))
            }
        }
    }

    async fn write_status(&self, key: &Key, cron_job: &CronJob, status: CronJobStatus) -> Result<(), Error> {
        let api: Api<CronJob> = Api::namespaced(self.client.clone(), &key.namespace);
        let cron_job = CronJob { status: Some(status), ..cron_job.clone() };
        let answer = api.replace_status(&key.name, &PostParams::default(), &cron_job).await;
        let written = answer.unless_gone().map_err(Error::at("write status of", key.clone()))?;
        written.iter().for_each(|written| self.self_written.wrote(key, &written.metadata));
        Ok(())
    }
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        kind: Some("Job".to_owned()),
        api_version: Some("batch/v1".to_owned()),
        namespace: job.metadata.namespace.clone(),
        name: job.metadata.name.clone(),
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}
