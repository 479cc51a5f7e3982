//! What users see of a pod: its status, derived from the machine's state each time anew.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::{conditions, is_ready, whole_second};
use super::phase::phase;
use super::plan::{ContainerPlan, Role};
use super::state::{Cell, EndingCause, Phase, Sandbox, State, Terminated};

/// What a status says that the machine does not know.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub pod: &'a core::Pod,
    pub host_addresses: &'a [IpAddr],
    /// The conditions that were reported last, for their transition times.
    pub previous: &'a [core::PodCondition],
}

/// The part of the pod's status that the node owns.
pub fn status(state: &State, surroundings: Surroundings<'_>, now: Timestamp) -> core::PodStatus {
    let phase = phase(state);
    let generation = surroundings.pod.metadata.generation;
    let addresses: &[IpAddr] = match &state.sandbox {
        Sandbox::Ready { addresses } => addresses,
        Sandbox::Absent | Sandbox::Preparing { .. } | Sandbox::Failed { .. } => &[],
    };
    let (reason, message) = cause(state);
    let init = statuses(state, surroundings.pod, |role| matches!(role, Role::Init | Role::Sidecar));
    core::PodStatus {
        phase: Some(phase.as_str().to_owned()),
        reason,
        message,
        conditions: Some(conditions(state, phase, surroundings.previous, generation, now)),
        observed_generation: generation,
        start_time: Some(Time(whole_second(state.start_time))),
        host_ip: surroundings.host_addresses.first().map(ToString::to_string),
        host_ips: some(surroundings.host_addresses.iter().map(|ip| core::HostIP { ip: ip.to_string() }).collect()),
        pod_ip: addresses.first().map(ToString::to_string),
        pod_ips: some(addresses.iter().map(|ip| core::PodIP { ip: ip.to_string() }).collect()),
        init_container_statuses: some(init),
        container_statuses: some(statuses(state, surroundings.pod, |role| role == Role::Main)),
        ephemeral_container_statuses: some(statuses(state, surroundings.pod, |role| role == Role::Ephemeral)),
        ..core::PodStatus::default()
    }
}

fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    if items.is_empty() { None } else { Some(items) }
}

fn cause(state: &State) -> (Option<String>, Option<String>) {
    match state.ending.as_ref().map(|ending| &ending.cause) {
        Some(EndingCause::Rejected { reason, message }) => (Some((*reason).to_owned()), Some(message.clone())),
        Some(EndingCause::DeadlineExceeded) => (
            Some("DeadlineExceeded".to_owned()),
            Some("Pod was active on the node longer than the specified deadline".to_owned()),
        ),
        Some(EndingCause::Completed | EndingCause::Deleted) | None => (None, None),
    }
}

fn statuses(state: &State, pod: &core::Pod, wanted: impl Fn(Role) -> bool) -> Vec<core::ContainerStatus> {
    let containers = state.plan.containers.iter().zip(&state.cells);
    containers
        .filter(|(planned, _)| wanted(planned.role))
        .map(|(planned, cell)| container_status(state, pod, planned, cell))
        .collect()
}

fn container_status(state: &State, pod: &core::Pod, planned: &ContainerPlan, cell: &Cell) -> core::ContainerStatus {
    let (now_in, before) = container_state(state, planned, cell);
    let running = matches!(cell.phase, Phase::Running { .. });
    let resources = resources(pod, planned);
    core::ContainerStatus {
        name: planned.name.clone(),
        image: if cell.image.is_empty() { planned.image.clone() } else { cell.image.clone() },
        image_id: cell.image_id.clone(),
        container_id: Some(cell.id.clone()).filter(|id| !id.is_empty()),
        ready: is_ready(planned, cell),
        started: Some(running && cell.probes.started(planned)),
        restart_count: i32::try_from(cell.attempt).unwrap_or(i32::MAX),
        state: Some(now_in),
        last_state: Some(before.map(terminated).unwrap_or_default()),
        allocated_resources: resources.as_ref().and_then(|resources| resources.requests.clone()),
        resources,
        ..core::ContainerStatus::default()
    }
}

/// The state now, and the instance before it.
fn container_state<'a>(
    state: &State,
    planned: &ContainerPlan,
    cell: &'a Cell,
) -> (core::ContainerState, Option<&'a Terminated>) {
    let last = cell.last.as_ref();
    match &cell.phase {
        Phase::Running { since, .. } => (running(*since), last),
        Phase::Exited { .. } | Phase::Pulling | Phase::Starting if last.is_some() => {
            (last.map(terminated).unwrap_or_default(), cell.before.as_ref())
        }
        Phase::Idle | Phase::Pulling | Phase::Starting | Phase::Exited { .. } => {
            let (reason, message) = before_the_first_start(state);
            (waiting(reason, message), last)
        }
        Phase::PullFailed { message, told: true, .. } => {
            let message = format!("Back-off pulling image \"{}\": ErrImagePull: {message}", planned.image);
            (waiting("ImagePullBackOff", Some(message)), last)
        }
        Phase::PullFailed { reason, message, .. } | Phase::StartFailed { reason, message, .. } => {
            (waiting(reason, Some(message.clone())), last)
        }
        Phase::BackOff { delay, .. } => {
            let message = format!(
                "back-off {} restarting failed container={} pod={}",
                go_duration(delay.as_secs()),
                planned.name,
                state.plan.full_name()
            );
            (waiting("CrashLoopBackOff", Some(message)), last)
        }
    }
}

/// Why no container runs yet.
fn before_the_first_start(state: &State) -> (&'static str, Option<String>) {
    let usual = if state.plan.has_init() { "PodInitializing" } else { "ContainerCreating" };
    match &state.sandbox {
        // This one does not heal by waiting: it is named as the reason itself.
        Sandbox::Failed { reason: "UnsupportedVolume", message, .. } => ("UnsupportedVolume", Some(message.clone())),
        Sandbox::Failed { message, .. } => (usual, Some(message.clone())),
        Sandbox::Absent | Sandbox::Preparing { .. } | Sandbox::Ready { .. } => (usual, None),
    }
}

fn waiting(reason: &str, message: Option<String>) -> core::ContainerState {
    core::ContainerState {
        waiting: Some(core::ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..core::ContainerState::default()
    }
}

fn running(since: Timestamp) -> core::ContainerState {
    core::ContainerState {
        running: Some(core::ContainerStateRunning { started_at: Some(Time(whole_second(since))) }),
        ..core::ContainerState::default()
    }
}

fn terminated(ended: &Terminated) -> core::ContainerState {
    core::ContainerState {
        terminated: Some(core::ContainerStateTerminated {
            exit_code: ended.exit_code,
            reason: Some(ended.reason.clone()),
            message: ended.message.clone(),
            started_at: ended.started_at.map(|time| Time(whole_second(time))),
            finished_at: Some(Time(whole_second(ended.finished_at))),
            container_id: Some(ended.id.clone()).filter(|id| !id.is_empty()),
            signal: None,
        }),
        ..core::ContainerState::default()
    }
}

fn resources(pod: &core::Pod, planned: &ContainerPlan) -> Option<core::ResourceRequirements> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let resources = containers.find(|container| container.name == planned.name)?.resources.clone()?;
    (resources.limits.is_some() || resources.requests.is_some()).then_some(resources)
}

/// Whole seconds as Go prints a duration: `10s`, `1m20s`, `5m0s`.
fn go_duration(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
