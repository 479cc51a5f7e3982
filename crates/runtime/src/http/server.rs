//! An HTTP container: it accepts connections until it is told to terminate, and ends when the last request has been
//! answered.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use coracle_stdx::{Backoff, Scope};
use futures::FutureExt;
use futures::future::select_all;
use tracing::debug;

use crate::container::Exit;
use crate::http::admission::Admission;
use crate::http::connection;
use crate::http::pool::Pool;
use crate::network::{Listener, NetworkError, Stream};
use crate::sandbox::Sandbox;

const BACKLOG: usize = 1024;
/// Connections held at once. What comes beyond waits in the backlog.
const CONNECTIONS_MAX: usize = 4096;

/// What every request of a container needs.
pub(crate) struct Server {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) admission: Admission,
    pub(crate) pool: Arc<Pool>,
}

/// Serves until the container is told to terminate.
pub(crate) async fn serve(sandbox: Arc<Sandbox>) -> Exit {
    let spec = &sandbox.spec;
    let port = spec.http_port;
    let listeners = match listen(&sandbox, port) {
        Ok(listeners) => listeners,
        Err(error) => {
            return Exit::Trap { message: format!("listen on port {port}: {error}"), backtrace: String::new() };
        }
    };
    let admission = Admission::new(spec.requests_max, spec.requests_queued_max, spec.request_time_max);
    let pool = Arc::new(Pool::new(spec.instance_requests_max));
    if pool.keeps() {
        sandbox.tasks.spawn(Arc::clone(&pool).tidy(sandbox.terminate.clone()));
    }
    let server = Arc::new(Server { sandbox, admission, pool });
    server.sandbox.listening.open();
    accept(&server, listeners).await;
    // Neither on a connection nor after its answer.
    server.admission.emptied().await;
    Exit::Code(0)
}

/// One listener for each family of addresses that the network has.
fn listen(sandbox: &Sandbox, port: u16) -> Result<Vec<Box<dyn Listener>>, NetworkError> {
    let addresses = sandbox.spec.network.addresses();
    let mut unspecified = Vec::new();
    if addresses.is_empty() || addresses.iter().any(IpAddr::is_ipv4) {
        unspecified.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    if addresses.iter().any(IpAddr::is_ipv6) {
        unspecified.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    let listen = |ip| sandbox.spec.network.listen(SocketAddr::new(ip, port), BACKLOG);
    unspecified.into_iter().map(listen).collect()
}

async fn accept(server: &Arc<Server>, listeners: Vec<Box<dyn Listener>>) {
    let terminate = server.sandbox.terminate.clone();
    let mut connections = Scope::<Infallible>::child_of(&terminate);
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    while !terminate.is_cancelled() {
        let accepted = tokio::select! {
            biased;
            () = terminate.cancelled() => break,
            accepted = next(&listeners) => accepted,
        };
        match accepted {
            Ok(stream) => {
                backoff.reset();
                connections.spawn(|token| connection::serve(Arc::clone(server), stream, token));
            }
            Err(error) => {
                debug!(container = %server.sandbox.spec.name, %error, "could not accept a connection");
                tokio::select! {
                    () = terminate.cancelled() => break,
                    () = tokio::time::sleep(backoff.next_delay()) => {}
                }
            }
        }
        while connections.len() >= CONNECTIONS_MAX && !terminate.is_cancelled() {
            tokio::select! {
                () = terminate.cancelled() => {}
                _ = connections.join_next() => {}
            }
        }
    }
    // What has been let into the queue is answered, not reset.
    for _ in 0..BACKLOG {
        let Some(Ok(stream)) = next(&listeners).now_or_never() else { break };
        connections.spawn(|token| connection::serve(Arc::clone(server), stream, token));
    }
    drop(listeners);
    let Ok(()) = connections.join().await;
}

async fn next(listeners: &[Box<dyn Listener>]) -> Result<Stream, NetworkError> {
    match listeners {
        [only] => only.accept().await,
        many => select_all(many.iter().map(|listener| listener.accept())).await.0,
    }
}
