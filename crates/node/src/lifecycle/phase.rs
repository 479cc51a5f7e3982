//! A pod's phase, from its containers. A pod is terminal only once all of them have ended.

use super::plan::Role;
use super::state::{Cell, EndingCause, Phase, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl PodPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

pub fn phase(state: &State) -> PodPhase {
    if state.is_finished() {
        return final_phase(state);
    }
    let waits = |cell: &Cell| !matches!(cell.phase, Phase::Running { .. }) && cell.last.is_none();
    let init_is_over = state.initialized || !state.plan.has_init();
    let someone_waits = of_role(state, |role| matches!(role, Role::Sidecar | Role::Main)).any(waits);
    if init_is_over && !someone_waits { PodPhase::Running } else { PodPhase::Pending }
}

fn final_phase(state: &State) -> PodPhase {
    let by_force = match state.ending.as_ref().map(|ending| &ending.cause) {
        Some(EndingCause::DeadlineExceeded | EndingCause::Rejected { .. }) => true,
        Some(EndingCause::Completed | EndingCause::Deleted) | None => false,
    };
    let all_well = of_role(state, |role| role == Role::Main).all(|cell| cell.exit_code() == Some(0));
    if all_well && !by_force { PodPhase::Succeeded } else { PodPhase::Failed }
}

fn of_role(state: &State, wanted: impl Fn(Role) -> bool) -> impl Iterator<Item = &Cell> {
    state
        .plan
        .containers
        .iter()
        .zip(&state.cells)
        .filter(move |(planned, _)| wanted(planned.role))
        .map(|(_, cell)| cell)
}
