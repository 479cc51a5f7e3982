//! What the guest writes, on its way to the agent: at once where there is room, else from a queue.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::container::{Output, StdStream};
use crate::isolated::channel::Packets;

/// What goes in one packet.
pub(in crate::isolated) const OUT_MAX: usize = 32 << 10;
/// A packet begins with its stream.
pub(in crate::isolated) const STDOUT: u8 = 1;
pub(in crate::isolated) const STDERR: u8 = 2;
/// Bytes in the queue from which on the guest is held up.
const QUEUE_BYTES_MAX: usize = 64 << 10;

pub(super) struct Outlet {
    packets: Packets,
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct Queue {
    packets: VecDeque<(u8, Bytes)>,
    n_bytes: usize,
    waiting: Vec<Waker>,
}

impl Outlet {
    pub(super) fn new(packets: Packets) -> Self {
        Self { packets, queue: Mutex::default(), filled: Notify::new(), emptied: Notify::new() }
    }

    /// Sends what is queued, for ever.
    pub(super) async fn drain(&self) -> io::Error {
        loop {
            let first = self.queue.lock().packets.front().cloned();
            let Some((stream, bytes)) = first else {
                self.filled.notified().await;
                continue;
            };
            if let Err(error) = self.packets.send(&[IoSlice::new(&[stream]), IoSlice::new(&bytes)]).await {
                return error;
            }
            let mut queue = self.queue.lock();
            queue.packets.pop_front();
            queue.n_bytes -= bytes.len();
            queue.waiting.drain(..).for_each(Waker::wake);
            if queue.packets.is_empty() {
                self.emptied.notify_waiters();
            }
        }
    }

    /// Returns when nothing is queued.
    pub(super) async fn flushed(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.queue.lock().packets.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

impl Output for Outlet {
    fn write(&self, stream: StdStream, bytes: Bytes) {
        let stream = match stream {
            StdStream::Stdout => STDOUT,
            StdStream::Stderr => STDERR,
        };
        let mut queue = self.queue.lock();
        for start in (0..bytes.len()).step_by(OUT_MAX) {
            let packet = bytes.slice(start..bytes.len().min(start + OUT_MAX));
            let sent = queue.packets.is_empty()
                && self.packets.try_send(&[IoSlice::new(&[stream]), IoSlice::new(&packet)]).is_ok();
            if !sent {
                queue.n_bytes += packet.len();
                queue.packets.push_back((stream, packet));
                self.filled.notify_one();
            }
        }
    }

    fn poll_ready(&self, _stream: StdStream, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        if queue.n_bytes < QUEUE_BYTES_MAX {
            return Poll::Ready(());
        }
        if !queue.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            queue.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
