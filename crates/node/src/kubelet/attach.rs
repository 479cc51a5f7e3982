//! `/attach/NAMESPACE/POD/CONTAINER`: the streams of the container's own process, from now on.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};

use super::Kubelet;
use super::channels::{PROTOCOLS, Protocol};
use super::session::{Wanted, carry};
use super::target;
use super::upgrade::{Handshake, Refusal};
use crate::agent::Running;
use crate::streams::{Outcome, Run};

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
    let mut wanted = Wanted::of(query).map_err(Refusal::bad_request)?;
    let handle = target::pod(&kubelet.pods, namespace, pod)?;
    let running = target::container(&handle, container)?;
    // Whether there is a terminal was decided when the container began.
    wanted.tty = running.tty;
    let (mut parts, _) = request.into_parts();
    let handshake = Handshake::of(&mut parts, &PROTOCOLS)?;
    let protocol = Protocol::named(handshake.protocol());
    let run = attach(&running)?;
    handshake.accept(&kubelet.sessions, move |socket| carry(socket, protocol, wanted, run))
}

/// The container itself, as something that a client has the streams of.
fn attach(running: &Running) -> Result<Run, Refusal> {
    let too_many = || Refusal::internal("too many clients are attached to this container");
    let output = running.attached.attach().ok_or_else(too_many)?;
    let (container, ends) = (Arc::clone(&running.container), output.clone());
    let interrupted = Arc::clone(&running.container);
    let mut is_second = false;
    Ok(Run {
        stdin: running.stdin.clone(),
        owns_stdin: running.stdin_once,
        output,
        interrupt: Some(Box::new(move || {
            // The first time it may end by itself.
            if std::mem::replace(&mut is_second, true) { interrupted.kill() } else { interrupted.terminate() }
        })),
        outcome: Box::pin(async move {
            container.wait().await;
            ends.end();
            Outcome::Success
        }),
    })
}
