//! Watchers read the shared window of events at their own pace: none has a queue, and none can hold another up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::state::State;
use crate::store::Shared;
use crate::{Error, Event, Revision};

/// Events that one [`Watch::recv`] returns before it leaves the rest to the next. A revision is never split.
const RECV_EVENTS_MAX: usize = 512;
/// Bytes of values that one [`Watch::recv`] returns before it leaves the rest to the next: what a watcher that never
/// comes back holds on to.
const RECV_BYTES_MAX: usize = 256 << 10;

/// Nothing is waiting to be received.
const IDLE: Revision = 0;

/// The events of a prefix, from a revision on. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    watcher: Arc<Watcher>,
}

impl Watch {
    pub(crate) fn new(shared: &Arc<Shared>, prefix: &str, from: Revision) -> Result<Self, Error> {
        let mut state = shared.state.write();
        if state.closed {
            return Err(Error::Closed);
        }
        if from < state.compacted {
            return Err(Error::Compacted { requested: from, compacted: state.compacted });
        }
        let pending = if from < state.revision { from + 1 } else { IDLE };
        let watcher = Arc::new(Watcher {
            prefix: prefix.as_bytes().into(),
            from,
            pending: AtomicU64::new(pending),
            wake: Notify::new(),
        });
        state.watchers.insert(&watcher);
        Ok(Self { shared: Arc::clone(shared), watcher })
    }

    /// The next events, in order; always whole revisions, and never none. Cancel-safe.
    ///
    /// After an error the watch is over, and gives the same error again.
    pub async fn recv(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            let events = self.watcher.take(&self.shared.state.read())?;
            if !events.is_empty() {
                return Ok(events);
            }
            self.watcher.wake.notified().await;
        }
    }

    /// A revision up to which [`Watch::recv`] has returned everything there was; `None` once it has lost some.
    ///
    /// It grows also when other prefixes change and this one does not.
    pub fn progress(&self) -> Option<Revision> {
        let state = self.shared.state.read();
        match self.watcher.pending.load(Ordering::Relaxed) {
            IDLE => Some(state.revision.max(self.watcher.from)),
            pending if pending > state.compacted => Some(pending - 1),
            _ => None,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.state.write().watchers.remove(&self.watcher);
    }
}

/// A watch as the writer knows it.
#[derive(Debug)]
struct Watcher {
    prefix: Box<[u8]>,
    /// It wants what comes after this, which may lie in the future.
    from: Revision,
    /// The first revision that may have events to receive, or [`IDLE`]. The writer sets it under the state's write lock
    /// and the watch clears it under the read lock, so the two never race.
    pending: AtomicU64,
    wake: Notify,
}

impl Watcher {
    fn take(&self, state: &State) -> Result<Vec<Event>, Error> {
        let pending = self.pending.load(Ordering::Relaxed);
        if pending == IDLE {
            return if state.closed { Err(Error::Closed) } else { Ok(Vec::new()) };
        }
        if pending <= state.compacted {
            return Err(Error::Lagged { compacted: state.compacted });
        }
        let mut events: Vec<Event> = Vec::new();
        let (mut next, mut n_bytes) = (IDLE, 0);
        for event in state.events_after(pending - 1) {
            let is_full = events.len() >= RECV_EVENTS_MAX || n_bytes >= RECV_BYTES_MAX;
            if is_full && events.last().is_some_and(|last| last.revision < event.revision) {
                next = event.revision;
                break;
            }
            if event.key.as_bytes().starts_with(&self.prefix) {
                n_bytes += event.n_bytes();
                events.push(event.clone());
            }
        }
        self.pending.store(next, Ordering::Relaxed);
        Ok(events)
    }
}

/// All watchers, found by what they watch: an event looks only at those whose prefix it has.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// By the length of the prefix.
    by_prefix: BTreeMap<usize, SameLength>,
    /// Marked, and not yet woken.
    to_wake: Vec<Arc<Watcher>>,
}

impl Watchers {
    fn insert(&mut self, watcher: &Arc<Watcher>) {
        let same_length = self.by_prefix.entry(watcher.prefix.len()).or_default();
        same_length.entry(watcher.prefix.clone()).or_default().push(Arc::clone(watcher));
    }

    fn remove(&mut self, watcher: &Arc<Watcher>) {
        let Some(same_length) = self.by_prefix.get_mut(&watcher.prefix.len()) else { return };
        let Some(same_prefix) = same_length.get_mut(&watcher.prefix) else { return };
        same_prefix.retain(|other| !Arc::ptr_eq(other, watcher));
        if same_prefix.is_empty() {
            same_length.remove(&watcher.prefix);
        }
        if same_length.is_empty() {
            self.by_prefix.remove(&watcher.prefix.len());
        }
    }

    /// Notes for each watcher of `event` that it has something to receive.
    pub(crate) fn mark(&mut self, event: &Event) {
        let key = event.key.as_bytes();
        for (length, same_length) in self.by_prefix.range(..=key.len()) {
            for watcher in same_length.get(&key[..*length]).into_iter().flatten() {
                let idle = watcher.pending.load(Ordering::Relaxed) == IDLE;
                if idle && event.revision > watcher.from {
                    watcher.pending.store(event.revision, Ordering::Relaxed);
                    self.to_wake.push(Arc::clone(watcher));
                }
            }
        }
    }

    /// Hands out who was marked since the last call, to be woken once the state's lock is free.
    pub(crate) fn take_marked(&mut self) -> Marked {
        Marked(std::mem::take(&mut self.to_wake))
    }

    /// Hands out everybody.
    pub(crate) fn all(&self) -> Marked {
        Marked(self.by_prefix.values().flat_map(HashMap::values).flatten().cloned().collect())
    }
}

/// Watchers by prefix.
type SameLength = HashMap<Box<[u8]>, Vec<Arc<Watcher>>>;

/// Watchers that have something to look at.
pub(crate) struct Marked(Vec<Arc<Watcher>>);

impl Marked {
    pub(crate) fn wake(self) {
        for watcher in self.0 {
            watcher.wake.notify_one();
        }
    }
}
