//! What the instances of one container share, and the task that runs it to its end.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coracle_stdx::{CancellationToken, Gate};
use tokio::sync::watch;
use tracing::debug;

use crate::container::{ContainerSpec, Exec, Exit, Stdin, Usage};
use crate::coredump::Cores;
use crate::engine::Engine;
use crate::limits::{Held, MemoryAccount, MemoryExceeded};
use crate::meter::{CpuAccount, Metered};
use crate::module::{Entry, Module};
use crate::mounts::Mounts;
use crate::pipe::PIPE_BYTES_MAX;
use crate::tasks::Tasks;
use crate::{command, http};

/// How long what a guest wrote to its connections before it ended may take to leave.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// One container, seen from inside.
pub(crate) struct Sandbox {
    pub(crate) spec: ContainerSpec,
    pub(crate) module: Arc<Module>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) tasks: Tasks,
    pub(crate) terminate: CancellationToken,
    pub(crate) kill: CancellationToken,
    pub(crate) listening: Gate,
    pub(crate) memory: Arc<MemoryAccount>,
    pub(crate) cpu: Arc<CpuAccount>,
    pub(crate) n_requests: AtomicU64,
    pub(crate) requests: Arc<http::Counters>,
    pub(crate) n_sockets: AtomicUsize,
    pub(crate) mounts: Mounts,
    /// Connections that still carry what a guest wrote.
    pub(crate) draining: watch::Sender<usize>,
    /// What guests that failed left behind.
    pub(crate) cores: Cores,
    /// Why the host ended it.
    failed: OnceLock<Exit>,
    exit: watch::Sender<Option<Exit>>,
}

/// Starts `module` as `spec` says.
pub(crate) fn start(engine: Arc<Engine>, module: Arc<Module>, spec: ContainerSpec) -> Arc<Sandbox> {
    let memory = MemoryAccount::new(spec.memory_max);
    let cpu = Arc::new(CpuAccount::new(spec.cpu_max));
    begin(engine, module, spec, memory, cpu)
}

fn begin(
    engine: Arc<Engine>,
    module: Arc<Module>,
    spec: ContainerSpec,
    memory: Arc<MemoryAccount>,
    cpu: Arc<CpuAccount>,
) -> Arc<Sandbox> {
    let sandbox = Arc::new(Sandbox {
        engine,
        module,
        tasks: Tasks::new(),
        terminate: CancellationToken::new(),
        kill: CancellationToken::new(),
        listening: Gate::new(),
        memory,
        cpu,
        n_requests: AtomicU64::new(0),
        requests: Arc::default(),
        n_sockets: AtomicUsize::new(0),
        mounts: Mounts::default(),
        draining: watch::Sender::new(0),
        cores: Cores::default(),
        failed: OnceLock::new(),
        exit: watch::Sender::new(None),
        spec,
    });
    sandbox.tasks.spawn(Arc::clone(&sandbox).run());
    if let Stdin::Pipe(pipe) = &sandbox.spec.stdin {
        let (pipe, terminate) = (Arc::clone(pipe), sandbox.terminate.clone());
        sandbox.tasks.spawn(async move {
            terminate.cancelled().await;
            pipe.end();
        });
    }
    sandbox
}

impl Sandbox {
    /// Runs the module again in this container's place, until this container ends at the latest.
    pub(crate) fn exec(self: &Arc<Self>, exec: Exec) -> Arc<Self> {
        let Exec { args, stdin, terminal, output } = exec;
        let spec = ContainerSpec { args, stdin, terminal, output, ..self.spec.clone() };
        let (engine, module) = (Arc::clone(&self.engine), Arc::clone(&self.module));
        let child = begin(engine, module, spec, Arc::clone(&self.memory), Arc::clone(&self.cpu));
        let (parent, kill) = (Arc::clone(self), child.kill.clone());
        child.tasks.spawn(async move {
            parent.ended().await;
            kill.cancel();
        });
        child
    }

    /// Ends the container, to which the host cannot give what it was promised.
    pub(crate) fn fail(&self, message: String) {
        self.failed.get_or_init(|| Exit::Trap { message, backtrace: String::new() });
        self.kill.cancel();
    }

    /// Returns how the container ended, once it has.
    pub(crate) async fn ended(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        let exit = exit.wait_for(Option::is_some).await.expect("self holds the sender");
        exit.clone().expect("it was waited for")
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            cpu_ns: self.cpu.used_ns(),
            memory_bytes: self.memory.used(),
            memory_peak_bytes: self.memory.peak(),
            memory_last_bytes: self.memory.last(),
            n_instances: self.memory.n_instances(),
            n_requests: self.n_requests.load(Ordering::Relaxed),
        }
    }

    /// What it has counted of its requests.
    pub(crate) fn requests(&self) -> http::Requests {
        self.requests.reading(self.memory.n_instances())
    }

    /// Counts and holds to its share what `work` computes.
    pub(crate) fn metered<T, F>(&self, work: F) -> Metered<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        Metered::new(&self.engine, &self.cpu, Box::pin(work))
    }

    async fn run(self: Arc<Self>) {
        // A panic in the host's code must not leave anybody waiting for this container.
        let end = End(Arc::clone(&self));
        let exit = tokio::select! {
            biased;
            () = self.kill.cancelled() => Exit::Killed,
            exit = self.drive() => {
                self.drain().await;
                exit
            }
        };
        let exit = self.failed.get().cloned().unwrap_or(exit);
        debug!(container = %self.spec.name, ?exit, "ended");
        if let Stdin::Pipe(pipe) = &self.spec.stdin {
            pipe.hang_up();
        }
        self.end(exit);
        drop(end);
        // What the guest left behind ends with it; so does this task, which has nothing left to do.
        self.tasks.abort();
    }

    async fn drive(self: &Arc<Self>) -> Exit {
        let module = &self.module;
        match &module.entry {
            Entry::Http2(_) | Entry::Http3(_) => http::serve(Arc::clone(self)).await,
            Entry::Command2(_) | Entry::Command3(_) | Entry::Core(_) => {
                let _stdin = match self.hold_stdin() {
                    Ok(held) => held,
                    Err(MemoryExceeded { limit, .. }) => return Exit::OutOfMemory { limit },
                };
                self.listening.open();
                self.metered(command::run(Arc::clone(self), Arc::clone(module))).await
            }
        }
    }

    /// Counts what may wait in its standard input.
    fn hold_stdin(&self) -> Result<Option<Held>, MemoryExceeded> {
        match &self.spec.stdin {
            Stdin::Pipe(_) => Held::new(&self.memory, PIPE_BYTES_MAX as u64).map(Some),
            Stdin::Empty | Stdin::Open => Ok(None),
        }
    }

    async fn drain(&self) {
        let mut draining = self.draining.subscribe();
        let drained = draining.wait_for(|n| *n == 0);
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            debug!(container = %self.spec.name, "gave up connections that do not take what was written");
        }
    }

    fn end(&self, exit: Exit) {
        self.exit.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(exit);
            }
            first
        });
    }
}

/// Reports an end that nothing else reported.
struct End(Arc<Sandbox>);

impl Drop for End {
    fn drop(&mut self) {
        let exit = match std::thread::panicking() {
            true => Exit::Trap { message: "the host failed".into(), backtrace: String::new() },
            false => Exit::Killed,
        };
        self.0.end(exit);
    }
}
