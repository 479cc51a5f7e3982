//! A TCP socket's states, as the specification names them. Each start is answered by its finish.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures::FutureExt;
use parking_lot::{Mutex, MutexGuard};
use wasmtime_wasi::async_trait;
use wasmtime_wasi_io::poll::Pollable;

use super::Counted;
use super::address::Family;
use super::bindings::wasi::sockets::network::ErrorCode;
use super::bindings::wasi::sockets::tcp::ShutdownType;
use super::conn::{Conn, Reader, Writer};
use super::options::Options;
use crate::network::{Listener, NetworkError, Stream};
use crate::sandbox::Sandbox;

/// Connections that wait to be accepted. A network listens when a socket is bound, before a guest can ask for more.
const BACKLOG: usize = 128;

/// A listener, until its container is to terminate.
pub(super) type SharedListener = Arc<Mutex<Option<Arc<dyn Listener>>>>;

type Connecting = Pin<Box<dyn Future<Output = Result<Stream, NetworkError>> + Send>>;

/// A guest's TCP socket.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TcpSocket {
    state: State,
    family: Family,
    /// Those of a listener are its connections' too.
    options: Arc<Mutex<Options>>,
    counted: Arc<Counted>,
}

enum State {
    Unbound,
    BindStarted(Box<dyn Listener>),
    Bound(Box<dyn Listener>),
    ListenStarted(Box<dyn Listener>),
    Listening(Listening),
    ConnectStarted(Connecting),
    /// The attempt has ended, and the guest has not asked how.
    ConnectEnded(Result<Stream, NetworkError>),
    Connected {
        conn: Arc<Conn>,
        local: SocketAddr,
        remote: SocketAddr,
    },
    Closed,
}

struct Listening {
    listener: SharedListener,
    local: SocketAddr,
    /// What came while the guest was waiting for it.
    accepted: Option<Result<Stream, NetworkError>>,
}

impl TcpSocket {
    pub(super) fn new(counted: Counted, family: Family) -> Self {
        Self { state: State::Unbound, family, options: Arc::default(), counted: Arc::new(counted) }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    fn sandbox(&self) -> &Arc<Sandbox> {
        &self.counted.sandbox
    }

    /// What keeps the socket counted, for as long as something of it lives.
    pub(super) fn counted(&self) -> Arc<Counted> {
        Arc::clone(&self.counted)
    }

    /// Starts and finishes must alternate.
    fn may_start(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::BindStarted(_) | State::ListenStarted(_) | State::ConnectStarted(_) | State::ConnectEnded(_) => {
                Err(ErrorCode::ConcurrencyConflict)
            }
            State::Unbound | State::Bound(_) | State::Listening(_) | State::Connected { .. } | State::Closed => Ok(()),
        }
    }

    pub(super) fn start_bind(&mut self, local: impl Into<SocketAddr>) -> Result<(), ErrorCode> {
        self.may_start()?;
        let State::Unbound = self.state else { return Err(ErrorCode::InvalidState) };
        let local = self.family.local(local)?;
        let listener = self.sandbox().spec.network.listen(local, BACKLOG)?;
        self.state = State::BindStarted(listener);
        Ok(())
    }

    pub(super) fn finish_bind(&mut self) -> Result<(), ErrorCode> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::BindStarted(listener) => {
                self.state = State::Bound(listener);
                Ok(())
            }
            other => self.not_in_progress(other),
        }
    }

    fn not_in_progress(&mut self, state: State) -> Result<(), ErrorCode> {
        self.state = state;
        Err(ErrorCode::NotInProgress)
    }

    pub(super) fn start_listen(&mut self) -> Result<(), ErrorCode> {
        self.may_start()?;
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Bound(listener) => {
                self.state = State::ListenStarted(listener);
                Ok(())
            }
            other => {
                self.state = other;
                Err(ErrorCode::InvalidState)
            }
        }
    }

    pub(super) fn finish_listen(&mut self) -> Result<(), ErrorCode> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::ListenStarted(listener) => {
                let local = listener.local_addr();
                let listener = Arc::new(Mutex::new(Some(Arc::from(listener))));
                self.state = State::Listening(Listening { listener, local, accepted: None });
                Ok(())
            }
            other => self.not_in_progress(other),
        }
    }

    pub(super) fn start_connect(&mut self, remote: impl Into<SocketAddr>) -> Result<(), ErrorCode> {
        self.may_start()?;
        let local = match &self.state {
            State::Unbound => None,
            State::Bound(listener) => Some(listener.local_addr()),
            _ => return Err(ErrorCode::InvalidState),
        };
        let remote = self.family.remote(remote)?;
        let network = Arc::clone(&self.sandbox().spec.network);
        // The listener that held the address goes first: what connects does not listen.
        self.state = State::Closed;
        self.state = State::ConnectStarted(Box::pin(async move { network.connect(local, remote).await }));
        Ok(())
    }

    pub(super) fn finish_connect(&mut self) -> Result<(Reader, Writer), ErrorCode> {
        if !matches!(self.state, State::ConnectStarted(_) | State::ConnectEnded(_)) {
            return Err(ErrorCode::NotInProgress);
        }
        if self.poll_connect(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Err(ErrorCode::WouldBlock);
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::ConnectEnded(ended) => Ok(self.connected(ended?)),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    pub(super) fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::ConnectStarted(connecting) = &mut self.state {
            let ended = ready!(connecting.as_mut().poll(cx));
            self.state = State::ConnectEnded(ended);
        }
        Poll::Ready(())
    }

    fn connected(&mut self, stream: Stream) -> (Reader, Writer) {
        let (local, remote) = (stream.local_addr(), stream.peer_addr());
        let conn = Conn::new(stream, self.sandbox());
        let halves = conn.halves();
        self.state = State::Connected { conn, local, remote };
        halves
    }

    pub(super) fn accept(&mut self) -> Result<(Self, Reader, Writer), ErrorCode> {
        let terminating = self.sandbox().terminate.is_cancelled();
        let State::Listening(listening) = &mut self.state else { return Err(ErrorCode::InvalidState) };
        let stream = listening.take(terminating)?;
        self.incoming()?.socket(stream)
    }

    /// What the connections of this listener are made of.
    pub(super) fn incoming(&self) -> Result<Incoming, ErrorCode> {
        let State::Listening(listening) = &self.state else { return Err(ErrorCode::InvalidState) };
        Ok(Incoming {
            listener: Arc::clone(&listening.listener),
            family: self.family,
            options: Arc::clone(&self.options),
            counted: self.counted(),
        })
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, ErrorCode> {
        match &self.state {
            State::BindStarted(listener) | State::Bound(listener) | State::ListenStarted(listener) => {
                Ok(listener.local_addr())
            }
            State::Listening(listening) => Ok(listening.local),
            State::Connected { local, .. } => Ok(*local),
            State::Unbound | State::ConnectStarted(_) | State::ConnectEnded(_) | State::Closed => {
                Err(ErrorCode::InvalidState)
            }
        }
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, ErrorCode> {
        match &self.state {
            State::Connected { remote, .. } => Ok(*remote),
            _ => Err(ErrorCode::InvalidState),
        }
    }

    pub(super) fn is_unbound(&self) -> bool {
        matches!(self.state, State::Unbound)
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening(_))
    }

    /// The options, while they can be read and set.
    pub(super) fn options(&self) -> Result<MutexGuard<'_, Options>, ErrorCode> {
        match self.state {
            State::ConnectStarted(_) | State::ConnectEnded(_) | State::Closed => Err(ErrorCode::InvalidState),
            _ => Ok(self.options.lock()),
        }
    }

    /// The size is a hint, and this network has no use for it.
    pub(super) fn set_listen_backlog_size(&mut self, size: u64) -> Result<(), ErrorCode> {
        super::options::positive(size)?;
        match self.state {
            State::Unbound | State::BindStarted(_) | State::Bound(_) => Ok(()),
            State::ListenStarted(_) | State::Listening(_) => Err(ErrorCode::NotSupported),
            State::ConnectStarted(_) | State::ConnectEnded(_) | State::Connected { .. } | State::Closed => {
                Err(ErrorCode::InvalidState)
            }
        }
    }

    pub(super) fn shutdown(&mut self, which: ShutdownType) -> Result<(), ErrorCode> {
        let State::Connected { conn, .. } = &self.state else { return Err(ErrorCode::InvalidState) };
        if matches!(which, ShutdownType::Receive | ShutdownType::Both) {
            conn.shut_receiving();
        }
        if matches!(which, ShutdownType::Send | ShutdownType::Both) {
            conn.shut_sending();
        }
        Ok(())
    }
}

/// A listener's connections, and what they inherit.
pub(super) struct Incoming {
    pub(super) listener: SharedListener,
    family: Family,
    options: Arc<Mutex<Options>>,
    counted: Arc<Counted>,
}

impl Incoming {
    pub(super) fn sandbox(&self) -> &Arc<Sandbox> {
        &self.counted.sandbox
    }

    /// The socket of a connection that has come in.
    pub(super) fn socket(&self, stream: Stream) -> Result<(TcpSocket, Reader, Writer), ErrorCode> {
        let mut socket = TcpSocket::new(Counted::new(self.sandbox())?, self.family);
        socket.options = Arc::new(Mutex::new(self.options.lock().clone()));
        let (reader, writer) = socket.connected(stream);
        Ok((socket, reader, writer))
    }
}

impl Listening {
    /// The next connection. Once the container is to terminate: what is queued, then one error, then silence, so that
    /// a guest that ignores the error does not spin on it.
    fn take(&mut self, terminating: bool) -> Result<Stream, ErrorCode> {
        if let Some(accepted) = self.accepted.take() {
            return accepted.map_err(ErrorCode::from);
        }
        let mut open = self.listener.lock();
        let Some(listener) = &*open else { return Err(ErrorCode::WouldBlock) };
        match listener.accept().now_or_never() {
            Some(accepted) => accepted.map_err(ErrorCode::from),
            None if terminating => {
                *open = None;
                Err(ErrorCode::ConnectionAborted)
            }
            None => Err(ErrorCode::WouldBlock),
        }
    }

    async fn ready(&mut self, sandbox: &Sandbox) {
        if self.accepted.is_some() {
            return;
        }
        let listener = self.listener.lock().clone();
        match listener {
            Some(listener) => tokio::select! {
                biased;
                accepted = listener.accept() => self.accepted = Some(accepted),
                () = sandbox.terminate.cancelled() => {}
            },
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Pollable for TcpSocket {
    async fn ready(&mut self) {
        let sandbox = Arc::clone(self.sandbox());
        match &mut self.state {
            State::ConnectStarted(_) => std::future::poll_fn(|cx| self.poll_connect(cx)).await,
            State::Listening(listening) => listening.ready(&sandbox).await,
            State::Unbound
            | State::BindStarted(_)
            | State::Bound(_)
            | State::ListenStarted(_)
            | State::ConnectEnded(_)
            | State::Connected { .. }
            | State::Closed => {}
        }
    }
}
