//! What the API server asks of a node, with kubelet's paths: logs, streams into pods, pods, health and metrics.

mod attach;
mod channels;
mod coredump;
mod exec;
mod logs;
mod metrics;
mod port_forward;
mod proxy;
mod session;
mod target;
mod upgrade;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use coracle_api::kinds::metrics::{NODE_PATH, PODS_PATH};
use coracle_net::Fabric;
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;

use crate::agent::Pods;
use crate::sessions::Sessions;

/// What answering takes.
#[derive(Clone)]
pub(crate) struct Kubelet {
    /// The node's.
    pub(crate) name: String,
    pub(crate) pods: Arc<Pods>,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) sessions: Arc<Sessions>,
}

impl FromRef<Kubelet> for Arc<Pods> {
    fn from_ref(kubelet: &Kubelet) -> Self {
        Arc::clone(&kubelet.pods)
    }
}

/// The node's router. Who may ask is decided before.
pub(crate) fn router(kubelet: Kubelet) -> Router {
    Router::new()
        .route("/exec/{namespace}/{pod}/{container}", any(exec::serve))
        .route("/attach/{namespace}/{pod}/{container}", any(attach::serve))
        .route("/portForward/{namespace}/{pod}", any(port_forward::serve))
        .route("/proxy/{target}", any(proxy::serve))
        .route("/proxy/{target}/", any(proxy::serve))
        .route("/proxy/{target}/{*path}", any(proxy::serve))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::serve))
        .route("/coredump/{namespace}/{pod}/{container}", get(coredump::serve))
        .route("/pods", get(list))
        .route("/healthz", get(async || "ok"))
        .route("/metrics", get(metrics::serve))
        .route("/metrics/resource", get(metrics::resource))
        .route("/stats/summary", get(metrics::summary))
        .route(NODE_PATH, get(metrics::of_node))
        .route(PODS_PATH, get(metrics::of_pods))
        .with_state(kubelet)
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
