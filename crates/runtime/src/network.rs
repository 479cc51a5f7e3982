//! The one interface between a guest's sockets and whatever carries them. It knows addresses and streams, and neither
//! pods nor services.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

mod queued;

pub use queued::{Account, Queued};

/// A connected byte stream. Shutting down its write side is a half-close; dropping it closes it.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {
    fn local_addr(&self) -> SocketAddr;
    fn peer_addr(&self) -> SocketAddr;
    /// From now on, what was written here and waits in this process's memory counts against `account`.
    fn charge_to(&mut self, _account: Account) {}
}

/// A connected byte stream of any origin: in memory, a kernel socket handed over, or a stream from another node.
pub type Stream = Box<dyn Connection>;

/// A listening TCP socket. Dropping it stops accepting and refuses what is still queued.
#[async_trait]
pub trait Listener: Send + Sync {
    fn local_addr(&self) -> SocketAddr;
    /// The next connection. Cancel-safe.
    async fn accept(&self) -> Result<Stream, NetworkError>;
}

/// A bound UDP socket.
#[async_trait]
pub trait Datagrams: Send + Sync {
    fn local_addr(&self) -> SocketAddr;
    /// Sends one datagram, or loses it silently as UDP may. `ConnectionRefused` is no failure, but the news that nobody
    /// is bound there.
    async fn send_to(&self, payload: Bytes, to: SocketAddr) -> Result<(), NetworkError>;
    /// The next datagram and its sender. Cancel-safe.
    async fn recv_from(&self) -> Result<(Bytes, SocketAddr), NetworkError>;
    /// From now on, datagrams that wait here count against `account`.
    fn charge_to(&self, _account: Account) {}
}

/// A pod's view of the network. Every container of a pod shares one.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// The pod's own addresses, without loopback.
    fn addresses(&self) -> Vec<IpAddr>;
    /// Listens on `local`. Port 0 chooses one; an unspecified address means all of the pod's, loopback included.
    fn listen(&self, local: SocketAddr, backlog: usize) -> Result<Box<dyn Listener>, NetworkError>;
    /// Connects to `remote`, from `local` when given.
    async fn connect(&self, local: Option<SocketAddr>, remote: SocketAddr) -> Result<Stream, NetworkError>;
    /// Binds a UDP socket. Port 0 chooses one.
    fn bind_udp(&self, local: SocketAddr) -> Result<Arc<dyn Datagrams>, NetworkError>;
    /// The addresses of `name`, in order of preference; literal addresses answer themselves.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, NetworkError>;
}

/// What can go wrong, in the words of `wasi:sockets/network.error-code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NetworkError {
    #[error("access denied")]
    AccessDenied,
    #[error("address in use")]
    AddressInUse,
    #[error("address not bindable")]
    AddressNotBindable,
    #[error("connection refused")]
    ConnectionRefused,
    #[error("connection reset")]
    ConnectionReset,
    #[error("connection aborted")]
    ConnectionAborted,
    #[error("remote unreachable")]
    RemoteUnreachable,
    #[error("timed out")]
    Timeout,
    #[error("datagram too large")]
    DatagramTooLarge,
    #[error("name does not resolve")]
    NameUnresolvable,
    #[error("name server is unavailable")]
    TemporaryResolverFailure,
    #[error("too many sockets")]
    NewSocketLimit,
    #[error("not supported")]
    NotSupported,
    #[error("invalid argument")]
    InvalidArgument,
}
