//! What every running container of a node has used, read once for whoever prints it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coracle_runtime::Usage;
use coracle_runtime::http::Requests;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::agent::{Handle, Pods, Recent};
use crate::lifecycle::Phase;

/// One pod with the containers of it that run.
#[derive(Debug, Default)]
pub(super) struct PodReading {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) containers: Vec<ContainerReading>,
}

#[derive(Debug, Default)]
pub(super) struct ContainerReading {
    pub(super) name: String,
    pub(super) n_restarts: u32,
    pub(super) started_at: Timestamp,
    pub(super) usage: Usage,
    pub(super) recent: Recent,
    /// An HTTP container's requests.
    pub(super) requests: Option<Requests>,
}

/// What several containers use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) cpu_ns: u64,
    pub(super) nanocores: u64,
    pub(super) memory_bytes: u64,
    pub(super) window: Duration,
}

impl Total {
    pub(super) fn of<'r>(containers: impl IntoIterator<Item = &'r ContainerReading>) -> Self {
        containers.into_iter().fold(Self::default(), |total, container| Self {
            cpu_ns: total.cpu_ns + container.usage.cpu_ns,
            nanocores: total.nanocores + container.recent.nanocores,
            memory_bytes: total.memory_bytes + container.usage.memory_bytes,
            window: total.window.max(container.recent.window),
        })
    }
}

/// Every pod of the node, by namespace and name.
pub(super) fn read(pods: &Pods) -> Vec<PodReading> {
    let now = Instant::now();
    let mut all: Vec<PodReading> = pods.all().iter().map(|handle| pod(handle, now)).collect();
    all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    all
}

fn pod(handle: &Arc<Handle>, now: Instant) -> PodReading {
    PodReading {
        namespace: handle.key.namespace.clone(),
        name: handle.key.name.clone(),
        uid: handle.uid.clone(),
        labels: handle.pod.lock().metadata.labels.clone().unwrap_or_default(),
        containers: containers(handle, now),
    }
}

fn containers(handle: &Handle, now: Instant) -> Vec<ContainerReading> {
    let (plan, started): (_, Vec<Timestamp>) = {
        let state = handle.state.lock();
        let since = state.cells.iter().map(|cell| match cell.phase {
            Phase::Running { since, .. } => since,
            Phase::Idle
            | Phase::Pulling
            | Phase::PullFailed { .. }
            | Phase::Starting
            | Phase::StartFailed { .. }
            | Phase::Exited { .. }
            | Phase::BackOff { .. } => state.start_time,
        });
        (state.plan.clone(), since.collect())
    };
    let running = handle.running.lock();
    let mut found: Vec<_> = running.iter().collect();
    found.sort_by_key(|(idx, _)| **idx);
    let reading = |(idx, running): (&usize, &crate::agent::Running)| {
        let usage = running.container.usage();
        ContainerReading {
            name: plan.containers[*idx].name.clone(),
            n_restarts: running.attempt,
            started_at: started[*idx],
            usage,
            recent: running.rate.recent(now, usage.cpu_ns),
            requests: running.container.requests(),
        }
    };
    found.into_iter().map(reading).collect()
}
