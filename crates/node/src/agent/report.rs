//! Keeps the API's idea of a pod's status up to date: the newest wins, one write at a time, sooner when it matters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coracle_client::{answered_revision, is_conflict, is_not_found, revision_of};
use coracle_stdx::Backoff;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Resource;
use kube::api::{Patch, PatchParams};
use kube::core::Request as Requests;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

use super::patch::between;
use crate::error::chain;

const RETRY_BASE: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// A status in which nothing runs, ends or becomes ready is held back this long: mostly a better one follows.
const HELD_BACK_MIN: Duration = Duration::from_millis(50);
const HELD_BACK_MAX: Duration = Duration::from_secs(2);
/// It is held back longer by this for each pod that is starting: the more there are, the longer each takes.
const HELD_BACK_EACH: Duration = Duration::from_millis(50);
/// Statuses that a node writes at a time. The others wait their turn, and are coalesced meanwhile.
const WRITES_MAX: usize = 16;

/// What the reports of one node share.
pub(crate) struct Desk {
    writes: Semaphore,
    n_starting: AtomicU32,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { writes: Semaphore::new(WRITES_MAX), n_starting: AtomicU32::new(0) }
    }

    fn patience(&self) -> Duration {
        (HELD_BACK_EACH * self.n_starting.load(Ordering::Relaxed)).clamp(HELD_BACK_MIN, HELD_BACK_MAX)
    }
}

/// Counts a pod as starting while it lives.
struct Starting(Arc<Desk>);

impl Starting {
    fn at(desk: &Arc<Desk>) -> Self {
        desk.n_starting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(desk))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.n_starting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known and wanted of one pod's status.
pub(super) struct Report {
    client: kube::Client,
    desk: Arc<Desk>,
    /// Until something is told of the pod.
    starting: Option<Starting>,
    namespace: String,
    name: String,
    uid: String,
    known: Text,
    known_revision: u64,
    wanted: Text,
    due: Option<Due>,
    is_in_flight: bool,
    backoff: Backoff,
}

/// A status as it is written: a tree of values takes five times the memory, for as long as the pod runs.
#[derive(Clone, PartialEq, Eq)]
struct Text(Box<str>);

impl Text {
    fn of(status: Option<&PodStatus>) -> Self {
        Self::from(serde_json::to_string(&status))
    }

    fn from(json: serde_json::Result<String>) -> Self {
        Self(json.expect("a status is JSON").into())
    }

    fn value(&self) -> Value {
        serde_json::from_str(&self.0).expect("it was written here")
    }
}

/// When a write is due.
#[derive(Clone, Copy)]
enum Due {
    At(Instant),
    /// When it has waited for as long as the crowd of starting pods allows by then.
    HeldSince(Instant),
}

/// How a write ended.
pub(super) struct Written {
    sent: Text,
    answer: Result<u64, kube::Error>,
}

impl Report {
    pub(super) fn new(client: kube::Client, pod: &Pod, desk: Arc<Desk>) -> Self {
        let meta = &pod.metadata;
        let known = Text::of(pod.status.as_ref());
        Self {
            client,
            starting: is_blank(&known.value()).then(|| Starting::at(&desk)),
            desk,
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            wanted: known.clone(),
            known,
            known_revision: revision_of(meta),
            due: None,
            is_in_flight: false,
            backoff: Backoff::new(RETRY_BASE, RETRY_MAX),
        }
    }

    /// The API has this status now, by whoever's hand.
    pub(super) fn seen(&mut self, pod: &Pod) {
        let revision = revision_of(&pod.metadata);
        if revision > self.known_revision && !self.is_in_flight {
            self.known_revision = revision;
            self.known = Text::of(pod.status.as_ref());
            self.plan();
        }
    }

    /// This is how the pod is.
    pub(super) fn want(&mut self, status: &PodStatus) {
        let wanted = Text::of(Some(status));
        if wanted == self.wanted {
            return;
        }
        self.wanted = wanted;
        self.plan();
    }

    fn plan(&mut self) {
        if self.is_in_flight || self.backoff.n_failures() > 0 {
            return;
        }
        let now = Instant::now();
        let (known, wanted) = (self.known.value(), self.wanted.value());
        let is_urgent = matters(&known, &wanted);
        self.due = between(&known, &wanted).map(|_| match (is_urgent, self.due) {
            (_, Some(Due::At(at))) => Due::At(at.min(now)),
            (true, Some(Due::HeldSince(_)) | None) => Due::At(now),
            (false, held) => held.unwrap_or(Due::HeldSince(now)),
        });
    }

    /// When [`Report::write`] is to be called next.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.due.filter(|_| !self.is_in_flight)?;
        Some(match due {
            Due::At(at) => at,
            Due::HeldSince(since) if self.starting.is_some() => since + self.desk.patience(),
            Due::HeldSince(since) => since + HELD_BACK_MIN,
        })
    }

    /// True when the API knows all.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_in_flight && between(&self.known.value(), &self.wanted.value()).is_none()
    }

    /// Begins a write. The status must not be wanted to be quicker than it is: call it when it is due.
    pub(super) fn write(&mut self) -> Option<impl Future<Output = Written> + Send + use<>> {
        self.due = None;
        let patch = between(&self.known.value(), &self.wanted.value())?;
        self.is_in_flight = true;
        self.starting = None;
        let body = json!({"metadata": {"uid": self.uid}, "status": patch});
        let (client, desk, sent) = (self.client.clone(), self.desk.clone(), self.wanted.clone());
        let requests = Requests::new(Pod::url_path(&(), Some(&self.namespace)));
        let patch = Patch::Strategic(body);
        let request = requests.patch_subresource("status", &self.name, &PatchParams::default(), &patch);
        Some(async move {
            let _turn = desk.writes.acquire().await.expect("the semaphore is never closed");
            let answer = match request {
                Ok(request) => answered_revision(&client, request).await,
                Err(error) => Err(kube::Error::BuildRequest(error)),
            };
            Written { sent, answer }
        })
    }

    /// A write has ended.
    pub(super) fn written(&mut self, written: Written) {
        self.is_in_flight = false;
        match written.answer {
            Ok(revision) => {
                self.backoff.reset();
                self.known_revision = revision;
                self.acknowledge(written.sent);
                self.plan();
            }
            // The pod is gone, or another has its name: nobody is left to be told.
            Err(error) if is_not_found(&error) || is_conflict(&error) => {
                self.backoff.reset();
                self.acknowledge(written.sent);
            }
            Err(error) => {
                warn!(pod = %self.name, error = %chain(&error), "status not written, trying again");
                self.due = Some(Due::At(Instant::now() + self.backoff.next_delay_jittered()));
            }
        }
    }

    /// What was sent is known; conditions that others own stay as they were.
    fn acknowledge(&mut self, sent: Text) {
        let mut known = sent.value();
        let others = conditions_of_others(&self.known.value(), &known);
        if let Some(conditions) = known["conditions"].as_array_mut() {
            conditions.extend(others);
        }
        self.known = Text::from(serde_json::to_string(&known));
    }
}

fn conditions_of_others(known: &Value, sent: &Value) -> Vec<Value> {
    let list = |status: &Value| status["conditions"].as_array().cloned().unwrap_or_default();
    let ours = list(sent);
    list(known).into_iter().filter(|old| !ours.iter().any(|new| new["type"] == old["type"])).collect()
}

/// True when somebody may be waiting for this: the phase, an address, a running or ended container, readiness.
fn matters(known: &Value, wanted: &Value) -> bool {
    let telling = |status: &Value| {
        let states = |field: &str| -> Vec<Value> {
            let all = status[field].as_array().into_iter().flatten();
            all.map(|one| json!([one["state"]["running"], one["state"]["terminated"], one["ready"], one["started"]]))
                .collect()
        };
        let ready = status["conditions"].as_array().into_iter().flatten();
        let mut ready = ready.filter(|one| one["type"] == "Ready").map(|one| one["status"].clone());
        let ready = ready.find(|status| status != "False");
        let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
        (status["phase"].clone(), ready, lists.map(states))
    };
    !is_blank(known) && telling(known) != telling(wanted) || is_blank(known) && wanted["phase"] != "Pending"
}

/// True when nothing has been told of the pod by its node.
fn is_blank(status: &Value) -> bool {
    status["containerStatuses"].is_null()
}
