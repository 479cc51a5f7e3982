//! The process of an isolated container: it receives what to run, locks itself in, runs it, and says how it ended.
//!
//! Two groups of threads: this one, which speaks with the agent, and those that the guest computes on. A guest is never
//! interrupted, so that nothing else may depend on its threads.

mod calls;
pub(super) mod datagram;
mod network;
mod output;
mod stream;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use self::calls::Calls;
use self::network::Remote;
use self::output::Outlet;
pub(super) use self::output::{OUT_MAX, STDERR, STDOUT};
use super::channel::{AsyncChannel, Channel, Packets, in_memory};
use super::message::{ToAgent, ToChild, Used};
use super::recipe::{Recipe, StdinKind};
use super::{lock, system};
use crate::container::Stdin;
use crate::engine::{Engine, STACK_SIZE};
use crate::linker::Linkers;
use crate::mapped::{self, Compiled};
use crate::module::{Module, ModuleKind};
use crate::pipe::Pipe;
use crate::sandbox::{self, Sandbox};

/// Threads for calls to files, which block.
const BLOCKING_THREADS_MAX: usize = 16;
/// What a process may have of memory beyond what its guest holds: the engine, threads and their stacks, buffers.
const DATA_SPARE: u64 = 512 << 20;
/// What an instance may have beyond its linear memory and the stack that it runs on.
const DATA_PER_INSTANCE: u64 = 1 << 20;
/// How long what a guest wrote may take to leave.
const FLUSH_MAX: Duration = Duration::from_secs(5);
/// What a component imports that makes requests.
const ASKS_OTHERS: [&str; 2] = ["wasi:http/outgoing-handler", "wasi:http/client"];
const CHUNK: usize = 32 << 10;

/// Runs the one container of this process. To be called before there are other threads.
pub fn run() -> ExitCode {
    match prepare() {
        Ok(prepared) => prepared.run(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What a locked process runs.
struct Prepared {
    control: tokio::runtime::Runtime,
    engine: Arc<Engine>,
    module: Arc<Module>,
    recipe: Recipe,
    channel: Channel,
    output: OwnedFd,
    stdin: Option<OwnedFd>,
}

fn prepare() -> io::Result<Prepared> {
    system::close_inherited()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let channel = Channel::new(io::stdin().as_fd().try_clone_to_owned()?);
    let started = channel.recv::<ToChild>()?;
    let Some((ToChild::Start(recipe), sockets)) = started else {
        return Err(io::Error::other("the agent said nothing to start with"));
    };
    let mut sockets = sockets.into_iter();
    let (Some(code), Some(output)) = (sockets.next(), sockets.next()) else {
        return Err(io::Error::other("the agent sent no code"));
    };
    load(*recipe, code, channel.clone(), output, sockets.next()).map_err(|why| {
        let refused = ToAgent::Refused { why: why.clone() };
        // The agent that does not hear it finds it among the last words.
        let _ = channel.send(&refused, &[]);
        io::Error::other(why)
    })
}

fn load(
    recipe: Recipe,
    code: OwnedFd,
    channel: Channel,
    output: OwnedFd,
    stdin: Option<OwnedFd>,
) -> Result<Prepared, String> {
    let in_words = |what: &'static str| move |error: wasmtime::Error| format!("{what}: {error:#}");
    let engine = Arc::new(Engine::uninterrupted(&recipe.authorities_pem).map_err(|error| error.to_string())?);
    let module = link(&engine, &code).map_err(in_words("load the compiled code"))?;
    drop(code);
    if module.imports.iter().any(|import| ASKS_OTHERS.iter().any(|name| import.starts_with(name))) {
        // Later the files of the host's authorities are out of reach.
        engine.tls.prepare();
    }
    limit(&recipe, module.kind()).map_err(|error| format!("limit the process: {error}"))?;
    // Before the lock: making the first one opens sockets, and starts no thread.
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let control = control.map_err(|error| format!("start: {error}"))?;
    match lock::lock(&recipe.mounts) {
        Err(unavailable) if !recipe.even_unconfined => return Err(unavailable.to_string()),
        Ok(()) | Err(_) => {}
    }
    Ok(Prepared { control, engine, module: Arc::new(module), recipe, channel, output, stdin })
}

fn link(engine: &Engine, code: &OwnedFd) -> wasmtime::Result<Module> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", code.as_raw_fd()));
    let linkers = Linkers::new(&engine.wasm)?;
    let linked = match mapped::map(&engine.wasm, &path)? {
        Compiled::Core(module) => linkers.link_core(&module),
        Compiled::Component(component) => linkers.link_component(&component),
    };
    let (entry, imports) = linked.map_err(|error| wasmtime::Error::msg(error.to_string()))?;
    Ok(Module { digest: String::new(), imports, entry, code: None })
}

fn limit(recipe: &Recipe, kind: ModuleKind) -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if let Some(max) = recipe.memory_max {
        let current = Some(data_max(max, recipe.requests_max, kind));
        setrlimit(Resource::Data, Rlimit { current, maximum: None })?;
    }
    Ok(())
}

/// The bytes of memory that a process may write to: a bound on what is not counted as its guest's.
pub(super) fn data_max(memory_max: u64, requests_max: usize, kind: ModuleKind) -> u64 {
    let n_instances = match kind {
        ModuleKind::Http => requests_max as u64,
        ModuleKind::Command | ModuleKind::CoreCommand => 1,
    };
    let instances = n_instances.saturating_mul(DATA_PER_INSTANCE + STACK_SIZE as u64);
    memory_max.saturating_add(instances).saturating_add(DATA_SPARE)
}

impl Prepared {
    fn run(self) -> ExitCode {
        let Self { control, engine, module, recipe, channel, output, stdin } = self;
        let guest = tokio::runtime::Builder::new_multi_thread()
            .thread_name("guest")
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .enable_io()
            .enable_time()
            .build();
        let guest = match guest {
            Ok(guest) => guest,
            Err(error) => {
                eprintln!("start the guest's threads: {error}");
                return ExitCode::FAILURE;
            }
        };
        let attended = control.block_on(async {
            let calls = Arc::new(Calls::new(channel.clone()));
            let outlet = Arc::new(Outlet::new(Packets::new(output)?));
            let pipe = Arc::<Pipe>::default();
            let given = match recipe.stdin {
                StdinKind::Empty => Stdin::Empty,
                StdinKind::Open => Stdin::Open,
                StdinKind::Piped => Stdin::Pipe(Arc::clone(&pipe)),
            };
            let network = Arc::new(Remote::new(recipe.addresses.clone(), Arc::clone(&calls)));
            let spec = recipe.spec(given, network, outlet.clone());
            let sandbox = {
                let _inside = guest.enter();
                sandbox::start(engine, module, spec)
            };
            let channel = AsyncChannel::new(channel)?;
            tokio::select! {
                attended = attend(&sandbox, &channel, &calls) => attended,
                ended = end(&sandbox, &channel, &outlet) => ended,
                error = read_stdin(stdin, &pipe) => Err(error),
            }
        });
        if let Err(error) = attended {
            eprintln!("{error}");
        }
        // Threads that the guest holds are not waited for.
        std::process::exit(0)
    }
}

/// Does what the agent says, until it says nothing any more.
async fn attend(sandbox: &Arc<Sandbox>, channel: &AsyncChannel, calls: &Calls) -> io::Result<()> {
    let report = Notify::new();
    let listen = async {
        while let Some((message, sockets)) = channel.recv::<ToChild>().await? {
            match message {
                ToChild::Start(_) => {}
                ToChild::Answer { id, answer } => calls.answered(id, answer, sockets.into_iter().next()),
                ToChild::Terminate => sandbox.terminate.cancel(),
                ToChild::Report => report.notify_one(),
                ToChild::Limit { memory_max } => sandbox.memory.set_max(memory_max),
            }
        }
        Ok(())
    };
    // What is said must not hold up what is heard.
    let tell = async {
        sandbox.listening.opened().await;
        channel.send(&ToAgent::Listening, &[]).await
    };
    let tell = async {
        match tell.await {
            Ok(()) => std::future::pending().await,
            Err(error) => Err(error),
        }
    };
    let answer_reports = async {
        loop {
            report.notified().await;
            if let Err(error) = channel.send(&ToAgent::Used(used(sandbox)), &[]).await {
                break Err(error);
            }
        }
    };
    tokio::select! {
        ended = listen => ended,
        failed = tell => failed,
        failed = answer_reports => failed,
    }
}

async fn send_core(channel: &AsyncChannel, dump: &[u8]) -> io::Result<()> {
    let file = in_memory(dump)?;
    channel.send(&ToAgent::Core, &[file.as_fd()]).await
}

fn used(sandbox: &Sandbox) -> Used {
    Used { usage: sandbox.usage(), requests: sandbox.requests() }
}

/// Says how the guest ended, after all that it wrote and left behind.
async fn end(sandbox: &Arc<Sandbox>, channel: &AsyncChannel, outlet: &Arc<Outlet>) -> io::Result<()> {
    let ended = async {
        let exit = loop {
            tokio::select! {
                biased;
                exit = sandbox.ended() => break exit,
                dump = sandbox.cores.next() => send_core(channel, &dump).await?,
            }
        };
        let _ = timeout(FLUSH_MAX, outlet.flushed()).await;
        if let Some(dump) = sandbox.cores.take() {
            send_core(channel, &dump).await?;
        }
        channel.send(&ToAgent::Ended { exit, used: used(sandbox) }, &[]).await
    };
    tokio::select! {
        ended = ended => ended,
        error = outlet.drain() => Err(error),
    }
}

/// Carries what arrives into `pipe`. Returns only when that fails.
async fn read_stdin(stdin: Option<OwnedFd>, pipe: &Pipe) -> io::Error {
    let read = async {
        let Some(stdin) = stdin else { return Ok(()) };
        let mut stdin = UnixStream::from_std(stdin.into())?;
        let mut chunk = vec![0; CHUNK];
        loop {
            match stdin.read(&mut chunk).await? {
                0 => break,
                n if pipe.write(chunk[..n].to_vec().into()).await.is_err() => break,
                _ => {}
            }
        }
        pipe.end();
        Ok(())
    };
    match read.await {
        Ok(()) => std::future::pending().await,
        Err(error) => error,
    }
}
