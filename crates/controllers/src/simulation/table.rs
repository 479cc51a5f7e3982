//! The objects of one kind: as the API has them, and as a watch has shown them so far.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

/// What the API did, when, and to whom.
#[derive(Debug)]
struct Event<K> {
    revision: u64,
    at: Timestamp,
    name: String,
    object: Option<Arc<K>>,
}

/// One kind's objects by name. What is `seen` lags behind what is `actual` by the `pending` events.
#[derive(Debug)]
pub(crate) struct Table<K> {
    actual: BTreeMap<String, Arc<K>>,
    seen: BTreeMap<String, Arc<K>>,
    pending: VecDeque<Event<K>>,
    seen_revision: u64,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { actual: BTreeMap::new(), seen: BTreeMap::new(), pending: VecDeque::new(), seen_revision: 0 }
    }
}

impl<K> Table<K> {
    pub(crate) fn actual(&self, name: &str) -> Option<Arc<K>> {
        self.actual.get(name).cloned()
    }

    pub(crate) fn seen(&self, name: &str) -> Option<Arc<K>> {
        self.seen.get(name).cloned()
    }

    pub(crate) fn all_actual(&self) -> impl Iterator<Item = &Arc<K>> {
        self.actual.values()
    }

    pub(crate) fn all_seen(&self) -> impl Iterator<Item = &Arc<K>> {
        self.seen.values()
    }

    pub(crate) fn names_seen(&self) -> Vec<String> {
        self.seen.keys().cloned().collect()
    }

    pub(crate) fn seen_revision(&self) -> u64 {
        self.seen_revision
    }

    pub(crate) fn put(&mut self, (revision, at): (u64, Timestamp), name: String, object: Option<Arc<K>>) {
        match &object {
            Some(object) => drop(self.actual.insert(name.clone(), object.clone())),
            None => drop(self.actual.remove(&name)),
        }
        self.pending.push_back(Event { revision, at, name, object });
    }

    /// The watch delivers everything from before this moment.
    pub(crate) fn deliver_until(&mut self, moment: Timestamp) {
        while self.pending.front().is_some_and(|event| event.at <= moment) {
            self.deliver();
        }
    }

    /// The watch delivers the next event, if there is one.
    pub(crate) fn deliver(&mut self) {
        let Some(Event { revision, name, object, .. }) = self.pending.pop_front() else { return };
        match object {
            Some(object) => drop(self.seen.insert(name, object)),
            None => drop(self.seen.remove(&name)),
        }
        self.seen_revision = revision;
    }

    /// The watch was lost, and everything is listed anew.
    pub(crate) fn relist(&mut self, revision: u64) {
        self.pending.clear();
        self.seen = self.actual.clone();
        self.seen_revision = revision;
    }
}
