//! A connected stream as a guest sees it: two halves that never block, and whose writes leave even when the guest
//! does not wait for them.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use tokio::sync::Notify;
use tokio_util::io::poll_read_buf;
use wasmtime_wasi::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use super::bindings::wasi::sockets::network::ErrorCode;
use crate::limits::Held;
use crate::network::{Account, Stream};
use crate::sandbox::Sandbox;

/// What is read or written at a time.
const CHUNK_MAX: usize = 64 << 10;
/// What may be written at a time where the container's memory has no room for more: it is paid for with the socket.
const CHUNK_MIN: usize = 4 << 10;
/// What is read ahead while a guest only waits for something to read.
const READ_AHEAD: usize = 16 << 10;

/// One connection, shared by its halves.
pub(crate) struct Conn {
    state: Mutex<State>,
    /// Tells the writer that everything has left.
    written: Notify,
    sandbox: Arc<Sandbox>,
}

struct State {
    stream: Stream,
    /// What the guest wrote and the stream has not taken yet.
    pending: Bytes,
    /// Counts `pending` while a task carries on with it.
    held: Option<Held>,
    sending: Sending,
    /// A task of its own carries on with `pending`.
    is_driven: bool,
    /// Who waits for that task to be done.
    blocked: Option<Waker>,
    receives: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Open,
    /// Closes once everything has left.
    Closing,
    Closed,
    /// The other side takes no more.
    Broken,
    Failed(ErrorCode),
}

/// Why a connection takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    Broken,
    Failed(ErrorCode),
}

/// What a guest reads from.
pub(crate) struct Reader {
    conn: Arc<Conn>,
    ahead: BytesMut,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Eof,
    Failed(ErrorCode),
}

/// What a guest writes to. Dropping it closes its direction.
pub(crate) struct Writer {
    conn: Arc<Conn>,
}

impl Conn {
    pub(crate) fn new(mut stream: Stream, sandbox: &Arc<Sandbox>) -> Arc<Self> {
        stream.charge_to(Account(Arc::clone(&sandbox.memory)));
        let state = State {
            stream,
            pending: Bytes::new(),
            held: None,
            sending: Sending::Open,
            is_driven: false,
            blocked: None,
            receives: true,
        };
        Arc::new(Self { state: Mutex::new(state), written: Notify::new(), sandbox: Arc::clone(sandbox) })
    }

    /// Both halves, once.
    pub(crate) fn halves(self: &Arc<Self>) -> (Reader, Writer) {
        let reader = Reader { conn: Arc::clone(self), ahead: BytesMut::new(), end: None };
        (reader, Writer { conn: Arc::clone(self) })
    }

    pub(crate) fn shut_receiving(&self) {
        self.state.lock().receives = false;
    }

    pub(crate) fn shut_sending(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.sending == Sending::Open {
            state.sending = Sending::Closing;
            self.advance(&mut state);
        }
    }

    /// Sends what can be sent now, and leaves the rest to a task.
    fn advance(self: &Arc<Self>, state: &mut State) {
        if state.is_driven || state.poll_send(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        state.is_driven = true;
        state.held = Some(Held::anyway(&self.sandbox.memory, state.pending.len() as u64));
        self.sandbox.draining.send_modify(|n| *n += 1);
        let conn = Arc::clone(self);
        self.sandbox.tasks.spawn(async move {
            std::future::poll_fn(|cx| conn.poll_driven(cx)).await;
            conn.written.notify_waiters();
            conn.sandbox.draining.send_modify(|n| *n -= 1);
        });
    }

    fn poll_driven(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        ready!(state.poll_send(cx));
        state.is_driven = false;
        state.held = None;
        if let Some(blocked) = state.blocked.take() {
            blocked.wake();
        }
        Poll::Ready(())
    }

    /// What may be written at a time.
    fn permitted(&self) -> usize {
        if self.sandbox.memory.has_room(CHUNK_MAX as u64) { CHUNK_MAX } else { CHUNK_MIN }
    }

    /// Waits until what was written has left, or cannot.
    pub(crate) async fn sent(&self) -> Result<(), SendError> {
        self.idle().await;
        match self.state.lock().sending {
            Sending::Open | Sending::Closing | Sending::Closed => Ok(()),
            Sending::Broken => Err(SendError::Broken),
            Sending::Failed(code) => Err(SendError::Failed(code)),
        }
    }

    /// Waits until no task carries on with what was written.
    async fn idle(&self) {
        loop {
            let mut written = pin!(self.written.notified());
            // From here on no notification is missed.
            written.as_mut().enable();
            if !self.state.lock().is_driven {
                return;
            }
            written.await;
        }
    }
}

impl State {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sent = ready!(self.poll_flush_and_close(cx));
        if let Err(error) = sent {
            self.pending.clear();
            self.sending = match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero => Sending::Broken,
                _ => Sending::Failed(code_of(&error)),
            };
        }
        Poll::Ready(())
    }

    fn poll_flush_and_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(n);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.sending == Sending::Closing {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.sending = Sending::Closed;
        }
        Poll::Ready(Ok(()))
    }
}

impl Reader {
    fn poll_fill(&mut self, cx: &mut Context<'_>, size: usize) -> Poll<()> {
        let mut state = self.conn.state.lock();
        if !state.receives {
            self.ahead.clear();
            self.end = Some(End::Eof);
        }
        if !self.ahead.is_empty() || self.end.is_some() {
            return Poll::Ready(());
        }
        self.ahead.reserve(size);
        let mut limited = bytes::BufMut::limit(&mut self.ahead, size);
        self.end = match ready!(poll_read_buf(Pin::new(&mut state.stream), cx, &mut limited)) {
            Ok(0) => Some(End::Eof),
            Ok(_) => None,
            Err(error) => Some(End::Failed(code_of(&error))),
        };
        Poll::Ready(())
    }
}

impl Reader {
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_fill(cx, READ_AHEAD)
    }

    /// Reads what is there into `buf`; nothing when the other side has closed.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, ErrorCode>> {
        ready!(self.poll_fill(cx, buf.len().min(CHUNK_MAX)));
        let n = buf.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut buf[..n]);
        match self.end {
            Some(End::Failed(code)) if n == 0 => Poll::Ready(Err(code)),
            _ => Poll::Ready(Ok(n)),
        }
    }

    /// What comes from now on is not wanted.
    pub(crate) fn shut(&self) {
        self.conn.shut_receiving();
    }
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        // Reading nothing still finds out that there is an end.
        let size = size.min(CHUNK_MAX);
        let wanted = if size == 0 { READ_AHEAD } else { size };
        let _ = self.poll_fill(&mut Context::from_waker(Waker::noop()), wanted);
        if !self.ahead.is_empty() {
            let n = size.min(self.ahead.len());
            return Ok(self.ahead.split_to(n).freeze());
        }
        match self.end {
            None => Ok(Bytes::new()),
            Some(End::Eof) => Err(StreamError::Closed),
            Some(End::Failed(code)) => {
                self.end = Some(End::Eof);
                Err(StreamError::LastOperationFailed(code.into()))
            }
        }
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_fill(cx, READ_AHEAD)).await;
    }
}

impl Writer {
    pub(crate) fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }

    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.conn.state.lock();
        if state.is_driven {
            state.blocked = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Takes some of `buf`, which is not empty; nothing when the connection takes no more.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<usize> {
        ready!(self.poll_writable(cx));
        let mut state = self.conn.state.lock();
        if state.sending != Sending::Open {
            return Poll::Ready(0);
        }
        let n = buf.len().min(self.conn.permitted());
        state.pending = Bytes::copy_from_slice(&buf[..n]);
        self.conn.advance(&mut state);
        Poll::Ready(n)
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut state = self.conn.state.lock();
        state.may_write()?;
        if state.is_driven || bytes.len() > CHUNK_MAX {
            return Err(StreamError::trap("wrote more than was permitted"));
        }
        state.pending = bytes;
        self.conn.advance(&mut state);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.conn.state.lock().may_write()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let state = self.conn.state.lock();
        state.may_write()?;
        Ok(if state.is_driven { 0 } else { self.conn.permitted() })
    }
}

impl State {
    fn may_write(&self) -> StreamResult<()> {
        match self.sending {
            Sending::Open => Ok(()),
            Sending::Closing | Sending::Closed | Sending::Broken => Err(StreamError::Closed),
            Sending::Failed(code) => Err(StreamError::LastOperationFailed(code.into())),
        }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        self.conn.idle().await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.conn.shut_sending();
    }
}

fn code_of(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            ErrorCode::ConnectionReset
        }
        io::ErrorKind::ConnectionAborted => ErrorCode::ConnectionAborted,
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        io::ErrorKind::TimedOut => ErrorCode::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            ErrorCode::RemoteUnreachable
        }
        io::ErrorKind::PermissionDenied => ErrorCode::AccessDenied,
        _ => ErrorCode::Unknown,
    }
}
