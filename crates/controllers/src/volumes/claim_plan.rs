//! What is to be done for a claim: a pure function of the claim, the volumes and its class.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use super::matching::{self, capacity, requested};
use super::{
    BIND_COMPLETED, PROVISIONER, SELECTED_NODE, annotation, claim_phase, claim_ref, class_of_claim, is_for, is_ours,
    provision, volume_name,
};

/// What is known when a claim is looked at.
pub(super) struct World<'a> {
    pub(super) volumes: &'a [Arc<PersistentVolume>],
    pub(super) class: Option<&'a StorageClass>,
    pub(super) nodes: &'a [Arc<Node>],
}

#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    /// Nothing, besides telling it once.
    Wait(Told),
    /// Bind the two to each other, whatever of it is done already.
    Bind(Arc<PersistentVolume>),
    /// Make a volume.
    Provision(Box<PersistentVolume>),
    /// Say that somebody else makes the volume.
    Delegate(String),
    /// The volume becomes as large as the claim asks, then the claim says so.
    Grow(Arc<PersistentVolume>),
    Lose(Told),
    /// All is well.
    Rest,
}

/// The reason and message of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) is_warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

fn warn(reason: &'static str, message: impl Into<String>) -> Told {
    Told { is_warning: true, reason, message: message.into() }
}

fn tell(reason: &'static str, message: impl Into<String>) -> Told {
    Told { is_warning: false, reason, message: message.into() }
}

pub(super) fn plan(claim: &PersistentVolumeClaim, world: &World<'_>) -> Plan {
    let named = volume_name(claim);
    let volume = world.volumes.iter().find(|volume| volume.metadata.name.as_deref() == Some(named));
    if annotation(&claim.metadata, BIND_COMPLETED).is_some() {
        return bound(claim, world, named, volume);
    }
    if named.is_empty() {
        return unbound(claim, world);
    }
    match volume {
        None => Plan::Wait(tell("FailedBinding", format!("volume {named:?} not found"))),
        Some(volume) if claim_ref(volume).is_none() || is_for(volume, claim) => Plan::Bind(volume.clone()),
        Some(_) => Plan::Wait(warn("FailedBinding", format!("volume {named:?} already bound to a different claim."))),
    }
}

fn bound(
    claim: &PersistentVolumeClaim,
    world: &World<'_>,
    named: &str,
    volume: Option<&Arc<PersistentVolume>>,
) -> Plan {
    let lost = |reason, message| match claim_phase(claim) {
        "Lost" => Plan::Rest,
        _ => Plan::Lose(warn(reason, message)),
    };
    if named.is_empty() {
        return lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
    }
    let Some(volume) = volume else {
        return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    };
    if claim_ref(volume).is_some() && !is_for(volume, claim) {
        return lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
    }
    if is_ours(volume) && requested(claim) > capacity(volume) && may_grow(world) {
        return Plan::Grow(volume.clone());
    }
    Plan::Bind(volume.clone())
}

fn may_grow(world: &World<'_>) -> bool {
    world.class.is_some_and(|class| class.allow_volume_expansion == Some(true))
}

fn unbound(claim: &PersistentVolumeClaim, world: &World<'_>) -> Plan {
    let selected = annotation(&claim.metadata, SELECTED_NODE);
    let node = selected.and_then(|name| world.nodes.iter().find(|node| node.metadata.name.as_deref() == Some(name)));
    let waits = selected.is_none()
        && world.class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
    if let Some(volume) = matching::best(claim, world.volumes, node.map(|node| &**node), waits) {
        return Plan::Bind(volume);
    }
    if waits {
        return Plan::Wait(tell("WaitForFirstConsumer", "waiting for first consumer to be created before binding"));
    }
    let name = class_of_claim(claim);
    if name.is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        return Plan::Wait(tell("FailedBinding", message));
    }
    let Some(class) = world.class else {
        let message = format!("storageclass.storage.k8s.io {name:?} not found");
        return Plan::Wait(warn("ProvisioningFailed", message));
    };
    if class.provisioner != PROVISIONER {
        return Plan::Delegate(class.provisioner.clone());
    }
    if let Some(why) = provision::objection(claim) {
        let message = format!("failed to provision volume with StorageClass {name:?}: {why}");
        return Plan::Wait(warn("ProvisioningFailed", message));
    }
    let node = if selected.is_some() { node } else { any_node(world) };
    match node {
        Some(node) => Plan::Provision(Box::new(provision::volume(claim, class, node))),
        None => Plan::Wait(warn(
            "ProvisioningFailed",
            format!("failed to provision volume with StorageClass {name:?}: no node is there for it"),
        )),
    }
}

/// The node that has the fewest of our volumes, for a claim that does not wait for its pod.
fn any_node<'a>(world: &World<'a>) -> Option<&'a Arc<Node>> {
    let is_open = |node: &&Arc<Node>| node.spec.as_ref().is_none_or(|spec| spec.unschedulable != Some(true));
    let n_volumes = |node: &Node| {
        let here = world.volumes.iter().filter(|volume| is_ours(volume) && super::affinity::accepts(volume, node));
        here.count()
    };
    let open = world.nodes.iter().filter(is_open);
    open.min_by(|a, b| n_volumes(a).cmp(&n_volumes(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name)))
}

#[cfg(test)]
mod tests;
