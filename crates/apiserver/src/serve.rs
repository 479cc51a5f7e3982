//! Connections: TLS, HTTP/1.1 and HTTP/2, who is at the other end, and a quiet end for all of them.

mod leftover;
mod pace;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use coracle_api::identity::User;
use coracle_stdx::{Backoff, CancellationToken, Scope};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use crate::authenticate::user_of;
use crate::state::State;
use crate::{Error, handler};
use pace::Pace;

/// Requests that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 250;
/// Streams that a client may open and give up before its connection is ended.
const RESETS_MAX: usize = 20;
/// Bytes that a client may send before they are read, for one stream; twice as many for all of a connection.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
/// Bytes of one stream that wait for its client.
const SEND_BYTES_MAX: usize = 64 << 10;
const HEADER_BYTES_MAX: usize = 64 << 10;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Serves until `token` is cancelled and connections have ended, or have had their time.
pub(crate) async fn serve(state: Arc<State>, listener: TcpListener, token: CancellationToken) -> Result<(), Error> {
    let address = listener.local_addr().map_err(|source| Error::Listen { source })?;
    let tls = state.pki.server_config(state.config.certificate_names(address))?;
    let acceptor = TlsAcceptor::from(tls);
    let tasks = Tasks(Arc::new(Mutex::new(Scope::child_of(&token))));
    let mut connections: Scope<Infallible> = Scope::child_of(&token);
    info!(%address, "serving the API");
    let mut pause = Backoff::new(ACCEPT_PAUSE, ACCEPT_PAUSE_MAX);
    while let Some(accepted) = token.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "could not accept a connection");
                tokio::time::sleep(pause.next_delay()).await;
                continue;
            }
        };
        pause.reset();
        if !state.metrics.connections.try_add(state.config.limits.connections_max) {
            debug!(%peer, "too many connections");
            continue;
        }
        let (state, acceptor, tasks) = (Arc::clone(&state), acceptor.clone(), tasks.clone());
        connections.spawn(|token| async move {
            connection(&state, acceptor, tasks, stream, peer, token).await;
            state.metrics.connections.subtract(1);
            Ok(())
        });
    }
    drop(listener);
    // Watches have seen the token too; what is left are requests on their way.
    let _ = tokio::time::timeout(state.config.limits.drain_timeout, connections.join()).await;
    tasks.end();
    info!("stopped serving the API");
    Ok(())
}

async fn connection(
    state: &Arc<State>,
    acceptor: TlsAcceptor,
    tasks: Tasks,
    stream: TcpStream,
    peer: SocketAddr,
    token: CancellationToken,
) {
    let limits = &state.config.limits;
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(limits.head_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%peer, %error, "refused a TLS handshake"),
        Err(_) => return debug!(%peer, "gave up on a TLS handshake"),
    };
    let user = user_at(&stream);
    let pace = Pace::default();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (state, user, pace) = (Arc::clone(state), user.clone(), pace.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = leftover::Held::new(body);
            let mut request = hyper::Request::from_parts(parts, axum::body::Body::new(body.share()));
            request.extensions_mut().insert(handler::Peer(peer));
            if let Some(user) = user {
                request.extensions_mut().insert(user);
            }
            let response = handler::handle(Shared(state), request).await;
            body.drain().await;
            Ok::<_, Infallible>(pace.watch(response))
        }
    });
    let mut builder = Builder::new(tasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEADER_BYTES_MAX * 4);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(RESETS_MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES * 2)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).expect("the limit is small"))
        .keep_alive_interval(PING_INTERVAL);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = pace.stalled(limits.stall_timeout) => return debug!(%peer, "gave up on a peer that takes nothing"),
        () = token.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = connection => outcome,
                () = pace.stalled(limits.stall_timeout) => return,
            }
        }
    };
    if let Err(error) = outcome {
        debug!(%peer, %error, "lost a connection");
    }
}

/// Who showed a certificate of this cluster.
fn user_at(stream: &TlsStream<TcpStream>) -> Option<User> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    coracle_pki::subject(certificate).ok().map(user_of)
}

/// Runs the streams of HTTP/2 connections as tasks with an owner.
#[derive(Clone)]
struct Tasks(Arc<Mutex<Scope>>);

impl Tasks {
    /// Aborts what still runs. The tasks themselves hold this, so that it would not end by itself.
    fn end(&self) {
        let mut scope = self.0.lock();
        let token = scope.token().clone();
        *scope = Scope::child_of(&token);
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.lock().spawn(|_| async move {
            task.await;
            Ok(())
        });
    }
}
