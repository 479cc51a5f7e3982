//! The shell around one pod's machine: it feeds it events, carries out its actions, and keeps the API informed. It
//! decides nothing.

mod actions;
mod drain;
mod removal;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coracle_client::Key;
use coracle_net::PodNetwork;
use coracle_stdx::CancellationToken;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1 as core;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use self::removal::Removal;
use super::dispatch::Desired;
use super::handler::Handler;
use super::image::{Loaded, Refusal};
use super::report::{Report, Written};
use super::sandbox::{Failure, Tokens};
use super::{Context, Handle, Running};
use crate::lifecycle::{self, Event, Notice, Plan, Surroundings, Terminated, adopt, gates, step, wake};
use crate::recall::remembering;
use crate::volumes::Directories;

/// What the worker does while nothing has to be done.
const IDLE: Duration = Duration::from_secs(3600);

/// What something that was begun has led to.
enum Effect {
    Event(Event),
    Prepared(Result<Option<Instant>, Failure>),
    Loaded {
        container: usize,
        outcome: Result<Loaded, Refusal>,
    },
    Started {
        container: usize,
        outcome: Result<Running, Refusal>,
    },
    Exited {
        container: usize,
        attempt: u32,
        terminated: Terminated,
        notice: Option<Notice>,
    },
    Written(Written),
    Refreshed(Result<Option<Instant>, Failure>),
    /// Why the pod must go, when it has taken too much of the disk.
    Measured(Option<String>),
    Deleted(Result<(), kube::Error>),
    Nothing,
}

pub(super) struct Worker {
    context: Arc<Context>,
    /// By which what the pod needs is read.
    reader: kube::Client,
    handle: Arc<Handle>,
    pod: Arc<core::Pod>,
    directories: Directories,
    network: Option<Arc<PodNetwork>>,
    tokens: Arc<Tokens>,
    /// How its containers are run, once that is known.
    handler: Arc<OnceLock<Handler>>,
    loaded: HashMap<usize, Loaded>,
    /// At most a few per container.
    effects: FuturesUnordered<BoxFuture<'static, Effect>>,
    report: Report,
    conditions: Vec<core::PodCondition>,
    refresh_at: Option<Instant>,
    /// Of a pod that may take only so much of the disk.
    measure_at: Option<Instant>,
    grace_told_s: Option<i64>,
    removal: Removal,
}

impl Worker {
    pub(super) fn new(context: Arc<Context>, pod: Arc<core::Pod>) -> Self {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let dir = context.config.pod_dir(&uid);
        let directories = Directories::below(&dir);
        let reader = match context.config.remembers {
            true => remembering(&context.client, dir.join("record")),
            false => context.client.clone(),
        };
        let state = adopt(&pod, context.config.clock.now());
        let handle = Arc::new(Handle {
            key: Key::of(&pod.metadata),
            uid,
            dir,
            state: Mutex::new(state),
            pod: Mutex::new(pod.clone()),
            status: Mutex::new(None),
            running: Mutex::default(),
        });
        let report = Report::new(context.client.clone(), &pod, context.writes.clone());
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        Self {
            context,
            reader,
            handle,
            pod,
            directories,
            network: None,
            tokens: Arc::default(),
            handler: Arc::default(),
            loaded: HashMap::new(),
            effects: FuturesUnordered::new(),
            report,
            conditions,
            refresh_at: None,
            measure_at: None,
            grace_told_s: None,
            removal: Removal::default(),
        }
    }

    /// Runs the pod until it is gone from the API, or until the node stops.
    pub(super) async fn run(mut self, mut updates: watch::Receiver<Desired>, token: CancellationToken) {
        self.admit();
        loop {
            self.move_on();
            if self.removal.is_done() {
                break;
            }
            let wake = self.wake();
            tokio::select! {
                biased;
                () = token.cancelled() => return self.drain().await,
                Ok(()) = updates.changed() => {
                    let desired = updates.borrow_and_update().clone();
                    self.look_at(desired);
                }
                Some(effect) = self.effects.next(), if !self.effects.is_empty() => self.take_in(effect),
                () = tokio::time::sleep_until(wake) => self.on_time(),
            }
        }
        self.forget().await;
    }

    /// Takes the pod on, if there is room.
    fn admit(&mut self) {
        let is_over = self.handle.state.lock().ending.is_some();
        let max = self.context.config.max_pods as usize;
        let crowd = self.context.pods.crowd(max).filter(|_| !is_over);
        self.context.pods.insert(self.handle.clone());
        if let Some(n_active) = crowd {
            let message =
                format!("Node didn't have enough resource: pods, requested: 1, used: {n_active}, capacity: {max}");
            self.feed(Event::Rejected { reason: "OutOfpods", message });
        }
        self.look_at(Some(self.pod.clone()));
        self.feed(Event::Tick);
    }

    /// Takes in what the API says of the pod.
    fn look_at(&mut self, desired: Desired) {
        let Some(pod) = desired else {
            self.removal.vanished();
            return self.feed(Event::Vanished);
        };
        let changed = pod.metadata.generation != self.pod.metadata.generation || gates(&pod) != gates(&self.pod);
        self.pod = pod.clone();
        *self.handle.pod.lock() = pod.clone();
        self.report.seen(&pod);
        if changed {
            self.feed(Event::Changed { plan: Arc::new(Plan::of(&pod)), gates: gates(&pod) });
            self.apply_limits();
        }
        if let Some(grace_s) = deletion_grace_s(&pod)
            && self.grace_told_s != Some(grace_s)
        {
            self.grace_told_s = Some(grace_s);
            self.feed(Event::DeletionRequested { grace: Duration::from_secs(grace_s.max(0).unsigned_abs()) });
        }
    }

    fn feed(&mut self, event: Event) {
        let now = self.context.config.clock.now();
        let state = self.handle.state.lock().clone();
        let (state, actions) = step(state, event, now);
        let surroundings =
            Surroundings { pod: &self.pod, host_addresses: &self.context.config.addresses, previous: &self.conditions };
        let status = lifecycle::status(&state, surroundings, now);
        self.conditions = status.conditions.clone().unwrap_or_default();
        let has_changed = self.handle.status.lock().as_ref() != Some(&status);
        if has_changed {
            self.report.want(&status);
            *self.handle.status.lock() = Some(status);
        }
        *self.handle.state.lock() = state;
        for action in actions {
            self.carry_out(action);
        }
    }

    /// Does what is due of what the machine does not know of.
    fn move_on(&mut self) {
        if self.report.due().is_some_and(|due| due <= Instant::now())
            && let Some(write) = self.report.write()
        {
            self.begin(async move { Effect::Written(write.await) });
        }
        self.remove_if_ready();
    }

    fn on_time(&mut self) {
        if self.refresh_at.is_some_and(|at| at <= Instant::now()) {
            self.refresh_at = None;
            self.refresh();
        }
        if self.measure_at.is_some_and(|at| at <= Instant::now()) {
            self.measure_at = None;
            self.measure();
        }
        self.removal.on_time();
        self.feed(Event::Tick);
    }

    fn wake(&self) -> Instant {
        let now = Instant::now();
        let machine = wake(&self.handle.state.lock()).map(|at| {
            let wait = at.duration_since(self.context.config.clock.now());
            now + Duration::try_from(wait).unwrap_or_default()
        });
        let all = [machine, self.report.due(), self.refresh_at, self.measure_at, self.removal.due()];
        all.into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    fn begin(&mut self, effect: impl Future<Output = Effect> + Send + 'static) {
        self.effects.push(Box::pin(effect));
    }
}

fn deletion_grace_s(pod: &core::Pod) -> Option<i64> {
    pod.metadata.deletion_timestamp.as_ref()?;
    let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    Some(pod.metadata.deletion_grace_period_seconds.or(own).unwrap_or(30))
}
