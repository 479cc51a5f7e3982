//! The clock that makes guests yield. It ticks on a thread of its own, because a task could be starved by the very
//! guests that it is there to interrupt, and it stands still while no guest computes.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How long a guest may compute before it must yield.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Advances the engine's epoch while any guest is on a CPU.
pub(crate) struct Ticker {
    engine: wasmtime::Engine,
    shared: Arc<Shared>,
    thread: OnceLock<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    n_computing: AtomicUsize,
    /// Written under `lock`; read without it on the way in.
    parked: AtomicBool,
    stopped: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

/// Held while a guest is on a CPU.
pub(crate) struct Computing<'a>(&'a Shared);

impl Ticker {
    pub(crate) fn new(engine: wasmtime::Engine) -> Self {
        Self { engine, shared: Arc::default(), thread: OnceLock::new() }
    }

    /// Marks one guest as computing, until the answer is dropped.
    pub(crate) fn enter(&self) -> Computing<'_> {
        self.thread.get_or_init(|| self.spawn());
        self.shared.n_computing.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.shared.unpark();
        }
        Computing(&self.shared)
    }

    fn spawn(&self) -> JoinHandle<()> {
        let (engine, shared) = (self.engine.clone(), Arc::clone(&self.shared));
        thread::Builder::new()
            .name("guest-ticker".into())
            .spawn(move || shared.run(&engine))
            .expect("a node that cannot start a thread cannot run guests")
    }
}

impl Shared {
    fn run(&self, engine: &wasmtime::Engine) {
        while !self.stopped.load(Ordering::SeqCst) {
            thread::sleep(TICK);
            engine.increment_epoch();
            if self.n_computing.load(Ordering::SeqCst) == 0 {
                self.park();
            }
        }
    }

    fn park(&self) {
        let mut guard = self.lock.lock();
        self.parked.store(true, Ordering::SeqCst);
        while self.parked.load(Ordering::SeqCst)
            && self.n_computing.load(Ordering::SeqCst) == 0
            && !self.stopped.load(Ordering::SeqCst)
        {
            self.changed.wait(&mut guard);
        }
        self.parked.store(false, Ordering::SeqCst);
    }

    fn unpark(&self) {
        let _guard = self.lock.lock();
        self.parked.store(false, Ordering::SeqCst);
        self.changed.notify_one();
    }
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.n_computing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.shared.unpark();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the epoch ticker panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_parks_when_nothing_computes_and_wakes_when_something_does() {
        let ticker = Ticker::new(wasmtime::Engine::default());
        for _ in 0..3 {
            drop(ticker.enter());
            while !ticker.shared.parked.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            let computing = ticker.enter();
            while ticker.shared.parked.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            drop(computing);
        }
    }
}
