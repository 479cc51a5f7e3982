//! The objects of one kind: as the API has them, and as a watch has shown them so far.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::world::Kept;
use crate::owners;

/// An object before and after a change.
pub(crate) type Change<K> = (Option<Arc<K>>, Option<Arc<K>>);

/// What the API did, when, and to whom.
#[derive(Debug)]
struct Event<K> {
    revision: u64,
    at: Timestamp,
    name: String,
    object: Option<Arc<K>>,
}

/// Objects by name, and their names by what they are looked up by.
#[derive(Clone, Debug)]
struct Shelf<K> {
    by_name: BTreeMap<String, Arc<K>>,
    by_mark: HashMap<String, BTreeSet<String>>,
}

/// One kind's objects by name. What is `seen` lags behind what is `actual` by the `pending` events.
#[derive(Debug)]
pub(crate) struct Table<K> {
    actual: Shelf<K>,
    seen: Shelf<K>,
    pending: VecDeque<Event<K>>,
    seen_revision: u64,
    /// What was written and what was shown since somebody last asked; nothing unless somebody does.
    is_logged: bool,
    written: Vec<Change<K>>,
    shown: Vec<Change<K>>,
}

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), by_mark: HashMap::new() }
    }
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self {
            actual: Shelf::default(),
            seen: Shelf::default(),
            pending: VecDeque::new(),
            seen_revision: 0,
            is_logged: false,
            written: Vec::new(),
            shown: Vec::new(),
        }
    }
}

pub(crate) fn of_owner(uid: &str) -> String {
    format!("owner/{uid}")
}

pub(crate) fn of_uid(uid: &str) -> String {
    format!("uid/{uid}")
}

pub(crate) fn of_node(name: &str) -> String {
    format!("node/{name}")
}

pub(crate) fn of_app(name: &str) -> String {
    format!("app/{name}")
}

fn marks<K: Kept>(object: &K) -> Vec<String> {
    let meta = object.meta();
    let owner = owners::controller_of(meta).map(|owner| of_owner(&owner.uid));
    let app = meta.labels.as_ref().and_then(|labels| labels.get("app")).map(|app| of_app(app));
    let (uid, node) = (meta.uid.as_deref().map(of_uid), object.node().map(of_node));
    [owner, app, uid, node].into_iter().flatten().collect()
}

impl<K: Kept> Shelf<K> {
    fn put(&mut self, name: String, object: Option<Arc<K>>) -> Change<K> {
        let old = match &object {
            Some(object) => self.by_name.insert(name.clone(), object.clone()),
            None => self.by_name.remove(&name),
        };
        for mark in old.iter().flat_map(|old| marks(&**old)) {
            if let Some(names) = self.by_mark.get_mut(&mark) {
                names.remove(&name);
                if names.is_empty() {
                    self.by_mark.remove(&mark);
                }
            }
        }
        for mark in object.iter().flat_map(|object| marks(&**object)) {
            self.by_mark.entry(mark).or_default().insert(name.clone());
        }
        (old, object)
    }

    fn marked(&self, mark: &str) -> Vec<Arc<K>> {
        let names = self.by_mark.get(mark).into_iter().flatten();
        names.filter_map(|name| self.by_name.get(name)).cloned().collect()
    }
}

impl<K: Kept> Table<K> {
    pub(crate) fn actual(&self, name: &str) -> Option<Arc<K>> {
        self.actual.by_name.get(name).cloned()
    }

    pub(crate) fn seen(&self, name: &str) -> Option<Arc<K>> {
        self.seen.by_name.get(name).cloned()
    }

    pub(crate) fn all_actual(&self) -> impl Iterator<Item = &Arc<K>> {
        self.actual.by_name.values()
    }

    pub(crate) fn all_seen(&self) -> impl Iterator<Item = &Arc<K>> {
        self.seen.by_name.values()
    }

    pub(crate) fn actual_marked(&self, mark: &str) -> Vec<Arc<K>> {
        self.actual.marked(mark)
    }

    pub(crate) fn seen_marked(&self, mark: &str) -> Vec<Arc<K>> {
        self.seen.marked(mark)
    }

    pub(crate) fn names_seen(&self) -> Vec<String> {
        self.seen.by_name.keys().cloned().collect()
    }

    pub(crate) fn seen_revision(&self) -> u64 {
        self.seen_revision
    }

    pub(crate) fn log(&mut self) {
        self.is_logged = true;
    }

    pub(crate) fn take_written(&mut self) -> Vec<Change<K>> {
        std::mem::take(&mut self.written)
    }

    pub(crate) fn take_shown(&mut self) -> Vec<Change<K>> {
        std::mem::take(&mut self.shown)
    }

    pub(crate) fn put(&mut self, (revision, at): (u64, Timestamp), name: String, object: Option<Arc<K>>) {
        let change = self.actual.put(name.clone(), object.clone());
        if self.is_logged {
            self.written.push(change);
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
        self.show(name, object);
        self.seen_revision = revision;
    }

    fn show(&mut self, name: String, object: Option<Arc<K>>) {
        let change = self.seen.put(name, object);
        if self.is_logged {
            self.shown.push(change);
        }
    }

    /// The watch was lost, and everything is listed anew: what differs is shown, and nothing else.
    pub(crate) fn relist(&mut self, revision: u64) {
        let names: BTreeSet<String> = self.pending.drain(..).map(|event| event.name).collect();
        for name in names {
            let object = self.actual(&name);
            self.show(name, object);
        }
        self.seen_revision = revision;
    }
}
