//! Where modules are compiled: on threads of their own, which the kernel prefers least, a few modules at a time. Nobody
//! waits for ever, though what has begun is done before its turn is another's.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};
use tracing::{error, warn};

use crate::module::LoadError;

/// How much the kernel prefers other threads (`nice`).
const NICENESS: i32 = 10;
/// A module that takes longer is refused.
const TIME_MAX: Duration = Duration::from_secs(300);

pub(crate) struct Workshop {
    threads: OnceLock<ThreadPool>,
    turns: Arc<Semaphore>,
    time_max: Duration,
}

impl Workshop {
    /// A place for `n_turns` modules at a time. It starts no thread before the first of them.
    pub(crate) fn new(n_turns: usize) -> Self {
        Self { threads: OnceLock::new(), turns: Arc::new(Semaphore::new(n_turns.max(1))), time_max: TIME_MAX }
    }

    /// Does `work` when it is its turn.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, LoadError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("it is never closed");
        let (sender, done) = oneshot::channel();
        let threads = self.threads.get_or_init(threads);
        threads.spawn(move || {
            let made = work();
            drop(turn);
            // Who asked may have given up.
            let _ = sender.send(made);
        });
        match tokio::time::timeout(self.time_max, done).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(_)) => Err(LoadError::Internal { cause: "the compiler failed".to_owned() }),
            Err(_) => Err(LoadError::TooMuch {
                cause: format!("it took longer than {} s to compile", self.time_max.as_secs()),
            }),
        }
    }
}

fn threads() -> ThreadPool {
    ThreadPoolBuilder::new()
        .num_threads(thread::available_parallelism().map_or(1, usize::from))
        .thread_name(|n| format!("compiler-{n}"))
        .start_handler(|_| lower_priority())
        .panic_handler(|_| error!("the compiler panicked"))
        .build()
        .expect("a node that cannot start a thread cannot run guests")
}

fn lower_priority() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        warn!(%error, "could not lower the priority of a compiler thread");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_panics_is_a_refusal_and_gives_back_its_turn() {
        let workshop = Workshop::new(1);
        for _ in 0..3 {
            let refused = workshop.run(|| panic!("a bug in the compiler")).await;
            assert!(matches!(refused, Err(LoadError::Internal { .. })), "{refused:?}");
        }
        assert_eq!(workshop.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_one_that_is_slow_leaves_turns_to_others() {
        let workshop = Workshop::new(2);
        let (finish, finished) = mpsc::sync_channel::<()>(0);
        let refused = workshop.run(move || finished.recv()).await;
        assert!(matches!(refused, Err(LoadError::TooMuch { .. })), "{refused:?}");
        assert_eq!(workshop.turns.available_permits(), 1);
        drop(finish);
    }
}
