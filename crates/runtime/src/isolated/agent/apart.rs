//! One container in a process of its own, seen from the agent: the same handle as others have, another way to its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coracle_stdx::{CancellationToken, Gate};
use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::Child;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::end;
use super::network::{Served, Serving};
use super::{Launcher, output, pump, quota};
use crate::container::{ContainerSpec, Exec, Exit, Stdin, Usage};
use crate::coredump::{self, Cores};
use crate::http;
use crate::isolated::channel::{AsyncChannel, Channel, Packets, contents, packets};
use crate::isolated::message::{ToAgent, ToChild, Used};
use crate::isolated::recipe::Recipe;
use crate::isolated::{child, system};
use crate::meter::CpuAccount;
use crate::module::Module;
use crate::pipe::Pipe;
use crate::process::Words;
use crate::tasks::Tasks;

/// How long what a guest wrote before it ended may take to leave.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long a process may take to go when it has nothing left to do, and what a killed one wrote may take to leave.
const GOING_MAX: Duration = Duration::from_secs(1);

/// A container in a process of its own.
pub(crate) struct Apart {
    pub(crate) spec: ContainerSpec,
    pub(crate) module: Arc<Module>,
    pub(crate) tasks: Tasks,
    pub(crate) terminate: CancellationToken,
    pub(crate) kill: CancellationToken,
    pub(crate) listening: Gate,
    pub(super) cpu: Arc<CpuAccount>,
    /// There is a new share of the CPU.
    pub(super) cpu_changed: Notify,
    launcher: Arc<Launcher>,
    process: Mutex<Option<Clock>>,
    memory_max: watch::Sender<Option<u64>>,
    /// What the process last said of itself.
    used: Mutex<Used>,
    pub(crate) cores: Cores,
    asked: AtomicBool,
    ask: Notify,
    exit: watch::Sender<Option<Exit>>,
}

/// How far the CPU time of a living process has been counted.
struct Clock {
    pid: u32,
    counted: Duration,
}

/// A process and all that leads to it.
struct Process {
    child: Child,
    channel: Arc<AsyncChannel>,
    output: Packets,
    stdin: Option<(Arc<Pipe>, OwnedWriteHalf)>,
}

impl Apart {
    pub(crate) fn start(launcher: &Arc<Launcher>, module: &Arc<Module>, spec: ContainerSpec) -> Arc<Self> {
        let cpu = Arc::new(CpuAccount::new(spec.cpu_max));
        Self::begin(launcher, module, spec, cpu)
    }

    fn begin(launcher: &Arc<Launcher>, module: &Arc<Module>, spec: ContainerSpec, cpu: Arc<CpuAccount>) -> Arc<Self> {
        let apart = Arc::new(Self {
            module: Arc::clone(module),
            tasks: Tasks::new(),
            terminate: CancellationToken::new(),
            kill: CancellationToken::new(),
            listening: Gate::new(),
            cpu,
            cpu_changed: Notify::new(),
            launcher: Arc::clone(launcher),
            process: Mutex::new(None),
            memory_max: watch::Sender::new(spec.memory_max),
            used: Mutex::default(),
            cores: Cores::default(),
            asked: AtomicBool::new(false),
            ask: Notify::new(),
            exit: watch::Sender::new(None),
            spec,
        });
        apart.tasks.spawn(Arc::clone(&apart).run());
        apart
    }

    /// Runs the module again, in one more process, until this container ends at the latest.
    pub(crate) fn exec(self: &Arc<Self>, exec: Exec) -> Arc<Self> {
        let Exec { args, stdin, terminal, output } = exec;
        let memory_max = *self.memory_max.borrow();
        let spec = ContainerSpec { args, stdin, terminal, output, memory_max, ..self.spec.clone() };
        let other = Self::begin(&self.launcher, &self.module, spec, Arc::clone(&self.cpu));
        let (parent, kill) = (Arc::clone(self), other.kill.clone());
        other.tasks.spawn(async move {
            parent.ended().await;
            kill.cancel();
        });
        other
    }

    /// Returns how the container ended, once it has.
    pub(crate) async fn ended(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        let exit = exit.wait_for(Option::is_some).await.expect("self holds the sender");
        exit.clone().expect("it was waited for")
    }

    /// What it has used: its CPU time as of now, the rest as its process last said, which is asked to say it anew.
    pub(crate) fn usage(&self) -> Usage {
        self.count();
        self.ask_for_report();
        Usage { cpu_ns: self.cpu.used_ns(), ..self.used.lock().usage }
    }

    /// What it has counted of its requests, as [`Apart::usage`] says.
    pub(crate) fn requests(&self) -> http::Requests {
        self.ask_for_report();
        self.used.lock().requests.clone()
    }

    fn ask_for_report(&self) {
        if !self.asked.swap(true, Ordering::Relaxed) {
            self.ask.notify_one();
        }
    }

    pub(crate) fn set_limits(&self, memory_max: Option<u64>, cpu_max: Option<f64>) {
        self.cpu.set_max(cpu_max);
        self.cpu_changed.notify_one();
        self.memory_max.send_replace(memory_max);
    }

    /// Charges what the process has computed since it was last looked at, and says whether that was anything.
    pub(super) fn count(&self) -> bool {
        let mut process = self.process.lock();
        let Some(clock) = process.as_mut() else { return false };
        let Some(now) = system::cpu_time(clock.pid) else { return false };
        let spent = now.saturating_sub(clock.counted);
        clock.counted = now;
        self.cpu.charge(spent);
        spent > Duration::ZERO
    }

    async fn run(self: Arc<Self>) {
        // A panic in the agent's code must not leave anybody waiting for this container.
        let end = End(Arc::clone(&self));
        let exit = match self.launch().await {
            Ok(process) => self.attend(process).await,
            Err(error) => {
                let message = format!("start its process: {error}");
                Exit::Trap { message, backtrace: String::new() }
            }
        };
        debug!(container = %self.spec.name, ?exit, "ended");
        if let Stdin::Pipe(pipe) = &self.spec.stdin {
            pipe.hang_up();
        }
        self.end(exit);
        drop(end);
        self.tasks.abort();
    }

    async fn launch(&self) -> io::Result<Process> {
        let recipe = Recipe::of(&self.spec, &self.launcher);
        let code = self.module.code.as_ref().ok_or_else(|| io::Error::other("its code is not for processes"))?;
        let (own, theirs) = packets()?;
        let (output, written) = packets()?;
        let mut given: Vec<BorrowedFd<'_>> = vec![code.as_fd(), written.as_fd()];
        let (stdin, read) = match &self.spec.stdin {
            Stdin::Pipe(pipe) => {
                let (own, theirs) = pump::pair()?;
                (Some((Arc::clone(pipe), own.into_split().1)), Some(theirs))
            }
            Stdin::Empty | Stdin::Open => (None, None),
        };
        given.extend(read.as_ref().map(AsFd::as_fd));
        let channel = Channel::new(own);
        channel.send(&ToChild::Start(Box::new(recipe)), &given)?;
        let child = self.launcher.launch(theirs).await?;
        *self.process.lock() = child.id().map(|pid| Clock { pid, counted: Duration::ZERO });
        Ok(Process { child, channel: Arc::new(AsyncChannel::new(channel)?), output: Packets::new(output)?, stdin })
    }

    /// Serves the process until it ends, and says how it did.
    async fn attend(self: &Arc<Self>, process: Process) -> Exit {
        let Process { mut child, channel, output, stdin } = process;
        let serving = Serving(Served::new(Arc::clone(&self.spec.network), Arc::clone(&channel)));
        let served = &serving.0;
        let words = Arc::<Words>::default();
        if let Some(stderr) = child.stderr.take() {
            let words = Arc::clone(&words);
            self.tasks.spawn(async move { words.listen(stderr).await });
        }
        if let Some((pipe, socket)) = stdin {
            self.tasks.spawn(pump::feed(Arc::clone(&pipe), socket));
            let terminate = self.terminate.clone();
            self.tasks.spawn(async move {
                terminate.cancelled().await;
                pipe.end();
            });
        }
        let (all_out, drained) = oneshot::channel();
        let to = Arc::clone(&self.spec.output);
        self.tasks.spawn(async move {
            output::carry(output, to).await;
            let _ = all_out.send(());
        });
        if let Some(process) = end::handle(&child) {
            self.tasks.spawn(quota::hold(Arc::clone(self), process));
        }
        for telling in [Telling::Terminate, Telling::Reports, Telling::Limits] {
            self.tasks.spawn(Arc::clone(self).tell(telling, Arc::clone(&channel)));
        }
        let said = tokio::select! {
            biased;
            () = self.kill.cancelled() => Said::Killed,
            said = self.listen(&channel, served) => said,
        };
        self.count();
        *self.process.lock() = None;
        let exit = self.wait_for(&mut child, said, &words).await;
        let patience = if exit == Exit::Killed { GOING_MAX } else { DRAIN_MAX };
        if exit != Exit::Killed {
            let _ = timeout(patience, served.drained()).await;
        }
        if timeout(patience, drained).await.is_err() {
            debug!(container = %self.spec.name, "gave up output that nobody took");
        }
        exit
    }

    async fn listen(self: &Arc<Self>, channel: &AsyncChannel, served: &Arc<Served>) -> Said {
        loop {
            let (message, files) = match channel.recv::<ToAgent>().await {
                Ok(Some(received)) => received,
                Ok(None) => return Said::Nothing,
                Err(error) => {
                    debug!(container = %self.spec.name, %error, "its process was not understood");
                    return Said::Nothing;
                }
            };
            match message {
                ToAgent::Listening => self.listening.open(),
                ToAgent::Call { id, call } => served.call(id, call).await,
                ToAgent::Close { listener } => served.close(listener),
                ToAgent::Used(used) => {
                    *self.used.lock() = used;
                    self.asked.store(false, Ordering::Relaxed);
                }
                ToAgent::Core => self.keep_core(files).await,
                ToAgent::Ended { exit, used } => {
                    *self.used.lock() = used;
                    return Said::Ended(exit);
                }
                ToAgent::Refused { why } => {
                    return Said::Ended(Exit::Trap { message: why, backtrace: String::new() });
                }
            }
        }
    }

    /// Keeps a core dump, if the last is not too young: the process says when it makes one, and is not trusted to wait.
    async fn keep_core(&self, files: Vec<OwnedFd>) {
        if !self.cores.is_due(Instant::now(), coredump::INTERVAL / 2) {
            return;
        }
        let Some(file) = files.into_iter().next() else { return };
        match spawn_blocking(move || contents(file, coredump::BYTES_MAX)).await {
            Ok(Ok(dump)) => self.cores.keep(dump.into()),
            Ok(Err(error)) => debug!(container = %self.spec.name, %error, "its core dump could not be read"),
            Err(error) => debug!(container = %self.spec.name, %error, "its core dump could not be read"),
        }
    }

    async fn wait_for(&self, child: &mut Child, said: Said, words: &Words) -> Exit {
        let status = match &said {
            Said::Killed => Err(()),
            Said::Ended(_) | Said::Nothing => timeout(GOING_MAX, child.wait()).await.map_err(|_| ()),
        };
        let status = match status {
            Ok(status) => status,
            Err(()) => {
                let _ = child.start_kill();
                child.wait().await
            }
        };
        match said {
            Said::Killed => Exit::Killed,
            Said::Ended(exit) => exit,
            Said::Nothing => end::lost(status, words),
        }
    }

    /// Passes on what the container is told. In tasks of their own: a process that does not listen holds nobody up.
    async fn tell(self: Arc<Self>, telling: Telling, channel: Arc<AsyncChannel>) {
        let mut memory_max = self.memory_max.subscribe();
        loop {
            let message = match telling {
                Telling::Terminate => {
                    self.terminate.cancelled().await;
                    ToChild::Terminate
                }
                Telling::Reports => {
                    self.ask.notified().await;
                    ToChild::Report
                }
                Telling::Limits => {
                    if memory_max.changed().await.is_err() {
                        return;
                    }
                    let memory_max = *memory_max.borrow_and_update();
                    self.limit_data(memory_max);
                    ToChild::Limit { memory_max }
                }
            };
            if channel.send(&message, &[]).await.is_err() || telling == Telling::Terminate {
                return;
            }
        }
    }

    fn limit_data(&self, memory_max: Option<u64>) {
        let process = self.process.lock();
        let pid = process.as_ref().and_then(|clock| i32::try_from(clock.pid).ok()).and_then(Pid::from_raw);
        let current = memory_max.map(|max| child::data_max(max, self.spec.requests_max, self.module.kind()));
        if let Some(pid) = pid
            && let Err(error) = prlimit(Some(pid), Resource::Data, Rlimit { current, maximum: None })
        {
            debug!(container = %self.spec.name, %error, "its process keeps its old limit");
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

/// What a process said last.
enum Said {
    Ended(Exit),
    Nothing,
    Killed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    Terminate,
    Reports,
    Limits,
}

/// Reports an end that nothing else reported.
struct End(Arc<Apart>);

impl Drop for End {
    fn drop(&mut self) {
        let exit = match std::thread::panicking() {
            true => Exit::Trap { message: "the host failed".into(), backtrace: String::new() },
            false => Exit::Killed,
        };
        self.0.end(exit);
    }
}
