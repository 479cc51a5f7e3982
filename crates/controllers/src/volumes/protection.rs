//! Nothing in use goes away: a claim stays while a pod on a node uses it, a volume while it is bound.

use std::sync::Arc;

use coracle_client::{Change, Key};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;
use crate::{Error, pods};

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";

pub(crate) struct ClaimProtection {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
}

pub(crate) struct VolumeProtection {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
}

/// The claims of a pod.
pub(crate) fn claims_of(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().filter_map(|spec| spec.volumes.as_deref()).flatten();
    let named = |volume: &k8s_openapi::api::core::v1::Volume| match (&volume.persistent_volume_claim, &volume.ephemeral)
    {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name)),
        (None, None) => None,
    };
    volumes.filter_map(named).collect()
}

/// A pod lets go of its claims when it ends or goes.
pub(crate) fn keys_of_pod(change: &Change<Pod>) -> Vec<Key> {
    let is_over = change.new.as_ref().is_none_or(|pod| pods::is_finished(pod));
    let Some(pod) = change.old.as_ref().filter(|_| is_over) else { return Vec::new() };
    claims_of(pod).into_iter().map(|claim| Key::new(change.key.namespace.clone(), claim)).collect()
}

/// The finalizers that an object should have; `None` when it has them.
fn guarded(meta: &ObjectMeta, finalizer: &str, is_used: impl FnOnce() -> bool) -> Option<Value> {
    let present = meta.finalizers.as_deref().unwrap_or_default();
    let is_guarded = present.iter().any(|name| name == finalizer);
    let wanted: Vec<&String> = match (meta.deletion_timestamp.is_some(), is_guarded) {
        (true, true) if !is_used() => present.iter().filter(|name| *name != finalizer).collect(),
        (false, false) => {
            let finalizer = finalizer.to_owned();
            let all: Vec<&String> = present.iter().chain([&finalizer]).collect();
            return Some(patch(meta, &all));
        }
        _ => return None,
    };
    Some(patch(meta, &wanted))
}

fn patch(meta: &ObjectMeta, finalizers: &[&String]) -> Value {
    json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": finalizers}})
}

impl Reconcile for ClaimProtection {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(claim) = self.informers.claims.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        let is_used = || {
            let on_a_node = |pod: &Arc<Pod>| !pods::node_name(pod).is_empty() && claims_of(pod).contains(&key.name);
            self.informers.pods.in_namespace(&key.namespace).iter().any(on_a_node)
        };
        if let Some(patch) = guarded(&claim.metadata, CLAIM, is_used) {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
            let answer = api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await;
            answer.unless_gone().map_err(Error::at("protect claim", key.clone()))?;
        }
        Ok(Next::Change)
    }
}

impl Reconcile for VolumeProtection {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(volume) = self.informers.volumes.get("", &key.name) else { return Ok(Next::Change) };
        if let Some(patch) = guarded(&volume.metadata, VOLUME, || super::phase(&volume) == "Bound") {
            let api: Api<PersistentVolume> = Api::all(self.client.clone());
            let answer = api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await;
            answer.unless_gone().map_err(Error::at("protect volume", key.clone()))?;
        }
        Ok(Next::Change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(is_going: bool, finalizers: &[&str]) -> ObjectMeta {
        let deletion = is_going.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({"finalizers": finalizers, "deletionTimestamp": deletion})).unwrap()
    }

    #[test]
    fn a_guard_stays_while_there_is_use() {
        let finalizers = |patch: Option<Value>| patch.map(|patch| patch["metadata"]["finalizers"].clone());
        assert_eq!(finalizers(guarded(&meta(false, &[]), CLAIM, || false)), Some(json!([CLAIM])));
        assert_eq!(finalizers(guarded(&meta(false, &[CLAIM]), CLAIM, || false)), None);
        assert_eq!(finalizers(guarded(&meta(true, &[CLAIM, "x/y"]), CLAIM, || false)), Some(json!(["x/y"])));
        assert_eq!(finalizers(guarded(&meta(true, &[CLAIM]), CLAIM, || true)), None);
    }

    #[test]
    fn a_pod_uses_the_claims_that_it_names_and_those_made_for_it() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [], "volumes": [
            {"name": "a", "persistentVolumeClaim": {"claimName": "disk"}}, {"name": "b", "ephemeral": {}},
            {"name": "c", "emptyDir": {}}]}}))
            .unwrap();
        assert_eq!(claims_of(&pod), ["disk", "p-b"]);
    }
}
