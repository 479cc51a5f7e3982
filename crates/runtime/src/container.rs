//! What is asked of a container, and what can be learnt of it while it runs and when it has ended.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::coredump::Cores;
use crate::http;
use crate::isolated::Apart;
use crate::module::ModuleKind;
use crate::network::Network;
use crate::pipe::Pipe;
use crate::sandbox::Sandbox;

/// One directory of the host that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub host: PathBuf,
    pub guest: String,
    pub read_only: bool,
}

/// What a guest finds at its standard input.
#[derive(Clone, Debug, Default)]
pub enum Stdin {
    /// Nothing: the end of the stream.
    #[default]
    Empty,
    /// A stream that stays silent, and ends when the container is told to terminate.
    Open,
    /// What somebody writes into this pipe. It ends at the latest when the container is told to terminate, and is hung
    /// up when the container has ended.
    Pipe(Arc<Pipe>),
}

/// The two streams that a guest may write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdStream {
    Stdout,
    Stderr,
}

/// Where a container's output goes.
pub trait Output: Send + Sync + 'static {
    /// Takes what a guest wrote, in order and as it was written: lines may come in pieces. Must not block.
    fn write(&self, stream: StdStream, bytes: Bytes);

    /// Ready when there is room for more. A guest is held up until then, but its `write` may come anyway.
    fn poll_ready(&self, _stream: StdStream, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// Has a container's mounts be there, and what they hold. It is called before a guest first looks at one, and may be
/// called again.
pub type Furnish = Arc<dyn Fn() -> std::io::Result<()> + Send + Sync>;

/// Everything that a container is given. What is not here, its guest does not have.
#[derive(Clone)]
pub struct ContainerSpec {
    /// For log lines and thread names. Not visible to the guest.
    pub name: String,
    /// The command line, with the program's own name first.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    /// Without it, the mounts are there when the container starts. A container in a process of its own needs them to be.
    pub furnish: Option<Furnish>,
    /// What `wasi:cli/environment.initial-cwd` answers. Paths are the guest's own business beyond that.
    pub working_dir: Option<String>,
    pub stdin: Stdin,
    /// The guest is told that its standard streams are a terminal.
    pub terminal: bool,
    /// Bytes that all live instances may hold together: linear memories, tables, and the host's buffers for them.
    pub memory_max: Option<u64>,
    /// Cores, as in `0.5`, that all live instances may use together.
    pub cpu_max: Option<f64>,
    pub network: Arc<dyn Network>,
    /// The port that an HTTP component listens on.
    pub http_port: u16,
    /// How many requests an HTTP component handles at once.
    pub requests_max: usize,
    /// How many more may wait for their turn. What comes beyond is answered 503.
    pub requests_queued_max: usize,
    /// How long a request may take until its answer begins, how long its answer may pause, and how long the handler may
    /// go on when the answer is complete.
    pub request_time_max: Option<Duration>,
    /// How many requests one instance answers, one after the other. By default every request meets a fresh one.
    pub instance_requests_max: NonZeroU32,
    pub output: Arc<dyn Output>,
}

/// Requests that one HTTP container handles at once, unless told otherwise.
pub const REQUESTS_MAX: usize = 256;
/// Requests that wait for their turn at one HTTP container, unless told otherwise.
pub const REQUESTS_QUEUED_MAX: usize = 1024;

impl ContainerSpec {
    /// A container with no arguments, no environment, no mounts and no limits, whose HTTP port is 80.
    pub fn new(name: impl Into<String>, network: Arc<dyn Network>, output: Arc<dyn Output>) -> Self {
        Self {
            name: name.into(),
            args: Vec::new(),
            env: Vec::new(),
            mounts: Vec::new(),
            furnish: None,
            working_dir: None,
            stdin: Stdin::Empty,
            terminal: false,
            memory_max: None,
            cpu_max: None,
            network,
            http_port: 80,
            requests_max: REQUESTS_MAX,
            requests_queued_max: REQUESTS_QUEUED_MAX,
            request_time_max: None,
            instance_requests_max: NonZeroU32::MIN,
            output,
        }
    }
}

/// What a second run in a running container is given. The rest is as the container has it.
#[derive(Clone)]
pub struct Exec {
    /// The command line, with the program's own name first.
    pub args: Vec<String>,
    pub stdin: Stdin,
    pub terminal: bool,
    pub output: Arc<dyn Output>,
}

/// A server has no way in for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an HTTP component answers requests and has no `run`: it cannot run a command")]
pub struct NotAProcess;

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It returned, or called exit.
    Code(i32),
    /// It trapped, or could not be started. `message` is one line, `backtrace` has a line per guest frame or is empty.
    Trap { message: String, backtrace: String },
    /// It asked for more memory than `limit` bytes.
    OutOfMemory { limit: u64 },
    /// [`Container::kill`] ended it.
    Killed,
    /// Its own process ended without saying how its guest did. `code` is 128 and the number of the signal, if it was one.
    Lost { code: i32, message: String },
}

/// What a container has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time of all its instances since it started.
    pub cpu_ns: u64,
    /// Linear memories, tables and buffers of the host's that its live instances hold now.
    pub memory_bytes: u64,
    /// The most that it was at one time.
    pub memory_peak_bytes: u64,
    /// What it was when a guest last failed.
    pub memory_last_bytes: u64,
    /// Instances alive now.
    pub n_instances: u64,
    /// HTTP requests begun since it started.
    pub n_requests: u64,
}

/// A running container. Dropping it kills the guest.
pub struct Container {
    place: Place,
}

/// Where its guest runs.
enum Place {
    Here(Arc<Sandbox>),
    /// In a process of its own.
    Apart(Arc<Apart>),
}

impl Container {
    pub(crate) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { place: Place::Here(sandbox) }
    }

    pub(crate) fn apart(apart: Arc<Apart>) -> Self {
        Self { place: Place::Apart(apart) }
    }

    fn kind(&self) -> ModuleKind {
        match &self.place {
            Place::Here(sandbox) => sandbox.module.kind(),
            Place::Apart(apart) => apart.module.kind(),
        }
    }

    fn spec(&self) -> &ContainerSpec {
        match &self.place {
            Place::Here(sandbox) => &sandbox.spec,
            Place::Apart(apart) => &apart.spec,
        }
    }

    /// Returns how it ended, once it has. Cancel-safe, and may be asked any number of times.
    pub async fn wait(&self) -> Exit {
        match &self.place {
            Place::Here(sandbox) => sandbox.ended().await,
            Place::Apart(apart) => apart.ended().await,
        }
    }

    /// Returns once an HTTP container accepts connections. For other containers, once they have begun.
    ///
    /// When the container ends before that, this never returns: wait for both.
    pub async fn listening(&self) {
        match &self.place {
            Place::Here(sandbox) => sandbox.listening.opened().await,
            Place::Apart(apart) => apart.listening.opened().await,
        }
    }

    /// Asks the guest to end: listeners stop accepting, standard input ends, work in flight goes on.
    ///
    /// An HTTP container ends with code 0 once its last request is answered. A command ends when it chooses to.
    pub fn terminate(&self) {
        match &self.place {
            Place::Here(sandbox) => sandbox.terminate.cancel(),
            Place::Apart(apart) => apart.terminate.cancel(),
        }
    }

    /// Ends the guest now, wherever it is.
    pub fn kill(&self) {
        match &self.place {
            Place::Here(sandbox) => sandbox.kill.cancel(),
            Place::Apart(apart) => apart.kill.cancel(),
        }
    }

    /// Runs the container's module once more, beside it: in the same environment, with the same mounts and network, under
    /// the same limits together. It ends with the container at the latest, and is killed when it is dropped.
    ///
    /// Beside a container in a process of its own it has one more, with as much memory again.
    pub fn exec(&self, exec: Exec) -> Result<Self, NotAProcess> {
        match (self.kind(), &self.place) {
            (ModuleKind::Http, _) => Err(NotAProcess),
            (ModuleKind::Command | ModuleKind::CoreCommand, Place::Here(sandbox)) => Ok(Self::new(sandbox.exec(exec))),
            (ModuleKind::Command | ModuleKind::CoreCommand, Place::Apart(apart)) => Ok(Self::apart(apart.exec(exec))),
        }
    }

    /// Sets the limits anew, for what runs and for what is yet to run. Memory that is held already is not taken away.
    pub fn set_limits(&self, memory_max: Option<u64>, cpu_max: Option<f64>) {
        match &self.place {
            Place::Here(sandbox) => {
                sandbox.memory.set_max(memory_max);
                sandbox.cpu.set_max(cpu_max);
            }
            Place::Apart(apart) => apart.set_limits(memory_max, cpu_max),
        }
    }

    /// What it has used so far. Of a container in a process of its own, all but the CPU time is as of the last question.
    pub fn usage(&self) -> Usage {
        match &self.place {
            Place::Here(sandbox) => sandbox.usage(),
            Place::Apart(apart) => apart.usage(),
        }
    }

    /// What an HTTP container has counted of its requests; nothing for any other.
    pub fn requests(&self) -> Option<http::Requests> {
        match (self.kind(), &self.place) {
            (ModuleKind::Http, Place::Here(sandbox)) => Some(sandbox.requests()),
            (ModuleKind::Http, Place::Apart(apart)) => Some(apart.requests()),
            (ModuleKind::Command | ModuleKind::CoreCommand, _) => None,
        }
    }

    /// What its guest was like when it last failed, in WebAssembly's core dump format. It can be taken once. There is none
    /// of a guest that held very much memory, nor of a server's request that failed shortly after another.
    pub fn take_coredump(&self) -> Option<Bytes> {
        self.cores().take()
    }

    /// The next of these, which a server leaves while it runs. Never returns when there is none. Cancel-safe.
    pub async fn coredump(&self) -> Bytes {
        self.cores().next().await
    }

    fn cores(&self) -> &Cores {
        match &self.place {
            Place::Here(sandbox) => &sandbox.cores,
            Place::Apart(apart) => &apart.cores,
        }
    }

    /// What it sees of the host's files.
    pub fn mounts(&self) -> &[Mount] {
        let ContainerSpec { name, mounts, furnish, .. } = self.spec();
        if let Some(Err(error)) = furnish.as_ref().map(|furnish| furnish()) {
            warn!(container = %name, error = %error, "mounts not made");
        }
        mounts
    }

    /// The addresses of the network that it was given.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.spec().network.addresses()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.kill();
        match &self.place {
            Place::Here(sandbox) => sandbox.tasks.abort(),
            Place::Apart(apart) => apart.tasks.abort(),
        }
    }
}
