//! What the store holds in memory: the newest value of every key and the window of events. It never touches the disk.
//!
//! **Invariant:** every event after `compacted` is in the window, in order, and no other is. An older state is the
//! newest one with the window's events undone, so old versions need no index.

use std::borrow::Borrow;
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
    current: BTreeMap<Key, KeyValue>,
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
        self.current.get(key.as_bytes())
    }

    /// The keys that start with `prefix`, as [`crate::Store::list`] gives them.
    pub(crate) fn list(&self, prefix: &str, options: &ListOptions) -> Result<List, Error> {
        let revision = self.check_readable(options.revision.unwrap_or(self.revision))?;
        let after = options.after.as_deref().filter(|after| *after >= prefix);
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let undone = self.undo_to(revision, prefix, start);
        let newest = self.newest(prefix, start);
        let merged = Merged { newest: newest.peekable(), undone: undone.into_iter().peekable() };
        let mut all = merged.peekable();
        let items = page(&mut all, options);
        let more = all.peek().is_some();
        let n_remaining = if options.uncounted { 0 } else { all.count() };
        Ok(List { revision, items, more, n_remaining })
    }

    /// The keys from `start` on that have `prefix`. It finds their end once instead of looking at each key.
    fn newest(&self, prefix: &str, start: Bound<&str>) -> impl Iterator<Item = &KeyValue> {
        let end = prefix_end(prefix);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let is_empty =
            matches!((start, end), (Bound::Excluded(start), Bound::Excluded(end)) if start.as_bytes() >= end);
        let range = (start.map(str::as_bytes), end);
        let keys = (!is_empty).then(|| self.current.range::<[u8], _>(range));
        keys.into_iter().flatten().map(|(_, kv)| kv)
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
            self.set(Arc::clone(&event.key), event.kv.clone());
            self.watchers.mark(&event);
            self.history_bytes += only_in_window(&event);
            self.window.push_back(event);
        }
        self.trim()
    }

    /// Takes in what the log says about one revision, in the log's order: as [`State::apply`], but what lies before the
    /// window leaves no event.
    pub(crate) fn replay(&mut self, events: Vec<Event>) -> Vec<Unreachable> {
        if events.last().is_none_or(|event| event.revision > self.compacted) {
            return self.apply(events);
        }
        let unreachable = events.iter().flat_map(Unreachable::because_of).collect();
        for event in events {
            self.set(event.key, event.kv);
        }
        unreachable
    }

    fn set(&mut self, key: Arc<str>, kv: Option<KeyValue>) {
        match kv {
            Some(kv) => self.current.insert(Key(key), kv),
            None => self.current.remove(key.as_bytes()),
        };
    }

    /// All that a log must hold to become this state again.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let at_compacted = ListOptions { revision: Some(self.compacted), ..ListOptions::default() };
        let base = self.list("", &at_compacted).expect("the oldest revision is readable").items;
        let events = self.window.iter().cloned().collect();
        Snapshot { revision: self.revision, compacted: self.compacted, base, events }
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

/// The first of `all`, as many as `options` allow.
fn page<'a>(all: &mut impl Iterator<Item = &'a KeyValue>, options: &ListOptions) -> Vec<KeyValue> {
    let (limit, bytes_max) = (options.limit.unwrap_or(usize::MAX), options.bytes_max.unwrap_or(usize::MAX));
    let (mut items, mut n_bytes) = (Vec::new(), 0);
    while items.len() < limit && n_bytes < bytes_max {
        let Some(kv) = all.next() else { break };
        n_bytes += kv.value.len();
        items.push(kv.clone());
    }
    items
}

/// A key in the order of its bytes, which for text is the order of its characters.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(Arc<str>);

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The first bytes after everything that starts with `prefix`; `None` when nothing comes after.
fn prefix_end(prefix: &str) -> Option<Vec<u8>> {
    let last_idx = prefix.bytes().rposition(|byte| byte < u8::MAX)?;
    let mut end = prefix.as_bytes()[..=last_idx].to_vec();
    end[last_idx] += 1;
    Some(end)
}

fn only_in_window(event: &Event) -> usize {
    event.prev.as_ref().map_or(0, |prev| prev.value.len())
}

/// A copy of the state: what it was at `compacted`, and the events since.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    pub(crate) base: Vec<KeyValue>,
    pub(crate) events: Vec<Event>,
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
