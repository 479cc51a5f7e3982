//! What a loop has written and not yet seen in its cache, so that it never acts twice on one cause.

mod doubts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use coracle_client::{Cached, Informer, Key, revision_of};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) use self::doubts::Doubt;
use crate::pods;

/// After this long the loop believes its cache again, whatever it lacks.
pub(crate) const OUTSTANDING_MAX: Duration = Duration::from_secs(300);

/// What became of an object whose deletion was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is on its way out.
    Ending,
    /// Nothing of it is left.
    Gone,
}

impl Fate {
    /// Of a pod, as the answer to its deletion shows it: one without a node has no time left and is gone at once.
    pub(crate) fn of(pod: Option<&Pod>) -> Self {
        let is_gone = |meta: &ObjectMeta| {
            meta.deletion_grace_period_seconds == Some(0) && meta.finalizers.as_ref().is_none_or(Vec::is_empty)
        };
        if pod.is_none_or(|pod| is_gone(&pod.metadata)) { Self::Gone } else { Self::Ending }
    }
}

/// Writes per key of the loop. A key is forgotten as soon as everything it wrote is seen.
#[derive(Default)]
pub(crate) struct Outstanding(Mutex<HashMap<Key, Writes>>);

struct Writes {
    revision: u64,
    deleted: HashMap<String, Fate>,
    doubts: Vec<Doubt>,
    since: Instant,
}

impl Outstanding {
    /// An object was written with this answer.
    pub(crate) fn wrote(&self, key: &Key, answer: &ObjectMeta) {
        let mut all = self.0.lock();
        let writes = entry(&mut all, key);
        writes.revision = writes.revision.max(revision_of(answer));
    }

    /// The deletion of an object was accepted.
    pub(crate) fn deleted(&self, key: &Key, uid: Option<&str>, fate: Fate) {
        entry(&mut self.0.lock(), key).deleted.extend(uid.map(|uid| (uid.to_owned(), fate)));
    }

    /// The pods as the cache will show them: those whose deletion was accepted are on their way out, or left out.
    pub(crate) fn with_deletions(&self, key: &Key, pods: &[Arc<Pod>], now: Timestamp) -> Vec<Arc<Pod>> {
        let all = self.0.lock();
        let Some(writes) = all.get(key).filter(|writes| !writes.deleted.is_empty()) else { return pods.to_vec() };
        let fate = |pod: &Pod| writes.deleted.get(pod.metadata.uid.as_ref()?).copied();
        let shown = |pod: &Arc<Pod>| match fate(pod) {
            Some(Fate::Gone) => None,
            Some(Fate::Ending) if !pods::is_ending(pod) => {
                let mut deleted = Pod::clone(pod);
                deleted.metadata.deletion_timestamp = Some(Time(now));
                Some(Arc::new(deleted))
            }
            _ => Some(pod.clone()),
        };
        pods.iter().filter_map(shown).collect()
    }

    /// True when `cache` shows everything that was written for `key`. `find` says what is in the cache by uid.
    pub(crate) fn is_settled<K: Cached>(
        &self,
        key: &Key,
        cache: &Informer<K>,
        find: impl Fn(&str) -> Option<ObjectMeta>,
    ) -> bool {
        self.is_settled_at(key, cache.revision(), find)
    }

    /// The same for a cache that has come as far as `revision`.
    pub(crate) fn is_settled_at(&self, key: &Key, revision: u64, find: impl Fn(&str) -> Option<ObjectMeta>) -> bool {
        let mut all = self.0.lock();
        let Some(writes) = all.get_mut(key) else { return true };
        writes.deleted.retain(|uid, _| find(uid).is_some_and(|meta| meta.deletion_timestamp.is_none()));
        let is_seen = writes.doubts.is_empty() && writes.deleted.is_empty() && revision >= writes.revision;
        let is_over = is_seen || writes.since.elapsed() > OUTSTANDING_MAX;
        if is_over {
            all.remove(key);
        }
        is_over
    }
}

fn entry<'a>(all: &'a mut HashMap<Key, Writes>, key: &Key) -> &'a mut Writes {
    let writes = all.entry(key.clone()).or_insert_with(|| Writes {
        revision: 0,
        deleted: HashMap::new(),
        doubts: Vec::new(),
        since: Instant::now(),
    });
    writes.since = Instant::now();
    writes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_whose_deletion_was_accepted_is_on_its_way_out_or_gone() {
        let pod = |uid: &str| Arc::new(serde_json::from_value::<Pod>(json!({"metadata": {"uid": uid}})).unwrap());
        let (outstanding, key, pods) = (Outstanding::default(), Key::new("n", "web"), ["a", "b", "c"].map(pod));
        let shown = || {
            let pods = outstanding.with_deletions(&key, &pods, Timestamp::UNIX_EPOCH);
            pods.iter().map(|pod| pods::is_ending(pod)).collect::<Vec<_>>()
        };
        assert_eq!(shown(), [false, false, false]);
        outstanding.deleted(&key, Some("b"), Fate::Ending);
        assert_eq!(shown(), [false, true, false]);
        outstanding.deleted(&key, Some("c"), Fate::Gone);
        assert_eq!(shown(), [false, true]);
        assert!(outstanding.is_settled_at(&key, 0, |_| None), "the cache shows it");
        assert_eq!(shown(), [false, false, false]);
    }

    #[test]
    fn a_deleted_pod_is_gone_when_its_answer_leaves_it_no_time() {
        let fate = |meta: serde_json::Value| {
            Fate::of(Some(&serde_json::from_value::<Pod>(json!({"metadata": meta})).unwrap()))
        };
        assert_eq!(fate(json!({"deletionGracePeriodSeconds": 0})), Fate::Gone);
        assert_eq!(fate(json!({"deletionGracePeriodSeconds": 30})), Fate::Ending);
        assert_eq!(fate(json!({"deletionGracePeriodSeconds": 0, "finalizers": ["a/b"]})), Fate::Ending);
        assert_eq!(Fate::of(None), Fate::Gone);
    }
}
