//! What the API server asks of a node, with kubelet's paths: logs, pods, health and metrics. It changes nothing.

mod logs;
mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;

use crate::agent::Pods;

/// The node's router. Who may ask is decided before.
pub(crate) fn router(pods: Arc<Pods>) -> Router {
    Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::serve))
        .route("/pods", get(list))
        .route("/healthz", get(async || "ok"))
        .route("/metrics", get(metrics::serve))
        .with_state(pods)
}

/// The pods of this node as it sees them.
async fn list(State(pods): State<Arc<Pods>>) -> impl IntoResponse {
    let seen = |handle: &Arc<crate::agent::Handle>| {
        let mut pod = Pod::clone(&handle.pod.lock());
        pod.status = handle.status.lock().clone().or(pod.status);
        pod
    };
    axum::Json(List { items: pods.all().iter().map(seen).collect(), ..List::default() })
}
