//! Who owns what: controller references, adoption and release. Deciding only; [`Claimant`] does what was decided.

use coracle_api::selector::Selector;
use coracle_client::{Cached, Change, Informer, Key};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde_json::json;
use std::sync::Arc;

use crate::error::Tolerate;
use crate::{Error, labels};

/// The owner that manages this object, if there is one.
pub(crate) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// The uid of the owner that manages this object, as the value of an index.
pub(crate) fn controller_uid(meta: &ObjectMeta) -> Vec<String> {
    controller_of(meta).map(|owner| owner.uid.clone()).into_iter().collect()
}

/// The key of the owner that manages this object, if it is of `kind`.
pub(crate) fn controller_key(meta: &ObjectMeta, kind: &str) -> Option<Key> {
    let owner = controller_of(meta).filter(|owner| owner.kind == kind)?;
    Some(Key::new(meta.namespace.as_deref().unwrap_or_default(), &owner.name))
}

/// A reference to `owner` as the managing one.
pub(crate) fn reference_to<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    let reference = owner.controller_owner_ref(&()).expect("an object that was read has a name and a uid");
    OwnerReference { block_owner_deletion: Some(true), ..reference }
}

/// The owners that a change of a pod concerns: those before and after, or all that could adopt it.
pub(crate) fn keys_of_pod<K: Cached>(
    all: &Informer<K>,
    kind: &str,
    selector: impl Fn(&K) -> Selector,
    change: &Change<Pod>,
) -> Vec<Key> {
    let owner = |pod: &Option<Arc<Pod>>| controller_key(&pod.as_ref()?.metadata, kind);
    let mut keys: Vec<Key> = owner(&change.old).into_iter().chain(owner(&change.new)).collect();
    keys.dedup();
    let orphan = change.new.as_ref().filter(|pod| controller_of(&pod.metadata).is_none());
    let Some(pod_labels) = orphan.and_then(|pod| pod.metadata.labels.as_ref()).filter(|labels| !labels.is_empty())
    else {
        return keys;
    };
    let could_adopt = |owner: &&Arc<K>| labels::matches(&selector(owner), Some(pod_labels));
    keys.extend(all.in_namespace(&change.key.namespace).iter().filter(could_adopt).map(|owner| Key::of(owner.meta())));
    keys
}

/// What an owner does about the objects that it has or could have.
#[derive(Debug)]
pub(crate) struct Claim<K> {
    pub(crate) owned: Vec<Arc<K>>,
    pub(crate) adopt: Vec<Arc<K>>,
    pub(crate) release: Vec<Arc<K>>,
}

/// Sorts `candidates` by what `owner` may do with them. An owner that is being deleted neither adopts nor releases.
pub(crate) fn claim<K: Cached>(owner: &ObjectMeta, selector: &Selector, candidates: Vec<Arc<K>>) -> Claim<K> {
    let mut claim = Claim { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    let is_ending = owner.deletion_timestamp.is_some();
    for object in candidates {
        let meta = object.meta();
        let is_match = labels::matches(selector, meta.labels.as_ref());
        match controller_of(meta) {
            Some(reference) if Some(&reference.uid) != owner.uid.as_ref() => {}
            Some(_) if is_match => claim.owned.push(object),
            Some(_) if !is_ending => claim.release.push(object),
            None if !is_ending && is_match && meta.deletion_timestamp.is_none() => claim.adopt.push(object),
            Some(_) | None => {}
        }
    }
    claim
}

/// Carries out what was decided about objects `K` of an owner `O`.
pub(crate) struct Claimant<'a, O, K> {
    pub(crate) owners: Api<O>,
    pub(crate) owner: &'a O,
    pub(crate) objects: Api<K>,
}

impl<O: Cached<DynamicType = ()>, K: Cached<DynamicType = ()>> Claimant<'_, O, K> {
    /// Adopts and releases; returns everything that is the owner's now.
    pub(crate) async fn carry_out(&self, claim: Claim<K>) -> Result<Vec<Arc<K>>, Error> {
        let mut owned = claim.owned;
        for object in &claim.release {
            self.set_owners("release", object, self.others(object)).await?;
        }
        if !claim.adopt.is_empty() {
            self.check_owner().await?;
        }
        for object in &claim.adopt {
            let mut owners = self.others(object);
            owners.push(reference_to(self.owner));
            owned.extend(self.set_owners("adopt", object, owners).await?.map(Arc::new));
        }
        Ok(owned)
    }

    /// The cache may be behind: an owner that was orphaning its objects must not take them back.
    async fn check_owner(&self) -> Result<(), Error> {
        let key = Key::of(self.owner.meta());
        let found = self.owners.get_opt(&key.name).await.map_err(Error::at("get", key.clone()))?;
        let is_same = found.is_some_and(|found| {
            found.meta().uid == self.owner.meta().uid && found.meta().deletion_timestamp.is_none()
        });
        if is_same { Ok(()) } else { Err(Error::Replaced { subject: key }) }
    }

    fn others(&self, object: &K) -> Vec<OwnerReference> {
        let mut owners = object.meta().owner_references.clone().unwrap_or_default();
        owners.retain(|known| Some(&known.uid) != self.owner.meta().uid.as_ref());
        owners
    }

    /// The revision in the patch makes it fail when somebody else changed the object, and its owners, meanwhile.
    async fn set_owners(
        &self,
        step: &'static str,
        object: &K,
        owners: Vec<OwnerReference>,
    ) -> Result<Option<K>, Error> {
        let meta = object.meta();
        let patch = json!({"metadata": {
            "uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": owners,
        }});
        let name = meta.name.as_deref().unwrap_or_default();
        let answer = self.objects.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        answer.unless_gone().map_err(Error::at(step, Key::of(meta)))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn pod(name: &str, app: &str, owner: Option<&str>, is_ending: bool) -> Arc<Pod> {
        let reference = |uid: &str| OwnerReference {
            uid: uid.to_owned(),
            kind: "ReplicaSet".into(),
            controller: Some(true),
            ..OwnerReference::default()
        };
        let metadata = ObjectMeta {
            name: Some(name.into()),
            labels: Some([("app".to_owned(), app.to_owned())].into()),
            owner_references: owner.map(|uid| vec![reference(uid)]),
            deletion_timestamp: is_ending.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
            ..ObjectMeta::default()
        };
        Arc::new(Pod { metadata, ..Pod::default() })
    }

    fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
        pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect()
    }

    fn world() -> Vec<Arc<Pod>> {
        vec![
            pod("mine", "web", Some("me"), false),
            pod("strayed", "db", Some("me"), false),
            pod("orphan", "web", None, false),
            pod("dying-orphan", "web", None, true),
            pod("foreign", "web", Some("other"), false),
            pod("unrelated", "db", None, false),
        ]
    }

    #[test]
    fn an_owner_keeps_adopts_and_releases() {
        let owner = ObjectMeta { uid: Some("me".into()), ..ObjectMeta::default() };
        let selector = labels::selector_of_labels(&[("app".to_owned(), "web".to_owned())].into());
        let claim = claim(&owner, &selector, world());
        assert_eq!(names(&claim.owned), ["mine"]);
        assert_eq!(names(&claim.adopt), ["orphan"]);
        assert_eq!(names(&claim.release), ["strayed"]);
    }

    #[test]
    fn an_owner_that_is_being_deleted_only_keeps() {
        let deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let owner = ObjectMeta { uid: Some("me".into()), deletion_timestamp, ..ObjectMeta::default() };
        let selector = labels::selector_of_labels(&[("app".to_owned(), "web".to_owned())].into());
        let claim = claim(&owner, &selector, world());
        assert_eq!(names(&claim.owned), ["mine"]);
        assert!(claim.adopt.is_empty() && claim.release.is_empty());
    }
}
