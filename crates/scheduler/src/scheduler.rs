//! The shell: feeds changes to the core, and carries out what it decides, a bounded number at a time.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use coracle_client::{Changes, EventType, Informer, Key, Recorder, is_not_found};
use coracle_stdx::{CancellationToken, Clock, Scope};
use k8s_openapi::api::core::v1::{
    Binding, Node, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod, PodCondition,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::Error;
use crate::core::{Core, Task};
use crate::storage::SELECTED_NODE;
use crate::subject::Subject;

/// Bindings and explanations that are under way together.
const TASKS_MAX: usize = 64;
const POD_SCHEDULED: &str = "PodScheduled";

/// How a scheduler is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name under which pods ask for it.
    pub name: String,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self { name: "default-scheduler".to_owned(), clock: Clock::System }
    }
}

/// What a scheduler has done so far.
#[derive(Debug, Default)]
pub struct Metrics {
    n_bound: AtomicU64,
    n_failed: AtomicU64,
    n_unschedulable: AtomicU64,
    depths: [AtomicUsize; 3],
}

impl Metrics {
    /// Pods that got a node.
    pub fn n_bound(&self) -> u64 {
        self.n_bound.load(Ordering::Relaxed)
    }

    /// Bindings that the API refused.
    pub fn n_failed(&self) -> u64 {
        self.n_failed.load(Ordering::Relaxed)
    }

    /// Looks at a pod that found no node.
    pub fn n_unschedulable(&self) -> u64 {
        self.n_unschedulable.load(Ordering::Relaxed)
    }

    /// The text for Prometheus, by the names that Kubernetes has.
    pub fn render(&self) -> String {
        let [active, backoff, unschedulable] = self.n_pending();
        let attempts =
            [("scheduled", self.n_bound()), ("unschedulable", self.n_unschedulable()), ("error", self.n_failed())];
        let pending = [("active", active), ("backoff", backoff), ("unschedulable", unschedulable)];
        let mut out =
            String::from("# HELP scheduler_schedule_attempts_total Attempts to schedule pods, by their result.\n");
        out.push_str("# TYPE scheduler_schedule_attempts_total counter\n");
        for (result, n) in attempts {
            let _ = writeln!(out, "scheduler_schedule_attempts_total{{result=\"{result}\"}} {n}");
        }
        out.push_str("# HELP scheduler_pending_pods Pods that wait, by where.\n# TYPE scheduler_pending_pods gauge\n");
        for (queue, n) in pending {
            let _ = writeln!(out, "scheduler_pending_pods{{queue=\"{queue}\"}} {n}");
        }
        out
    }

    /// Pods that wait now: to be looked at, backing off, unschedulable.
    pub fn n_pending(&self) -> [usize; 3] {
        self.depths.each_ref().map(|depth| depth.load(Ordering::Relaxed))
    }
}

/// Gives nodes to pods.
pub struct Scheduler {
    client: Client,
    config: Config,
    metrics: Arc<Metrics>,
}

impl Scheduler {
    /// A scheduler that reaches the API through `client`.
    pub fn new(client: Client, config: Config) -> Self {
        Self { client, config, metrics: Arc::default() }
    }

    /// Counts in `metrics`, which another scheduler may have counted in before.
    #[must_use]
    pub fn counting_in(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// What it has done, also while it runs.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Runs until the token is cancelled.
    pub async fn run(self, token: CancellationToken) -> Result<(), Error> {
        let mut scope = Scope::child_of(&token);
        let unfinished = "status.phase!=Succeeded,status.phase!=Failed";
        let pods: Informer<Pod> = Informer::new(Api::all(self.client.clone())).fields(unfinished);
        let nodes: Informer<Node> = Informer::new(Api::all(self.client.clone()));
        let (name, clock) = (self.config.name.clone(), self.config.clock.clone());
        let recorder = Recorder::start(self.client.clone(), &name, "", clock.clone(), &mut scope);
        let storage = StorageInformers {
            claims: Informer::new(Api::all(self.client.clone())),
            volumes: Informer::new(Api::all(self.client.clone())),
            classes: Informer::new(Api::all(self.client.clone())),
        };
        pods.start(&mut scope);
        nodes.start(&mut scope);
        storage.claims.start(&mut scope);
        storage.volumes.start(&mut scope);
        storage.classes.start(&mut scope);
        let (outcomes, received) = mpsc::channel(TASKS_MAX);
        let hands = Hands { client: self.client, recorder, clock, metrics: self.metrics.clone(), outcomes };
        let shell = Shell { core: Core::new(&name), hands: Arc::new(hands), received, n_running: 0 };
        scope.spawn(|token| async move {
            let is_synced = async {
                tokio::join!(
                    pods.synced(),
                    nodes.synced(),
                    storage.claims.synced(),
                    storage.volumes.synced(),
                    storage.classes.synced()
                )
            };
            if token.run_until_cancelled(is_synced).await.is_none() {
                return Ok(());
            }
            shell.run(pods.subscribe(), nodes.subscribe(), storage, token).await
        });
        scope.join().await
    }
}

struct StorageInformers {
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    classes: Informer<StorageClass>,
}

/// How a task ended.
enum Outcome {
    Bound(Arc<Subject>),
    BindFailed(Arc<Subject>),
    Explained,
}

struct Shell {
    core: Core,
    hands: Arc<Hands>,
    received: mpsc::Receiver<Outcome>,
    n_running: usize,
}

impl Shell {
    async fn run(
        mut self,
        mut pods: Changes<Pod>,
        mut nodes: Changes<Node>,
        storage: StorageInformers,
        token: CancellationToken,
    ) -> Result<(), Error> {
        let mut tasks = Scope::<Infallible>::child_of(&token);
        let never = Instant::now() + std::time::Duration::from_secs(365 * 24 * 3600);
        let (mut claims, mut volumes, mut classes) =
            (storage.claims.subscribe(), storage.volumes.subscribe(), storage.classes.subscribe());
        while !token.is_cancelled() {
            claims.take().iter().for_each(|change| self.core.on_claim(change, Instant::now()));
            volumes.take().iter().for_each(|change| self.core.on_volume(change, Instant::now()));
            classes.take().iter().for_each(|change| self.core.on_class(change, Instant::now()));
            // Nodes first: a pod that is seen on a node finds it.
            nodes.take().iter().for_each(|change| self.core.on_node(change, Instant::now()));
            pods.take().iter().for_each(|change| self.core.on_pod(change, Instant::now()));
            self.start_tasks(&mut tasks);
            self.hands.metrics.note(self.core.depths());
            let due = self.core.next_due().filter(|_| self.n_running < TASKS_MAX).unwrap_or(never);
            tokio::select! {
                () = token.cancelled() => break,
                changes = nodes.next() => changes.iter().for_each(|change| self.core.on_node(change, Instant::now())),
                changes = pods.next() => changes.iter().for_each(|change| self.core.on_pod(change, Instant::now())),
                changes = claims.next() => changes.iter().for_each(|c| self.core.on_claim(c, Instant::now())),
                changes = volumes.next() => changes.iter().for_each(|c| self.core.on_volume(c, Instant::now())),
                changes = classes.next() => changes.iter().for_each(|c| self.core.on_class(c, Instant::now())),
                outcome = self.received.recv() => self.settle(outcome.ok_or(Error::OutcomesClosed)?),
                () = tokio::time::sleep_until(due) => {}
            }
        }
        Ok(())
    }

    fn start_tasks(&mut self, tasks: &mut Scope<Infallible>) {
        while self.n_running < TASKS_MAX
            && let Some(task) = self.core.next_task(Instant::now())
        {
            self.n_running += 1;
            let hands = self.hands.clone();
            tasks.spawn(|_| async move {
                hands.carry_out(task).await;
                Ok(())
            });
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        self.n_running -= 1;
        match outcome {
            Outcome::Bound(subject) => self.core.on_bound(&subject),
            Outcome::BindFailed(subject) => self.core.on_bind_failed(&subject, Instant::now()),
            Outcome::Explained => {}
        }
    }
}

impl Metrics {
    fn note(&self, (active, backing_off, unschedulable): (usize, usize, usize)) {
        for (depth, n) in self.depths.iter().zip([active, backing_off, unschedulable]) {
            depth.store(n, Ordering::Relaxed);
        }
    }
}

/// What talks to the API.
struct Hands {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    metrics: Arc<Metrics>,
    outcomes: mpsc::Sender<Outcome>,
}

impl Hands {
    async fn carry_out(&self, task: Task) {
        let outcome = match task {
            Task::Bind { subject, node } => self.bind(subject, &node).await,
            Task::Prepare { subject, node, claims } => {
                self.prepare(&subject, &node, &claims).await;
                Outcome::Explained
            }
            Task::Explain { subject, message } => {
                self.metrics.n_unschedulable.fetch_add(1, Ordering::Relaxed);
                self.explain(&subject, message).await;
                Outcome::Explained
            }
        };
        // The shell outlives its tasks, or is ending.
        let _ = self.outcomes.send(outcome).await;
    }

    /// Says on which node the volumes of a pod's claims are to be.
    async fn prepare(&self, subject: &Subject, node: &str, claims: &[Key]) {
        let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
        for key in claims {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
            if let Err(error) = api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                warn!(pod = %subject.key, claim = %key, error = &error as &dyn std::error::Error, "no node said");
            }
        }
    }

    async fn bind(&self, subject: Arc<Subject>, node: &str) -> Outcome {
        match self.try_bind(&subject, node).await {
            Ok(()) => {
                debug!(pod = %subject.key, node, "bound");
                self.metrics.n_bound.fetch_add(1, Ordering::Relaxed);
                let text = format!("Successfully assigned {} to {node}", subject.key);
                self.recorder.event(&*subject.pod, EventType::Normal, "Scheduled", text);
                Outcome::Bound(subject)
            }
            Err(error) => {
                self.metrics.n_failed.fetch_add(1, Ordering::Relaxed);
                if !is_not_found(&error) {
                    warn!(pod = %subject.key, node, error = &error as &dyn std::error::Error, "binding failed");
                    let text = format!("binding rejected: {error}");
                    self.recorder.event(&*subject.pod, EventType::Warning, "FailedScheduling", text);
                }
                Outcome::BindFailed(subject)
            }
        }
    }

    async fn try_bind(&self, subject: &Subject, node: &str) -> kube::Result<()> {
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(subject.key.name.clone()),
                namespace: Some(subject.key.namespace.clone()),
                uid: subject.pod.metadata.uid.clone(),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let api = self.api(subject);
        let answer: kube::Result<serde_json::Value> =
            api.create_subresource("binding", &subject.key.name, &PostParams::default(), &binding).await;
        answer.map(drop)
    }

    fn api(&self, subject: &Subject) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &subject.key.namespace)
    }

    async fn explain(&self, subject: &Subject, message: String) {
        self.recorder.event(&*subject.pod, EventType::Warning, "FailedScheduling", message.as_str());
        let Some(condition) = unschedulable(&subject.pod, message, self.clock.now()) else { return };
        let patch = json!({"metadata": {"uid": subject.uid()}, "status": {"conditions": [condition]}});
        let answer =
            self.api(subject).patch_status(&subject.key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        if let Err(error) = answer
            && !is_not_found(&error)
        {
            warn!(pod = %subject.key, error = &error as &dyn std::error::Error, "condition not written");
        }
    }
}

/// The condition to write, unless the pod has it already.
fn unschedulable(pod: &Pod, message: String, now: jiff::Timestamp) -> Option<PodCondition> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let known = conditions.into_iter().flatten().find(|condition| condition.type_ == POD_SCHEDULED);
    let is_false = known.is_some_and(|known| known.status == "False");
    if is_false && known.is_some_and(|known| known.message.as_ref() == Some(&message)) {
        return None;
    }
    let since = known.filter(|_| is_false).and_then(|known| known.last_transition_time.clone());
    Some(PodCondition {
        type_: POD_SCHEDULED.to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message),
        last_transition_time: Some(since.unwrap_or(Time(now))),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    })
}

#[cfg(test)]
mod tests;
