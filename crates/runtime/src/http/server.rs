//! An HTTP container: it accepts connections until it is told to terminate, and ends when the last request has been
//! answered.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coracle_stdx::{Backoff, CancellationToken, Scope};
use futures::FutureExt;
use futures::future::select_all;
use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::sync::Semaphore;
use tracing::debug;

use crate::container::Exit;
use crate::http::exchange;
use crate::module::Module;
use crate::network::{Listener, NetworkError, Stream};
use crate::sandbox::Sandbox;

const BACKLOG: usize = 1024;
/// Connections held at once. What comes beyond waits in the backlog.
const CONNECTIONS_MAX: usize = 4096;

/// How long idle connections outlive the container's being told to terminate.
const LINGER: Duration = Duration::from_millis(500);

/// What every request of a container needs.
pub(crate) struct Server {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) module: Arc<Module>,
    /// Requests that may be in work.
    pub(crate) permits: Arc<Semaphore>,
}

/// Serves until the container is told to terminate.
pub(crate) async fn serve(sandbox: Arc<Sandbox>, module: Arc<Module>) -> Exit {
    let port = sandbox.spec.http_port;
    let listeners = match listen(&sandbox, port) {
        Ok(listeners) => listeners,
        Err(error) => {
            return Exit::Trap { message: format!("listen on port {port}: {error}"), backtrace: String::new() };
        }
    };
    let permits = Arc::new(Semaphore::new(sandbox.spec.requests_max));
    let server = Arc::new(Server { sandbox, module, permits });
    server.sandbox.listening.open();
    accept(&server, listeners).await;
    server.drained().await;
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
                connections.spawn(|token| connection(Arc::clone(server), stream, token));
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
        connections.spawn(|token| connection(Arc::clone(server), stream, token));
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

async fn connection(server: Arc<Server>, stream: Stream, token: CancellationToken) -> Result<(), Infallible> {
    let mut http = auto::Builder::new(InTasks(Arc::clone(&server.sandbox)));
    http.http1().pipeline_flush(true);
    let shared = Arc::new((server, token.clone()));
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (server, token) = &*shared;
            let may_close = request.version() < Version::HTTP_2;
            let mut response = exchange::answer(server, request).await;
            if may_close && token.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = lingering(&token) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection broke");
    }
    Ok(())
}

/// Returns a while after `token` was cancelled. A client that sends on an open connection before it learns that it will
/// be closed still gets its answer, and is told then.
async fn lingering(token: &CancellationToken) {
    token.cancelled().await;
    tokio::time::sleep(LINGER).await;
}

impl Server {
    /// Returns when no request is in work, neither on a connection nor after its answer.
    async fn drained(&self) {
        let all = u32::try_from(self.sandbox.spec.requests_max).unwrap_or(u32::MAX);
        let _ = self.permits.acquire_many(all).await;
    }
}

/// Runs the streams of an HTTP/2 connection among the container's tasks.
#[derive(Clone)]
struct InTasks(Arc<Sandbox>);

impl<F> Executor<F> for InTasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.tasks.spawn(async move {
            stream.await;
        });
    }
}
