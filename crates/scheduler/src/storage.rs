//! Claims and volumes as the scheduler sees them: where a pod can have its volumes, and which are still to be made.

use std::collections::HashMap;
use std::sync::Arc;

use coracle_client::{Change, Key};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::cluster::NodeView;
use crate::labels;
use crate::subject::Subject;

pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Volumes of such a class are made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
const ELSEWHERE: &str = "node(s) didn't match PersistentVolume's node affinity";
const NOTHING_FREE: &str = "node(s) didn't find available persistent volumes to bind";

/// What is known of storage.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    claims: HashMap<Key, Arc<PersistentVolumeClaim>>,
    volumes: HashMap<String, Arc<PersistentVolume>>,
    classes: HashMap<String, Arc<StorageClass>>,
}

impl Storage {
    pub(crate) fn on_claim(&mut self, change: &Change<PersistentVolumeClaim>) {
        set(&mut self.claims, change.key.clone(), &change.new);
    }

    pub(crate) fn on_volume(&mut self, change: &Change<PersistentVolume>) {
        set(&mut self.volumes, change.key.name.clone(), &change.new);
    }

    pub(crate) fn on_class(&mut self, change: &Change<StorageClass>) {
        set(&mut self.classes, change.key.name.clone(), &change.new);
    }
}

fn set<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, Arc<V>>, key: K, value: &Option<Arc<V>>) {
    match value {
        Some(value) => drop(map.insert(key, value.clone())),
        None => drop(map.remove(&key)),
    }
}

/// What a pod needs of storage.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Volumes that it has.
    volumes: Vec<Arc<PersistentVolume>>,
    /// Claims that wait for its node, each with the volumes that it could have when none will be made.
    pub(crate) waiting: Vec<Key>,
    free: Vec<Vec<Arc<PersistentVolume>>>,
    /// The node that was chosen for them before.
    chosen: Option<String>,
}

impl Needs {
    /// Fails with what keeps the pod from every node.
    pub(crate) fn of(subject: &Subject, storage: &Storage) -> Result<Self, String> {
        let mut needs = Self::default();
        for name in claims_of(subject) {
            let key = Key::new(subject.key.namespace.clone(), name.clone());
            let found = storage.claims.get(&key);
            let claim = found.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
            if claim.metadata.deletion_timestamp.is_some() {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            needs.add(key, claim, storage)?;
        }
        Ok(needs)
    }

    fn add(&mut self, key: Key, claim: &PersistentVolumeClaim, storage: &Storage) -> Result<(), String> {
        let is_bound = claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
        let spec = claim.spec.as_ref();
        let volume = spec.and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty());
        if let Some(name) = volume.filter(|_| is_bound) {
            let found = storage.volumes.get(name);
            self.volumes.push(found.ok_or_else(|| format!("persistentvolume {name:?} not found"))?.clone());
            return Ok(());
        }
        let name = spec.and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
        let class = storage.classes.get(name);
        let waits = class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
        if !waits || volume.is_some() {
            return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        if class.is_some_and(|class| class.provisioner == NO_PROVISIONER) {
            let of_class = storage.volumes.values().filter(|volume| is_free(volume, name));
            self.free.push(of_class.cloned().collect());
        }
        let annotations = claim.metadata.annotations.as_ref();
        self.chosen = annotations.and_then(|all| all.get(SELECTED_NODE).cloned()).or(self.chosen.take());
        self.waiting.push(key);
        Ok(())
    }

    /// Why the pod cannot have its volumes on a node. A choice that was made before holds while its node is there.
    pub(crate) fn objection(&self, view: &NodeView, is_there: impl Fn(&str) -> bool) -> Option<&'static str> {
        let accepts = |volume: &Arc<PersistentVolume>| is_on(volume, view);
        if !self.volumes.iter().all(accepts) {
            return Some(ELSEWHERE);
        }
        if self.chosen.as_deref().is_some_and(|chosen| chosen != view.name() && is_there(chosen)) {
            return Some(ELSEWHERE);
        }
        let has_free = |free: &Vec<Arc<PersistentVolume>>| free.iter().any(accepts);
        (!self.free.iter().all(has_free)).then_some(NOTHING_FREE)
    }
}

fn claims_of(subject: &Subject) -> impl Iterator<Item = String> + '_ {
    let volumes = subject.spec().into_iter().filter_map(|spec| spec.volumes.as_deref()).flatten();
    volumes.filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", subject.key.name, volume.name)),
        (None, None) => None,
    })
}

fn is_free(volume: &PersistentVolume, class: &str) -> bool {
    let spec = volume.spec.as_ref();
    let is_of_class = spec.and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default() == class;
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    is_of_class && phase == Some("Available") && spec.is_some_and(|spec| spec.claim_ref.is_none())
}

fn is_on(volume: &PersistentVolume, view: &NodeView) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let Some(required) = affinity.and_then(|affinity| affinity.required.as_ref()) else { return true };
    required.node_selector_terms.iter().any(|term| labels::meets(term, view.name(), view.labels()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::Cluster;
    use crate::testing::{changed, node, pod};

    fn seen<K: DeserializeOwned>(namespace: &str, name: &str, object: Value) -> Change<K> {
        let new = Some(Arc::new(serde_json::from_value(object).unwrap()));
        Change { key: Key::new(namespace, name), old: None, new }
    }

    fn storage(mode: &str, claim: Value) -> Storage {
        let mut storage = Storage::default();
        let class = json!({"metadata": {"name": "s"}, "provisioner": "p", "volumeBindingMode": mode});
        storage.on_class(&seen("", "s", class));
        storage.on_claim(&seen("default", "c", claim));
        let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}]}});
        storage.on_volume(&seen("", "v", json!({"metadata": {"name": "v"}, "spec": {"nodeAffinity": affinity}})));
        storage
    }

    fn nodes_for(storage: &Storage) -> Result<(Vec<String>, usize), String> {
        let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]);
        let subject = Subject::new(changed(&pod("a", "1", "1"), json!({"spec": {"volumes": volumes}})));
        let mut cluster = Cluster::default();
        for name in ["n1", "n2"] {
            cluster.set_node(name, Some(node(name, "1", "1Gi")));
        }
        let needs = Needs::of(&subject, storage)?;
        let open = cluster.nodes().filter(|view| needs.objection(view, |name| cluster.node(name).is_some()).is_none());
        Ok((open.map(|view| view.name().to_owned()).collect(), needs.waiting.len()))
    }

    #[test]
    fn a_pod_goes_where_its_volume_is_or_anywhere_when_it_is_still_to_be_made() {
        let unbound = json!({"spec": {"storageClassName": "s"}, "status": {"phase": "Pending"}});
        let bound = json!({"spec": {"volumeName": "v"}, "status": {"phase": "Bound"}});
        let mut chosen = unbound.clone();
        chosen["metadata"] = json!({"annotations": {SELECTED_NODE: "n1"}});
        let both = vec!["n1".to_owned(), "n2".to_owned()];
        let late = "WaitForFirstConsumer";
        assert_eq!(nodes_for(&storage(late, unbound.clone())), Ok((both, 1)));
        assert_eq!(nodes_for(&storage(late, bound)), Ok((vec!["n2".to_owned()], 0)));
        assert_eq!(nodes_for(&storage(late, chosen)), Ok((vec!["n1".to_owned()], 1)));
        let immediate = nodes_for(&storage("Immediate", unbound));
        assert_eq!(immediate, Err("pod has unbound immediate PersistentVolumeClaims".to_owned()));
        assert_eq!(nodes_for(&Storage::default()), Err("persistentvolumeclaim \"c\" not found".to_owned()));
    }
}
