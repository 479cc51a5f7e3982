//! CPU time: counted around every poll of a guest, and held to the container's share by pausing.

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
/// A guest that used this many ticks to their end without waiting for anything goes on among its like.
const FULL_TICKS_MAX: u32 = 4;

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

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A guest at work. Its time is counted, it is paused when its container is over its share, and it moves to threads
/// of its own once it has shown that it computes without pause.
pub(crate) struct Metered<T> {
    place: Place<T>,
    engine: Arc<Engine>,
    account: Arc<CpuAccount>,
    pause: Option<Pin<Box<Sleep>>>,
    n_full_ticks: u32,
    /// It has moved already.
    stays: bool,
}

enum Place<T> {
    Here(Work<T>),
    Heavy(AbortOnDropHandle<T>),
    /// For the moment of moving from one to the other.
    Nowhere,
}

impl<T: Send + 'static> Metered<T> {
    pub(crate) fn new(engine: &Arc<Engine>, account: &Arc<CpuAccount>, work: Work<T>) -> Self {
        Self {
            place: Place::Here(work),
            engine: Arc::clone(engine),
            account: Arc::clone(account),
            pause: None,
            n_full_ticks: 0,
            stays: false,
        }
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

    fn poll_here(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Place::Here(work) = &mut self.place else { unreachable!("the caller has looked") };
        let computing = self.engine.interrupts.then(|| self.engine.ticker.enter());
        let before = thread_cpu_time();
        let polled = work.as_mut().poll(cx);
        let spent = thread_cpu_time().saturating_sub(before);
        drop(computing);
        self.account.charge(spent);
        // A tick may come early: half of one without a wait is taken for a whole.
        self.n_full_ticks = if spent >= TICK / 2 { self.n_full_ticks.saturating_add(1) } else { 0 };
        polled
    }

    fn move_to_heavy(&mut self, cx: &mut Context<'_>) {
        let Place::Here(work) = std::mem::replace(&mut self.place, Place::Nowhere) else { return };
        let mut there = Self::new(&self.engine, &self.account, work);
        there.pause = self.pause.take();
        there.stays = true;
        self.place = Place::Heavy(self.engine.heavy().spawn(there));
        cx.waker().wake_by_ref();
    }
}

impl<T: Send + 'static> Future for Metered<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Place::Heavy(there) = &mut self.place {
            return match ready!(Pin::new(there).poll(cx)) {
                Ok(output) => Poll::Ready(output),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The engine is going away, and with it whoever waits here.
                Err(_) => Poll::Pending,
            };
        }
        ready!(self.poll_pause(cx));
        let polled = self.poll_here(cx);
        if polled.is_pending() && self.n_full_ticks >= FULL_TICKS_MAX && !self.stays && self.engine.interrupts {
            self.move_to_heavy(cx);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
