//! A UDP socket and its two streams of datagrams.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use wasmtime_wasi::async_trait;
use wasmtime_wasi_io::poll::Pollable;

use super::Counted;
use super::address::{self, Family};
use super::bindings::wasi::sockets::network::ErrorCode;
use super::options::Options;
use crate::limits::Held;
use crate::network::{Account, Datagrams, NetworkError};
use crate::sandbox::Sandbox;

/// The largest datagram that its length field can tell.
pub(super) const DATAGRAM_MAX: usize = u16::MAX as usize;
/// Datagrams per call.
pub(super) const BATCH_MAX: usize = 16;

/// A guest's UDP socket.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct UdpSocket {
    state: State,
    family: Family,
    remote: Option<SocketAddr>,
    pub(super) options: Options,
    counted: Counted,
}

enum State {
    Unbound,
    BindStarted(Arc<dyn Datagrams>),
    Bound(Arc<dyn Datagrams>),
}

impl UdpSocket {
    pub(super) fn new(counted: Counted, family: Family) -> Self {
        Self { state: State::Unbound, family, remote: None, options: Options::default(), counted }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn start_bind(&mut self, local: impl Into<SocketAddr>) -> Result<(), ErrorCode> {
        match self.state {
            State::BindStarted(_) => return Err(ErrorCode::ConcurrencyConflict),
            State::Bound(_) => return Err(ErrorCode::InvalidState),
            State::Unbound => {}
        }
        let local = self.family.local(local)?;
        let sandbox = &self.counted.sandbox;
        let datagrams = sandbox.spec.network.bind_udp(local)?;
        datagrams.charge_to(Account(Arc::clone(&sandbox.memory)));
        self.state = State::BindStarted(datagrams);
        Ok(())
    }

    pub(super) fn finish_bind(&mut self) -> Result<(), ErrorCode> {
        let State::BindStarted(datagrams) = &self.state else { return Err(ErrorCode::NotInProgress) };
        self.state = State::Bound(Arc::clone(datagrams));
        Ok(())
    }

    /// Streams from and to everybody, or `remote` alone.
    pub(super) fn streams(&mut self, remote: Option<impl Into<SocketAddr>>) -> Result<(Incoming, Outgoing), ErrorCode> {
        let State::Bound(_) = &self.state else { return Err(ErrorCode::InvalidState) };
        self.remote = remote.map(|remote| self.family.remote(remote)).transpose()?;
        let peer = self.peer()?;
        let incoming = Incoming { peer: Arc::clone(&peer), received: None };
        Ok((incoming, Outgoing { peer, n_permitted: 0, sending: None }))
    }

    /// Binds to any address, unless it is bound.
    pub(super) fn bind_any(&mut self) -> Result<(), ErrorCode> {
        if let State::Unbound = self.state {
            self.start_bind(self.family.any())?;
            self.finish_bind()?;
        }
        Ok(())
    }

    /// Sets the only one to talk to, or none.
    pub(super) fn connect(&mut self, remote: Option<SocketAddr>) -> Result<(), ErrorCode> {
        let remote = remote.map(|remote| self.family.remote(remote)).transpose()?;
        if remote.is_none() && self.remote.is_none() {
            return Err(ErrorCode::InvalidState);
        }
        self.bind_any()?;
        self.remote = remote;
        Ok(())
    }

    /// Whom it talks to, from here on.
    pub(super) fn peer(&self) -> Result<Arc<Peer>, ErrorCode> {
        let State::Bound(datagrams) = &self.state else { return Err(ErrorCode::InvalidState) };
        Ok(Arc::new(Peer {
            datagrams: Arc::clone(datagrams),
            family: self.family,
            remote: self.remote,
            refusal: Refusal::default(),
            sandbox: Arc::clone(&self.counted.sandbox),
        }))
    }

    /// Where a datagram would go.
    pub(super) fn destination(&self, to: Option<SocketAddr>) -> Result<SocketAddr, ErrorCode> {
        destination(self.family, self.remote, to)
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, ErrorCode> {
        match &self.state {
            State::BindStarted(datagrams) | State::Bound(datagrams) => {
                let own = self.counted.sandbox.spec.network.addresses();
                Ok(address::towards(datagrams.local_addr(), self.remote, &own))
            }
            State::Unbound => Err(ErrorCode::InvalidState),
        }
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, ErrorCode> {
        self.remote.ok_or(ErrorCode::InvalidState)
    }
}

#[async_trait]
impl Pollable for UdpSocket {
    async fn ready(&mut self) {}
}

/// What a connected socket's sender was told, for its receiver to hear.
#[derive(Default)]
struct Refusal {
    told: Mutex<Option<NetworkError>>,
    came: Notify,
}

impl Refusal {
    fn tell(&self, error: NetworkError) {
        *self.told.lock() = Some(error);
        self.came.notify_one();
    }

    async fn heard(&self) -> NetworkError {
        loop {
            let told = self.told.lock().take();
            match told {
                Some(error) => return error,
                None => self.came.notified().await,
            }
        }
    }
}

type Received = Result<(Bytes, SocketAddr), NetworkError>;

/// A bound socket and whom it talks to: everybody, or one.
pub(super) struct Peer {
    datagrams: Arc<dyn Datagrams>,
    family: Family,
    remote: Option<SocketAddr>,
    refusal: Refusal,
    sandbox: Arc<Sandbox>,
}

impl Peer {
    /// The next datagram that the guest has not closed itself to, or the refusal of one that it sent.
    pub(super) async fn receive(&self) -> Received {
        loop {
            let (payload, from) = tokio::select! {
                biased;
                error = self.refusal.heard() => return Err(error),
                received = self.datagrams.recv_from() => received?,
            };
            if self.remote.is_none_or(|remote| remote == from) {
                return Ok((payload, from));
            }
        }
    }

    /// Counts a datagram of so many bytes that waits outside of the guest and of the network.
    pub(super) fn hold(&self, n_bytes: usize) -> Held {
        Held::anyway(&self.sandbox.memory, n_bytes as u64)
    }

    pub(super) async fn send(&self, payload: Bytes, to: SocketAddr) -> Result<(), NetworkError> {
        match self.datagrams.send_to(payload, to).await {
            Err(NetworkError::ConnectionRefused) => {
                // It is learnt only after the datagram has left, and only a connected socket is told.
                if self.remote.is_some() {
                    self.refusal.tell(NetworkError::ConnectionRefused);
                }
                Ok(())
            }
            sent => sent,
        }
    }
}

fn destination(
    family: Family,
    remote: Option<SocketAddr>,
    to: Option<impl Into<SocketAddr>>,
) -> Result<SocketAddr, ErrorCode> {
    let to = to.map(|to| family.remote(to)).transpose()?;
    match (to, remote) {
        (Some(to), Some(remote)) if to != remote => Err(ErrorCode::InvalidArgument),
        (Some(to), _) => Ok(to),
        (None, Some(remote)) => Ok(remote),
        (None, None) => Err(ErrorCode::InvalidArgument),
    }
}

/// Datagrams from the network.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Incoming {
    peer: Arc<Peer>,
    /// What came while the guest was waiting for it.
    received: Option<(Received, Held)>,
}

impl Incoming {
    /// The next datagram, if it is there.
    pub(super) fn next(&mut self) -> Option<Received> {
        match self.received.take() {
            Some((received, _)) => Some(received),
            None => self.peer.receive().now_or_never(),
        }
    }
}

#[async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        if self.received.is_none() {
            let received = self.peer.receive().await;
            let n_bytes = received.as_ref().map_or(0, |(payload, _)| payload.len());
            self.received = Some((received, self.peer.hold(n_bytes)));
        }
    }
}

/// Datagrams to the network.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Outgoing {
    peer: Arc<Peer>,
    n_permitted: usize,
    /// How one went that the network did not take at once. A task of its own carries on with it: the guest may not ask.
    sending: Option<oneshot::Receiver<Result<(), NetworkError>>>,
}

impl Outgoing {
    /// How many datagrams may be sent now.
    pub(super) fn check(&mut self) -> Result<usize, ErrorCode> {
        self.n_permitted = match self.poll_sent(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => sent.map(|()| BATCH_MAX)?,
            Poll::Pending => 0,
        };
        Ok(self.n_permitted)
    }

    /// Takes back the permission for `n`, which a guest must have.
    pub(super) fn use_permission(&mut self, n: usize) -> bool {
        n <= std::mem::take(&mut self.n_permitted)
    }

    /// True when the datagram was taken; false when it must be offered again.
    pub(super) fn send(&mut self, payload: Vec<u8>, to: Option<impl Into<SocketAddr>>) -> Result<bool, ErrorCode> {
        if payload.len() > DATAGRAM_MAX {
            return Err(ErrorCode::DatagramTooLarge);
        }
        let to = destination(self.peer.family, self.peer.remote, to)?;
        if self.sending.is_some() {
            return Ok(false);
        }
        let (peer, n_bytes) = (Arc::clone(&self.peer), payload.len());
        let mut sending = Box::pin(async move { peer.send(payload.into(), to).await });
        match sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => sent.map(|()| true).map_err(ErrorCode::from),
            Poll::Pending => {
                self.carry_on(sending, n_bytes);
                Ok(true)
            }
        }
    }

    fn carry_on(&mut self, sending: impl Future<Output = Result<(), NetworkError>> + Send + 'static, n_bytes: usize) {
        let (tell, told) = oneshot::channel();
        let (sandbox, held) = (Arc::clone(&self.peer.sandbox), self.peer.hold(n_bytes));
        sandbox.draining.send_modify(|n| *n += 1);
        self.peer.sandbox.tasks.spawn(async move {
            let sent = sending.await;
            drop(held);
            // Nobody may want to know.
            let _ = tell.send(sent);
            sandbox.draining.send_modify(|n| *n -= 1);
        });
        self.sending = Some(told);
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorCode>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(Pin::new(sending).poll(cx));
        self.sending = None;
        // Without an answer, the container has ended.
        Poll::Ready(sent.unwrap_or(Ok(())).map_err(ErrorCode::from))
    }
}

#[async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        // A failure is the next sender's to hear of, as far as UDP tells at all.
        let _ = std::future::poll_fn(|cx| self.poll_sent(cx)).await;
    }
}
