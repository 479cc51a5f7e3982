//! A local copy of a kind's objects that follows the API server. It never writes.

use std::fmt::Debug;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coracle_stdx::{Backoff, CancellationToken, Gate, Scope};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use kube::api::{WatchEvent, WatchParams};
use kube::core::{PartialObjectMeta, Request as Requests};
use kube::{Api, Resource};
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::cache::Cache;
use crate::decoded::Decoded;
use crate::key::parse_revision;
use crate::record::{RECALL_AFTER, Record};
use crate::{Changes, is_gone, revision_of};

const RETRY_BASE: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The server ends a watch after this long, and we begin the next where it ended.
const WATCH_SECONDS: u32 = 290;
/// A watch that outlives its time by this much is a dead connection.
const WATCH_GRACE: Duration = Duration::from_secs(10);
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What an informer can hold: any kind of object that can be read.
pub trait Cached: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}
impl<K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static> Cached for K {}

type Events<K> = BoxStream<'static, kube::Result<WatchEvent<Decoded<K>>>>;
type Open<K> = Box<dyn Fn(WatchParams, String) -> BoxFuture<'static, kube::Result<Events<K>>> + Send + Sync>;
type Trim<K> = Box<dyn Fn(&mut K) + Send + Sync>;

/// A list and watch with a cache of `Arc<K>`. Clones share one watch and one cache.
///
/// It drops `managedFields` from what it keeps. Build it, [`start`](Self::start) it in a scope, await
/// [`synced`](Self::synced), then read.
pub struct Informer<K>(Arc<Shared<K>>);

struct Shared<K> {
    params: WatchParams,
    open: Open<K>,
    trim: Option<Trim<K>>,
    record: Option<Record<K>>,
    cache: RwLock<Cache<K>>,
    changed: watch::Sender<u64>,
    synced: Gate,
    started: AtomicBool,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Cached> Informer<K> {
    /// An informer of everything that `api` reaches: all namespaces, or one.
    pub fn new(api: Api<K>) -> Self {
        Self::over(Box::new(move |params, revision| {
            let (client, requests) = (api.clone().into_client(), Requests::new(api.resource_url()));
            async move {
                let request = requests.watch(&params, &revision).map_err(kube::Error::BuildRequest)?;
                Ok(client.request_events(request).await?.boxed())
            }
            .boxed()
        }))
    }

    fn over(open: Open<K>) -> Self {
        Self(Arc::new(Shared {
            params: WatchParams { timeout: Some(WATCH_SECONDS), bookmarks: true, ..WatchParams::default() },
            open,
            trim: None,
            record: None,
            cache: RwLock::new(Cache::new()),
            changed: watch::Sender::new(0),
            synced: Gate::new(),
            started: AtomicBool::new(false),
        }))
    }

    /// Only objects that match this field selector.
    #[must_use]
    pub fn fields(mut self, selector: impl Into<String>) -> Self {
        self.building().params.field_selector = Some(selector.into());
        self
    }

    /// Only objects that match this label selector.
    #[must_use]
    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.building().params.label_selector = Some(selector.into());
        self
    }

    /// Drops what readers do not need from every object, before it is kept.
    #[must_use]
    pub fn trimmed(mut self, trim: impl Fn(&mut K) + Send + Sync + 'static) -> Self {
        self.building().trim = Some(Box::new(trim));
        self
    }

    /// Keeps everything in the file `path`, and begins with that when the API server is away.
    ///
    /// The cache is then [`synced`](Self::synced), at revision 0. When the server is back, only what differs is told.
    #[must_use]
    pub fn recorded(mut self, path: PathBuf) -> Self
    where
        K: Serialize,
    {
        self.building().record = Some(Record::new(path));
        self
    }

    fn building(&mut self) -> &mut Shared<K> {
        Arc::get_mut(&mut self.0).expect("an informer is configured before it is shared")
    }

    /// Adds an index; objects are then found with [`by_index`](Self::by_index) under each value that `values_of` gives.
    #[must_use]
    pub fn indexed(self, name: &'static str, values_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.0.cache.write().add_index(name, Box::new(values_of));
        self
    }

    /// Lists and watches in `scope` until the scope ends. Starting it twice is the same as once.
    pub fn start<E: Send + 'static>(&self, scope: &mut Scope<E>) {
        if self.0.started.swap(true, Ordering::AcqRel) {
            return;
        }
        let informer = self.clone();
        scope.spawn(|token| async move {
            informer.follow(token).await;
            Ok(())
        });
        if let Some(record) = self.0.record.clone() {
            let informer = self.clone();
            scope.spawn(|token| async move {
                informer.keep(record, token).await;
                Ok(())
            });
        }
    }

    /// Returns once the cache holds everything that existed when the watch began. Cancel-safe.
    pub async fn synced(&self) {
        self.0.synced.opened().await;
    }

    /// True once [`synced`](Self::synced) would return at once.
    pub fn is_synced(&self) -> bool {
        self.0.synced.is_open()
    }

    /// The object of this name; `namespace` is empty for cluster-scoped kinds.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.0.cache.read().get(namespace, name)
    }

    /// Every object, ordered by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.0.cache.read().all()
    }

    /// Every object of one namespace, ordered by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.0.cache.read().in_namespace(namespace)
    }

    /// Every object that has `value` in the index `name`, ordered by namespace and name.
    ///
    /// # Panics
    /// When the informer was built without that index.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        self.0.cache.read().by_index(name, value)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.0.cache.read().len()
    }

    /// True when there is no object.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The revision up to which this cache has seen everything: a write that was answered with it, or with an earlier
    /// one, is in the cache.
    pub fn revision(&self) -> u64 {
        self.0.cache.read().revision()
    }

    /// Every object as new, then each change; coalesced per object while the subscriber is busy.
    pub fn subscribe(&self) -> Changes<K> {
        self.0.cache.write().subscribe()
    }

    /// A counter that moves with every change, for those who then look at the whole.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    async fn follow(&self, token: CancellationToken) {
        let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
        let mut resume = None;
        while !token.is_cancelled() {
            let ended = token.run_until_cancelled(self.watch_once(&mut resume, &mut backoff)).await;
            if let Some(Err(error)) = ended {
                self.failed(&error, &mut resume);
            }
            token.run_until_cancelled(tokio::time::sleep(backoff.next_delay_jittered())).await;
        }
    }

    /// Begins with the record when the API server takes too long, and writes down what it says from then on.
    async fn keep(self, record: Record<K>, token: CancellationToken) {
        let mut changed = self.changed();
        let synced = tokio::time::timeout(RECALL_AFTER, self.synced());
        if let Some(Err(_)) = token.run_until_cancelled(synced).await {
            self.recall(&record).await;
        }
        let mut is_stopping = false;
        while !is_stopping {
            is_stopping = token.run_until_cancelled(changed.changed()).await.is_none();
            let is_behind = !is_stopping || changed.has_changed().unwrap_or(false);
            changed.borrow_and_update();
            if self.revision() > 0 && is_behind {
                let pause = record.write(self.list()).await;
                token.run_until_cancelled(tokio::time::sleep(pause)).await;
            }
        }
    }

    async fn recall(&self, record: &Record<K>) {
        let Some(objects) = record.read().await else { return };
        let mut cache = self.0.cache.write();
        // What the server says meanwhile goes before.
        if cache.revision() == 0 {
            info!(kind = std::any::type_name::<K>(), n_objects = objects.len(), "began with what was last known");
            cache.replace(objects, 0);
            drop(cache);
            self.0.changed.send_modify(|n_changes| *n_changes += 1);
            self.0.synced.open();
        }
    }

    fn failed(&self, error: &kube::Error, resume: &mut Option<String>) {
        let kind = std::any::type_name::<K>();
        if is_gone(error) {
            debug!(kind, "watched revision expired, listing again");
            *resume = None;
        } else {
            warn!(kind, error = error as &dyn std::error::Error, "watch failed");
        }
    }

    /// One watch request: from `resume`, or with everything that exists first. Leaves in `resume` where to go on.
    async fn watch_once(&self, resume: &mut Option<String>, backoff: &mut Backoff) -> kube::Result<()> {
        let mut params = self.0.params.clone();
        params.send_initial_events = resume.is_none();
        let revision = resume.clone().unwrap_or_else(|| "0".to_owned());
        let mut events = pin!(within_lifetime((self.0.open)(params, revision).await?));
        let mut initial = resume.is_none().then(Vec::new);
        while let Some(event) = events.next().await {
            if let Some(revision) = self.absorb(event?, &mut initial)? {
                *resume = Some(revision);
                backoff.reset();
            }
        }
        Ok(())
    }

    /// Takes in one event; returns the revision to resume from, once there is one.
    fn absorb(&self, event: WatchEvent<Decoded<K>>, initial: &mut Option<Vec<K>>) -> kube::Result<Option<String>> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => Ok(self.put(object, initial)),
            WatchEvent::Deleted(object) => {
                let meta = object.into_meta();
                if let Some(initial) = initial {
                    initial.retain(|listed| listed.meta().uid != meta.uid);
                    return Ok(None);
                }
                self.change(|cache| cache.remove(&meta));
                Ok(meta.resource_version)
            }
            WatchEvent::Bookmark(bookmark) => {
                let revision = bookmark.metadata.resource_version;
                if !bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END) {
                    if initial.is_some() {
                        return Ok(None);
                    }
                    self.change(|cache| cache.advance(parse_revision(&revision)));
                } else if let Some(objects) = initial.take() {
                    self.change(|cache| cache.replace(objects, parse_revision(&revision)));
                    self.0.synced.open();
                }
                Ok(Some(revision))
            }
            WatchEvent::Error(status) => Err(kube::Error::Api(status)),
        }
    }

    /// Keeps an object. One that cannot be read stays as it was last read: it must not hide the others.
    fn put(&self, object: Decoded<K>, initial: &mut Option<Vec<K>>) -> Option<String> {
        let object = match object {
            Decoded::Read(object) => self.kept(*object),
            Decoded::Unreadable { meta, why } => {
                let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
                warn!(
                    kind = std::any::type_name::<K>(),
                    namespace, name, why, "passed over an object that cannot be read"
                );
                if initial.is_some() {
                    return None;
                }
                self.change(|cache| cache.advance(revision_of(&meta)));
                return meta.resource_version;
            }
        };
        if let Some(initial) = initial {
            initial.push(object);
            return None;
        }
        let revision = object.meta().resource_version.clone();
        self.change(|cache| cache.put(object));
        revision
    }

    fn kept(&self, mut object: K) -> K {
        object.meta_mut().managed_fields = None;
        if let Some(trim) = &self.0.trim {
            trim(&mut object);
        }
        object
    }

    fn change(&self, change: impl FnOnce(&mut Cache<K>)) {
        change(&mut self.0.cache.write());
        self.0.changed.send_modify(|n_changes| *n_changes += 1);
    }
}

impl<K> Informer<PartialObjectMeta<K>>
where
    K: Cached,
    PartialObjectMeta<K>: Cached,
{
    /// An informer of metadata alone, for those who look at every kind.
    pub fn metadata(api: Api<K>) -> Self {
        Self::over(Box::new(move |params, revision| {
            let (client, requests) = (api.clone().into_client(), Requests::new(api.resource_url()));
            async move {
                let request = requests.watch_metadata(&params, &revision).map_err(kube::Error::BuildRequest)?;
                Ok(client.request_events(request).await?.boxed())
            }
            .boxed()
        }))
    }
}

/// Ends the stream when its next event fails to come within a watch's lifetime.
fn within_lifetime<T>(events: impl Stream<Item = T> + Send) -> impl Stream<Item = T> + Send {
    let lifetime = Duration::from_secs(WATCH_SECONDS.into()) + WATCH_GRACE;
    futures::stream::unfold(Box::pin(events), move |mut events| async move {
        let event = tokio::time::timeout(lifetime, events.next()).await.ok().flatten()?;
        Some((event, events))
    })
}

#[cfg(test)]
mod tests;
