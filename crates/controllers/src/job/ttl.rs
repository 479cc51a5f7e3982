//! Deletes jobs some time after they have finished, when they ask for it.

use std::sync::Arc;
use std::time::Duration;

use coracle_client::Key;
use coracle_stdx::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};

use super::is_finished;
use crate::Error;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;

pub(crate) struct FinishedJobs {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) clock: Clock,
}

/// How long a finished job may stay; `None` when it may stay for ever.
fn remaining(job: &Job, now: Timestamp) -> Option<Duration> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if !is_finished(job) || job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = job.status.as_ref()?.conditions.iter().flatten();
    let mut ends = conditions.filter(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True");
    let end = ends.next()?.last_transition_time.as_ref()?.0;
    let left = (end + SignedDuration::from_secs(i64::from(seconds))).duration_since(now);
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

impl Reconcile for FinishedJobs {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(job) = self.informers.jobs.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        match remaining(&job, self.clock.now()) {
            None => Ok(Next::Change),
            Some(left) if !left.is_zero() => Ok(Next::After(left)),
            Some(_) => self.delete(key, &job).await,
        }
    }
}

impl FinishedJobs {
    /// Only the job as it was seen: somebody may have given it more time.
    async fn delete(&self, key: &Key, job: &Job) -> Result<Next, Error> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        let (uid, resource_version) = (job.metadata.uid.clone(), job.metadata.resource_version.clone());
        let preconditions = Some(Preconditions { uid, resource_version });
        let how = DeleteParams { preconditions, ..DeleteParams::foreground() };
        api.delete(&key.name, &how).await.unless_gone().map_err(Error::at("delete", key.clone()))?;
        Ok(Next::Change)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_finished_job_stays_for_as_long_as_it_asks() {
        let job = |ttl: Value, condition: &str| -> Job {
            serde_json::from_value(json!({"metadata": {"name": "j"},
                "spec": {"ttlSecondsAfterFinished": ttl, "template": {}},
                "status": {"conditions": [
                    {"type": condition, "status": "True", "lastTransitionTime": "1970-01-01T00:01:40Z"}]}}))
            .unwrap()
        };
        let left = |job: &Job, second| remaining(job, Timestamp::from_second(second).unwrap()).map(|d| d.as_secs());
        assert_eq!(left(&job(json!(10), "Complete"), 103), Some(7));
        assert_eq!(left(&job(json!(10), "Failed"), 200), Some(0));
        assert_eq!(left(&job(json!(null), "Complete"), 200), None);
        assert_eq!(left(&job(json!(10), "Suspended"), 200), None);
    }
}
