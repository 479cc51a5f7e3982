//! Kernel sockets as connections: what leaves for the host's network, and what was accepted from it.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use coracle_runtime::network::{Connection, NetworkError, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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
        impl AsyncRead for $stream {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_read(cx, buf)
            }
        }

        impl AsyncWrite for $stream {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$field).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$field).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.$field.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_shutdown(cx)
            }
        }
    };
}

delegate_io!(HostStream, tcp);
delegate_io!(Carried, inner);
