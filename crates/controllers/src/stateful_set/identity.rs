//! Who a StatefulSet's pods are: names, ordinals, labels, volumes and claims. Plain values only.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::history::REVISION_HASH;
use crate::owners;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

pub(super) fn name_of(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

pub(super) fn first_ordinal(set: &StatefulSet) -> i32 {
    set.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
}

pub(super) fn n_replicas(set: &StatefulSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// The ordinal in the name of one of the set's pods.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let (parent, ordinal) = name_of(&pod.metadata).rsplit_once('-')?;
    let is_ours = parent == name_of(&set.metadata);
    ordinal.parse().ok().filter(|_| is_ours)
}

pub(super) fn is_in_range(set: &StatefulSet, ordinal: i32) -> bool {
    let first = first_ordinal(set);
    (first..first + n_replicas(set)).contains(&ordinal)
}

pub(super) fn revision_of(pod: &Pod) -> &str {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(REVISION_HASH)).map(String::as_str).unwrap_or_default()
}

fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", name_of(&set.metadata))
}

/// The pod of this ordinal, as `template`, which has the name `revision`, makes it.
pub(super) fn pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        labels: meta.labels,
        annotations: meta.annotations,
        finalizers: meta.finalizers,
        owner_references: Some(vec![owners::reference_to(set)]),
        ..ObjectMeta::default()
    };
    let mut pod = Pod { metadata, spec: template.spec.clone(), status: None };
    identify(set, &mut pod, ordinal);
    if let Some(spec) = &mut pod.spec {
        spec.hostname = pod.metadata.name.clone();
        spec.subdomain = set.spec.service_name.clone().filter(|name| !name.is_empty());
    }
    pod.metadata.labels.get_or_insert_default().insert(REVISION_HASH.to_owned(), revision.to_owned());
    pod
}

/// Gives a pod the name, the labels and the volumes of its ordinal.
pub(super) fn identify(set: &StatefulSet, pod: &mut Pod, ordinal: i32) {
    let name = pod_name(set, ordinal);
    pod.metadata.name = Some(name.clone());
    pod.metadata.namespace = set.metadata.namespace.clone();
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.to_owned(), name);
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
    let claims = claims(set, ordinal);
    let Some(spec) = &mut pod.spec else { return };
    let own = spec.volumes.take().unwrap_or_default().into_iter();
    let own = own.filter(|volume| !claims.iter().any(|(name, _)| *name == volume.name));
    let volumes: Vec<Volume> = claims.iter().map(|(name, claim)| volume(name, claim)).chain(own).collect();
    spec.volumes = Some(volumes).filter(|volumes| !volumes.is_empty());
}

fn volume(name: &str, claim: &PersistentVolumeClaim) -> Volume {
    let claim_name = claim.metadata.name.clone().unwrap_or_default();
    let source = PersistentVolumeClaimVolumeSource { claim_name, read_only: None };
    Volume { name: name.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() }
}

/// True when nobody has tampered with the pod's identity.
pub(super) fn has_identity(set: &StatefulSet, pod: &Pod, ordinal: i32) -> bool {
    let label = |key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let (name, index) = (pod_name(set, ordinal), ordinal.to_string());
    if label(POD_NAME) != Some(&name) || label(POD_INDEX) != Some(&index) {
        return false;
    }
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    claims(set, ordinal).iter().all(|(name, claim)| {
        let source = volumes.iter().find(|volume| volume.name == *name).map(|v| &v.persistent_volume_claim);
        source.is_some_and(|source| source.as_ref().map(|s| &s.claim_name) == claim.metadata.name.as_ref())
    })
}

/// The claims of this ordinal by the names of their volumes, without owners.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<(String, PersistentVolumeClaim)> {
    let templates = set.spec.volume_claim_templates.iter().flatten();
    templates.map(|template| (name_of(&template.metadata).to_owned(), claim(set, template, ordinal))).collect()
}

fn claim(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> PersistentVolumeClaim {
    let mut claim = template.clone();
    let volume = name_of(&template.metadata);
    claim.metadata.name = Some(format!("{volume}-{}", pod_name(set, ordinal)));
    claim.metadata.namespace = set.metadata.namespace.clone();
    let labels = claim.metadata.labels.get_or_insert_default();
    labels.extend(set.spec.selector.match_labels.clone().unwrap_or_default());
    claim.status = None;
    claim
}
