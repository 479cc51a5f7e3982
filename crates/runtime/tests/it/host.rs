//! What the tests stand on: a network in memory, an output that remembers, and the workloads.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use coracle_runtime::network::{Connection, Datagrams, Listener, Network, NetworkError, Stream};
use coracle_runtime::{Config, Container, ContainerSpec, Exit, Module, Output, Program, Runtime, StdStream};
use rustix::process::Pid;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};

/// Longer than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Small, so that guests meet a stream that does not take everything at once.
const STREAM_BUFFER: usize = 4096;

/// Hosts that reach each other by address and name.
#[derive(Default)]
pub(crate) struct Fabric {
    listeners: Mutex<HashMap<SocketAddr, mpsc::Sender<Stream>>>,
    datagrams: Mutex<HashMap<SocketAddr, mpsc::Sender<(Bytes, SocketAddr)>>>,
    names: Mutex<HashMap<String, IpAddr>>,
}

impl Fabric {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A host with the address 10.0.0.`n` and a name.
    pub(crate) fn host(self: &Arc<Self>, n: u8, name: &str) -> Arc<Host> {
        let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        self.names.lock().unwrap().insert(name.into(), ip);
        Arc::new(Host { fabric: Arc::clone(self), ip })
    }
}

/// One host's view of the fabric.
pub(crate) struct Host {
    fabric: Arc<Fabric>,
    ip: IpAddr,
}

impl Host {
    fn specific(&self, address: SocketAddr, port_of: impl Fn(SocketAddr) -> bool) -> Result<SocketAddr, NetworkError> {
        if !address.ip().is_unspecified() && address.ip() != self.ip {
            return Err(NetworkError::AddressNotBindable);
        }
        let free = |port| Some(SocketAddr::new(self.ip, port)).filter(|address| !port_of(*address));
        match address.port() {
            0 => (32768..65535).find_map(free).ok_or(NetworkError::AddressInUse),
            port => free(port).ok_or(NetworkError::AddressInUse),
        }
    }
}

#[async_trait]
impl Network for Host {
    fn addresses(&self) -> Vec<IpAddr> {
        vec![self.ip]
    }

    fn listen(&self, local: SocketAddr, backlog: usize) -> Result<Box<dyn Listener>, NetworkError> {
        let mut listeners = self.fabric.listeners.lock().unwrap();
        let local = self.specific(local, |address| listeners.contains_key(&address))?;
        let (sender, receiver) = mpsc::channel(backlog);
        listeners.insert(local, sender);
        let fabric = Arc::clone(&self.fabric);
        Ok(Box::new(Accepting { fabric, local, receiver: AsyncMutex::new(receiver) }))
    }

    async fn connect(&self, local: Option<SocketAddr>, remote: SocketAddr) -> Result<Stream, NetworkError> {
        let local = local.unwrap_or(SocketAddr::new(self.ip, 32767));
        let listener = self.fabric.listeners.lock().unwrap().get(&remote).cloned();
        let listener = listener.ok_or(NetworkError::ConnectionRefused)?;
        let (here, there) = tokio::io::duplex(STREAM_BUFFER);
        let there = Box::new(Pipe { stream: there, local: remote, peer: local });
        listener.send(there).await.map_err(|_| NetworkError::ConnectionRefused)?;
        Ok(Box::new(Pipe { stream: here, local, peer: remote }))
    }

    fn bind_udp(&self, local: SocketAddr) -> Result<Arc<dyn Datagrams>, NetworkError> {
        let mut bound = self.fabric.datagrams.lock().unwrap();
        let local = self.specific(local, |address| bound.contains_key(&address))?;
        let (sender, receiver) = mpsc::channel(16);
        bound.insert(local, sender);
        Ok(Arc::new(Bound { fabric: Arc::clone(&self.fabric), local, receiver: AsyncMutex::new(receiver) }))
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, NetworkError> {
        if let Ok(ip) = name.parse() {
            return Ok(vec![ip]);
        }
        if name == "nobody.answers" {
            return std::future::pending().await;
        }
        // Not at once, as no real resolver is.
        tokio::task::yield_now().await;
        let ip = self.fabric.names.lock().unwrap().get(name).copied();
        Ok(vec![ip.ok_or(NetworkError::NameUnresolvable)?])
    }
}

struct Accepting {
    fabric: Arc<Fabric>,
    local: SocketAddr,
    receiver: AsyncMutex<mpsc::Receiver<Stream>>,
}

#[async_trait]
impl Listener for Accepting {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> Result<Stream, NetworkError> {
        self.receiver.lock().await.recv().await.ok_or(NetworkError::ConnectionAborted)
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.fabric.listeners.lock().unwrap().remove(&self.local);
    }
}

struct Bound {
    fabric: Arc<Fabric>,
    local: SocketAddr,
    receiver: AsyncMutex<mpsc::Receiver<(Bytes, SocketAddr)>>,
}

#[async_trait]
impl Datagrams for Bound {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn send_to(&self, payload: Bytes, to: SocketAddr) -> Result<(), NetworkError> {
        // Not at once, as on a socket that is full.
        tokio::task::yield_now().await;
        let bound = self.fabric.datagrams.lock().unwrap().get(&to).cloned();
        if let Some(bound) = bound {
            let _ = bound.try_send((payload, self.local));
        }
        Ok(())
    }

    async fn recv_from(&self) -> Result<(Bytes, SocketAddr), NetworkError> {
        self.receiver.lock().await.recv().await.ok_or(NetworkError::ConnectionAborted)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.fabric.datagrams.lock().unwrap().remove(&self.local);
    }
}

struct Pipe {
    stream: DuplexStream,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Connection for Pipe {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Remembers what a container writes.
pub(crate) struct Written(watch::Sender<String>);

impl Output for Written {
    fn write(&self, _stream: StdStream, bytes: Bytes) {
        self.0.send_modify(|text| text.push_str(&String::from_utf8_lossy(&bytes)));
    }
}

impl Written {
    pub(crate) fn text(&self) -> String {
        self.0.borrow().clone()
    }

    /// Returns once `words` have been written.
    pub(crate) async fn shows(&self, words: &str) {
        let mut text = self.0.subscribe();
        let shown = text.wait_for(|text| text.contains(words));
        if tokio::time::timeout(PATIENCE, shown).await.is_err() {
            panic!("{words:?} was not written, but {:?}", self.text());
        }
    }
}

/// A container with its output.
pub(crate) struct Running {
    pub(crate) container: Container,
    pub(crate) output: Arc<Written>,
}

impl Running {
    pub(crate) async fn exit(&self) -> Exit {
        match tokio::time::timeout(PATIENCE, self.container.wait()).await {
            Ok(exit) => exit,
            Err(_) => panic!("it did not end; it wrote {:?}", self.output.text()),
        }
    }

    /// Returns once an HTTP container listens.
    pub(crate) async fn listening(&self) {
        tokio::select! {
            () = self.container.listening() => {}
            exit = self.container.wait() => panic!("it ended before it listened: {exit:?}"),
        }
    }
}

/// The bytes of a workload.
pub(crate) fn wasm(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/workloads").join(format!("{name}.wasm"));
    match std::fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("{}: {error}: run `cargo xtask workloads`", path.display()),
    }
}

/// A runtime that keeps its compiled code in `dir`, with room for few instances.
pub(crate) fn runtime_in(dir: impl Into<PathBuf>) -> Runtime {
    Runtime::new(Config { instances_max: 64, ..Config::new(dir) }).unwrap()
}

/// A runtime that shares compiled code with other tests.
pub(crate) fn runtime() -> Runtime {
    runtime_in(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"))
}

pub(crate) async fn load(runtime: &Runtime, name: &str) -> Arc<Module> {
    let bytes = wasm(name);
    runtime.load(&digest(name, &bytes), async || Ok(bytes)).await.unwrap()
}

/// Enough to tell one build of a workload from another.
pub(crate) fn digest(name: &str, bytes: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{name}:{:016x}", hasher.finish())
}

/// Starts a module on `host`, as `change` wants it.
pub(crate) fn start(
    runtime: &Runtime,
    module: &Arc<Module>,
    host: &Arc<Host>,
    change: impl FnOnce(&mut ContainerSpec),
) -> Running {
    let output = Arc::new(Written(watch::Sender::default()));
    let mut spec = ContainerSpec::new("test", Arc::clone(host) as Arc<dyn Network>, Arc::clone(&output) as _);
    spec.args = vec!["test".into()];
    change(&mut spec);
    Running { container: runtime.start(module, spec), output }
}

/// Starts a workload with arguments, on a host of its own.
pub(crate) async fn run(name: &str, args: &[&str], change: impl FnOnce(&mut ContainerSpec)) -> Running {
    let runtime = runtime();
    let module = load(&runtime, name).await;
    start(&runtime, &module, &Fabric::new().host(1, name), |spec| {
        spec.args = with_name(name, args);
        change(spec);
    })
}

/// The processes that this one has started and not waited for.
pub(crate) fn processes() -> Vec<Pid> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<String> = children.collect();
    let numbers = children.iter().flat_map(|line| line.split_whitespace());
    numbers.map(|number| Pid::from_raw(number.parse().unwrap()).unwrap()).collect()
}

/// This test program, as the process that one of its tests is.
pub(crate) fn this_program(test: &str) -> Program {
    let args = [test, "--exact", "--nocapture"].map(Into::into).into();
    Program { path: std::env::current_exe().unwrap(), args }
}

/// Fails unless it is a core dump with a stack and memory.
#[track_caller]
pub(crate) fn is_core_dump(dump: &[u8]) {
    let (mut n_frames, mut n_data) = (0, 0);
    for payload in wasmparser::Parser::new(0).parse_all(dump) {
        match payload.unwrap() {
            wasmparser::Payload::DataSection(data) => n_data = data.count(),
            wasmparser::Payload::CustomSection(section) => {
                if let wasmparser::KnownCustom::CoreDumpStack(stack) = section.as_known() {
                    n_frames = stack.frames.len();
                }
            }
            _ => {}
        }
    }
    assert!(n_frames > 1 && n_data > 0, "{n_frames} frames, {n_data} pieces of memory");
}

pub(crate) fn with_name(name: &str, args: &[&str]) -> Vec<String> {
    std::iter::once(&name).chain(args).map(|arg| (*arg).to_owned()).collect()
}
