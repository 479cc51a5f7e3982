//! Writes whose answer was lost: whether they were done is asked of the API before the loop acts again. It decides nothing
//! else.

use std::collections::BTreeMap;

use coracle_client::{Cached, Key, revision_of};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, PartialObjectMeta};
use kube::{Api, Resource};

use super::{Fate, Outstanding, entry};
use crate::error::Tolerate;
use crate::{Error, owners};

/// A write that may have been done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Of the object of this name.
    Written(String),
    /// Of an object with these labels, which the server gives a name.
    Created(BTreeMap<String, String>),
    Deleted {
        name: String,
        uid: Option<String>,
    },
}

impl Doubt {
    pub(crate) fn created(meta: &ObjectMeta) -> Self {
        match &meta.name {
            Some(name) => Self::Written(name.clone()),
            None => Self::Created(meta.labels.clone().unwrap_or_default()),
        }
    }

    pub(crate) fn deleted(meta: &ObjectMeta) -> Self {
        Self::Deleted { name: meta.name.clone().unwrap_or_default(), uid: meta.uid.clone() }
    }

    async fn ask<K: Cached + Resource<DynamicType = ()>>(&self, api: &Api<K>) -> kube::Result<Vec<ObjectMeta>> {
        match self {
            Self::Written(name) | Self::Deleted { name, .. } => {
                let found = api.get_metadata(name).await.unless_gone()?;
                Ok(found.into_iter().map(|found| found.metadata).collect())
            }
            Self::Created(labels) => {
                let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let found = api.list_metadata(&ListParams::default().labels(&pairs.join(","))).await?;
                Ok(found.items.into_iter().map(|found: PartialObjectMeta<K>| found.metadata).collect())
            }
        }
    }
}

/// True when nobody can tell from this error whether the write was done.
pub(crate) fn is_doubtful(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500,
        kube::Error::BuildRequest(_) => false,
        _ => true,
    }
}

impl Outstanding {
    /// A write failed: when that leaves open whether it was done, the key is not settled until somebody asked.
    pub(crate) fn failed(&self, key: &Key, doubt: Doubt, error: &kube::Error) {
        if is_doubtful(error) {
            self.doubted(key, doubt);
        }
    }

    pub(crate) fn doubted(&self, key: &Key, doubt: Doubt) {
        let mut all = self.0.lock();
        let doubts = &mut entry(&mut all, key).doubts;
        if !doubts.contains(&doubt) {
            doubts.push(doubt);
        }
    }

    pub(crate) fn doubts(&self, key: &Key) -> Vec<Doubt> {
        self.0.lock().get(key).map(|writes| writes.doubts.clone()).unwrap_or_default()
    }

    /// Asks the API what became of the writes that are in doubt. `owner` is the uid of the object that `key` names.
    pub(crate) async fn resolve<K>(&self, key: &Key, owner: Option<&str>, api: &Api<K>) -> Result<(), Error>
    where
        K: Cached + Resource<DynamicType = ()>,
    {
        for doubt in self.doubts(key) {
            let found = doubt.ask(api).await.map_err(Error::at("ask what was written for", key.clone()))?;
            self.learned(key, &doubt, owner, &found);
        }
        Ok(())
    }

    /// What is there of what was in doubt. The key is settled once the cache shows as much; the changes of what is not the
    /// owner's wake nobody, and are not waited for.
    pub(crate) fn learned(&self, key: &Key, doubt: &Doubt, owner: Option<&str>, found: &[ObjectMeta]) {
        let is_own = |meta: &&ObjectMeta| owners::controller_of(meta).map(|owner| owner.uid.as_str()) == owner;
        let newest = found.iter().filter(is_own).map(revision_of).max().unwrap_or(0);
        let mut all = self.0.lock();
        let writes = entry(&mut all, key);
        writes.doubts.retain(|known| known != doubt);
        writes.revision = writes.revision.max(newest);
        if let Doubt::Deleted { uid, .. } = doubt {
            let is_kept = |meta: &ObjectMeta| meta.uid == *uid && meta.deletion_timestamp.is_none();
            let fate = if found.iter().any(|meta| meta.uid == *uid) { Fate::Ending } else { Fate::Gone };
            writes.deleted.extend(uid.clone().filter(|_| !found.iter().any(is_kept)).map(|uid| (uid, fate)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWNER: Option<&str> = Some("me");

    fn meta(uid: &str, owner: &str, revision: &str) -> ObjectMeta {
        let reference = json!({"apiVersion": "v1", "kind": "Set", "name": "s", "uid": owner, "controller": true});
        let meta = json!({"name": uid, "uid": uid, "resourceVersion": revision, "ownerReferences": [reference]});
        serde_json::from_value(meta).unwrap()
    }

    fn answered(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(kube::core::Status::failure("no", "Reason").with_code(code)))
    }

    #[test]
    fn only_errors_that_leave_open_what_happened_are_doubtful() {
        let codes = [400, 403, 404, 409, 422, 429, 500, 503, 504];
        let doubtful = codes.map(|code| is_doubtful(&answered(code)));
        assert_eq!(doubtful, [false, false, false, false, false, false, true, true, true]);
        assert!(is_doubtful(&kube::Error::Service("connection closed".into())));
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_waited_for_once_it_is_known() {
        let (outstanding, key) = (Outstanding::default(), Key::new("n", "web"));
        let doubt = Doubt::created(&ObjectMeta::default());
        outstanding.failed(&key, doubt.clone(), &answered(409));
        assert!(outstanding.is_settled_at(&key, 0, |_| None), "a conflict wrote nothing");
        outstanding.failed(&key, doubt.clone(), &answered(504));
        assert!(!outstanding.is_settled_at(&key, 100, |_| None), "nobody asked yet");
        outstanding.learned(&key, &doubt, OWNER, &[meta("a", "me", "7"), meta("b", "other", "9")]);
        assert!(!outstanding.is_settled_at(&key, 6, |_| None));
        assert!(outstanding.is_settled_at(&key, 7, |_| None));
    }

    #[test]
    fn a_deletion_whose_answer_was_lost_counts_if_it_was_done() {
        let (outstanding, key, pod) = (Outstanding::default(), Key::new("n", "web"), meta("a", "me", "3"));
        let doubt = Doubt::deleted(&pod);
        outstanding.doubted(&key, doubt.clone());
        outstanding.learned(&key, &doubt, OWNER, std::slice::from_ref(&pod));
        assert!(outstanding.is_settled_at(&key, 3, |_| Some(pod.clone())), "it was not deleted");
        outstanding.doubted(&key, doubt.clone());
        outstanding.learned(&key, &doubt, OWNER, &[]);
        assert!(!outstanding.is_settled_at(&key, 3, |_| Some(pod.clone())), "the cache still has it");
        assert!(outstanding.is_settled_at(&key, 3, |_| None));
    }
}
