//! What is to be done about a volume: a pure function of the volume and the claim that it names.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::{BOUND_BY_CONTROLLER, annotation, claim_ref, is_ours, phase, volume_name};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Rest,
    /// Say in which phase it is.
    Phase(&'static str),
    /// Forget the claim, or only which one of that name it was.
    Unbind {
        wholly: bool,
    },
    /// Its data is not needed any more.
    Delete,
    /// Say why it cannot be reclaimed.
    Fail(String),
}

/// `claim` is the one of the name that the volume knows.
pub(super) fn plan(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> Plan {
    let say = |wanted| if phase(volume) == wanted { Plan::Rest } else { Plan::Phase(wanted) };
    if volume.metadata.deletion_timestamp.is_some() {
        return Plan::Rest;
    }
    let Some(reference) = claim_ref(volume) else { return say("Available") };
    let uid = reference.uid.as_deref().unwrap_or_default();
    if uid.is_empty() {
        return say("Available");
    }
    let Some(claim) = claim.filter(|claim| claim.metadata.uid.as_deref() == Some(uid)) else {
        return if matches!(phase(volume), "Released" | "Failed") { reclaim(volume) } else { Plan::Phase("Released") };
    };
    let named = volume_name(claim);
    if Some(named) == volume.metadata.name.as_deref() {
        return say("Bound");
    }
    // The claim's own loop is binding them, unless it has found another.
    if named.is_empty() {
        return Plan::Rest;
    }
    if is_ours(volume) && policy(volume) == "Delete" {
        return if phase(volume) == "Released" { Plan::Delete } else { Plan::Phase("Released") };
    }
    Plan::Unbind { wholly: annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_some() }
}

fn policy(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()).unwrap_or("Retain")
}

fn reclaim(volume: &PersistentVolume) -> Plan {
    match policy(volume) {
        "Delete" if is_ours(volume) => Plan::Delete,
        // Another provisioner made it, and deletes it.
        "Delete" if annotation(&volume.metadata, super::PROVISIONED_BY).is_some() => Plan::Rest,
        "Delete" if phase(volume) != "Failed" => {
            let name = volume.metadata.name.as_deref().unwrap_or_default();
            Plan::Fail(format!("error getting deleter volume plugin for volume {name:?}: no volume plugin matched"))
        }
        "Recycle" if phase(volume) != "Failed" => Plan::Fail("No recycler plugin found for the volume!".to_owned()),
        _ => Plan::Rest,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(phase: &str, policy: &str, uid: Option<&str>, annotations: Value) -> PersistentVolume {
        let reference = uid.map(|uid| json!({"name": "c", "namespace": "ns", "uid": uid}));
        serde_json::from_value(json!({
            "metadata": {"name": "v", "annotations": annotations}, "status": {"phase": phase},
            "spec": {"persistentVolumeReclaimPolicy": policy, "claimRef": reference},
        }))
        .unwrap()
    }

    fn claim(uid: &str, volume: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {"name": "c", "uid": uid}, "spec": {"volumeName": volume}})).unwrap()
    }

    #[test]
    fn a_volume_follows_its_claim() {
        let ours = json!({super::super::PROVISIONED_BY: super::super::PROVISIONER});
        let table = [
            (volume("Pending", "Retain", None, json!({})), None, Plan::Phase("Available")),
            (volume("Available", "Retain", Some(""), json!({})), Some(claim("u", "")), Plan::Rest),
            (volume("Available", "Retain", Some("u"), json!({})), Some(claim("u", "v")), Plan::Phase("Bound")),
            (volume("Bound", "Retain", Some("u"), json!({})), None, Plan::Phase("Released")),
            (volume("Bound", "Retain", Some("u"), json!({})), Some(claim("new", "")), Plan::Phase("Released")),
            (volume("Released", "Retain", Some("u"), json!({})), None, Plan::Rest),
            (volume("Released", "Delete", Some("u"), ours.clone()), None, Plan::Delete),
            (
                volume("Available", "Retain", Some("u"), json!({})),
                Some(claim("u", "w")),
                Plan::Unbind { wholly: false },
            ),
            (volume("Available", "Delete", Some("u"), ours), Some(claim("u", "w")), Plan::Phase("Released")),
        ];
        for (volume, claim, wanted) in table {
            assert_eq!(plan(&volume, claim.as_ref()), wanted, "{volume:?}");
        }
        assert!(matches!(plan(&volume("Released", "Delete", Some("u"), json!({})), None), Plan::Fail(_)));
    }
}
