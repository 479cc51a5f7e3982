//! How containers are stopped, one by one or all for good: hooks, grace, deadlines, and the order of sidecars.

use std::time::Duration;

use jiff::Timestamp;

use super::event::{Action, Notice};
use super::plan::{Hook, HookKind, ProbeKind, RestartPolicy, Role};
use super::restart::restarts;
use super::state::{Ending, EndingCause, Phase, Sandbox, State, Stop, StopStage};

/// What a container gets at least to end by itself, also when its preStop hook took all of the grace.
pub(super) const GRACE_MIN: Duration = Duration::from_secs(2);

/// Sets the end of a pod that has nothing left to run, or whose time is up.
pub(super) fn begin_ending_if_due(state: &mut State, now: Timestamp, actions: &mut Vec<Action>) {
    if state.ending.is_some() {
        return;
    }
    if active_deadline(state).is_some_and(|deadline| now >= deadline) {
        actions.push(Notice::normal(
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
            None,
        ));
        state.ending = Some(Ending { cause: EndingCause::DeadlineExceeded, deadline: now + state.plan.grace });
    } else if is_complete(state) {
        state.ending = Some(Ending { cause: EndingCause::Completed, deadline: now + state.plan.grace });
    }
}

pub(super) fn active_deadline(state: &State) -> Option<Timestamp> {
    state.plan.active_deadline.map(|limit| state.start_time + limit)
}

/// Ends the pod by `deadline`, or earlier when that was decided before.
pub(super) fn hasten(state: &mut State, cause: EndingCause, deadline: Timestamp) {
    match &mut state.ending {
        Some(ending) => ending.deadline = ending.deadline.min(deadline),
        None => state.ending = Some(Ending { cause, deadline }),
    }
    for cell in &mut state.cells {
        if let Phase::Running { stop: Some(stop), .. } = &mut cell.phase {
            stop.deadline = stop.deadline.min(deadline);
            stop.restart = false;
        }
    }
}

/// True when every main container, or an init container, has ended and will not run again.
fn is_complete(state: &State) -> bool {
    let ended = |container: usize| {
        let cell = &state.cells[container];
        matches!(cell.phase, Phase::Exited { .. }) && !restarts(&state.plan, container, cell)
    };
    let containers = || state.plan.containers.iter().enumerate();
    let init_failed = containers().any(|(container, planned)| {
        planned.role == Role::Init
            && state.plan.restart_policy == RestartPolicy::Never
            && state.cells[container].exit_code().is_some_and(|code| code != 0)
    });
    init_failed || containers().filter(|(_, planned)| planned.role == Role::Main).all(|(container, _)| ended(container))
}

/// What a pod that is to end needs now.
pub(super) fn wind_down(state: &mut State, now: Timestamp, actions: &mut Vec<Action>) {
    if matches!(state.sandbox, Sandbox::Failed { .. }) {
        state.sandbox = Sandbox::Absent;
    }
    for container in (0..state.cells.len()).rev() {
        settle(state, container);
        if matches!(state.cells[container].phase, Phase::Running { stop: None, .. }) && may_stop(state, container) {
            let deadline = state.ending.as_ref().map_or(now, |ending| ending.deadline);
            let grace = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
            actions.push(Notice::normal(
                "Killing",
                format!("Stopping container {}", state.plan.containers[container].name),
                container,
            ));
            stop_container(state, container, grace, false, now, actions);
        }
        watch_over(state, container, now, actions);
    }
    if state.is_quiet() && !state.released {
        state.released = true;
        actions.push(Action::Release);
    }
    if state.released && !state.removed && (state.deletion_requested || state.vanished) {
        state.removed = true;
        actions.push(Action::Remove);
    }
}

/// A container that was about to run stays as it last was.
fn settle(state: &mut State, container: usize) {
    let cell = &mut state.cells[container];
    match cell.phase {
        Phase::Pulling | Phase::BackOff { .. } => {
            cell.phase = if cell.last.is_some() { Phase::Exited { restart: false } } else { Phase::Idle };
        }
        Phase::Idle
        | Phase::PullFailed { .. }
        | Phase::Starting
        | Phase::StartFailed { .. }
        | Phase::Running { .. }
        | Phase::Exited { .. } => {}
    }
}

/// Sidecars end after everything that began after them.
fn may_stop(state: &State, container: usize) -> bool {
    let runs = |other: usize| matches!(state.cells[other].phase, Phase::Running { .. } | Phase::Starting);
    match state.plan.containers[container].role {
        Role::Init | Role::Main | Role::Ephemeral => true,
        Role::Sidecar => !(container + 1..state.cells.len()).any(runs),
    }
}

/// Begins to stop a running container.
pub(super) fn stop_container(
    state: &mut State,
    container: usize,
    grace: Duration,
    restart: bool,
    now: Timestamp,
    actions: &mut Vec<Action>,
) {
    let hook = state.plan.containers[container].pre_stop.clone().filter(|_| !grace.is_zero());
    let cell = &mut state.cells[container];
    let attempt = cell.attempt;
    let Phase::Running { stop: stop @ None, .. } = &mut cell.phase else { return };
    let deadline = now + grace;
    let stage = match hook {
        None => StopStage::Terminating,
        Some(Hook::Sleep(time)) => StopStage::Hook { until: Some(now + time) },
        Some(hook @ (Hook::HttpGet(_) | Hook::Exec(_))) => {
            actions.push(Action::RunHook { container, attempt, kind: HookKind::PreStop, hook });
            StopStage::Hook { until: None }
        }
        Some(Hook::Unsupported(kind)) => {
            let message = format!("PreStopHook failed: a {kind} hook cannot run in a wasm sandbox");
            actions.push(Notice::warning("FailedPreStopHook", message, container));
            StopStage::Terminating
        }
    };
    if stage == StopStage::Terminating {
        actions.push(Action::Terminate { container });
    }
    *stop = Some(Stop { stage, deadline, restart });
}

/// What a running container needs now: its next probes, or the next stage of its end.
pub(super) fn watch_over(state: &mut State, container: usize, now: Timestamp, actions: &mut Vec<Action>) {
    let plan = &state.plan.containers[container];
    let cell = &mut state.cells[container];
    let attempt = cell.attempt;
    let Phase::Running { stop, .. } = &mut cell.phase else { return };
    if let Some(stop) = stop {
        return next_stage(stop, container, now, actions);
    }
    if cell.image != plan.image && plan.role != Role::Init && state.ending.is_none() {
        let message = format!("Container {} definition changed, will be restarted", plan.name);
        actions.push(Notice::normal("Killing", message, container));
        return stop_container(state, container, state.plan.grace, true, now, actions);
    }
    for kind in ProbeKind::ALL {
        let unwanted = state.ending.is_some() && kind != ProbeKind::Readiness;
        if !unwanted && cell.probes.due(plan, kind).is_some_and(|due| now >= due) {
            cell.probes.begin(kind);
            actions.push(Action::Probe { container, attempt, kind });
        }
    }
}

fn next_stage(stop: &mut Stop, container: usize, now: Timestamp, actions: &mut Vec<Action>) {
    if let StopStage::Hook { until } = stop.stage
        && now >= until.map_or(stop.deadline, |until| until.min(stop.deadline))
    {
        stop.stage = StopStage::Terminating;
        stop.deadline = stop.deadline.max(now + GRACE_MIN);
        actions.push(Action::Terminate { container });
    }
    if stop.stage == StopStage::Terminating && now >= stop.deadline {
        stop.stage = StopStage::Killed;
        actions.push(Action::Kill { container });
    }
}
