//! Keeps the API's idea of a pod's status up to date: the newest wins, one write at a time, sooner when it matters.

use std::sync::Arc;
use std::time::Duration;

use coracle_client::{is_conflict, is_not_found, revision_of};
use coracle_stdx::Backoff;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

use super::patch::{as_json, between};
use crate::error::chain;

const RETRY_BASE: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// A status in which nothing runs, ends or becomes ready is held back this long: mostly a better one follows.
const HELD_BACK: Duration = Duration::from_millis(50);

/// What is known and wanted of one pod's status.
pub(super) struct Report {
    api: Api<Pod>,
    writes: Arc<Semaphore>,
    name: String,
    uid: String,
    known: Value,
    known_revision: u64,
    wanted: Value,
    due: Option<Instant>,
    is_in_flight: bool,
    backoff: Backoff,
}

/// How a write ended.
pub(super) struct Written {
    sent: Value,
    answer: Result<u64, kube::Error>,
}

impl Report {
    pub(super) fn new(client: kube::Client, pod: &Pod, writes: Arc<Semaphore>) -> Self {
        let meta = &pod.metadata;
        let known = pod.status.as_ref().map(as_json).unwrap_or_default();
        Self {
            api: Api::namespaced(client, meta.namespace.as_deref().unwrap_or_default()),
            writes,
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
            self.known = pod.status.as_ref().map(as_json).unwrap_or_default();
            self.plan(Duration::ZERO);
        }
    }

    /// This is how the pod is.
    pub(super) fn want(&mut self, status: &PodStatus) {
        let wanted = as_json(status);
        if wanted == self.wanted {
            return;
        }
        self.wanted = wanted;
        let patience = if matters(&self.known, &self.wanted) { Duration::ZERO } else { HELD_BACK };
        self.plan(patience);
    }

    fn plan(&mut self, patience: Duration) {
        if self.is_in_flight || self.backoff.n_failures() > 0 {
            return;
        }
        let due = Instant::now() + patience;
        self.due = match between(&self.known, &self.wanted) {
            Some(_) => Some(self.due.map_or(due, |earlier| earlier.min(due))),
            None => None,
        };
    }

    /// When [`Report::write`] is to be called next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.is_in_flight)
    }

    /// True when the API knows all.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_in_flight && between(&self.known, &self.wanted).is_none()
    }

    /// Begins a write. The status must not be wanted to be quicker than it is: call it when it is due.
    pub(super) fn write(&mut self) -> Option<impl Future<Output = Written> + Send + use<>> {
        self.due = None;
        let patch = between(&self.known, &self.wanted)?;
        self.is_in_flight = true;
        let body = json!({"metadata": {"uid": self.uid}, "status": patch});
        let (api, writes, name, sent) = (self.api.clone(), self.writes.clone(), self.name.clone(), self.wanted.clone());
        Some(async move {
            let _turn = writes.acquire().await.expect("the semaphore is never closed");
            let params = PatchParams::default();
            let answer = api.patch_status(&name, &params, &Patch::Strategic(body)).await;
            Written { sent, answer: answer.map(|pod| revision_of(&pod.metadata)) }
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
                self.plan(Duration::ZERO);
            }
            // The pod is gone, or another has its name: nobody is left to be told.
            Err(error) if is_not_found(&error) || is_conflict(&error) => {
                self.backoff.reset();
                self.acknowledge(written.sent);
            }
            Err(error) => {
                warn!(pod = %self.name, error = %chain(&error), "status not written, trying again");
                self.due = Some(Instant::now() + self.backoff.next_delay_jittered());
            }
        }
    }

    /// What was sent is known; conditions that others own stay as they were.
    fn acknowledge(&mut self, sent: Value) {
        let others = conditions_of_others(&self.known, &sent);
        self.known = sent;
        if let Some(conditions) = self.known["conditions"].as_array_mut() {
            conditions.extend(others);
        }
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
    let blank = |status: &Value| status["containerStatuses"].is_null();
    !blank(known) && telling(known) != telling(wanted) || blank(known) && wanted["phase"] != "Pending"
}
