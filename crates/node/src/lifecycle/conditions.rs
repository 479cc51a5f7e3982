//! A pod's conditions, with upstream's reasons and messages. The scheduler's and the readiness gates' are not ours.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::phase::PodPhase;
use super::plan::{ContainerPlan, Role};
use super::state::{Cell, Phase, Sandbox, State};

/// A condition without its times.
struct Verdict {
    kind: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn holds(kind: &'static str) -> Self {
        Self { kind, holds: true, reason: None, message: None }
    }

    fn fails(kind: &'static str, reason: &'static str, message: Option<String>) -> Self {
        Self { kind, holds: false, reason: Some(reason), message }
    }
}

/// The conditions that the node owns. Transition times are kept from `previous` where the status stays the same.
pub(super) fn conditions(
    state: &State,
    phase: PodPhase,
    previous: &[PodCondition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<PodCondition> {
    let containers_ready = containers_ready(state, phase);
    let ready = ready(state, phase, &containers_ready);
    let sandboxed = matches!(state.sandbox, Sandbox::Ready { .. }) && !state.released;
    let sandbox = Verdict { kind: "PodReadyToStartContainers", holds: sandboxed, reason: None, message: None };
    [sandbox, initialized(state, phase), ready, containers_ready]
        .into_iter()
        .map(|verdict| dated(verdict, previous, generation, now))
        .collect()
}

fn dated(verdict: Verdict, previous: &[PodCondition], generation: Option<i64>, now: Timestamp) -> PodCondition {
    let status = if verdict.holds { "True" } else { "False" };
    let since = previous
        .iter()
        .find(|known| known.type_ == verdict.kind && known.status == status)
        .and_then(|known| known.last_transition_time.clone());
    PodCondition {
        type_: verdict.kind.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.map(str::to_owned),
        message: verdict.message,
        last_transition_time: Some(since.unwrap_or_else(|| Time(whole_second(now)))),
        last_probe_time: None,
        observed_generation: generation,
    }
}

/// Times in statuses have no fraction.
pub(super) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("the second of a valid time is valid")
}

fn initialized(state: &State, phase: PodPhase) -> Verdict {
    if phase == PodPhase::Succeeded {
        return Verdict { reason: Some("PodCompleted"), ..Verdict::holds("Initialized") };
    }
    let incomplete = named(state, |planned, cell| match planned.role {
        Role::Init => cell.exit_code() != Some(0),
        Role::Sidecar => !cell.passed,
        Role::Main | Role::Ephemeral => false,
    });
    if state.initialized || incomplete.is_empty() {
        return Verdict::holds("Initialized");
    }
    let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
    Verdict::fails("Initialized", "ContainersNotInitialized", Some(message))
}

fn containers_ready(state: &State, phase: PodPhase) -> Verdict {
    let kind = "ContainersReady";
    match phase {
        PodPhase::Succeeded => return Verdict::fails(kind, "PodCompleted", None),
        PodPhase::Failed => return Verdict::fails(kind, "PodFailed", None),
        PodPhase::Pending | PodPhase::Running => {}
    }
    let counts = |planned: &ContainerPlan| matches!(planned.role, Role::Sidecar | Role::Main);
    let unready = named(state, |planned, cell| counts(planned) && !is_ready(planned, cell));
    if unready.is_empty() {
        return Verdict::holds(kind);
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    Verdict::fails(kind, "ContainersNotReady", Some(message))
}

fn ready(state: &State, phase: PodPhase, containers_ready: &Verdict) -> Verdict {
    if !containers_ready.holds {
        return Verdict { kind: "Ready", message: containers_ready.message.clone(), ..*containers_ready };
    }
    if phase == PodPhase::Pending {
        return Verdict::fails("Ready", "ContainersNotReady", None);
    }
    let unmet: Vec<String> = state.plan.readiness_gates.iter().filter_map(|gate| unmet_gate(state, gate)).collect();
    if unmet.is_empty() {
        return Verdict::holds("Ready");
    }
    Verdict::fails("Ready", "ReadinessGatesNotReady", Some(unmet.join(", ")))
}

fn unmet_gate(state: &State, gate: &str) -> Option<String> {
    match state.gates.get(gate).map(String::as_str) {
        Some("True") => None,
        Some(status) => Some(format!("the status of pod readiness gate \"{gate}\" is not \"True\", but {status}")),
        None => Some(format!("corresponding condition of pod readiness gate \"{gate}\" does not exist.")),
    }
}

/// As `ready` in a container's status.
pub(super) fn is_ready(planned: &ContainerPlan, cell: &Cell) -> bool {
    match planned.role {
        Role::Init => cell.exit_code() == Some(0),
        Role::Ephemeral => false,
        Role::Sidecar | Role::Main => matches!(cell.phase, Phase::Running { .. }) && cell.probes.ready(planned),
    }
}

fn named(state: &State, wanted: impl Fn(&ContainerPlan, &Cell) -> bool) -> Vec<&str> {
    let containers = state.plan.containers.iter().zip(&state.cells);
    containers.filter(|(planned, cell)| wanted(planned, cell)).map(|(planned, _)| planned.name.as_str()).collect()
}
