//! Takes back what was said of a pod that was to be disrupted and was not.

use std::sync::Arc;
use std::time::Duration;

use coracle_client::{Change, Key};
use coracle_stdx::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;
use crate::{Error, pods};

const TARGET: &str = "DisruptionTarget";
/// A pod that was told to go and is not going by then stays.
const STALE_AFTER: SignedDuration = SignedDuration::from_secs(120);

pub(crate) struct StaleDisruptions {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) clock: Clock,
}

/// A pod that is said to be disrupted.
pub(crate) fn keys_of_pod(change: &Change<Pod>) -> Vec<Key> {
    let pod = change.new.as_ref().filter(|pod| stale_in(pod, Timestamp::UNIX_EPOCH).is_some());
    pod.map(|_| change.key.clone()).into_iter().collect()
}

/// In how long the pod's disruption has come to nothing; `None` when it has not, or nobody says that there is one.
fn stale_in(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let condition = pods::condition(pod, TARGET).filter(|condition| condition.status == "True")?;
    // A kubelet takes its time.
    let is_kubelets = condition.reason.as_deref() == Some("TerminationByKubelet");
    if is_kubelets || pods::is_ending(pod) || pods::is_finished(pod) {
        return None;
    }
    let since = condition.last_transition_time.as_ref().map_or(now, |time| time.0);
    Some(Duration::try_from((since + STALE_AFTER).duration_since(now)).unwrap_or(Duration::ZERO))
}

impl Reconcile for StaleDisruptions {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(pod) = self.informers.pods.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        let now = self.clock.now();
        match stale_in(&pod, now) {
            None => return Ok(Next::Change),
            Some(left) if !left.is_zero() => return Ok(Next::After(left)),
            Some(_) => {}
        }
        let condition = json!({"type": TARGET, "status": "False", "lastTransitionTime": Time(now)});
        let meta = json!({"uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version});
        let patch = json!({"metadata": meta, "status": {"conditions": [condition]}});
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let answer = api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        answer.unless_gone().map_err(Error::at("take back the disruption of", key.clone()))?;
        Ok(Next::Change)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_disruption_that_did_not_happen_is_stale_after_two_minutes() {
        let pod = |status: &str, reason: &str, change: Value| -> Pod {
            let mut pod = json!({"metadata": {"name": "p"}, "status": {"phase": "Running", "conditions": [
                {"type": TARGET, "status": status, "reason": reason, "lastTransitionTime": "1970-01-01T00:10:00Z"}]}});
            json_patch::merge(&mut pod, &change);
            serde_json::from_value(pod).unwrap()
        };
        let (evicted, nothing) = ("EvictionByEvictionAPI", json!({}));
        let table = [
            (pod("True", evicted, nothing.clone()), 610, Some(110)),
            (pod("True", evicted, nothing.clone()), 720, Some(0)),
            (pod("True", evicted, nothing.clone()), 900, Some(0)),
            (pod("False", evicted, nothing.clone()), 900, None),
            (pod("True", "TerminationByKubelet", nothing), 900, None),
            (pod("True", evicted, json!({"status": {"phase": "Failed"}})), 900, None),
            (pod("True", evicted, json!({"metadata": {"deletionTimestamp": "1970-01-01T00:10:01Z"}})), 900, None),
        ];
        for (pod, second, left) in table {
            let now = Timestamp::from_second(second).unwrap();
            assert_eq!(stale_in(&pod, now).map(|left| left.as_secs()), left, "{pod:?} at {second}");
        }
    }
}
