//! `/containerLogs/NAMESPACE/POD/CONTAINER`: which instance's log is meant, in kubelet's words when there is none, and
//! its stream.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use coracle_runtime::StdStream;
use jiff::Timestamp;
use serde::Deserialize;

use crate::agent::{Handle, Pods};
use crate::lifecycle::{self, Cell, Phase};
use crate::logs::{ReadOptions, Reader};

/// The query, with the names that the API gives it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wanted {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<usize>,
    since_seconds: Option<u64>,
    since_time: Option<Timestamp>,
    limit_bytes: Option<usize>,
    stream: Option<String>,
}

/// Which instance of a container is meant.
#[derive(Debug, PartialEq, Eq)]
enum Instance {
    Running(u32),
    Ended(u32),
}

pub(super) async fn serve(
    State(pods): State<Arc<Pods>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let Some(handle) = pods.get(&namespace, &pod) else {
        return (StatusCode::NOT_FOUND, format!("pod \"{pod}\" not found\n")).into_response();
    };
    match open(&handle, &container, wanted).await {
        Ok(reader) => Body::from_stream(futures::stream::unfold(reader, Reader::next)).into_response(),
        Err((status, message)) => (status, format!("{message}\n")).into_response(),
    }
}

async fn open(handle: &Handle, container: &str, wanted: Wanted) -> Result<Reader, (StatusCode, String)> {
    let pod = &handle.key.name;
    let (idx, instance) = {
        let state = handle.state.lock();
        let idx =
            state.plan.containers.iter().position(|planned| planned.name == container).ok_or_else(|| {
                (StatusCode::NOT_FOUND, format!("container \"{container}\" not found in pod \"{pod}\""))
            })?;
        let waits = || waiting_reason(&state, handle, container);
        let instance = instance(&state.cells[idx], container, pod, wanted.previous, waits);
        (idx, instance.map_err(|message| (StatusCode::BAD_REQUEST, message))?)
    };
    let options = ReadOptions {
        tail: wanted.tail_lines,
        stream: match wanted.stream.as_deref() {
            Some("Stdout") => Some(StdStream::Stdout),
            Some("Stderr") => Some(StdStream::Stderr),
            Some(_) | None => None,
        },
        since: since(&wanted),
        timestamps: wanted.timestamps,
        limit_bytes: wanted.limit_bytes,
        follow: wanted.follow,
    };
    let running = handle.running.lock().get(&idx).cloned();
    Ok(match (instance, running) {
        (Instance::Running(attempt), Some(running)) if running.attempt == attempt => {
            Reader::live(&running.log, options).await
        }
        (Instance::Running(attempt) | Instance::Ended(attempt), _) => {
            Reader::ended(handle.log_dir(container), attempt, options).await
        }
    })
}

fn since(wanted: &Wanted) -> Option<Timestamp> {
    let ago = wanted.since_seconds.map(|seconds| Timestamp::now() - Duration::from_secs(seconds));
    wanted.since_time.or(ago)
}

/// As kubelet chooses the instance, and refuses when there is none.
fn instance(
    cell: &Cell,
    container: &str,
    pod: &str,
    previous: bool,
    waits: impl Fn() -> String,
) -> Result<Instance, String> {
    let is_running = matches!(cell.phase, Phase::Running { .. });
    let shows_last = matches!(cell.phase, Phase::Exited { .. } | Phase::Pulling | Phase::Starting);
    if previous {
        let none = || format!("previous terminated container \"{container}\" in pod \"{pod}\" not found");
        let former = if shows_last { cell.before.is_some() } else { cell.last.is_some() };
        let attempt = if is_running || shows_last { cell.attempt.checked_sub(1) } else { Some(cell.attempt) };
        return attempt.filter(|_| former).map(Instance::Ended).ok_or_else(none);
    }
    if is_running {
        return Ok(Instance::Running(cell.attempt));
    }
    if cell.last.is_some() {
        return Ok(Instance::Ended(cell.attempt));
    }
    Err(format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {}", waits()))
}

fn waiting_reason(state: &lifecycle::State, handle: &Handle, container: &str) -> String {
    let pod = handle.pod.lock().clone();
    let surroundings = lifecycle::Surroundings { pod: &pod, host_addresses: &[], previous: &[] };
    let status = lifecycle::status(state, surroundings, state.start_time);
    let lists = [status.init_container_statuses, status.container_statuses, status.ephemeral_container_statuses];
    let all = lists.into_iter().flatten().flatten();
    let mut named = all.filter(|one| one.name == container);
    let waiting = named.next().and_then(|one| one.state).and_then(|state| state.waiting);
    match waiting.and_then(|waiting| waiting.reason).as_deref() {
        Some("ErrImagePull") => "image can't be pulled".to_owned(),
        Some("ImagePullBackOff") => "trying and failing to pull image".to_owned(),
        Some(reason) => reason.to_owned(),
        None => "no logs yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Terminated;

    fn cell(phase: Phase, attempt: u32, n_ended: u32) -> Cell {
        let ended = Terminated {
            exit_code: 1,
            reason: "Error".into(),
            message: None,
            started_at: None,
            finished_at: Timestamp::UNIX_EPOCH,
            id: "id".into(),
        };
        let last = (n_ended > 0).then(|| ended.clone());
        let before = (n_ended > 1).then_some(ended);
        Cell { phase, attempt, last, before, ..Cell::new() }
    }

    fn chosen(cell: &Cell, previous: bool) -> Result<Instance, String> {
        instance(cell, "a", "p", previous, || "ContainerCreating".to_owned())
    }

    #[test]
    fn the_instance_that_users_mean_is_chosen() {
        let running = || Phase::Running { since: Timestamp::UNIX_EPOCH, stop: None };
        let waiting = || Phase::BackOff { delay: Duration::ZERO, until: Timestamp::UNIX_EPOCH };
        let exited = || Phase::Exited { restart: false };
        assert_eq!(chosen(&cell(running(), 2, 2), false), Ok(Instance::Running(2)));
        assert_eq!(chosen(&cell(running(), 2, 2), true), Ok(Instance::Ended(1)));
        assert_eq!(chosen(&cell(waiting(), 2, 2), false), Ok(Instance::Ended(2)));
        assert_eq!(chosen(&cell(waiting(), 2, 2), true), Ok(Instance::Ended(2)));
        assert_eq!(chosen(&cell(exited(), 2, 2), true), Ok(Instance::Ended(1)));
        assert_eq!(chosen(&cell(exited(), 0, 1), false), Ok(Instance::Ended(0)));
    }

    #[test]
    fn what_is_not_there_is_refused_in_kubelets_words() {
        let error = chosen(&cell(Phase::Idle, 0, 0), false).unwrap_err();
        assert_eq!(error, "container \"a\" in pod \"p\" is waiting to start: ContainerCreating");
        let running = Phase::Running { since: Timestamp::UNIX_EPOCH, stop: None };
        let error = chosen(&cell(running, 0, 0), true).unwrap_err();
        assert_eq!(error, "previous terminated container \"a\" in pod \"p\" not found");
    }
}
