//! Which of the volumes that are there suits a claim best: the smallest that is large enough.

use std::sync::Arc;

use coracle_api::quantity::Quantity;
use coracle_api::selector;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::{affinity, claim_ref, class_of_claim, class_of_volume, is_for, phase};

pub(super) fn parsed(text: Option<&Text>) -> Quantity {
    text.and_then(|text| text.0.parse().ok()).unwrap_or(Quantity::ZERO)
}

pub(super) fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    parsed(resources.and_then(|resources| resources.requests.as_ref()?.get("storage")))
}

pub(super) fn capacity(volume: &PersistentVolume) -> Quantity {
    parsed(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage")))
}

/// The volume for a claim. One that was bound to it by hand comes first; when the choice is to wait for a pod, no other
/// is considered.
pub(super) fn best(
    claim: &PersistentVolumeClaim,
    volumes: &[Arc<PersistentVolume>],
    node: Option<&Node>,
    only_bound_by_hand: bool,
) -> Option<Arc<PersistentVolume>> {
    let wanted = requested(claim);
    let by_hand =
        volumes.iter().find(|volume| is_for(volume, claim) && fits(claim, volume) && capacity(volume) >= wanted);
    if by_hand.is_some() || only_bound_by_hand {
        return by_hand.cloned();
    }
    let is_free = |volume: &&Arc<PersistentVolume>| {
        claim_ref(volume).is_none() && phase(volume) == "Available" && volume.metadata.deletion_timestamp.is_none()
    };
    let is_reachable = |volume: &&Arc<PersistentVolume>| node.is_none_or(|node| affinity::accepts(volume, node));
    let suitable = volumes.iter().filter(is_free).filter(is_reachable);
    let suitable = suitable.filter(|volume| {
        fits(claim, volume) && class_of_volume(volume) == class_of_claim(claim) && is_selected(claim, volume)
    });
    let large_enough = suitable.filter(|volume| capacity(volume) >= wanted);
    large_enough
        .min_by(|a, b| capacity(a).cmp(&capacity(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name)))
        .cloned()
}

/// The volume can be used in every way that the claim wants.
fn fits(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let (Some(wanted), Some(given)) = (&claim.spec, &volume.spec) else { return false };
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let modes = given.access_modes.as_deref().unwrap_or_default();
    let all = wanted.access_modes.iter().flatten().all(|mode| modes.contains(mode));
    all && mode(&wanted.volume_mode) == mode(&given.volume_mode)
}

fn is_selected(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let Some(wanted) = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { return true };
    let Ok(value) = serde_json::to_value(wanted) else { return false };
    let Ok(selector) = selector::from_label_selector(&value) else { return false };
    crate::labels::matches(&selector, volume.metadata.labels.as_ref())
}
