//! What is asked of a container, and what can be learnt of it while it runs and when it has ended.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::network::Network;
use crate::sandbox::Sandbox;

/// One directory of the host that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub host: PathBuf,
    pub guest: String,
    pub read_only: bool,
}

/// What a guest finds at its standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing: the end of the stream.
    #[default]
    Empty,
    /// A stream that stays silent, and ends when the container is told to terminate.
    Open,
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
}

/// Everything that a container is given. What is not here, its guest does not have.
#[derive(Clone)]
pub struct ContainerSpec {
    /// For log lines and thread names. Not visible to the guest.
    pub name: String,
    /// The command line, with the program's own name first.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub stdin: Stdin,
    /// Bytes of linear memory and tables that all live instances may hold together.
    pub memory_max: Option<u64>,
    /// Cores, as in `0.5`, that all live instances may use together.
    pub cpu_max: Option<f64>,
    pub network: Arc<dyn Network>,
    /// The port that an HTTP component listens on.
    pub http_port: u16,
    /// How many requests an HTTP component handles at once. What comes beyond is answered 503.
    pub requests_max: usize,
    /// How long one request may take, until the end of its response.
    pub request_time_max: Option<Duration>,
    pub output: Arc<dyn Output>,
}

/// Requests that one HTTP container handles at once, unless told otherwise.
pub const REQUESTS_MAX: usize = 512;

impl ContainerSpec {
    /// A container with no arguments, no environment, no mounts and no limits, whose HTTP port is 80.
    pub fn new(name: impl Into<String>, network: Arc<dyn Network>, output: Arc<dyn Output>) -> Self {
        Self {
            name: name.into(),
            args: Vec::new(),
            env: Vec::new(),
            mounts: Vec::new(),
            stdin: Stdin::Empty,
            memory_max: None,
            cpu_max: None,
            network,
            http_port: 80,
            requests_max: REQUESTS_MAX,
            request_time_max: None,
            output,
        }
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned, or called exit.
    Code(i32),
    /// It trapped, or could not be started. `message` is one line, `backtrace` has a line per guest frame or is empty.
    Trap { message: String, backtrace: String },
    /// It asked for more memory than `limit` bytes.
    OutOfMemory { limit: u64 },
    /// [`Container::kill`] ended it.
    Killed,
}

/// What a container has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its instances since it started.
    pub cpu_ns: u64,
    /// Linear memory and tables that its live instances hold now.
    pub memory_bytes: u64,
    /// Instances alive now.
    pub n_instances: u64,
    /// HTTP requests begun since it started.
    pub n_requests: u64,
}

/// A running container. Dropping it kills the guest.
pub struct Container {
    sandbox: Arc<Sandbox>,
}

impl Container {
    pub(crate) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox }
    }

    /// Returns how it ended, once it has. Cancel-safe, and may be asked any number of times.
    pub async fn wait(&self) -> Exit {
        self.sandbox.ended().await
    }

    /// Returns once an HTTP container accepts connections. For other containers, at once.
    ///
    /// When the container ends before that, this never returns: wait for both.
    pub async fn listening(&self) {
        self.sandbox.listening.opened().await;
    }

    /// Asks the guest to end: listeners stop accepting, standard input ends, work in flight goes on.
    ///
    /// An HTTP container ends with code 0 once its last request is answered. A command ends when it chooses to.
    pub fn terminate(&self) {
        self.sandbox.terminate.cancel();
    }

    /// Ends the guest now, wherever it is.
    pub fn kill(&self) {
        self.sandbox.kill.cancel();
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        self.sandbox.usage()
    }

    /// The addresses of the network that it was given.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.sandbox.spec.network.addresses()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.sandbox.kill.cancel();
        self.sandbox.tasks.abort();
    }
}
