//! What is written when a claim and a volume are bound: patches from what there is to what there should be. Each names the
//! version that it was made from.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use serde_json::{Value, json};

use super::{BIND_COMPLETED, BOUND_BY_CONTROLLER, annotation, claim_phase, claim_ref, phase, volume_name};

/// What the volume says of its claim; `None` when it says so.
pub(super) fn volume_of(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Value> {
    let reference = claim_ref(volume);
    let uid = reference.and_then(|reference| reference.uid.as_deref()).unwrap_or_default();
    if !uid.is_empty() {
        return None;
    }
    let mut patch = json!({
        "metadata": {"resourceVersion": volume.metadata.resource_version},
        "spec": {"claimRef": {
            "kind": "PersistentVolumeClaim", "apiVersion": "v1",
            "namespace": claim.metadata.namespace, "name": claim.metadata.name,
            "uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version,
        }},
    });
    if reference.is_none() {
        patch["metadata"]["annotations"] = json!({BOUND_BY_CONTROLLER: "yes"});
    }
    Some(patch)
}

/// What the claim says of its volume.
pub(super) fn claim_of(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Value> {
    let is_named = !volume_name(claim).is_empty();
    if is_named && annotation(&claim.metadata, BIND_COMPLETED).is_some() {
        return None;
    }
    let mut annotations = json!({BIND_COMPLETED: "yes"});
    if !is_named {
        annotations[BOUND_BY_CONTROLLER] = json!("yes");
    }
    Some(json!({
        "metadata": {"resourceVersion": claim.metadata.resource_version, "annotations": annotations},
        "spec": {"volumeName": volume.metadata.name},
    }))
}

/// The claim's status once it has its volume.
pub(super) fn claim_status(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Value> {
    let spec = volume.spec.as_ref()?;
    let status = claim.status.as_ref();
    let modes = status.and_then(|status| status.access_modes.clone());
    let capacity = status.and_then(|status| status.capacity.clone());
    if claim_phase(claim) == "Bound" && modes == spec.access_modes && capacity == spec.capacity {
        return None;
    }
    Some(json!({"status": {"phase": "Bound", "accessModes": spec.access_modes, "capacity": spec.capacity}}))
}

/// The volume's phase once it has its claim.
pub(super) fn volume_status(volume: &PersistentVolume, wanted: &str) -> Option<Value> {
    (phase(volume) != wanted).then(|| json!({"status": {"phase": wanted}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_bound_by_hand_is_not_said_to_be_bound_by_us() {
        let claim: PersistentVolumeClaim =
            serde_json::from_value(json!({"metadata": {"name": "c", "namespace": "ns", "uid": "u"}})).unwrap();
        let free: PersistentVolume = serde_json::from_value(json!({"metadata": {"name": "v"}})).unwrap();
        let by_hand: PersistentVolume = serde_json::from_value(
            json!({"metadata": {"name": "v"}, "spec": {"claimRef": {"name": "c", "namespace": "ns"}}}),
        )
        .unwrap();
        let patch = volume_of(&free, &claim).unwrap();
        assert_eq!(patch["metadata"]["annotations"][BOUND_BY_CONTROLLER], "yes");
        assert_eq!(patch["spec"]["claimRef"]["uid"], "u");
        assert!(volume_of(&by_hand, &claim).unwrap()["metadata"]["annotations"].is_null());
        assert_eq!(claim_of(&claim, &free).unwrap()["metadata"]["annotations"][BOUND_BY_CONTROLLER], "yes");
    }
}
