//! Processes that the agent starts and owns: this program once more, for one thing. It knows nothing of what they do.

mod words;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use rustix::fs::{FileType, fstat};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::words::{Words, name_of};

/// Processes that wait to be started.
const STARTS_MAX: usize = 64;

/// Has the allocator, where it is mimalloc, ask for memory as it needs it: what it holds ahead counts against the bound of
/// a process's memory.
const FRUGAL: [(&str, &str); 1] = [("MIMALLOC_ARENA_EAGER_COMMIT", "0")];

/// A program, and what it must be told.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub args: Vec<OsString>,
}

impl Program {
    /// This very program, also when its file has been replaced.
    pub fn own(arg: &str) -> Self {
        Self { path: "/proc/self/exe".into(), args: vec![arg.into()] }
    }

    /// To be started with nothing of this process but `socket`, which is its standard input.
    pub(crate) fn command(&self, socket: OwnedFd) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args).env_clear().envs(FRUGAL).current_dir("/").kill_on_drop(true);
        command.stdin(socket).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// True when this process was started by an agent, as only an agent starts one: its standard input is a socket.
pub fn is_started_by_agent() -> bool {
    fstat(io::stdin()).is_ok_and(|known| FileType::from_raw_mode(known.st_mode) == FileType::Socket)
}

/// Starts processes, all of them from one thread: they are ended when the thread that started them ends, and this one
/// ends with the agent.
#[derive(Default)]
pub(crate) struct Starter(OnceLock<Starting>);

struct Starting {
    starts: Mutex<Option<mpsc::Sender<Start>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Start {
    command: Command,
    runtime: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

impl Starter {
    pub(crate) async fn start(&self, command: Command) -> io::Result<Child> {
        let starts = self.0.get_or_init(Starting::new).starts.lock().clone();
        let (started, launched) = oneshot::channel();
        let gone = || io::Error::other("no processes are started any more");
        let start = Start { command, runtime: Handle::current(), started };
        starts.ok_or_else(gone)?.send(start).await.map_err(|_| gone())?;
        launched.await.map_err(|_| gone())?
    }
}

impl Starting {
    fn new() -> Self {
        let (starts, mut waiting) = mpsc::channel::<Start>(STARTS_MAX);
        let start_all = move || {
            while let Some(Start { mut command, runtime, started }) = waiting.blocking_recv() {
                let _inside = runtime.enter();
                // Whom nobody waits for any more is killed on drop.
                let _ = started.send(command.spawn());
            }
        };
        let thread = thread::Builder::new().name("process-starter".into()).spawn(start_all);
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
