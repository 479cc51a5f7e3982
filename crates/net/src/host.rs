//! Kernel sockets as connections: what leaves for the host's network, and what was accepted from it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use coracle_runtime::network::{Connection, NetworkError, Stream};
use tokio::net::TcpStream;

use crate::pod::Ticket;
use crate::services::Outstanding;

/// How long the host's network may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A kernel socket as a [`Connection`].
#[derive(Debug)]
pub struct HostStream {
    tcp: TcpStream,
    local: SocketAddr,
    peer: SocketAddr,
}

impl HostStream {
    /// Takes a connected socket. Small writes leave at once.
    pub fn new(tcp: TcpStream) -> io::Result<Self> {
        let (local, peer) = (tcp.local_addr()?, tcp.peer_addr()?);
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, local, peer })
    }
}

/// Connects over the host's network. The caller has asked its policy, except for what only the kernel knows: whether
/// `remote` is the host itself, which only `to_host` allows.
pub(crate) async fn connect(remote: SocketAddr, to_host: bool) -> Result<HostStream, NetworkError> {
    if !to_host && is_own_address(remote.ip()) {
        return Err(NetworkError::AccessDenied);
    }
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(remote)).await;
    let tcp = connected.map_err(|_| NetworkError::Timeout)?.map_err(|error| from_io(&error))?;
    HostStream::new(tcp).map_err(|error| from_io(&error))
}

/// Whether `ip` is one of this host's addresses: only those can be bound.
pub(crate) fn is_own_address(ip: IpAddr) -> bool {
    std::net::UdpSocket::bind((ip, 0)).is_ok()
}

pub(crate) fn from_io(error: &io::Error) -> NetworkError {
    match error.kind() {
        ErrorKind::ConnectionRefused => NetworkError::ConnectionRefused,
        ErrorKind::ConnectionReset => NetworkError::ConnectionReset,
        ErrorKind::ConnectionAborted => NetworkError::ConnectionAborted,
        ErrorKind::TimedOut => NetworkError::Timeout,
        ErrorKind::PermissionDenied => NetworkError::AccessDenied,
        ErrorKind::AddrInUse => NetworkError::AddressInUse,
        ErrorKind::InvalidInput => NetworkError::InvalidArgument,
        _ => NetworkError::RemoteUnreachable,
    }
}

impl Connection for HostStream {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

/// A stream under the addresses that a pod sees, counted among the pod's sockets.
pub(crate) struct Carried {
    inner: Stream,
    local: SocketAddr,
    peer: SocketAddr,
    _ticket: Option<Ticket>,
    _outstanding: Option<Outstanding>,
}

impl std::fmt::Debug for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carried").field("local", &self.local).field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Carried {
    pub(crate) fn new(
        inner: Stream,
        [local, peer]: [SocketAddr; 2],
        ticket: Option<Ticket>,
        outstanding: Option<Outstanding>,
    ) -> Self {
        Self { inner, local, peer, _ticket: ticket, _outstanding: outstanding }
    }

    pub(crate) fn into_inner(self) -> Stream {
        self.inner
    }
}

impl Connection for Carried {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

macro_rules! delegate_io {
    ($stream:ty, $field:ident) => {
        impl tokio::io::AsyncRead for $stream {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut self.$field), cx, buf)
            }
        }

        impl tokio::io::AsyncWrite for $stream {
            fn poll_write(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                tokio::io::AsyncWrite::poll_write(std::pin::Pin::new(&mut self.$field), cx, buf)
            }

            fn poll_write_vectored(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                tokio::io::AsyncWrite::poll_write_vectored(std::pin::Pin::new(&mut self.$field), cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                tokio::io::AsyncWrite::is_write_vectored(&self.$field)
            }

            fn poll_flush(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                tokio::io::AsyncWrite::poll_flush(std::pin::Pin::new(&mut self.$field), cx)
            }

            fn poll_shutdown(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                tokio::io::AsyncWrite::poll_shutdown(std::pin::Pin::new(&mut self.$field), cx)
            }
        }
    };
}

pub(crate) use delegate_io;

delegate_io!(HostStream, tcp);
delegate_io!(Carried, inner);
