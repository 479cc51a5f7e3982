//! Volumes that outlive their pod: which directory of this node a claim's volume is. Anything but the node's own disks is
//! refused in words.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};

/// Who makes volumes on the nodes' disks.
const DRIVER: &str = "local.coracle.dev";

/// Why a pod cannot have a claim's volume, or not yet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    #[error("persistentvolumeclaim \"{0}\" not found")]
    Missing(String),
    #[error("can't start pod because PVC {0} is being deleted")]
    Ending(String),
    #[error("persistentvolumeclaim \"{0}\" is not bound")]
    Unbound(String),
    #[error("persistentvolume \"{0}\" not found")]
    NoVolume(String),
    #[error("persistentvolume \"{0}\" is not on a node's own disk, and no other can be given to a wasm sandbox")]
    Foreign(String),
}

/// The claim that a volume of a pod is; none when it is another sort of volume.
pub fn claim_of(pod: &Pod, volume: &Volume) -> Option<String> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(source.claim_name.clone());
    }
    volume.ephemeral.as_ref()?;
    Some(format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name))
}

/// The volume that a claim has.
pub fn volume_of(name: &str, claim: Option<&PersistentVolumeClaim>) -> Result<String, ClaimError> {
    let claim = claim.ok_or_else(|| ClaimError::Missing(name.to_owned()))?;
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(ClaimError::Ending(name.to_owned()));
    }
    let is_bound = claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| !name.is_empty());
    volume.filter(|_| is_bound).ok_or_else(|| ClaimError::Unbound(name.to_owned()))
}

/// Where a volume is, below the directory of all of them.
pub fn directory_of(name: &str, volume: Option<&PersistentVolume>, all: &Path) -> Result<PathBuf, ClaimError> {
    let volume = volume.ok_or_else(|| ClaimError::NoVolume(name.to_owned()))?;
    let source = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref()).filter(|csi| csi.driver == DRIVER);
    let is_plain = |handle: &&str| !handle.is_empty() && !handle.starts_with('.') && !handle.contains(['/', '\\']);
    let handle = source.map(|csi| csi.volume_handle.as_str()).filter(is_plain);
    handle.map(|handle| all.join(handle)).ok_or_else(|| ClaimError::Foreign(name.to_owned()))
}

/// Its data stays though the volume goes.
pub fn is_retained(volume: &PersistentVolume) -> bool {
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    policy != Some("Delete")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(status: &str, volume: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"spec": {"volumeName": volume}, "status": {"phase": status}})).unwrap()
    }

    fn volume(source: Value) -> PersistentVolume {
        serde_json::from_value(json!({"spec": source})).unwrap()
    }

    #[test]
    fn only_a_bound_claim_has_a_volume() {
        assert_eq!(volume_of("c", Some(&claim("Bound", "v"))), Ok("v".to_owned()));
        assert_eq!(volume_of("c", Some(&claim("Pending", ""))), Err(ClaimError::Unbound("c".to_owned())));
        assert_eq!(volume_of("c", None), Err(ClaimError::Missing("c".to_owned())));
    }

    #[test]
    fn only_the_nodes_own_disks_are_given_and_never_a_path_of_the_host() {
        let ours = |handle: &str| volume(json!({"csi": {"driver": DRIVER, "volumeHandle": handle}}));
        let all = Path::new("/volumes");
        assert_eq!(directory_of("v", Some(&ours("pvc-1")), all), Ok("/volumes/pvc-1".into()));
        for foreign in [ours("../etc"), ours("a/b"), ours(".."), volume(json!({"hostPath": {"path": "/etc"}}))] {
            assert_eq!(directory_of("v", Some(&foreign), all), Err(ClaimError::Foreign("v".to_owned())));
        }
    }
}
