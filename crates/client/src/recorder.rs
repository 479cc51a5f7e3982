//! Tells users what happened, as Events. It never makes its caller wait, and drops rather than grows.

mod correlate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coracle_stdx::{CancellationToken, Clock, Scope};
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request as Requests;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tracing::debug;

use self::correlate::{Correlator, Decision, Happening};
use crate::{answered, is_not_found};

/// Events that wait to be written; what comes on top is dropped and counted.
const QUEUE_MAX: usize = 4096;

/// How an event is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Records Events in the name of one component. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Happening>,
    n_dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// A recorder whose writer runs in `scope`. `host` is empty for a component that is not bound to a node.
    pub fn start<E: Send + 'static>(
        client: Client,
        component: &str,
        host: &str,
        clock: Clock,
        scope: &mut Scope<E>,
    ) -> Self {
        let (queue, happenings) = mpsc::channel(QUEUE_MAX);
        let writer = Writer { client, clock, correlator: Correlator::new(component, host) };
        scope.spawn(|token| async move {
            writer.run(happenings, token).await;
            Ok(())
        });
        Self { queue, n_dropped: Arc::default() }
    }

    /// Records that something happened to `object`.
    pub fn event<K>(&self, object: &K, event_type: EventType, reason: &'static str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.event_about(object.object_ref(&()), event_type, reason, message);
    }

    /// Records that something happened to what `about` refers to: an object, or a field of it.
    pub fn event_about(
        &self,
        mut about: ObjectReference,
        event_type: EventType,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        about.resource_version = None;
        let happening = Happening { about, event_type, reason, message: message.into() };
        if self.queue.try_send(happening).is_err() {
            self.n_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events dropped since the start because the queue was full.
    pub fn n_dropped(&self) -> u64 {
        self.n_dropped.load(Ordering::Relaxed)
    }
}

struct Writer {
    client: Client,
    clock: Clock,
    correlator: Correlator,
}

impl Writer {
    async fn run(mut self, mut happenings: mpsc::Receiver<Happening>, token: CancellationToken) {
        while let Some(Some(happening)) = token.run_until_cancelled(happenings.recv()).await {
            let decision = self.correlator.decide(happening, self.clock.now());
            if let Err(error) = self.write(decision).await {
                debug!(error = &error as &dyn std::error::Error, "event not written");
            }
        }
    }

    async fn write(&self, decision: Decision) -> kube::Result<()> {
        match decision {
            Decision::Create(event) => self.create(&event).await,
            Decision::Repeat { event, patch } => {
                let name = event.metadata.name.as_deref().unwrap_or_default();
                match self.api(&event).patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                    Err(error) if is_not_found(&error) => self.create(&event).await,
                    answer => answer.map(drop),
                }
            }
            Decision::Drop => Ok(()),
        }
    }

    async fn create(&self, event: &Event) -> kube::Result<()> {
        let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
        let body = serde_json::to_vec(event).map_err(kube::Error::SerdeError)?;
        let request = Requests::new(Event::url_path(&(), Some(namespace))).create(&PostParams::default(), body);
        answered(&self.client, request.map_err(kube::Error::BuildRequest)?).await
    }

    fn api(&self, event: &Event) -> Api<Event> {
        Api::namespaced(self.client.clone(), event.metadata.namespace.as_deref().unwrap_or("default"))
    }
}
