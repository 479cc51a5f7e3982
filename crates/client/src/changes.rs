//! One subscriber's view of what changed since it last looked. It never holds more than one entry per object.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Key;

/// An object as the subscriber last saw it, and as it is now. At least one of the two is there.
#[derive(Debug)]
pub struct Change<K> {
    pub key: Key,
    pub old: Option<Arc<K>>,
    pub new: Option<Arc<K>>,
}

/// What a subscriber waits on.
#[derive(Debug)]
pub struct Changes<K>(pub(crate) Arc<Pending<K>>);

impl<K> Changes<K> {
    /// Returns everything that changed since the last call, once something has. Cancel-safe.
    pub async fn next(&mut self) -> Vec<Change<K>> {
        loop {
            let taken = self.take();
            if !taken.is_empty() {
                return taken;
            }
            self.0.notify.notified().await;
        }
    }

    /// Everything that changed since the last call, without waiting.
    pub fn take(&mut self) -> Vec<Change<K>> {
        let entries = std::mem::take(&mut *self.0.entries.lock());
        entries.into_iter().map(|(key, (old, new))| Change { key, old, new }).collect()
    }
}

type Versions<K> = (Option<Arc<K>>, Option<Arc<K>>);

#[derive(Debug)]
pub(crate) struct Pending<K> {
    entries: Mutex<BTreeMap<Key, Versions<K>>>,
    notify: Notify,
}

impl<K> Pending<K> {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(BTreeMap::new()), notify: Notify::new() }
    }

    /// Folds a change into what is pending. What came and went unseen is still told, as a deletion.
    pub(crate) fn push(&self, key: &Key, old: Option<&Arc<K>>, new: Option<&Arc<K>>) {
        let mut entries = self.entries.lock();
        if let Some((first, last)) = entries.get_mut(key) {
            if first.is_none() && new.is_none() {
                *first = old.cloned();
            }
            *last = new.cloned();
        } else {
            entries.insert(key.clone(), (old.cloned(), new.cloned()));
        }
        drop(entries);
        self.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(steps: &[(Option<u32>, Option<u32>)]) -> Vec<(Option<u32>, Option<u32>)> {
        let pending = Arc::new(Pending::new());
        for (old, new) in steps {
            pending.push(&Key::cluster("a"), old.map(Arc::new).as_ref(), new.map(Arc::new).as_ref());
        }
        Changes(pending).take().into_iter().map(|c| (c.old.map(|v| *v), c.new.map(|v| *v))).collect()
    }

    #[test]
    fn changes_of_one_object_are_folded() {
        assert_eq!(folded(&[(Some(1), Some(2)), (Some(2), Some(3))]), [(Some(1), Some(3))]);
        assert_eq!(folded(&[(None, Some(1)), (Some(1), Some(2))]), [(None, Some(2))]);
        assert_eq!(folded(&[(Some(1), Some(2)), (Some(2), None)]), [(Some(1), None)]);
    }

    #[test]
    fn what_came_and_went_is_told_as_a_deletion() {
        assert_eq!(folded(&[(None, Some(1)), (Some(1), None)]), [(Some(1), None)]);
    }

    #[tokio::test]
    async fn a_change_before_the_wait_is_not_lost() {
        let pending = Arc::new(Pending::new());
        pending.push(&Key::cluster("a"), None, Some(&Arc::new(1)));
        assert_eq!(Changes(pending).next().await.len(), 1);
    }
}
