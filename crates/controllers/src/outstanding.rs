//! What a loop has written and not yet seen in its cache, so that it never acts twice on one cause.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use coracle_client::{Cached, Informer, Key, revision_of};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_lot::Mutex;
use tokio::time::Instant;

/// After this long the loop believes its cache again, whatever it lacks.
pub(crate) const OUTSTANDING_MAX: Duration = Duration::from_secs(300);

/// Writes per key of the loop. A key is forgotten as soon as everything it wrote is seen.
#[derive(Default)]
pub(crate) struct Outstanding(Mutex<HashMap<Key, Writes>>);

struct Writes {
    revision: u64,
    deleted: HashSet<String>,
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
    pub(crate) fn deleted(&self, key: &Key, uid: Option<&str>) {
        entry(&mut self.0.lock(), key).deleted.extend(uid.map(str::to_owned));
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
        writes.deleted.retain(|uid| find(uid).is_some_and(|meta| meta.deletion_timestamp.is_none()));
        let is_seen = writes.deleted.is_empty() && revision >= writes.revision;
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
        deleted: HashSet::new(),
        since: Instant::now(),
    });
    writes.since = Instant::now();
    writes
}
