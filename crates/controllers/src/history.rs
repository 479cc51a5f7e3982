//! The revisions of a workload's template: their names, their order, which to keep. Pure but for [`Keeper`], which writes.

use std::sync::Arc;

use coracle_client::{Key, is_already_exists};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::Error;
use crate::error::Tolerate;

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;
/// Letters and digits that form no words and cannot be confused.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const NAME_PREFIX_MAX: usize = 223;
/// Names that may be taken by others before a revision is given up for now.
const COLLISIONS_MAX: usize = 16;

pub(crate) const REVISION_HASH: &str = "controller-revision-hash";
/// A revision's own label.
pub(crate) const HASH: &str = "controller.kubernetes.io/hash";

/// What a revision keeps: a patch that puts the template back.
pub(crate) fn data(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).expect("a template that was read can be written");
    template["$patch"] = json!("replace");
    json!({"spec": {"template": template}})
}

/// The template that a revision keeps.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// Upstream's hash: FNV-1 over the patch as Go writes it, and the number of collisions so far.
pub(crate) fn hash(data: &Value, n_collisions: i32) -> String {
    let text = data.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let bytes = text.bytes().chain(n_collisions.to_string().into_bytes());
    let hash = bytes.fold(FNV_OFFSET, |hash, byte| hash.wrapping_mul(FNV_PRIME) ^ u32::from(byte));
    hash.to_string().bytes().map(|byte| char::from(SAFE[usize::from(byte) % SAFE.len()])).collect()
}

pub(crate) fn name(owner: &str, hash: &str) -> String {
    let prefix: String = owner.chars().take(NAME_PREFIX_MAX).collect();
    format!("{prefix}-{hash}")
}

pub(crate) fn name_of(revision: &ControllerRevision) -> &str {
    revision.metadata.name.as_deref().unwrap_or_default()
}

/// The oldest first.
pub(crate) fn sort(revisions: &mut [Arc<ControllerRevision>]) {
    revisions.sort_by(|a, b| {
        let key = |r: &ControllerRevision| {
            (r.revision, r.metadata.creation_timestamp.as_ref().map(|t| t.0), r.metadata.name.clone())
        };
        key(a).cmp(&key(b))
    });
}

/// What is to be done about the revision of the present template.
#[derive(Debug)]
pub(crate) enum Present {
    /// It is the newest already.
    Newest(Arc<ControllerRevision>),
    /// It was there before: it becomes the newest, with this number.
    Again(Arc<ControllerRevision>, i64),
    /// There was none like it; it gets this number.
    New(i64),
}

/// `revisions` are sorted.
pub(crate) fn present(revisions: &[Arc<ControllerRevision>], data: &Value) -> Present {
    let next = revisions.last().and_then(|last| last.revision).unwrap_or(0) + 1;
    let alike = revisions.iter().rfind(|revision| revision.data.0 == *data);
    match (alike, revisions.last()) {
        (Some(alike), Some(last)) if last.data.0 == alike.data.0 => Present::Newest(last.clone()),
        (Some(alike), _) => Present::Again(alike.clone(), next),
        (None, _) => Present::New(next),
    }
}

/// The oldest of those that nobody uses, down to `limit`; with a negative one all are kept.
pub(crate) fn obsolete(
    revisions: &[Arc<ControllerRevision>],
    limit: i32,
    is_used: impl Fn(&str) -> bool,
) -> Vec<Arc<ControllerRevision>> {
    let unused: Vec<_> = revisions.iter().filter(|revision| !is_used(name_of(revision))).collect();
    let n_kept = usize::try_from(limit).unwrap_or(usize::MAX);
    let n_obsolete = unused.len().saturating_sub(n_kept);
    unused.into_iter().take(n_obsolete).cloned().collect()
}

/// A revision to be made.
pub(crate) struct Draft<'a> {
    pub(crate) owner: OwnerReference,
    pub(crate) meta: &'a ObjectMeta,
    pub(crate) labels: crate::labels::Labels,
    pub(crate) data: Value,
    pub(crate) number: i64,
    /// What its name ends with, after so many collisions.
    pub(crate) hash: &'a (dyn Fn(i32) -> String + Send + Sync),
}

/// Writes revisions of one namespace.
pub(crate) struct Keeper {
    api: Api<ControllerRevision>,
    namespace: String,
}

impl Keeper {
    pub(crate) fn new(client: &Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client.clone(), namespace), namespace: namespace.to_owned() }
    }

    fn key(&self, name: &str) -> Key {
        Key::new(&self.namespace, name)
    }

    /// The revision, and how many collisions there were by now.
    pub(crate) async fn create(&self, draft: Draft<'_>, n_collisions: i32) -> Result<(ControllerRevision, i32), Error> {
        let mut n_collisions = n_collisions;
        let owner = draft.meta.name.as_deref().unwrap_or_default();
        for _ in 0..COLLISIONS_MAX {
            let hash = (draft.hash)(n_collisions);
            let wanted = revision(&draft, owner, &hash);
            let key = self.key(name_of(&wanted));
            match self.api.create(&PostParams::default(), &wanted).await {
                Ok(created) => return Ok((created, n_collisions)),
                Err(error) if is_already_exists(&error) => {
                    let found = self.api.get(&key.name).await.map_err(Error::at("get", key.clone()))?;
                    if found.data.0 == draft.data {
                        return Ok((found, n_collisions));
                    }
                    n_collisions += 1;
                }
                Err(error) => return Err(Error::at("create", key)(error)),
            }
        }
        Err(Error::Replaced { subject: self.key(owner) })
    }

    /// Makes an old revision the newest.
    pub(crate) async fn renumber(
        &self,
        revision: &ControllerRevision,
        number: i64,
    ) -> Result<ControllerRevision, Error> {
        let patch = json!({"revision": number});
        let name = name_of(revision);
        let answer = self.api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        answer.map_err(Error::at("renumber", self.key(name)))
    }

    pub(crate) async fn delete(&self, revisions: &[Arc<ControllerRevision>]) -> Result<(), Error> {
        for revision in revisions {
            let name = name_of(revision);
            let answer = self.api.delete(name, &DeleteParams::default()).await;
            answer.unless_gone().map_err(Error::at("delete", self.key(name)))?;
        }
        Ok(())
    }
}

fn revision(draft: &Draft<'_>, owner: &str, hash: &str) -> ControllerRevision {
    let mut labels = draft.labels.clone();
    labels.insert(HASH.to_owned(), hash.to_owned());
    let metadata = ObjectMeta {
        name: Some(name(owner, hash)),
        namespace: draft.meta.namespace.clone(),
        labels: Some(labels),
        annotations: draft.meta.annotations.clone(),
        owner_references: Some(vec![draft.owner.clone()]),
        ..ObjectMeta::default()
    };
    ControllerRevision { data: RawExtension(draft.data.clone()), metadata, revision: Some(draft.number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(image: &str) -> PodTemplateSpec {
        serde_json::from_value(json!({
            "metadata": {"labels": {"app": "a"}},
            "spec": {
                "containers": [{"image": image, "imagePullPolicy": "IfNotPresent", "name": "c", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "none",
                "securityContext": {}, "terminationGracePeriodSeconds": 30}}))
        .unwrap()
    }

    fn kept(name: &str, number: i64, image: &str) -> Arc<ControllerRevision> {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        Arc::new(ControllerRevision { data: RawExtension(data(&template(image))), metadata, revision: Some(number) })
    }

    #[test]
    fn a_revision_is_named_as_kubernetes_names_it() {
        assert_eq!(name("s", &hash(&data(&template("i:1")), 0)), "s-68cdf59cd6");
        assert_eq!(name("s", &hash(&data(&template("i:2")), 0)), "s-6c4d7b449");
        assert_ne!(hash(&data(&template("i:1")), 1), "68cdf59cd6");
    }

    #[test]
    fn a_revision_gives_its_template_back() {
        assert_eq!(template_of(&kept("a", 1, "i:1")), Some(template("i:1")));
    }

    #[test]
    fn an_old_template_becomes_the_newest_revision_again() {
        let known = [kept("a", 1, "i:1"), kept("b", 2, "i:2")];
        assert!(matches!(present(&[], &data(&template("i:1"))), Present::New(1)));
        assert!(matches!(present(&known, &data(&template("i:3"))), Present::New(3)));
        assert!(matches!(present(&known, &data(&template("i:2"))), Present::Newest(r) if name_of(&r) == "b"));
        assert!(matches!(present(&known, &data(&template("i:1"))), Present::Again(r, 3) if name_of(&r) == "a"));
    }

    #[test]
    fn only_unused_revisions_are_obsolete() {
        let known = [kept("a", 1, "i:1"), kept("b", 2, "i:2"), kept("c", 3, "i:3")];
        let names = |limit| {
            let obsolete = obsolete(&known, limit, |name| name == "c");
            obsolete.iter().map(|r| name_of(r).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(2), Vec::<String>::new());
        assert_eq!(names(1), ["a"]);
        assert_eq!(names(0), ["a", "b"]);
        assert_eq!(names(-1), Vec::<String>::new());
    }
}
