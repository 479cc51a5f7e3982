//! One client's connection: HTTP/1.1 or, by prior knowledge, HTTP/2.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coracle_stdx::CancellationToken;
use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tracing::debug;

use crate::http::exchange;
use crate::http::server::Server;
use crate::http::wire::Wire;
use crate::limits::Held;
use crate::network::{Account, Stream};
use crate::sandbox::Sandbox;

/// How long idle connections outlive the container's being told to terminate.
const LINGER: Duration = Duration::from_millis(500);
/// How long a connection may be silent before a request's head is complete.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);
/// How often the other side of an HTTP/2 connection is asked whether it is there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME_MAX: Duration = Duration::from_secs(20);
/// What the host holds for a connection, as far as it counts against its container's memory.
const CONNECTION_BYTES: u64 = 16 << 10;
/// The head of a request, and what is read or written ahead of who takes it.
const BUFFER_MAX: usize = 64 << 10;
/// Requests that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 256;

/// Serves until the client or the guest ends it, or a while after `token` was cancelled.
///
/// A container without room for it closes it at once.
pub(crate) async fn serve(server: Arc<Server>, mut stream: Stream, token: CancellationToken) -> Result<(), Infallible> {
    let memory = &server.sandbox.memory;
    // Where parts cannot be written as they are, they are copied together first.
    let copied = if stream.is_write_vectored() { 0 } else { BUFFER_MAX as u64 };
    let Ok(_held) = Held::new(memory, CONNECTION_BYTES + copied) else {
        debug!(container = %server.sandbox.spec.name, "closed a connection for which there was no memory");
        return Ok(());
    };
    stream.charge_to(Account(Arc::clone(memory)));
    let http = builder(&server.sandbox);
    let wire = Wire::new(stream, &server.sandbox.requests);
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
    let mut serving = pin!(http.serve_connection(TokioIo::new(wire), service));
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

fn builder(sandbox: &Arc<Sandbox>) -> auto::Builder<InTasks> {
    let mut http = auto::Builder::new(InTasks(Arc::clone(sandbox)));
    // A client that has said all it wants to say still gets its answer.
    http.http1().pipeline_flush(true).half_close(true).timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    http.http1().max_buf_size(BUFFER_MAX);
    let mut http2 = http.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    http2.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIME_MAX);
    http
}

/// Returns a while after `token` was cancelled. A client that sends on an open connection before it learns that it will
/// be closed still gets its answer, and is told then.
async fn lingering(token: &CancellationToken) {
    token.cancelled().await;
    tokio::time::sleep(LINGER).await;
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
