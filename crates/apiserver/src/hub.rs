//! One stream of events per kind, shared by all its watches: the store is watched once, and the JSON line of an event is
//! made once, by the first watch that sends it.

mod window;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use coracle_stdx::Scope;
use coracle_store::{KeyValue, Revision, Store};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::resources::Resource;

pub(crate) use window::Parcel;
use window::Window;

/// Batches of events that a watch may be behind before it has to catch up from the store.
const BATCHES_MAX: usize = 1024;

/// How a watch names what happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change of one object, with what has been derived from it so far.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) revision: Revision,
    pub(crate) key: Arc<str>,
    now: Option<KeyValue>,
    before: Option<KeyValue>,
    now_value: OnceLock<Value>,
    before_value: OnceLock<Value>,
    now_selectable: OnceLock<Value>,
    before_selectable: OnceLock<Value>,
    lines: [OnceLock<Bytes>; 3],
}

impl Event {
    pub(crate) fn new(event: coracle_store::Event) -> Self {
        Self {
            revision: event.revision,
            key: event.key,
            now: event.kv,
            before: event.prev,
            now_value: OnceLock::new(),
            before_value: OnceLock::new(),
            now_selectable: OnceLock::new(),
            before_selectable: OnceLock::new(),
            lines: [const { OnceLock::new() }; 3],
        }
    }

    /// The size of what it was made from.
    pub(crate) fn bytes(&self) -> usize {
        [&self.now, &self.before].into_iter().flatten().map(|kv| kv.value.len()).sum()
    }

    /// What a watch sees that selects objects by `matches`, and nothing if it sees nothing.
    pub(crate) fn seen_by(&self, resource: &Resource, matches: impl Fn(&Value) -> bool) -> Option<Change> {
        let selected = |kv: &Option<KeyValue>, selectable: &OnceLock<Value>| {
            kv.as_ref().is_some_and(|kv| matches(selectable.get_or_init(|| resource.selectable(&kv.value))))
        };
        let is = selected(&self.now, &self.now_selectable);
        let was = selected(&self.before, &self.before_selectable);
        match (was, is) {
            (false, true) => Some(Change::Added),
            (true, true) => Some(Change::Modified),
            (true, false) => Some(Change::Deleted),
            (false, false) => None,
        }
    }

    /// What a watch without selectors sees.
    pub(crate) fn change(&self) -> Change {
        match (&self.before, &self.now) {
            (None, _) => Change::Added,
            (Some(_), Some(_)) => Change::Modified,
            (Some(_), None) => Change::Deleted,
        }
    }

    /// The object that a watch is shown: as it is now, or when it leaves, as it was.
    pub(crate) fn object(&self, resource: &Resource, change: Change) -> Option<&Value> {
        match change {
            Change::Added | Change::Modified => self.now(resource),
            Change::Deleted => self.before(resource),
        }
    }

    /// The line that says so.
    pub(crate) fn line(&self, resource: &Resource, change: Change) -> Bytes {
        let Some(kv) = self.stored(change) else { return Bytes::new() };
        let make = || {
            resource.hub.lines_made.fetch_add(1, Ordering::Relaxed);
            line(change.name(), |out| resource.write_object(out, &kv.value, self.revision))
        };
        self.lines[change as usize].get_or_init(make).clone()
    }

    /// The stored form of [`Event::object`].
    pub(crate) fn stored(&self, change: Change) -> Option<&KeyValue> {
        match change {
            Change::Added | Change::Modified => self.now.as_ref(),
            Change::Deleted => self.before.as_ref(),
        }
    }

    fn now(&self, resource: &Resource) -> Option<&Value> {
        let kv = self.now.as_ref()?;
        Some(self.now_value.get_or_init(|| resource.decode_at(&kv.value, self.revision)))
    }

    fn before(&self, resource: &Resource) -> Option<&Value> {
        let kv = self.before.as_ref()?;
        Some(self.before_value.get_or_init(|| resource.decode_at(&kv.value, self.revision)))
    }
}

/// `{"type":"ADDED","object":…}` and a line feed.
pub(crate) fn line(name: &str, object: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(1024);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    object(&mut out);
    out.extend_from_slice(b"}\n");
    out.freeze()
}

/// Events that happened together, in order.
pub(crate) type Batch = Arc<[Arc<Event>]>;

/// The events of one kind as they happen, from the first subscription on.
#[derive(Debug)]
pub(crate) struct Hub {
    prefix: String,
    shared: Arc<Mutex<Shared>>,
    /// How often the line of an event was made: once, however many watch.
    lines_made: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    sender: Option<broadcast::Sender<Arc<Parcel>>>,
    window: Window,
    /// Every event up to here has been sent.
    sent: Revision,
}

/// A place in a hub's stream: everything after `after` will arrive.
pub(crate) struct Subscription {
    pub(crate) receiver: broadcast::Receiver<Arc<Parcel>>,
    pub(crate) after: Revision,
}

impl Hub {
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix, shared: Arc::default(), lines_made: AtomicU64::new(0) }
    }

    /// How often the line of an event was made.
    pub(crate) fn lines_made(&self) -> u64 {
        self.lines_made.load(Ordering::Relaxed)
    }

    /// Joins the stream, which begins to flow with the first who joins. Its task belongs to `scope`.
    pub(crate) async fn subscribe(
        &self,
        store: &Store,
        scope: &Mutex<Scope>,
    ) -> Result<Subscription, coracle_store::Error> {
        if let Some(subscription) = self.join() {
            return Ok(subscription);
        }
        let from = store.revision();
        let watch = store.watch(&self.prefix, from).await?;
        let mut shared = self.shared.lock();
        if shared.sender.is_none() {
            shared.sender = Some(broadcast::Sender::new(BATCHES_MAX));
            shared.sent = from;
            let flow = flow(watch, Arc::clone(&self.shared));
            scope.lock().spawn(|token| async move {
                token.run_until_cancelled(flow).await;
                Ok(())
            });
        }
        drop(shared);
        Ok(self.join().expect("the stream flows, and only ends with the server"))
    }

    fn join(&self) -> Option<Subscription> {
        let shared = self.shared.lock();
        let receiver = shared.sender.as_ref()?.subscribe();
        Some(Subscription { receiver, after: shared.sent })
    }
}

/// Carries events from the store to the hub until the store ends or the hub cannot follow it.
async fn flow(mut watch: coracle_store::Watch, shared: Arc<Mutex<Shared>>) {
    while let Ok(events) = watch.recv().await {
        let last = events.last().map(|event| event.revision);
        let batch: Batch = events.into_iter().map(|event| Arc::new(Event::new(event))).collect();
        let mut shared = shared.lock();
        let parcel = shared.window.pack(batch);
        if let Some(sender) = &shared.sender {
            // Nobody watching is no failure.
            let _ = sender.send(parcel);
        }
        shared.sent = last.unwrap_or(shared.sent);
    }
    // Whoever comes next starts the stream anew; the watches of this one end and catch up.
    shared.lock().sender = None;
}
