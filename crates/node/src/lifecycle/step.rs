//! The machine's one function: take in what happened, then look at the whole and do what is missing.

use jiff::Timestamp;

use super::ending::{begin_ending_if_due, hasten, stop_container, wind_down};
use super::event::{Action, Event, Notice, Outcome};
use super::plan::{Hook, HookKind, ProbeKind, Role};
use super::probes::Probes;
use super::restart::{self, prepare_delay, pull_delay, start_delay};
use super::state::{Cell, Ending, EndingCause, Phase, Sandbox, State, Stop, StopStage};

/// Takes in `event` and decides what to do at `now`.
pub fn step(mut state: State, event: Event, now: Timestamp) -> (State, Vec<Action>) {
    let mut actions = Vec::new();
    take_in(&mut state, event, now, &mut actions);
    begin_ending_if_due(&mut state, now, &mut actions);
    if state.ending.is_some() {
        wind_down(&mut state, now, &mut actions);
    } else {
        go_on(&mut state, now, &mut actions);
    }
    (state, actions)
}

fn take_in(state: &mut State, event: Event, now: Timestamp, actions: &mut Vec<Action>) {
    match event {
        Event::Tick => {}
        Event::Changed { plan, gates } => {
            state.gates = gates;
            // Containers are never taken away, and only those for debugging are added: at the end.
            if plan.containers.len() >= state.cells.len() {
                state.cells.resize_with(plan.containers.len(), Cell::new);
                state.plan = plan;
            }
        }
        Event::Prepared { addresses } => state.sandbox = Sandbox::Ready { addresses },
        Event::PrepareFailed { reason, message } => prepare_failed(state, reason, message, now, actions),
        Event::Pulled { container, image_id } => {
            let cell = &mut state.cells[container];
            if matches!(cell.phase, Phase::Pulling) {
                cell.image_id = image_id;
                cell.n_pull_failures = 0;
                cell.phase = Phase::Starting;
                actions.push(Action::Start { container, attempt: cell.next_attempt() });
            }
        }
        Event::PullFailed { container, reason, message } => {
            pull_failed(state, container, reason, message, now, actions);
        }
        Event::Started { container, id } => started(state, container, id, now, actions),
        Event::StartFailed { container, reason, message } => {
            let cell = &mut state.cells[container];
            cell.n_start_failures += 1;
            if cell.n_start_failures == 1 || !reason.starts_with("CreateContainerConfig") {
                actions.push(Notice::warning("Failed", format!("Error: {message}"), container));
            }
            let until = now + start_delay(cell.n_start_failures);
            cell.phase = Phase::StartFailed { reason, message, until };
        }
        Event::Exited { container, attempt, terminated } => {
            let cell = &mut state.cells[container];
            if let Phase::Running { stop, .. } = &cell.phase
                && cell.attempt == attempt
            {
                let restart = stop.as_ref().is_some_and(|stop| stop.restart);
                cell.end(terminated, restart);
            }
        }
        Event::HookEnded { container, attempt, kind, outcome } => {
            hook_ended(state, container, attempt, kind, outcome, now, actions);
        }
        Event::Probed { container, attempt, kind, outcome } => {
            probed(state, container, attempt, kind, outcome, now, actions);
        }
        Event::Rejected { reason, message } => {
            actions.push(Notice::warning(reason, message.clone(), None));
            state.ending = Some(Ending { cause: EndingCause::Rejected { reason, message }, deadline: now });
        }
        Event::DeletionRequested { grace } => {
            state.deletion_requested = true;
            hasten(state, EndingCause::Deleted, now + grace);
        }
        Event::Vanished => {
            state.vanished = true;
            hasten(state, EndingCause::Deleted, now + super::ending::GRACE_MIN);
        }
    }
}

fn prepare_failed(state: &mut State, reason: &'static str, message: String, now: Timestamp, actions: &mut Vec<Action>) {
    let n_failures = match state.sandbox {
        Sandbox::Preparing { n_failures } => n_failures + 1,
        Sandbox::Absent | Sandbox::Failed { .. } | Sandbox::Ready { .. } => 1,
    };
    actions.push(Notice::warning(reason, message.clone(), None));
    state.sandbox = Sandbox::Failed { until: now + prepare_delay(n_failures), n_failures, reason, message };
}

fn pull_failed(
    state: &mut State,
    container: usize,
    reason: &'static str,
    message: String,
    now: Timestamp,
    actions: &mut Vec<Action>,
) {
    let cell = &mut state.cells[container];
    if !matches!(cell.phase, Phase::Pulling) {
        return;
    }
    cell.n_pull_failures += 1;
    let image = &state.plan.containers[container].image;
    let said = match reason {
        "ErrImagePull" => format!("Failed to pull image \"{image}\": {message}"),
        "ErrImageNeverPull" => message.clone(),
        _ => format!("Failed to load image \"{image}\": {message}"),
    };
    actions.push(Notice::warning("Failed", said, container));
    actions.push(Notice::warning("Failed", format!("Error: {reason}"), container));
    let until = now + pull_delay(cell.n_pull_failures);
    cell.phase = Phase::PullFailed { reason, message, at: now, until, told: false };
}

fn started(state: &mut State, container: usize, id: String, now: Timestamp, actions: &mut Vec<Action>) {
    let plan = &state.plan.containers[container];
    let cell = &mut state.cells[container];
    cell.attempt = cell.next_attempt();
    cell.ever_started = true;
    cell.n_start_failures = 0;
    cell.id = id;
    cell.probes = Probes::begun(plan, now);
    cell.phase = Phase::Running { since: now, stop: None };
    actions.push(Notice::normal("Created", format!("Created container: {}", plan.name), container));
    actions.push(Notice::normal("Started", format!("Started container {}", plan.name), container));
    match &plan.post_start {
        None | Some(Hook::Sleep(_)) => {}
        Some(hook @ (Hook::HttpGet(_) | Hook::Exec(_))) => {
            let kind = HookKind::PostStart;
            actions.push(Action::RunHook { container, attempt: cell.attempt, kind, hook: hook.clone() });
        }
        Some(Hook::Unsupported(kind)) => {
            let message = format!("PostStartHook failed: a {kind} hook cannot run in a wasm sandbox");
            actions.push(Notice::warning("FailedPostStartHook", message, container));
            stop_container(state, container, state.plan.grace, true, now, actions);
        }
    }
}

fn hook_ended(
    state: &mut State,
    container: usize,
    attempt: u32,
    kind: HookKind,
    outcome: Result<(), String>,
    now: Timestamp,
    actions: &mut Vec<Action>,
) {
    let cell = &mut state.cells[container];
    if cell.attempt != attempt {
        return;
    }
    match (kind, &mut cell.phase, outcome) {
        (
            HookKind::PreStop,
            Phase::Running { stop: Some(Stop { stage: StopStage::Hook { until }, .. }), .. },
            outcome,
        ) => {
            *until = Some(now);
            if let Err(message) = outcome {
                actions.push(Notice::warning("FailedPreStopHook", format!("PreStopHook failed: {message}"), container));
            }
        }
        (HookKind::PostStart, Phase::Running { stop: None, .. }, Err(message)) => {
            actions.push(Notice::warning("FailedPostStartHook", format!("PostStartHook failed: {message}"), container));
            stop_container(state, container, state.plan.grace, true, now, actions);
        }
        (HookKind::PreStop | HookKind::PostStart, _, Ok(()) | Err(_)) => {}
    }
}

fn probed(
    state: &mut State,
    container: usize,
    attempt: u32,
    kind: ProbeKind,
    outcome: Outcome,
    now: Timestamp,
    actions: &mut Vec<Action>,
) {
    let plan = &state.plan.containers[container];
    let cell = &mut state.cells[container];
    if cell.attempt != attempt || !matches!(cell.phase, Phase::Running { stop: None, .. }) {
        return;
    }
    if let Outcome::Failure(message) = &outcome {
        let message = format!("{} probe failed: {message}", kind.title());
        actions.push(Notice::warning("Unhealthy", message, container));
    }
    if let Outcome::Unknown(message) = &outcome {
        let message = format!("{} probe errored: {message}", kind.title());
        actions.push(Notice::warning("ProbeWarning", message, container));
    }
    if cell.probes.record(plan, kind, &outcome, now) {
        let grace = plan.probe(kind).and_then(|probe| probe.grace).unwrap_or(state.plan.grace);
        let message =
            format!("Container {} failed {} probe, will be restarted", plan.name, kind.title().to_lowercase());
        actions.push(Notice::normal("Killing", message, container));
        stop_container(state, container, grace, true, now, actions);
    }
}

/// What a pod that is to live needs now.
fn go_on(state: &mut State, now: Timestamp, actions: &mut Vec<Action>) {
    match state.sandbox {
        Sandbox::Absent => prepare(state, 0, actions),
        Sandbox::Failed { until, n_failures, .. } if now >= until => prepare(state, n_failures, actions),
        Sandbox::Failed { .. } | Sandbox::Preparing { .. } => {}
        Sandbox::Ready { .. } => advance_all(state, now, actions),
    }
}

fn prepare(state: &mut State, n_failures: u32, actions: &mut Vec<Action>) {
    state.sandbox = Sandbox::Preparing { n_failures };
    actions.push(Action::Prepare);
}

fn advance_all(state: &mut State, now: Timestamp, actions: &mut Vec<Action>) {
    let plan = state.plan.clone();
    let mut turn_is_over = false;
    for (container, planned) in plan.containers.iter().enumerate() {
        let runs_now = match planned.role {
            Role::Init => !state.initialized && !turn_is_over,
            Role::Sidecar => state.initialized || !turn_is_over,
            Role::Main => state.initialized || !turn_is_over,
            // They are there to look at what keeps the others from starting, too.
            Role::Ephemeral => true,
        };
        if !runs_now {
            continue;
        }
        if planned.role == Role::Main {
            state.initialized = true;
        }
        advance(state, container, now, actions);
        let cell = &mut state.cells[container];
        let running = matches!(cell.phase, Phase::Running { .. });
        cell.passed |= running && cell.probes.started(planned);
        turn_is_over |= match planned.role {
            Role::Init => cell.exit_code() != Some(0),
            Role::Sidecar => !cell.passed,
            Role::Main | Role::Ephemeral => false,
        };
    }
}

fn advance(state: &mut State, container: usize, now: Timestamp, actions: &mut Vec<Action>) {
    let plan = state.plan.clone();
    let image = &plan.containers[container].image;
    let cell = &mut state.cells[container];
    match &mut cell.phase {
        Phase::Pulling | Phase::Starting => {}
        Phase::Idle => pull(cell, container, image, actions),
        Phase::PullFailed { reason, until, at, told, .. } => {
            if now >= *until || cell.image != *image {
                pull(cell, container, image, actions);
            } else if *reason == "ErrImagePull" && !*told && now >= *at + restart::PULL_ERROR_SHOWN {
                *told = true;
                let message = format!("Back-off pulling image \"{image}\"");
                actions.push(Notice::normal("BackOff", message, container));
                actions.push(Notice::warning("Failed", "Error: ImagePullBackOff", container));
            }
        }
        Phase::StartFailed { until, .. } => {
            if now >= *until {
                pull(cell, container, image, actions);
            }
        }
        Phase::Exited { .. } => {
            if restart::restarts(&plan, container, cell) {
                restart_or_wait(state, container, now, actions);
            }
        }
        Phase::BackOff { until, .. } => {
            if now >= *until {
                cell.crash_loop.restarted(now);
                pull(cell, container, image, actions);
            }
        }
        Phase::Running { .. } => super::ending::watch_over(state, container, now, actions),
    }
}

fn pull(cell: &mut Cell, container: usize, image: &str, actions: &mut Vec<Action>) {
    cell.image = image.to_owned();
    cell.phase = Phase::Pulling;
    actions.push(Action::Pull { container });
}

fn restart_or_wait(state: &mut State, container: usize, now: Timestamp, actions: &mut Vec<Action>) {
    let planned = &state.plan.containers[container];
    let cell = &mut state.cells[container];
    let finished = cell.last.as_ref().map_or(now, |last| last.finished_at);
    let (delay, until) = cell.crash_loop.delay(finished);
    if now >= until {
        cell.crash_loop.restarted(now);
        return pull(cell, container, &planned.image, actions);
    }
    let name = &planned.name;
    let message = format!("Back-off restarting failed container {name} in pod {}", state.plan.full_name());
    actions.push(Notice::warning("BackOff", message, container));
    cell.phase = Phase::BackOff { delay, until };
}
