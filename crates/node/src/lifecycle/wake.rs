//! When the machine wants to be asked again, if nothing happens before.

use jiff::Timestamp;

use super::ending::active_deadline;
use super::plan::ProbeKind;
use super::restart::PULL_ERROR_SHOWN;
use super::state::{Phase, Sandbox, State, Stop, StopStage};

/// The next time at which a [`Event::Tick`](super::Event::Tick) would make a difference.
pub fn wake(state: &State) -> Option<Timestamp> {
    let ending = state.ending.is_some();
    let sandbox = match state.sandbox {
        Sandbox::Failed { until, .. } if !ending => Some(until),
        Sandbox::Failed { .. } | Sandbox::Absent | Sandbox::Preparing { .. } | Sandbox::Ready { .. } => None,
    };
    let deadline = active_deadline(state).filter(|_| !ending);
    let cells = (0..state.cells.len()).filter_map(|container| cell(state, container, ending));
    cells.chain(sandbox).chain(deadline).min()
}

fn cell(state: &State, container: usize, ending: bool) -> Option<Timestamp> {
    let cell = &state.cells[container];
    let plan = &state.plan.containers[container];
    match &cell.phase {
        Phase::Running { stop: Some(stop), .. } => next_stage(stop),
        Phase::Running { stop: None, .. } => {
            let probed = |kind: &ProbeKind| !ending || *kind == ProbeKind::Readiness;
            ProbeKind::ALL.into_iter().filter(probed).filter_map(|kind| cell.probes.due(plan, kind)).min()
        }
        Phase::PullFailed { reason: "ErrImagePull", told: false, at, until, .. } if !ending => {
            Some((*at + PULL_ERROR_SHOWN).min(*until))
        }
        Phase::PullFailed { until, .. } | Phase::StartFailed { until, .. } | Phase::BackOff { until, .. }
            if !ending =>
        {
            Some(*until)
        }
        Phase::PullFailed { .. }
        | Phase::StartFailed { .. }
        | Phase::BackOff { .. }
        | Phase::Idle
        | Phase::Pulling
        | Phase::Starting
        | Phase::Exited { .. } => None,
    }
}

fn next_stage(stop: &Stop) -> Option<Timestamp> {
    match stop.stage {
        StopStage::Hook { until } => Some(until.map_or(stop.deadline, |until| until.min(stop.deadline))),
        StopStage::Terminating => Some(stop.deadline),
        StopStage::Killed => None,
    }
}
