//! Who owns a claim: nobody, its set, or its pod, so that it goes with its owner. Plain values only.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use super::identity::is_in_range;
use crate::owners;

fn is_deleted(policy: Option<&String>) -> bool {
    policy.is_some_and(|policy| policy == "Delete")
}

/// The owners that a claim should have; `None` when it has them.
pub(super) fn owners_of_claim(
    set: &StatefulSet,
    pod: &Pod,
    ordinal: i32,
    claim: &PersistentVolumeClaim,
) -> Option<Vec<OwnerReference>> {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let when_scaled = is_deleted(policy.and_then(|policy| policy.when_scaled.as_ref()));
    let when_deleted = is_deleted(policy.and_then(|policy| policy.when_deleted.as_ref()));
    let is_condemned = !is_in_range(set, ordinal);
    let by_pod = when_scaled && is_condemned && pod.metadata.uid.is_some();
    let by_set = when_deleted && !by_pod;
    let present = claim.metadata.owner_references.clone().unwrap_or_default();
    let is_foreign = present.iter().any(|owner| owner.controller == Some(true) && !is_ours(owner, set, pod));
    if is_foreign {
        return None;
    }
    let mut wanted: Vec<OwnerReference> = present.iter().filter(|owner| !is_ours(owner, set, pod)).cloned().collect();
    wanted.extend(by_set.then(|| owners::reference_to(set)));
    wanted.extend(by_pod.then(|| owners::reference_to(pod)));
    (wanted != present).then_some(wanted)
}

fn is_ours(owner: &OwnerReference, set: &StatefulSet, pod: &Pod) -> bool {
    let is = |uid: Option<&String>| uid == Some(&owner.uid);
    let is_former_pod = owner.kind == "Pod" && Some(&owner.name) == pod.meta().name.as_ref();
    is(set.metadata.uid.as_ref()) || is(pod.metadata.uid.as_ref()) || is_former_pod
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(when_deleted: &str, when_scaled: &str) -> StatefulSet {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s", "uid": "set"},
            "spec": {"replicas": 1, "selector": {}, "template": {}, "persistentVolumeClaimRetentionPolicy":
                {"whenDeleted": when_deleted, "whenScaled": when_scaled}}}))
        .unwrap()
    }

    #[test]
    fn a_claim_goes_with_whom_the_policy_says() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "s-0", "uid": "pod"}})).unwrap();
        let claim = PersistentVolumeClaim::default();
        let table = [
            (("Retain", "Retain"), 0, None),
            (("Delete", "Retain"), 0, Some("set")),
            (("Delete", "Retain"), 1, Some("set")),
            (("Retain", "Delete"), 0, None),
            (("Retain", "Delete"), 1, Some("pod")),
            (("Delete", "Delete"), 0, Some("set")),
            (("Delete", "Delete"), 1, Some("pod")),
        ];
        for ((when_deleted, when_scaled), ordinal, owner) in table {
            let owners = owners_of_claim(&set(when_deleted, when_scaled), &pod, ordinal, &claim);
            let uids: Option<Vec<String>> = owners.map(|owners| owners.into_iter().map(|o| o.uid).collect());
            assert_eq!(uids, owner.map(|uid| vec![uid.to_owned()]), "{when_deleted} {when_scaled} {ordinal}");
        }
    }
}
