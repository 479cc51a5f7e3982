//! A bounded queue of bytes between a guest's standard stream and whoever is at its other end. It never waits by itself:
//! both ends are polled.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

/// Bytes that wait in a pipe before its writer is held up. One write may go beyond.
pub const PIPE_BYTES_MAX: usize = 64 << 10;

/// A pipe. Any number may write to it and read from it; what one of them reads, no other sees.
#[derive(Debug, Default)]
pub struct Pipe(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    chunks: VecDeque<Bytes>,
    n_bytes: usize,
    /// Nothing more is written.
    is_ended: bool,
    /// Nothing more is read.
    is_broken: bool,
    /// Everybody who waits for a change, each task once.
    waiting: Vec<Waker>,
}

/// Nobody reads what is written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broken pipe")]
pub struct Broken;

impl Pipe {
    /// Adds `bytes`, also when the pipe is full: ask [`Pipe::poll_writable`] first.
    pub fn push(&self, bytes: Bytes) -> Result<(), Broken> {
        let mut inner = self.0.lock();
        if inner.is_broken || inner.is_ended {
            return Err(Broken);
        }
        if !bytes.is_empty() {
            inner.n_bytes += bytes.len();
            inner.chunks.push_back(bytes);
            inner.wake();
        }
        Ok(())
    }

    /// Ready when there is room, or nobody to make any.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.lock();
        if inner.n_bytes < PIPE_BYTES_MAX || inner.is_broken || inner.is_ended {
            return Poll::Ready(());
        }
        inner.wait(cx)
    }

    /// Adds `bytes` once there is room.
    pub async fn write(&self, bytes: Bytes) -> Result<(), Broken> {
        poll_fn(|cx| self.poll_writable(cx)).await;
        self.push(bytes)
    }

    /// Up to `max` bytes; `None` at the end.
    pub fn poll_read(&self, max: usize, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.try_read(max) {
            Some(bytes) if bytes.is_empty() => self.0.lock().wait_unless_readable(cx),
            read => Poll::Ready(read),
        }
    }

    /// Up to `max` bytes that are there now, which may be none; `None` at the end.
    pub fn try_read(&self, max: usize) -> Option<Bytes> {
        let mut inner = self.0.lock();
        let Some(mut chunk) = inner.chunks.pop_front() else {
            return if inner.is_ended || inner.is_broken { None } else { Some(Bytes::new()) };
        };
        let read = chunk.split_to(max.min(chunk.len()));
        if !chunk.is_empty() {
            inner.chunks.push_front(chunk);
        }
        inner.n_bytes -= read.len();
        inner.wake();
        Some(read)
    }

    /// The next bytes; `None` at the end.
    pub async fn read(&self, max: usize) -> Option<Bytes> {
        loop {
            match poll_fn(|cx| self.poll_read(max, cx)).await {
                // Another reader was quicker.
                Some(bytes) if bytes.is_empty() && max > 0 => {}
                read => return read,
            }
        }
    }

    /// Returns when there is something to read, be it the end.
    pub async fn readable(&self) {
        poll_fn(|cx| self.0.lock().wait_unless_readable(cx).map(drop)).await;
    }

    /// The writer is done: readers find what is left, and then the end.
    pub fn end(&self) {
        let mut inner = self.0.lock();
        inner.is_ended = true;
        inner.wake();
    }

    /// The reader is done: what is left is dropped, and writers are told.
    pub fn hang_up(&self) {
        let mut inner = self.0.lock();
        inner.is_broken = true;
        inner.chunks.clear();
        inner.n_bytes = 0;
        inner.wake();
    }

    /// True when writing is in vain.
    pub fn is_broken(&self) -> bool {
        self.0.lock().is_broken
    }
}

impl Inner {
    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Ready, with no bytes, when reading would find something.
    fn wait_unless_readable(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.chunks.is_empty() || self.is_ended || self.is_broken {
            return Poll::Ready(Some(Bytes::new()));
        }
        self.wait(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_in_order_until_the_end() {
        let pipe = Pipe::default();
        pipe.write("hello ".into()).await.unwrap();
        pipe.write("world".into()).await.unwrap();
        assert_eq!(pipe.read(3).await.unwrap(), "hel");
        assert_eq!(pipe.read(99).await.unwrap(), "lo ");
        pipe.end();
        assert_eq!(pipe.read(99).await.unwrap(), "world");
        assert_eq!(pipe.read(99).await, None);
        assert_eq!(pipe.push("more".into()), Err(Broken));
    }

    #[tokio::test]
    async fn a_full_pipe_holds_up_its_writer_until_somebody_reads() {
        let pipe = Arc::new(Pipe::default());
        pipe.write(vec![0; PIPE_BYTES_MAX].into()).await.unwrap();
        let mut write = Box::pin(pipe.write("x".into()));
        assert!(futures::poll!(&mut write).is_pending());
        assert_eq!(pipe.read(1).await.unwrap().len(), 1);
        write.await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_is_told_of_the_end_and_of_a_reader_that_left() {
        let pipe = Pipe::default();
        let mut read = Box::pin(pipe.read(1));
        assert!(futures::poll!(&mut read).is_pending());
        pipe.end();
        assert_eq!(read.await, None);
        let pipe = Pipe::default();
        pipe.push(vec![0; PIPE_BYTES_MAX].into()).unwrap();
        let mut write = Box::pin(pipe.write("x".into()));
        assert!(futures::poll!(&mut write).is_pending());
        pipe.hang_up();
        assert_eq!(write.await, Err(Broken));
    }
}
