//! A connected pair of in-memory streams with TCP's ways of ending: half-close, close, and reset.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use coracle_runtime::network::{Account, Connection, Queued};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pod::Ticket;
use crate::services::Outstanding;

/// What one direction holds before its writer waits.
const BUFFER_MAX: usize = 128 * 1024;
/// A waiting writer is woken when no more than this is left to read, so that it does not wake for every few bytes.
const REFILL_BELOW: usize = BUFFER_MAX / 2;

/// Two connected ends. `a` calls itself `a_address`; `b` calls itself `b_address`, and each the other likewise.
pub fn pipe(a_address: SocketAddr, b_address: SocketAddr) -> (End, End) {
    let pipe = Arc::new(Pipe::default());
    let a = End::new(pipe.clone(), Side::A, a_address, b_address);
    let b = End::new(pipe, Side::B, b_address, a_address);
    (a, b)
}

#[derive(Clone, Copy, Debug)]
enum Side {
    A,
    B,
}

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    from_a: Mutex<Direction>,
    from_b: Mutex<Direction>,
}

impl Pipe {
    /// Resets the connection, as the network does when one of the two hosts is gone.
    pub(crate) fn reset(&self) {
        for direction in [&self.from_a, &self.from_b] {
            let wakers = {
                let mut direction = direction.lock();
                direction.ended = Some(Ended::Reset);
                [direction.reader.take(), direction.writer.take()]
            };
            wake(wakers);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Finished,
    Reset,
}

#[derive(Debug, Default)]
struct Direction {
    buffer: VecDeque<u8>,
    queued: Queued,
    ended: Option<Ended>,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn poll_read(&mut self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Option<Waker>>> {
        if !self.buffer.is_empty() {
            let (front, back) = self.buffer.as_slices();
            let n_front = front.len().min(buf.remaining());
            buf.put_slice(&front[..n_front]);
            let n_back = back.len().min(buf.remaining());
            buf.put_slice(&back[..n_back]);
            self.buffer.drain(..n_front + n_back);
            self.queued.shrink(self.buffer.len());
            let refill = self.buffer.len() <= REFILL_BELOW;
            return Poll::Ready(Ok(if refill { self.writer.take() } else { None }));
        }
        match self.ended {
            Some(Ended::Finished) => Poll::Ready(Ok(None)),
            Some(Ended::Reset) => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            None => {
                wait(&mut self.reader, cx);
                Poll::Pending
            }
        }
    }

    fn poll_write(&mut self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<(usize, Option<Waker>)>> {
        match self.ended {
            Some(Ended::Finished) => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            Some(Ended::Reset) => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            None if self.reader_gone => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            None => {}
        }
        let n_offered: usize = bufs.iter().map(|buf| buf.len()).sum();
        let wanted = (self.buffer.len() + n_offered).min(BUFFER_MAX);
        let room = self.queued.grow(wanted).saturating_sub(self.buffer.len());
        if room == 0 && n_offered > 0 {
            wait(&mut self.writer, cx);
            return Poll::Pending;
        }
        let mut n_written = 0;
        for buf in bufs {
            let n = buf.len().min(room - n_written);
            self.buffer.extend(&buf[..n]);
            n_written += n;
        }
        Poll::Ready(Ok((n_written, self.reader.take())))
    }

    fn end(&mut self, how: Ended) -> Option<Waker> {
        if self.ended.is_none() {
            self.ended = Some(how);
        }
        self.reader.take()
    }

    /// The reader is gone. Says whether it left anything unread.
    fn abandon(&mut self) -> (bool, Option<Waker>) {
        self.reader_gone = true;
        let unread = !std::mem::take(&mut self.buffer).is_empty();
        self.queued.shrink(0);
        (unread, self.writer.take())
    }
}

fn wait(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn wake(wakers: impl IntoIterator<Item = Option<Waker>>) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// One end of a [`pipe`]. Dropping it closes the connection; dropping it with bytes unread resets it.
#[derive(Debug)]
pub struct End {
    pipe: Arc<Pipe>,
    side: Side,
    local: SocketAddr,
    peer: SocketAddr,
    ticket: Option<Ticket>,
    outstanding: Option<Outstanding>,
}

impl End {
    fn new(pipe: Arc<Pipe>, side: Side, local: SocketAddr, peer: SocketAddr) -> Self {
        Self { pipe, side, local, peer, ticket: None, outstanding: None }
    }

    /// Counts this end among the pod's sockets for as long as it lives; the pod's removal resets it.
    pub(crate) fn owned_by(mut self, ticket: Ticket) -> Self {
        ticket.resets(&self.pipe);
        self.ticket = Some(ticket);
        self
    }

    pub(crate) fn shown_as(mut self, peer: SocketAddr) -> Self {
        self.peer = peer;
        self
    }

    pub(crate) fn holding(mut self, outstanding: Option<Outstanding>) -> Self {
        self.outstanding = outstanding;
        self
    }

    pub(crate) fn pipe(&self) -> Arc<Pipe> {
        self.pipe.clone()
    }

    fn incoming(&self) -> &Mutex<Direction> {
        match self.side {
            Side::A => &self.pipe.from_b,
            Side::B => &self.pipe.from_a,
        }
    }

    fn outgoing(&self) -> &Mutex<Direction> {
        match self.side {
            Side::A => &self.pipe.from_a,
            Side::B => &self.pipe.from_b,
        }
    }

    fn poll_write_all(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = self.outgoing().lock().poll_write(cx, bufs);
        polled.map_ok(|(n_written, waker)| {
            wake([waker]);
            n_written
        })
    }
}

impl Connection for End {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn charge_to(&mut self, account: Account) {
        self.outgoing().lock().queued.charge_to(account);
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = self.incoming().lock().poll_read(cx, buf);
        polled.map_ok(|waker| wake([waker]))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_all(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_all(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waker = self.outgoing().lock().end(Ended::Finished);
        wake([waker]);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let (unread, writer) = self.incoming().lock().abandon();
        let how = if unread { Ended::Reset } else { Ended::Finished };
        let reader = self.outgoing().lock().end(how);
        wake([writer, reader]);
    }
}
