//! CPU time: counted around every poll of a guest, and held to the container's share by pausing.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::engine::Engine;
use crate::ticker::TICK;

/// How much unused share a container may save up, as time on its whole share.
const BURST: Duration = Duration::from_millis(100);
/// A guest that computed goes on among all others when it has waited for something so many times in a row: what served
/// as a start, or a burst now and then, shall not keep a server behind those that never pause.
const WAITS_MIN: u32 = 16;

/// The CPU time of one container.
pub(crate) struct CpuAccount {
    used_ns: AtomicU64,
    share: Mutex<Option<Share>>,
    /// Spares those without a share the lock.
    has_share: AtomicBool,
}

impl CpuAccount {
    pub(crate) fn new(cores_max: Option<f64>) -> Self {
        let account = Self { used_ns: AtomicU64::new(0), share: Mutex::new(None), has_share: AtomicBool::new(false) };
        account.set_max(cores_max);
        account
    }

    /// What holds from the next slice on.
    pub(crate) fn set_max(&self, cores_max: Option<f64>) {
        *self.share.lock() = cores_max.map(|cores| Share::new(cores, Instant::now()));
        self.has_share.store(cores_max.is_some(), Ordering::Relaxed);
    }

    pub(crate) fn used_ns(&self) -> u64 {
        self.used_ns.load(Ordering::Relaxed)
    }

    pub(crate) fn has_share(&self) -> bool {
        self.has_share.load(Ordering::Relaxed)
    }

    pub(crate) fn charge(&self, spent: Duration) {
        self.used_ns.fetch_add(nanos(spent), Ordering::Relaxed);
        if self.has_share.load(Ordering::Relaxed)
            && let Some(share) = &mut *self.share.lock()
        {
            share.charge(spent, Instant::now());
        }
    }

    /// When the container will have paid its debt, if it has one.
    pub(crate) fn pause_until(&self) -> Option<Instant> {
        if !self.has_share.load(Ordering::Relaxed) {
            return None;
        }
        self.share.lock().as_mut()?.pause_until(Instant::now())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A bucket that fills with time at the pace of `cores`, and may run into debt by one slice.
#[derive(Debug)]
struct Share {
    cores: f64,
    credit_s: f64,
    at: Instant,
}

impl Share {
    fn new(cores: f64, now: Instant) -> Self {
        let cores = cores.max(0.001);
        Self { cores, credit_s: cores * BURST.as_secs_f64(), at: now }
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.cores;
        self.credit_s = (self.credit_s + gained).min(self.cores * BURST.as_secs_f64());
        self.at = now;
    }

    fn charge(&mut self, spent: Duration, now: Instant) {
        self.refill(now);
        self.credit_s -= spent.as_secs_f64();
    }

    /// When the debt will be paid, if there is one.
    fn pause_until(&mut self, now: Instant) -> Option<Instant> {
        self.refill(now);
        (self.credit_s < 0.0).then(|| now + Duration::from_secs_f64(-self.credit_s / self.cores))
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

thread_local! {
    /// The guest that was last polled on this thread was interrupted by a tick.
    static INTERRUPTED: Cell<bool> = const { Cell::new(false) };
}

/// To be told by a guest that yields because of a tick, and not because it waits for something.
pub(crate) fn note_interrupted() {
    INTERRUPTED.set(true);
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A guest at work. Its time is counted, it is paused when its container is over its share, and while it computes without
/// pause it is on threads of its own.
pub(crate) struct Metered<T> {
    place: Place<T>,
    gauge: Gauge,
    n_half_ticks: u32,
}

enum Place<T> {
    Here(Work<T>),
    Heavy(AbortOnDropHandle<Left<T>>),
    /// For the moment of moving from one to the other.
    Nowhere,
}

/// Why a guest left the threads of those that compute.
enum Left<T> {
    Done(T),
    Waiting(Work<T>),
}

impl<T: Send + 'static> Metered<T> {
    pub(crate) fn new(engine: &Arc<Engine>, account: &Arc<CpuAccount>, work: Work<T>) -> Self {
        let gauge = Gauge { engine: Arc::clone(engine), account: Arc::clone(account), pause: None };
        Self { place: Place::Here(work), gauge, n_half_ticks: 0 }
    }

    fn poll_here(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Place::Here(work) = &mut self.place else { unreachable!("the caller has looked") };
        let polled = ready!(self.gauge.poll(work, cx));
        match polled.how {
            How::Done(output) => return Poll::Ready(output),
            How::Waits => self.n_half_ticks = 0,
            // A tick may come early: half of one is taken for a whole, and for less it takes two in a row.
            How::Interrupted => self.n_half_ticks += if polled.spent >= TICK / 2 { 2 } else { 1 },
        }
        if self.n_half_ticks >= 2 {
            self.move_to_heavy(cx);
        }
        Poll::Pending
    }

    fn move_to_heavy(&mut self, cx: &mut Context<'_>) {
        let Place::Here(work) = std::mem::replace(&mut self.place, Place::Nowhere) else { return };
        let Gauge { engine, account, .. } = &self.gauge;
        let gauge = Gauge { engine: Arc::clone(engine), account: Arc::clone(account), pause: None };
        let there = Computing { work: Some(work), gauge, n_waits: 0 };
        self.place = Place::Heavy(self.gauge.engine.heavy().spawn(there));
        self.n_half_ticks = 0;
        cx.waker().wake_by_ref();
    }
}

impl<T: Send + 'static> Future for Metered<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Place::Heavy(there) = &mut self.place {
            match ready!(Pin::new(there).poll(cx)) {
                Ok(Left::Done(output)) => return Poll::Ready(output),
                Ok(Left::Waiting(work)) => self.place = Place::Here(work),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The engine is going away, and with it whoever waits here.
                Err(_) => return Poll::Pending,
            }
        }
        self.poll_here(cx)
    }
}

/// A guest on the threads of those that compute, until it is done or has shown that it waits.
struct Computing<T> {
    work: Option<Work<T>>,
    gauge: Gauge,
    n_waits: u32,
}

impl<T: Send + 'static> Future for Computing<T> {
    type Output = Left<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Left<T>> {
        let this = &mut *self;
        let Some(work) = &mut this.work else { return Poll::Pending };
        match ready!(this.gauge.poll(work, cx)).how {
            How::Done(output) => return Poll::Ready(Left::Done(output)),
            How::Interrupted => this.n_waits = 0,
            How::Waits => this.n_waits += 1,
        }
        if this.n_waits < WAITS_MIN {
            return Poll::Pending;
        }
        match this.work.take() {
            Some(work) => Poll::Ready(Left::Waiting(work)),
            None => Poll::Pending,
        }
    }
}

/// Counts the time of one guest, and holds it to its container's share.
struct Gauge {
    engine: Arc<Engine>,
    account: Arc<CpuAccount>,
    pause: Option<Pin<Box<Sleep>>>,
}

/// What a guest did when it was polled.
struct Polled<T> {
    how: How<T>,
    spent: Duration,
}

enum How<T> {
    Done(T),
    Waits,
    Interrupted,
}

impl Gauge {
    /// Pending while the guest must pause. Otherwise it was polled.
    fn poll<T>(&mut self, work: &mut Work<T>, cx: &mut Context<'_>) -> Poll<Polled<T>> {
        ready!(self.poll_pause(cx));
        let computing = self.engine.interrupts.then(|| self.engine.ticker.enter());
        INTERRUPTED.set(false);
        let before = thread_cpu_time();
        let polled = work.as_mut().poll(cx);
        let spent = thread_cpu_time().saturating_sub(before);
        drop(computing);
        self.account.charge(spent);
        let how = match polled {
            Poll::Ready(output) => How::Done(output),
            Poll::Pending if INTERRUPTED.get() => How::Interrupted,
            Poll::Pending => How::Waits,
        };
        Poll::Ready(Polled { how, spent })
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.account.pause_until() {
                Some(until) => self.pause = Some(Box::pin(sleep_until(until))),
                None => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::runtime::Config;

    #[tokio::test(start_paused = true)]
    async fn a_container_pays_its_debt_at_the_pace_of_its_share() {
        let start = Instant::now();
        let mut share = Share::new(0.5, start);
        share.charge(Duration::from_millis(50), start);
        assert_eq!(share.pause_until(start), None);
        share.charge(Duration::from_millis(10), start);
        let until = share.pause_until(start).unwrap();
        assert!((until - start).abs_diff(Duration::from_millis(20)) < Duration::from_micros(1));
    }

    #[tokio::test]
    async fn who_computes_does_so_apart_until_it_has_shown_that_it_waits() {
        const N_TICKS: u32 = 3;
        let engine = Arc::new(Engine::new(&Config::new("unused")).unwrap());
        let account = Arc::new(CpuAccount::new(None));
        let places = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut n_polls) = (Arc::clone(&places), 0);
        let work = poll_fn(move |cx| {
            n_polls += 1;
            seen.lock().push(std::thread::current().name() == Some("guest-heavy"));
            if n_polls <= N_TICKS {
                let began = thread_cpu_time();
                while thread_cpu_time() - began < TICK {}
                note_interrupted();
            } else if n_polls > N_TICKS + WAITS_MIN {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        Metered::new(&engine, &account, Box::pin(work)).await;
        let places = places.lock();
        let apart = places[1..places.len() - 1].iter().all(|is_apart| *is_apart);
        assert_eq!((places.first(), apart, places.last()), (Some(&false), true, Some(&false)), "{places:?}");
        assert!(account.used_ns() >= nanos(TICK * N_TICKS));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_share_is_saved_up_to_the_burst() {
        let start = Instant::now();
        let mut share = Share::new(0.2, start);
        let later = start + Duration::from_secs(60);
        share.charge(Duration::from_millis(20), later);
        assert_eq!(share.pause_until(later), None);
        share.charge(Duration::from_millis(1), later);
        assert!(share.pause_until(later).is_some());
    }
}
