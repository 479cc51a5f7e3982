//! What the store holds in memory: the newest value of every key and the window of events. It never touches the disk.
//!
//! **Invariant:** every event after `compacted` is in the window, in order, and no other is. An older state is the
//! newest one with the window's events undone, so old versions need no index.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::model::REVISION_FIRST;
use crate::watch::Watchers;
use crate::{Error, Event, KeyValue, List, ListOptions, Options, Revision};

/// The bounds of the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowMax {
    pub(crate) n_events: usize,
    pub(crate) n_bytes: usize,
}

impl From<&Options> for WindowMax {
    fn from(options: &Options) -> Self {
        Self { n_events: options.events_max, n_bytes: options.history_bytes_max }
    }
}

/// The newest state and how it came about since `compacted`.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    pub(crate) watchers: Watchers,
    pub(crate) closed: bool,
    current: BTreeMap<Arc<str>, KeyValue>,
    window: VecDeque<Event>,
    /// Bytes of the values that only the window holds.
    history_bytes: usize,
    window_max: WindowMax,
}

impl State {
    /// An empty store, whose window reaches back to `compacted`.
    pub(crate) fn new(window_max: WindowMax, compacted: Revision) -> Self {
        Self {
            revision: REVISION_FIRST.max(compacted),
            compacted,
            watchers: Watchers::default(),
            closed: false,
            current: BTreeMap::new(),
            window: VecDeque::new(),
            history_bytes: 0,
            window_max,
        }
    }

    /// The newest value of `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&KeyValue> {
        self.current.get(key)
    }

    /// Every key with its newest value, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &KeyValue> {
        self.current.values()
    }

    /// The keys that start with `prefix`, as [`crate::Store::list`] gives them.
    pub(crate) fn list(&self, prefix: &str, options: &ListOptions) -> Result<List, Error> {
        let revision = self.check_readable(options.revision.unwrap_or(self.revision))?;
        let after = options.after.as_deref().filter(|after| *after >= prefix);
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let undone = self.undo_to(revision, prefix, start);
        let newest = self.current.range::<str, _>((start, Bound::Unbounded)).map(|(_, kv)| kv);
        let newest = newest.take_while(|kv| kv.key.starts_with(prefix));
        let mut all = Merged { newest: newest.peekable(), undone: undone.into_iter().peekable() };

        let limit = options.limit.unwrap_or(usize::MAX);
        let items: Vec<KeyValue> = all.by_ref().take(limit).cloned().collect();
        let n_remaining = all.count();
        Ok(List { revision, items, more: n_remaining > 0, n_remaining })
    }

    fn check_readable(&self, requested: Revision) -> Result<Revision, Error> {
        if requested < self.compacted {
            return Err(Error::Compacted { requested, compacted: self.compacted });
        }
        if requested > self.revision {
            return Err(Error::FutureRevision { requested, current: self.revision });
        }
        Ok(requested)
    }

    /// The keys from `start` on that changed after `revision`, each with what it held then.
    fn undo_to<'a>(
        &'a self,
        revision: Revision,
        prefix: &str,
        start: Bound<&str>,
    ) -> BTreeMap<&'a str, Option<&'a KeyValue>> {
        let mut undone = BTreeMap::new();
        for event in self.events_after(revision) {
            let in_range = match start {
                Bound::Excluded(after) => *event.key > *after,
                Bound::Included(_) | Bound::Unbounded => true,
            };
            if in_range && event.key.starts_with(prefix) {
                undone.entry(&*event.key).or_insert(event.prev.as_ref());
            }
        }
        undone
    }

    /// The window's events after `revision`, in order. The caller knows that `revision` is not compacted.
    pub(crate) fn events_after(&self, revision: Revision) -> impl Iterator<Item = &Event> {
        let first_idx = self.window.partition_point(|event| event.revision <= revision);
        self.window.range(first_idx..)
    }

    /// Takes in events that come after everything so far and are durable, and returns the records that nobody can read
    /// any more because the window moved on.
    pub(crate) fn apply(&mut self, events: Vec<Event>) -> Vec<Unreachable> {
        for event in events {
            self.revision = event.revision;
            match &event.kv {
                Some(kv) => self.current.insert(Arc::clone(&event.key), kv.clone()),
                None => self.current.remove(&event.key),
            };
            self.watchers.mark(&event);
            self.history_bytes += only_in_window(&event);
            self.window.push_back(event);
        }
        self.trim()
    }

    /// Forgets the past before `revision`. The caller has checked that it lies between `compacted` and `revision`.
    pub(crate) fn compact(&mut self, revision: Revision) -> Vec<Unreachable> {
        let mut unreachable = Vec::new();
        while self.window.front().is_some_and(|event| event.revision <= revision) {
            self.drop_oldest(&mut unreachable);
        }
        self.compacted = self.compacted.max(revision);
        unreachable
    }

    fn trim(&mut self) -> Vec<Unreachable> {
        let mut unreachable = Vec::new();
        while self.window.len() > self.window_max.n_events || self.history_bytes > self.window_max.n_bytes {
            let Some(oldest) = self.window.front() else { break };
            let revision = oldest.revision;
            unreachable.append(&mut self.compact(revision));
        }
        unreachable
    }

    fn drop_oldest(&mut self, unreachable: &mut Vec<Unreachable>) {
        let Some(event) = self.window.pop_front() else { return };
        self.history_bytes -= only_in_window(&event);
        unreachable.extend(Unreachable::because_of(&event));
    }
}

fn only_in_window(event: &Event) -> usize {
    event.prev.as_ref().map_or(0, |prev| prev.value.len())
}

/// A version of a key that no read can reach any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreachable {
    pub(crate) revision: Revision,
    pub(crate) key: Arc<str>,
}

impl Unreachable {
    /// What becomes unreachable when `event` is no longer in the window: the version that it replaced, and itself if it
    /// is a deletion.
    pub(crate) fn because_of(event: &Event) -> impl Iterator<Item = Self> {
        let replaced = event.prev.as_ref().map(|prev| prev.mod_revision);
        let deletion = event.kv.is_none().then_some(event.revision);
        let key = Arc::clone(&event.key);
        replaced.into_iter().chain(deletion).map(move |revision| Self { revision, key: Arc::clone(&key) })
    }
}

/// Two sequences in the order of their keys made one. Where both have a key, `undone` wins, and its `None` hides the key.
struct Merged<'a, N: Iterator<Item = &'a KeyValue>, U: Iterator<Item = (&'a str, Option<&'a KeyValue>)>> {
    newest: std::iter::Peekable<N>,
    undone: std::iter::Peekable<U>,
}

impl<'a, N, U> Iterator for Merged<'a, N, U>
where
    N: Iterator<Item = &'a KeyValue>,
    U: Iterator<Item = (&'a str, Option<&'a KeyValue>)>,
{
    type Item = &'a KeyValue;

    fn next(&mut self) -> Option<&'a KeyValue> {
        loop {
            let newest = self.newest.peek().map(|kv| &*kv.key);
            let Some((undone, _)) = self.undone.peek() else { return self.newest.next() };
            match newest {
                Some(key) if key < *undone => return self.newest.next(),
                Some(key) if key == *undone => drop(self.newest.next()),
                Some(_) | None => {}
            }
            if let Some((_, Some(kv))) = self.undone.next() {
                return Some(kv);
            }
        }
    }
}
