//! The kernel's socket between nodes, and the timers of connections, as quinn sees them. Both leave tokio alone where
//! nothing has come and nothing is due.

use std::future::Future;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Sleep, sleep_until};

/// A UDP socket that tokio watches for what comes only: the kernel would tell of every datagram that has left.
#[derive(Debug)]
pub(super) struct Socket {
    io: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    /// Nothing more can be sent for now.
    is_full: AtomicBool,
}

impl Socket {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { io: watched(socket, Interest::READABLE)?, state, is_full: AtomicBool::new(false) })
    }

    /// Returns once there is room again. Rare enough to be watched for anew each time.
    async fn writable(self: Arc<Self>) -> io::Result<()> {
        let again = watched(self.io.get_ref().try_clone()?, Interest::WRITABLE)?;
        again.writable().await?.retain_ready();
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that lie about their descriptor; std's socket does not"
)]
fn watched(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.io.get_ref().into(), transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            self.is_full.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut readable = ready!(self.io.poll_read_ready(cx))?;
            match self.state.recv(self.io.get_ref().into(), bufs, meta) {
                Ok(n_received) => {
                    // Where the kernel could have given more, it has none; it tells of what comes from here on.
                    if cfg!(target_os = "linux") && n_received < bufs.len() {
                        readable.clear_ready();
                    }
                    return Poll::Ready(Ok(n_received));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => readable.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits for room to send, for one connection.
struct Room {
    socket: Arc<Socket>,
    waiting: Option<Waiting>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl UdpPoller for Room {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let room = self.get_mut();
        if room.waiting.is_none() && !room.socket.is_full.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let socket = &room.socket;
        let waiting = room.waiting.get_or_insert_with(|| Box::pin(socket.clone().writable()));
        let waited = ready!(waiting.as_mut().poll(cx));
        room.waiting = None;
        room.socket.is_full.store(false, Ordering::Relaxed);
        Poll::Ready(waited)
    }
}

/// A timer that is put off with almost every packet: that costs nothing until the time it was set to first.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
}

impl Timer {
    pub(super) fn new(due: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(due.into())), due }
    }
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, due: Instant) {
        self.due = due;
        if due < self.sleep.deadline().into_std() {
            self.sleep.as_mut().reset(due.into());
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(Future::poll(self.sleep.as_mut(), cx));
            let due = self.due;
            if self.sleep.deadline().into_std() >= due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(due.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_rings_when_it_was_last_set_to() {
        let begun = tokio::time::Instant::now();
        let at = |ms: u64| (begun + Duration::from_millis(ms)).into_std();
        let mut timer = Box::pin(Timer::new(at(20)));
        for (settings, rings_at_ms) in [(&[30, 50][..], 50), (&[90, 60], 60), (&[70, 100, 80], 80)] {
            settings.iter().for_each(|ms| timer.as_mut().reset(at(*ms)));
            std::future::poll_fn(|cx| timer.as_mut().poll(cx)).await;
            assert_eq!(begun.elapsed().as_millis(), rings_at_ms);
        }
    }

    #[tokio::test]
    async fn whatever_comes_is_received() {
        let socket = || Socket::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let (from, to) = (socket(), socket());
        let destination = to.local_addr().unwrap();
        for round in 0..50_u8 {
            let n_sent = 1 + usize::from(round % 3);
            for _ in 0..n_sent {
                let contents = [round; 8];
                let transmit =
                    Transmit { destination, ecn: None, contents: &contents, segment_size: None, src_ip: None };
                from.try_send(&transmit).unwrap();
            }
            let mut n_received = 0;
            while n_received < n_sent {
                let (mut one, mut other) = ([0; 64], [0; 64]);
                let mut meta = [RecvMeta::default(); 2];
                let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
                let n = std::future::poll_fn(|cx| to.poll_recv(cx, &mut bufs, &mut meta)).await.unwrap();
                n_received += meta[..n].iter().map(|meta| meta.len / meta.stride).sum::<usize>();
                assert_eq!(one[..8], [round; 8]);
            }
        }
    }
}
