//! Finds what a stream is meant for, with kubelet's words when it is not there.

use std::sync::Arc;

use axum::http::StatusCode;

use super::upgrade::Refusal;
use crate::agent::{Handle, Pods, Running};
use crate::lifecycle::Phase;

pub(super) fn pod(pods: &Pods, namespace: &str, pod: &str) -> Result<Arc<Handle>, Refusal> {
    pods.get(namespace, pod).ok_or_else(|| Refusal(StatusCode::NOT_FOUND, "pod does not exist".to_owned()))
}

/// The running instance of a container.
pub(super) fn container(handle: &Handle, name: &str) -> Result<Running, Refusal> {
    let idx = {
        let state = handle.state.lock();
        let found = state.plan.containers.iter().position(|planned| planned.name == name);
        found.filter(|idx| matches!(state.cells[*idx].phase, Phase::Running { .. }))
    };
    let running = idx.and_then(|idx| handle.running.lock().get(&idx).cloned());
    running.ok_or_else(|| Refusal::internal(format!("container not found (\"{name}\")")))
}
