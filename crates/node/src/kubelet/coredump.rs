//! `/coredump/NAMESPACE/POD/CONTAINER`: what a container's guest was like when it last failed, in WebAssembly's core dump
//! format.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::upgrade::Refusal;
use crate::agent::Pods;

pub(super) async fn serve(
    State(pods): State<Arc<Pods>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
) -> Response {
    let Some(handle) = pods.get(&namespace, &pod) else {
        return Refusal(StatusCode::NOT_FOUND, format!("pod \"{pod}\" not found\n")).into_response();
    };
    // Only names of the spec become part of a path.
    let is_known = handle.state.lock().plan.containers.iter().any(|planned| planned.name == container);
    if !is_known {
        let why = format!("container \"{container}\" not found in pod \"{pod}\"\n");
        return Refusal(StatusCode::NOT_FOUND, why).into_response();
    }
    let path = handle.coredump(&container);
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await.expect("reading a file does not panic");
    match read {
        Ok(dump) => ([(CONTENT_TYPE, "application/wasm")], dump).into_response(),
        Err(_) => {
            let why = format!("container \"{container}\" in pod \"{pod}\" has left no core dump\n");
            Refusal(StatusCode::NOT_FOUND, why).into_response()
        }
    }
}
