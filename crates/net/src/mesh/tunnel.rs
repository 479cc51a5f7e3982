//! A stream between two nodes: over their own connection, or encrypted through a neighbour. It ends as TCP does.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use coracle_runtime::network::Connection;
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use super::connection::Live;

/// A stream of a connection, counted among those that keep it open.
pub(crate) struct QuicStream {
    send: SendStream,
    recv: RecvStream,
    live: Arc<Live>,
}

impl QuicStream {
    pub(super) fn new(live: &Arc<Live>, (send, recv): (SendStream, RecvStream)) -> Self {
        live.n_streams.send_modify(|n_streams| *n_streams += 1);
        Self { send, recv, live: live.clone() }
    }
}

impl Drop for QuicStream {
    /// What was written is still delivered, and the peer is told that nobody reads: quinn's own drops do both.
    fn drop(&mut self) {
        self.live.n_streams.send_modify(|n_streams| *n_streams -= 1);
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.recv.poll_read_buf(cx, buf).map_err(|error| match error {
            ReadError::Reset(_) | ReadError::ConnectionLost(_) => ErrorKind::ConnectionReset.into(),
            error => io::Error::new(ErrorKind::ConnectionAborted, error),
        })
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.send).poll_write(cx, buf).map_err(|error| match error {
            WriteError::Stopped(_) | WriteError::ClosedStream => ErrorKind::BrokenPipe.into(),
            WriteError::ConnectionLost(_) => ErrorKind::ConnectionReset.into(),
            error => io::Error::new(ErrorKind::ConnectionAborted, error),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It has been finished or reset already: that is as good.
        let _ = self.send.finish();
        Poll::Ready(Ok(()))
    }
}

/// A stream to another node.
pub(crate) enum Tunnel {
    Direct(QuicStream),
    Relayed(Secret),
}

/// The neighbour between sees only what is encrypted for the other end.
pub(crate) struct Secret(Box<TlsStream<QuicStream>>);

impl Tunnel {
    pub(super) fn relayed(tls: impl Into<TlsStream<QuicStream>>) -> Self {
        Self::Relayed(Secret(Box::new(tls.into())))
    }
}

impl Drop for Secret {
    /// Without a goodbye the other end takes the end of a TLS session for a reset.
    fn drop(&mut self) {
        let _ = Pin::new(&mut *self.0).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

macro_rules! each_way {
    ($self:ident, $stream:ident => $poll:expr) => {
        match &mut *$self {
            Tunnel::Direct($stream) => {
                let $stream = Pin::new($stream);
                $poll
            }
            Tunnel::Relayed($stream) => {
                let $stream = Pin::new(&mut *$stream.0);
                $poll
            }
        }
    };
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = each_way!(self, stream => stream.poll_read(cx, buf));
        polled.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => ErrorKind::ConnectionReset.into(),
            _ => error,
        })
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each_way!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each_way!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_way!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_way!(self, stream => stream.poll_shutdown(cx))
    }
}

/// A [`Tunnel`] under the addresses of its two ends.
pub(crate) struct Addressed {
    pub(super) tunnel: Tunnel,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

impl Connection for Addressed {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

crate::host::delegate_io!(Addressed, tunnel);
