//! Binds claims and volumes to each other, makes volumes for claims, and reclaims what is released.

use std::fmt;
use std::sync::Arc;

use coracle_client::{Change, EventType, Informer, Key, Recorder, is_already_exists};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::claim_plan::{self, Told};
use super::{PROVISIONER, changes, claim_phase, claim_ref, class_of_claim, volume_name, volume_plan};
use crate::Error;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;

const PROVISIONER_ANNOTATIONS: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];

/// One side of a binding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Item {
    Claim(Key),
    Volume(String),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(key) => write!(f, "claim {key}"),
            Self::Volume(name) => write!(f, "volume {name}"),
        }
    }
}

pub(crate) struct Binder {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
}

/// A claim, and the volume that it has.
pub(crate) fn items_of_claim(change: &Change<PersistentVolumeClaim>) -> Vec<Item> {
    let named = |claim: &Option<Arc<PersistentVolumeClaim>>| claim.as_ref().map(|claim| volume_name(claim).to_owned());
    let volume = named(&change.new).filter(|name| !name.is_empty()).or_else(|| named(&change.old));
    let volume = volume.filter(|name| !name.is_empty()).map(Item::Volume);
    std::iter::once(Item::Claim(change.key.clone())).chain(volume).collect()
}

/// A volume, the claim that it has, and the claims that may want it now.
pub(crate) fn items_of_volume(
    claims: &Informer<PersistentVolumeClaim>,
    change: &Change<PersistentVolume>,
) -> Vec<Item> {
    let mut items = vec![Item::Volume(change.key.name.clone())];
    let key = |claim: &PersistentVolumeClaim| Item::Claim(Key::of(&claim.metadata));
    for volume in [&change.old, &change.new].into_iter().flatten() {
        if let Some(reference) = claim_ref(volume) {
            let (namespace, name) = (reference.namespace.clone(), reference.name.clone());
            items.push(Item::Claim(Key::new(namespace.unwrap_or_default(), name.unwrap_or_default())));
        }
    }
    let name = change.key.name.as_str();
    let wants = |claim: &PersistentVolumeClaim| match volume_name(claim) {
        "" => change.new.as_ref().is_some_and(|volume| claim_ref(volume).is_none()),
        named => named == name,
    };
    items.extend(claims.list().iter().filter(|claim| wants(claim)).map(|claim| key(claim)));
    items.dedup();
    items
}

/// Claims that wait, when a class or a node has come that they may have waited for.
pub(crate) fn waiting(claims: &Informer<PersistentVolumeClaim>) -> Vec<Item> {
    let all = claims.list();
    let unbound = all.iter().filter(|claim| claim_phase(claim) != "Bound");
    unbound.map(|claim| Item::Claim(Key::of(&claim.metadata))).collect()
}

impl Reconcile<Item> for Binder {
    async fn reconcile(&self, item: &Item) -> Result<Next, Error> {
        match item {
            Item::Claim(key) => self.claim(key).await?,
            Item::Volume(name) => self.volume(name).await?,
        }
        Ok(Next::Change)
    }
}

impl Binder {
    fn class(&self, claim: &PersistentVolumeClaim) -> Option<Arc<StorageClass>> {
        self.informers.storage_classes.get("", class_of_claim(claim))
    }

    async fn claim(&self, key: &Key) -> Result<(), Error> {
        let Some(claim) = self.informers.claims.get(&key.namespace, &key.name) else { return Ok(()) };
        if claim.metadata.deletion_timestamp.is_some() && claim_phase(&claim) != "Bound" {
            return Ok(());
        }
        let (volumes, nodes, class) = (self.informers.volumes.list(), self.informers.nodes.list(), self.class(&claim));
        let world = claim_plan::World { volumes: &volumes, class: class.as_deref(), nodes: &nodes };
        match claim_plan::plan(&claim, &world) {
            claim_plan::Plan::Rest => Ok(()),
            claim_plan::Plan::Wait(told) => {
                self.tell(&claim, told);
                Ok(())
            }
            claim_plan::Plan::Bind(volume) => self.bind(&claim, &volume).await,
            claim_plan::Plan::Provision(volume) => self.provision(&claim, *volume).await,
            claim_plan::Plan::Delegate(provisioner) => self.delegate(&claim, &provisioner).await,
            claim_plan::Plan::Grow(volume) => self.grow(&claim, &volume).await,
            claim_plan::Plan::Lose(told) => {
                self.tell(&claim, told);
                self.patch_claim(&claim, Some(json!({"status": {"phase": "Lost"}})), true).await.map(drop)
            }
        }
    }

    fn tell(&self, claim: &PersistentVolumeClaim, told: Told) {
        let kind = if told.is_warning { EventType::Warning } else { EventType::Normal };
        self.recorder.event(claim, kind, told.reason, told.message);
    }

    /// The volume names the claim before the claim names the volume: what is half done is found by the volume.
    async fn bind(&self, claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Result<(), Error> {
        let own = self.patch_volume(volume, changes::volume_of(volume, claim), false).await?;
        let volume = own.as_ref().unwrap_or(volume);
        let own = self.patch_volume(volume, changes::volume_status(volume, "Bound"), true).await?;
        let volume = own.as_ref().unwrap_or(volume);
        let own = self.patch_claim(claim, changes::claim_of(claim, volume), false).await?;
        let claim = own.as_ref().unwrap_or(claim);
        self.patch_claim(claim, changes::claim_status(claim, volume), true).await.map(drop)
    }

    async fn provision(&self, claim: &PersistentVolumeClaim, volume: PersistentVolume) -> Result<(), Error> {
        self.say_provisioner(claim, PROVISIONER).await?;
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let name = volume.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), &volume).await {
            Ok(_) => {
                let message = format!("Successfully provisioned volume {name}");
                self.recorder.event(claim, EventType::Normal, "ProvisioningSucceeded", message);
                Ok(())
            }
            // The cache has not seen it yet.
            Err(error) if is_already_exists(&error) => Ok(()),
            Err(error) => Err(Error::at("provision", Key::cluster(name))(error)),
        }
    }

    async fn delegate(&self, claim: &PersistentVolumeClaim, provisioner: &str) -> Result<(), Error> {
        self.say_provisioner(claim, provisioner).await?;
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
             system administrator. If volume creation is delayed, please verify that the provisioner is running and \
             correctly registered."
        );
        self.recorder.event(claim, EventType::Normal, "ExternalProvisioning", message);
        Ok(())
    }

    async fn say_provisioner(&self, claim: &PersistentVolumeClaim, provisioner: &str) -> Result<(), Error> {
        let is_said = PROVISIONER_ANNOTATIONS
            .iter()
            .all(|annotation| super::annotation(&claim.metadata, annotation) == Some(provisioner));
        let said: Value = PROVISIONER_ANNOTATIONS.iter().map(|name| ((*name).to_owned(), json!(provisioner))).collect();
        let patch = json!({"metadata": {"annotations": said}});
        self.patch_claim(claim, (!is_said).then_some(patch), false).await.map(drop)
    }

    async fn grow(&self, claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Result<(), Error> {
        let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"));
        let patch = json!({"spec": {"capacity": {"storage": requests}}});
        let grown = self.patch_volume(volume, Some(patch), false).await?;
        let Some(grown) = grown else { return Ok(()) };
        self.patch_claim(claim, changes::claim_status(claim, &grown), true).await?;
        self.recorder.event(claim, EventType::Normal, "VolumeResizeSuccessful", "Resize volume succeeded");
        Ok(())
    }

    async fn volume(&self, name: &str) -> Result<(), Error> {
        let Some(volume) = self.informers.volumes.get("", name) else { return Ok(()) };
        let claim = claim_ref(&volume).and_then(|reference| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            self.informers.claims.get(&text(&reference.namespace), &text(&reference.name))
        });
        let patch = match volume_plan::plan(&volume, claim.as_deref()) {
            volume_plan::Plan::Rest => return Ok(()),
            volume_plan::Plan::Phase(phase) => {
                return self.patch_volume(&volume, changes::volume_status(&volume, phase), true).await.map(drop);
            }
            volume_plan::Plan::Fail(why) => {
                self.recorder.event(&*volume, EventType::Warning, "VolumeFailedDelete", why.clone());
                let patch = json!({"status": {"phase": "Failed", "message": why}});
                return self.patch_volume(&volume, Some(patch), true).await.map(drop);
            }
            volume_plan::Plan::Delete => {
                let api: Api<PersistentVolume> = Api::all(self.client.clone());
                let answer = api.delete(name, &DeleteParams::default()).await;
                return answer.unless_gone().map(drop).map_err(Error::at("delete", Key::cluster(name)));
            }
            volume_plan::Plan::Unbind { wholly: true } => {
                json!({"spec": {"claimRef": null}, "metadata": {"annotations": {super::BOUND_BY_CONTROLLER: null}}})
            }
            volume_plan::Plan::Unbind { wholly: false } => {
                json!({"spec": {"claimRef": {"uid": null, "resourceVersion": null}}})
            }
        };
        self.patch_volume(&volume, Some(patch), false).await.map(drop)
    }

    async fn patch_volume(
        &self,
        volume: &PersistentVolume,
        patch: Option<Value>,
        status: bool,
    ) -> Result<Option<PersistentVolume>, Error> {
        let Some(patch) = patch else { return Ok(None) };
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let answer = match status {
            true => api.patch_status(name, &params, &patch).await,
            false => api.patch(name, &params, &patch).await,
        };
        answer.unless_gone().map_err(Error::at("update volume", Key::cluster(name)))
    }

    async fn patch_claim(
        &self,
        claim: &PersistentVolumeClaim,
        patch: Option<Value>,
        status: bool,
    ) -> Result<Option<PersistentVolumeClaim>, Error> {
        let Some(patch) = patch else { return Ok(None) };
        let key = Key::of(&claim.metadata);
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let answer = match status {
            true => api.patch_status(&key.name, &params, &patch).await,
            false => api.patch(&key.name, &params, &patch).await,
        };
        answer.unless_gone().map_err(Error::at("update claim", key))
    }
}
