//! Takes over a pod that this node ran before it was restarted, from what its status in the API says. Its sandboxes are
//! gone: what ran has ended with 255 `Unknown`, and goes on as its restart policy says.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;

use super::plan::{Plan, Role};
use super::restart::restarts;
use super::state::{Cell, Ending, EndingCause, Phase, Sandbox, State, Terminated};

/// The state of `pod` as this node finds it at its start, or when it is bound to it.
pub fn adopt(pod: &core::Pod, now: Timestamp) -> State {
    let plan = Arc::new(Plan::of(pod));
    let mut state = State::new(plan.clone(), gates(pod), now);
    let Some(status) = &pod.status else { return state };
    if let Some(start) = &status.start_time {
        state.start_time = start.0;
    }
    for (planned, cell) in plan.containers.iter().zip(&mut state.cells) {
        if let Some(reported) = reported(status, &planned.name) {
            *cell = cell_of(reported, now);
        }
    }
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        finish(&mut state, status, now);
    } else {
        begin_again(&mut state);
    }
    state
}

/// The statuses of the conditions that the pod's readiness gates name.
pub fn gates(pod: &core::Pod) -> BTreeMap<String, String> {
    let named = |kind: &str| {
        let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
        gates.into_iter().any(|gate| gate.condition_type == kind)
    };
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|known| named(&known.type_)).map(|known| (known.type_.clone(), known.status.clone())).collect()
}

fn reported<'a>(status: &'a core::PodStatus, name: &str) -> Option<&'a core::ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    let ephemeral = status.ephemeral_container_statuses.iter().flatten();
    init.chain(main).chain(ephemeral).find(|reported| reported.name == name)
}

fn cell_of(reported: &core::ContainerStatus, now: Timestamp) -> Cell {
    let ended = |state: &Option<core::ContainerState>| Some(terminated(state.as_ref()?.terminated.as_ref()?, now));
    let mut cell = Cell {
        attempt: u32::try_from(reported.restart_count).unwrap_or(0),
        image: reported.image.clone(),
        image_id: reported.image_id.clone(),
        id: reported.container_id.clone().unwrap_or_default(),
        last: ended(&reported.last_state),
        ..Cell::new()
    };
    cell.ever_started = cell.last.is_some() || cell.attempt > 0;
    let state = reported.state.clone().unwrap_or_default();
    if let Some(running) = state.running {
        cell.end(lost(&cell, running.started_at.map(|time| time.0), now), false);
        cell.ever_started = true;
    } else if let Some(last) = ended(&reported.state) {
        cell.end(last, false);
        cell.ever_started = true;
    }
    cell
}

fn terminated(reported: &core::ContainerStateTerminated, now: Timestamp) -> Terminated {
    Terminated {
        exit_code: reported.exit_code,
        reason: reported.reason.clone().unwrap_or_default(),
        message: reported.message.clone(),
        started_at: reported.started_at.as_ref().map(|time| time.0),
        finished_at: reported.finished_at.as_ref().map_or(now, |time| time.0),
        id: reported.container_id.clone().unwrap_or_default(),
    }
}

fn lost(cell: &Cell, started_at: Option<Timestamp>, now: Timestamp) -> Terminated {
    Terminated {
        exit_code: 255,
        reason: "Unknown".to_owned(),
        message: Some("the node was restarted while the container ran".to_owned()),
        started_at,
        finished_at: now,
        id: cell.id.clone(),
    }
}

/// A pod that had ended stays ended.
fn finish(state: &mut State, status: &core::PodStatus, now: Timestamp) {
    let cause = match status.reason.as_deref() {
        Some("DeadlineExceeded") => EndingCause::DeadlineExceeded,
        _ => EndingCause::Completed,
    };
    state.ending = Some(Ending { cause, deadline: now });
    state.initialized = true;
    let addresses = status.pod_ips.iter().flatten().filter_map(|known| known.ip.parse().ok()).collect();
    state.sandbox = Sandbox::Ready { addresses };
}

/// When a main container is to run again, everything begins with the init containers, as after a reboot.
fn begin_again(state: &mut State) {
    let plan = state.plan.clone();
    let again = |(container, cell): (usize, &Cell)| {
        plan.containers[container].role == Role::Main
            && (!matches!(cell.phase, Phase::Exited { .. }) || restarts(&plan, container, cell))
    };
    let goes_on = state.cells.iter().enumerate().any(again);
    for (planned, cell) in plan.containers.iter().zip(&mut state.cells) {
        if matches!(planned.role, Role::Init | Role::Sidecar) && goes_on {
            cell.phase = Phase::Idle;
        }
    }
    state.initialized = !plan.has_init() || !goes_on;
}
