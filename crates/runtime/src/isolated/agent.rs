//! The agent's half: a process for every container, served what its guest asks of the network.

mod apart;
mod datagrams;
mod end;
mod network;
mod output;
mod pump;
mod quota;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::{Unavailable, lock};

pub(crate) use self::apart::Apart;

/// Processes that wait to be started.
const STARTS_MAX: usize = 64;

/// How containers get processes of their own.
#[derive(Clone, Debug)]
pub struct Isolation {
    /// The program whose [`run`](crate::isolated::run) is a container's process, and what it must be told for that.
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Containers are refused where the kernel cannot confine them.
    pub confined: bool,
}

impl Default for Isolation {
    /// This very program, also when its file has been replaced, with the argument `sandbox`.
    fn default() -> Self {
        Self { program: "/proc/self/exe".into(), args: vec!["sandbox".into()], confined: true }
    }
}

/// Starts processes, all of them from one thread: they are ended when the thread that started them ends, and this one
/// ends with the agent.
pub(crate) struct Launcher {
    pub(super) isolation: Isolation,
    /// Certificates of authorities that guests' requests trust.
    pub(super) authorities_pem: String,
    available: OnceLock<Result<(), Unavailable>>,
    thread: OnceLock<Starting>,
}

struct Starting {
    starts: Mutex<Option<mpsc::Sender<Start>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Start {
    socket: OwnedFd,
    runtime: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

impl Launcher {
    pub(crate) fn new(isolation: Isolation, authorities_pem: String) -> Self {
        Self { isolation, authorities_pem, available: OnceLock::new(), thread: OnceLock::new() }
    }

    /// Whether containers may be started here.
    pub(crate) fn available(&self) -> Result<(), Unavailable> {
        if !self.isolation.confined {
            return Ok(());
        }
        self.available.get_or_init(lock::probe).clone()
    }

    /// A process whose standard input is `socket`.
    async fn launch(&self, socket: OwnedFd) -> io::Result<Child> {
        let starts = self.thread.get_or_init(|| Starting::new(self.isolation.clone())).starts.lock().clone();
        let (started, launched) = oneshot::channel();
        let gone = || io::Error::other("no processes are started any more");
        let start = Start { socket, runtime: Handle::current(), started };
        starts.ok_or_else(gone)?.send(start).await.map_err(|_| gone())?;
        launched.await.map_err(|_| gone())?
    }
}

impl Starting {
    fn new(isolation: Isolation) -> Self {
        let (starts, mut waiting) = mpsc::channel::<Start>(STARTS_MAX);
        let start_all = move || {
            while let Some(Start { socket, runtime, started }) = waiting.blocking_recv() {
                let _inside = runtime.enter();
                // Whom nobody waits for any more is killed on drop.
                let _ = started.send(command(&isolation, socket).spawn());
            }
        };
        let thread = thread::Builder::new().name("isolated-starter".into()).spawn(start_all);
        let thread = thread.expect("a node that cannot start a thread cannot run guests");
        Self { starts: Mutex::new(Some(starts)), thread: Mutex::new(Some(thread)) }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        drop(self.starts.get_mut().take());
        if let Some(thread) = self.thread.get_mut().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that starts processes panicked");
        }
    }
}

fn command(isolation: &Isolation, socket: OwnedFd) -> Command {
    let mut command = Command::new(&isolation.program);
    command.args(&isolation.args).env_clear().current_dir("/").kill_on_drop(true);
    command.stdin(socket).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}
