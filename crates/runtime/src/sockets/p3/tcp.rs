//! A TCP socket of 0.3: one of 0.2 that keeps its connection's halves until the guest asks for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::streams::{Accepting, Received, Sent};
use crate::sockets::Counted;
use crate::sockets::address::Family;
use crate::sockets::bindings::wasi::sockets::network::ErrorCode;
use crate::sockets::conn::{Conn, Reader, Writer};
use crate::sockets::tcp;

/// A guest's TCP socket.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TcpSocket {
    pub(super) inner: tcp::TcpSocket,
    reader: Option<Reader>,
    writer: Option<Writer>,
}

impl TcpSocket {
    pub(super) fn new(counted: Counted, family: Family) -> Self {
        Self { inner: tcp::TcpSocket::new(counted, family), reader: None, writer: None }
    }

    pub(super) fn connected((inner, reader, writer): (tcp::TcpSocket, Reader, Writer)) -> Self {
        Self { inner, reader: Some(reader), writer: Some(writer) }
    }

    pub(super) fn bind(&mut self, local: SocketAddr) -> Result<(), ErrorCode> {
        self.inner.start_bind(local)?;
        self.inner.finish_bind()
    }

    pub(super) fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorCode>> {
        ready!(self.inner.poll_connect(cx));
        let (reader, writer) = self.inner.finish_connect()?;
        (self.reader, self.writer) = (Some(reader), Some(writer));
        Poll::Ready(Ok(()))
    }

    pub(super) fn listen(&mut self) -> Result<Accepting, ErrorCode> {
        if self.inner.is_unbound() {
            self.bind(self.inner.family().any())?;
        }
        self.inner.start_listen()?;
        self.inner.finish_listen()?;
        Ok(Accepting::new(self.inner.incoming()?))
    }

    /// Takes what sends, once.
    pub(super) fn send(&mut self) -> Result<(Sent, Arc<Conn>), ErrorCode> {
        let writer = self.writer.take().ok_or(ErrorCode::InvalidState)?;
        let conn = Arc::clone(writer.conn());
        Ok((Sent::new(writer, self.inner.counted()), conn))
    }

    /// Takes what receives, once.
    pub(super) fn receive(&mut self) -> Result<Received, ErrorCode> {
        let reader = self.reader.take().ok_or(ErrorCode::InvalidState)?;
        Ok(Received::new(reader, self.inner.counted()))
    }
}
