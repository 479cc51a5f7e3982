//! A guest's standard streams. They never block a thread, and reach nothing of the host's own.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use coracle_stdx::CancellationToken;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use crate::container::{Output, StdStream};
use crate::pipe::Pipe;

/// What a guest may write at a time.
const WRITE_MAX: usize = 64 << 10;

/// Hands what a guest writes to the container's output.
#[derive(Clone)]
pub(crate) struct Writer {
    output: Arc<dyn Output>,
    stream: StdStream,
    is_terminal: bool,
}

impl Writer {
    pub(crate) fn new(output: &Arc<dyn Output>, stream: StdStream, is_terminal: bool) -> Self {
        Self { output: Arc::clone(output), stream, is_terminal }
    }
}

impl IsTerminal for Writer {
    fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

impl StdoutStream for Writer {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        poll_fn(|cx| self.output.poll_ready(self.stream, cx)).await;
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !bytes.is_empty() {
            self.output.write(self.stream, bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let has_room = self.output.poll_ready(self.stream, &mut Context::from_waker(Waker::noop())).is_ready();
        Ok(if has_room { WRITE_MAX } else { 0 })
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.output.poll_ready(self.stream, cx));
        let n = bytes.len().min(WRITE_MAX);
        if n > 0 {
            self.output.write(self.stream, Bytes::copy_from_slice(&bytes[..n]));
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A standard input without a byte, that ends when the container is told to terminate.
pub(crate) struct Silent(CancellationToken);

struct SilentStream(Pin<Box<WaitForCancellationFutureOwned>>);

impl Silent {
    pub(crate) fn until(token: &CancellationToken) -> Self {
        Self(token.clone())
    }
}

impl IsTerminal for Silent {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Silent {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(SilentStream(Box::pin(self.0.clone().cancelled_owned())))
    }
}

impl AsyncRead for SilentStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, _buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

/// A standard input that somebody writes into. All of a guest's handles share it.
#[derive(Clone)]
pub(crate) struct Piped {
    pipe: Arc<Pipe>,
    is_terminal: bool,
}

impl Piped {
    pub(crate) fn new(pipe: &Arc<Pipe>, is_terminal: bool) -> Self {
        Self { pipe: Arc::clone(pipe), is_terminal }
    }
}

impl IsTerminal for Piped {
    fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

impl StdinStream for Piped {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Piped {
    async fn ready(&mut self) {
        self.pipe.readable().await;
    }
}

#[async_trait]
impl InputStream for Piped {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.pipe.try_read(size).ok_or(StreamError::Closed)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.pipe.read(size).await.ok_or(StreamError::Closed)
    }
}

impl AsyncRead for Piped {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(bytes) = ready!(self.pipe.poll_read(buf.remaining(), cx)) {
            buf.put_slice(&bytes);
        }
        Poll::Ready(Ok(()))
    }
}
