//! `/exec/NAMESPACE/POD/CONTAINER`: a command in a running container, or a built-in one on its volumes.

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};

use super::Kubelet;
use super::channels::{PROTOCOLS, Protocol};
use super::session::{Wanted, carry};
use super::target;
use super::upgrade::{Handshake, Refusal};
use crate::exec;

const FAILED: &str = "error executing command in container";

pub(super) async fn serve(
    State(kubelet): State<Kubelet>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    begin(&kubelet, [&namespace, &pod, &container], &query, request).unwrap_or_else(IntoResponse::into_response)
}

fn begin(
    kubelet: &Kubelet,
    [namespace, pod, container]: [&str; 3],
    query: &[(String, String)],
    request: Request,
) -> Result<Response, Refusal> {
    let wanted = Wanted::of(query).map_err(Refusal::bad_request)?;
    let handle = target::pod(&kubelet.pods, namespace, pod)?;
    let running = target::container(&handle, container)?;
    let command: Vec<String> =
        query.iter().filter(|(name, _)| name == "command").map(|(_, value)| value.clone()).collect();
    let (mut parts, _) = request.into_parts();
    let handshake = Handshake::of(&mut parts, &PROTOCOLS)?;
    let protocol = Protocol::named(handshake.protocol());
    handshake.accept(&kubelet.sessions, move |socket| async move {
        let run = exec::run(&running.container, command, wanted.stdin, wanted.tty, FAILED);
        carry(socket, protocol, wanted, run).await;
    })
}
