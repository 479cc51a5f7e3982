//! Threads for guests that compute without pause. They yield to the kernel's scheduler at a lower priority, so that
//! what answers requests is never behind them in a queue.

use std::future::Future;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

/// How much the kernel prefers other threads (`nice`).
const NICENESS: i32 = 5;

/// A pool of threads, as many as there are CPUs.
pub(crate) struct Heavy(Option<Runtime>);

impl Heavy {
    pub(crate) fn new() -> Self {
        let n_threads = thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(n_threads)
            .thread_name("guest-heavy")
            .on_thread_start(lower_priority)
            .enable_all()
            .build()
            .expect("a node that cannot start a thread cannot run guests");
        Self(Some(runtime))
    }

    /// Runs `future` on these threads. Dropping the answer ends it when it next yields.
    pub(crate) fn spawn<F>(&self, future: F) -> AbortOnDropHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let runtime = self.0.as_ref().expect("it is taken by drop only");
        AbortOnDropHandle::new(runtime.spawn(future))
    }
}

fn lower_priority() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        warn!(%error, "could not lower the priority of a guest thread");
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
