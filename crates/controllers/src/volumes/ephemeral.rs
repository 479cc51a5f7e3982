//! Makes the claims that pods bring along, which go with their pods.

use std::sync::Arc;

use coracle_client::{Change, EventType, Key, Recorder, is_already_exists};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::driver::{Next, Reconcile};
use crate::informers::Informers;
use crate::{Error, owners, pods, template};

pub(crate) struct EphemeralClaims {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
}

/// A pod that brings claims along.
pub(crate) fn keys_of_pod(change: &Change<Pod>) -> Vec<Key> {
    let brings = |pod: &Arc<Pod>| claims(pod).next().is_some();
    change.new.iter().filter(|pod| brings(pod)).map(|_| change.key.clone()).collect()
}

/// The pod that a claim goes with: the claim may have to be made anew.
pub(crate) fn keys_of_claim(change: &Change<PersistentVolumeClaim>) -> Vec<Key> {
    let gone = change.old.as_ref().filter(|_| change.new.is_none());
    gone.and_then(|claim| owners::controller_key(&claim.metadata, "Pod")).into_iter().collect()
}

fn claims(pod: &Pod) -> impl Iterator<Item = PersistentVolumeClaim> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(move |volume| {
        let template = volume.ephemeral.as_ref()?.volume_claim_template.clone()?;
        let meta = template.metadata.unwrap_or_default();
        let metadata = ObjectMeta {
            name: Some(format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name)),
            namespace: pod.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            owner_references: Some(vec![owners::reference_to(pod)]),
            ..ObjectMeta::default()
        };
        Some(PersistentVolumeClaim { metadata, spec: Some(template.spec), status: None })
    })
}

/// The claims that are still to be made, or the first that another has.
fn missing(
    pod: &Pod,
    find: impl Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
) -> Result<Vec<PersistentVolumeClaim>, String> {
    if pod.metadata.deletion_timestamp.is_some() || pods::is_finished(pod) {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    for claim in claims(pod) {
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        match find(name) {
            None => missing.push(claim),
            Some(known)
                if owners::controller_of(&known.metadata).map(|owner| &owner.uid) == pod.metadata.uid.as_ref() => {}
            Some(_) => return Err(name.to_owned()),
        }
    }
    Ok(missing)
}

impl Reconcile for EphemeralClaims {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(pod) = self.informers.pods.get(&key.namespace, &key.name) else { return Ok(Next::Change) };
        let find = |name: &str| self.informers.claims.get(&key.namespace, name);
        match missing(&pod, find) {
            Ok(claims) => {
                for claim in claims {
                    self.create(key, &claim).await?;
                }
            }
            Err(name) => {
                let text = format!(
                    "PVC {}/{name} was not created for pod {}/{} (pod is not owner)",
                    key.namespace, key.namespace, key.name
                );
                self.recorder.event(&*pod, EventType::Warning, "FailedBinding", text);
            }
        }
        Ok(Next::Change)
    }
}

impl EphemeralClaims {
    async fn create(&self, pod: &Key, claim: &PersistentVolumeClaim) -> Result<(), Error> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &pod.namespace);
        match api.create(&PostParams::default(), claim).await {
            Ok(_) => Ok(()),
            Err(error) if is_already_exists(&error) || template::is_namespace_ending(&error) => Ok(()),
            Err(error) => Err(Error::at("create a claim of", pod.clone())(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(change: Value) -> Pod {
        let mut pod = json!({"metadata": {"name": "web", "namespace": "n", "uid": "u1"}, "spec": {"containers": [], "volumes": [
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}},
            {"name": "other", "emptyDir": {}}]}});
        json_patch::merge(&mut pod, &change);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_pod_gets_the_claims_that_it_brings_along() {
        let claims = missing(&pod(json!({})), |_| None).unwrap();
        assert_eq!(claims.len(), 1);
        let meta = &claims[0].metadata;
        assert_eq!((meta.name.as_deref(), meta.namespace.as_deref()), (Some("web-scratch"), Some("n")));
        assert_eq!(meta.labels.as_ref().unwrap()["a"], "b");
        let owner = owners::controller_of(meta).unwrap();
        assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("Pod", "u1"));
        let known = Arc::new(claims[0].clone());
        assert_eq!(missing(&pod(json!({})), |_| Some(known.clone())).unwrap().len(), 0);
        let stranger = pod(json!({"metadata": {"uid": "u2"}}));
        assert_eq!(missing(&stranger, |_| Some(known.clone())).unwrap_err(), "web-scratch");
        for change in
            [json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:00Z"}}), json!({"status": {"phase": "Failed"}})]
        {
            assert_eq!(missing(&pod(change), |_| None).unwrap().len(), 0);
        }
    }
}
