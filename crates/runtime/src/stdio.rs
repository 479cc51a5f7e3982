//! A guest's standard streams. They never block the guest, and reach nothing of the host's own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use coracle_stdx::CancellationToken;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamResult};

use crate::container::{Output, StdStream};

/// What a guest may write at a time.
const WRITE_MAX: usize = 64 << 10;

/// Hands what a guest writes to the container's output.
#[derive(Clone)]
pub(crate) struct Writer {
    output: Arc<dyn Output>,
    stream: StdStream,
}

impl Writer {
    pub(crate) fn new(output: &Arc<dyn Output>, stream: StdStream) -> Self {
        Self { output: Arc::clone(output), stream }
    }
}

impl IsTerminal for Writer {
    fn is_terminal(&self) -> bool {
        false
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
    async fn ready(&mut self) {}
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
        Ok(WRITE_MAX)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
