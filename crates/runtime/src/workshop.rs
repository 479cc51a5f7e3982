//! Who compiles, and when: a few modules at a time, in processes of their own where there is a program for that, else on
//! threads that the kernel prefers least.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::{error, warn};

use crate::binary::Encoding;
use crate::compiler::{self, Compiler, Order, precompile};
use crate::loader::one_line;
use crate::module::LoadError;
use crate::process::Starter;

/// How much the kernel prefers other threads (`nice`).
const NICENESS: i32 = 10;

pub(crate) struct Workshop {
    threads: OnceLock<ThreadPool>,
    turns: Arc<Semaphore>,
    compiler: Compiler,
    starter: Arc<Starter>,
}

/// A module to be compiled.
pub(crate) struct Piece {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) encoding: Encoding,
    pub(crate) interrupts: bool,
    pub(crate) wasm: Bytes,
}

impl Workshop {
    /// A place for `n_turns` modules at a time. It starts nothing before the first of them.
    pub(crate) fn new(n_turns: usize, compiler: Compiler, starter: &Arc<Starter>) -> Self {
        let turns = Arc::new(Semaphore::new(n_turns.max(1)));
        Self { threads: OnceLock::new(), turns, compiler, starter: Arc::clone(starter) }
    }

    /// Writes what `piece` is compiled to into `code`, when it is its turn.
    pub(crate) async fn compile(&self, piece: Piece, code: Arc<File>) -> Result<(), LoadError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("it is never closed");
        let Compiler { program, time_max, memory_max } = &self.compiler;
        let Some(program) = program else {
            return self.here(turn, move || piece.compile(&code)).await?;
        };
        let Piece { encoding, interrupts, wasm, .. } = piece;
        let order = Order { encoding, interrupts, memory_max: *memory_max, time_max: *time_max };
        compiler::compile(&self.starter, program, &order, wasm, code).await
    }

    /// Does `work` on this process's own threads. What has begun is done before its turn is another's.
    async fn here<T, F>(&self, turn: OwnedSemaphorePermit, work: F) -> Result<T, LoadError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, done) = oneshot::channel();
        let threads = self.threads.get_or_init(threads);
        threads.spawn(move || {
            let made = work();
            drop(turn);
            // Who asked may have given up.
            let _ = sender.send(made);
        });
        let time_max: Duration = self.compiler.time_max;
        match tokio::time::timeout(time_max, done).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(_)) => Err(LoadError::Internal { cause: "the compiler failed".to_owned() }),
            Err(_) => Err(LoadError::CompileTimeout { time_max }),
        }
    }
}

impl Piece {
    fn compile(&self, mut code: &File) -> Result<(), LoadError> {
        let made = precompile(&self.engine, self.encoding, &self.wasm);
        let made = made.map_err(|error| LoadError::Invalid { cause: one_line(&error) })?;
        code.write_all(&made)
            .map_err(|error| LoadError::Internal { cause: format!("write the compiled code: {error}") })
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

    fn workshop(n_turns: usize) -> Workshop {
        Workshop::new(n_turns, Compiler::default(), &Arc::default())
    }

    async fn run<T: Send + 'static>(
        workshop: &Workshop,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LoadError> {
        let turn = Arc::clone(&workshop.turns).acquire_owned().await.unwrap();
        workshop.here(turn, work).await
    }

    #[tokio::test]
    async fn what_panics_is_a_refusal_and_gives_back_its_turn() {
        let workshop = workshop(1);
        for _ in 0..3 {
            let refused = run(&workshop, || panic!("a bug in the compiler")).await;
            assert!(matches!(refused, Err(LoadError::Internal { .. })), "{refused:?}");
        }
        assert_eq!(run(&workshop, || 7).await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_one_that_is_slow_leaves_turns_to_others() {
        let workshop = workshop(2);
        let (finish, finished) = mpsc::sync_channel::<()>(0);
        let refused = run(&workshop, move || finished.recv()).await;
        assert!(matches!(refused, Err(LoadError::CompileTimeout { .. })), "{refused:?}");
        assert_eq!(workshop.turns.available_permits(), 1);
        drop(finish);
    }
}
