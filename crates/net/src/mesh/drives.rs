//! Runs what quinn would have run in tasks of its own: the datagrams of a connection are taken where its packets are read,
//! and leave in the call that sends them. Each spares a task that would have to be woken first.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use bytes::Bytes;
use coracle_stdx::{CancellationToken, Scope};
use parking_lot::Mutex;
use quinn::{AsyncTimer, AsyncUdpSocket, Connection, Runtime, TokioRuntime};

use super::socket::{Socket, Timer};

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;
type Take = Box<dyn Fn(Bytes) + Send>;

/// What runs the connections of an endpoint, on tokio.
#[derive(Debug)]
pub(super) struct Drives {
    tasks: Mutex<Scope<Infallible>>,
    /// Held by whom quinn does a favour that it spawns for.
    turn: Mutex<()>,
    spawned: Mutex<Option<Arc<Drive>>>,
}

impl Drives {
    pub(super) fn new() -> Arc<Self> {
        let tasks = Mutex::new(Scope::child_of(&CancellationToken::new()));
        Arc::new(Self { tasks, turn: Mutex::default(), spawned: Mutex::default() })
    }

    /// Lets quinn begin something, and returns what drives that: nothing, if it did not come to it.
    pub(super) fn begin<T>(&self, begin: impl FnOnce() -> T) -> (T, Option<Arc<Drive>>) {
        let _turn = self.turn.lock();
        let begun = begin();
        (begun, self.spawned.lock().take())
    }
}

impl Runtime for Drives {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer::new(at))
    }

    fn spawn(&self, driver: Driver) {
        let drive = Arc::new(Drive::new(driver));
        *self.spawned.lock() = Some(drive.clone());
        self.tasks.lock().spawn(|_| async move {
            poll_fn(|cx| drive.poll(cx)).await;
            Ok(())
        });
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// What drives one connection: its task, and whoever sends a datagram while that has nothing to do.
pub(super) struct Drive {
    driving: Mutex<Driving>,
    signal: Arc<Signal>,
    waker: Waker,
}

struct Driving {
    /// quinn's own; none when the connection has come to its end.
    driver: Option<Driver>,
    taker: Option<(Connection, Take)>,
}

impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drive").finish_non_exhaustive()
    }
}

impl Drive {
    fn new(driver: Driver) -> Self {
        let signal = Arc::new(Signal { state: AtomicU8::new(RESTING), task: Mutex::new(Waker::noop().clone()) });
        let driving = Mutex::new(Driving { driver: Some(driver), taker: None });
        Self { driving, waker: signal.clone().into(), signal }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.signal.task.lock().clone_from(cx.waker());
        let mut driving = self.driving.lock();
        self.signal.state.swap(RESTING, Ordering::AcqRel);
        driving.poll(&self.waker)
    }

    /// Gives the datagrams of `connection` to `take`, from the first that has not been read, until what is returned is
    /// dropped.
    pub(super) fn take_datagrams(
        self: &Arc<Self>,
        connection: &Connection,
        take: impl Fn(Bytes) + Send + 'static,
    ) -> Taking {
        let mut driving = self.driving.lock();
        driving.taker = Some((connection.clone(), Box::new(take)));
        driving.take();
        Taking(self.clone())
    }

    /// Sends a datagram, or loses it. It leaves at once, unless the connection's task is at work or about to be: then it
    /// leaves with the rest of that.
    pub(super) fn send(&self, connection: &Connection, datagram: Bytes) {
        let state = &self.signal.state;
        let mut driving = self.driving.try_lock();
        let ours = driving
            .as_mut()
            .filter(|_| state.compare_exchange(RESTING, BORROWED, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        // The connection may be at its end: so is the datagram.
        let _ = connection.send_datagram(datagram);
        let Some(ours) = ours else { return };
        // Whatever has called for the task until now is seen to here.
        state.swap(BORROWED, Ordering::AcqRel);
        let ended = ours.poll(&self.waker).is_ready();
        let called = state.swap(RESTING, Ordering::AcqRel) == BORROWED_AND_CALLED;
        drop(driving);
        if called || ended {
            self.waker.wake_by_ref();
        }
    }
}

/// Somebody takes the datagrams of a connection.
pub(super) struct Taking(Arc<Drive>);

impl Drop for Taking {
    fn drop(&mut self) {
        let taker = self.0.driving.lock().taker.take();
        drop(taker);
    }
}

impl Driving {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        let driven = driver.as_mut().poll(&mut Context::from_waker(waker));
        self.take();
        if driven.is_ready() {
            (self.driver, self.taker) = (None, None);
        }
        driven
    }

    fn take(&self) {
        let Some((connection, take)) = &self.taker else { return };
        let mut nobody = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(datagram)) = pin!(connection.read_datagram()).poll(&mut nobody) {
            take(datagram);
        }
    }
}

/// Nobody has called for the task since it was last polled.
const RESTING: u8 = 0;
const CALLED: u8 = 1;
/// A sender does what the task would. Who calls for the task now need not wake it: the sender will see.
const BORROWED: u8 = 2;
const BORROWED_AND_CALLED: u8 = 3;

/// Wakes the task of a connection, if that is needed.
struct Signal {
    state: AtomicU8,
    task: Mutex<Waker>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The calling bit: what it makes of the other two is what they are called.
        if self.state.fetch_or(CALLED, Ordering::AcqRel) == RESTING {
            self.task.lock().wake_by_ref();
        }
    }
}
