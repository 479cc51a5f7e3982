//! Runs one program as a container with this process's streams, for runners that start a process per test: its loopback
//! is joined with the host's where the two have to meet, and its exit code is this process's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use coracle_net::PodNetwork;
use coracle_runtime::network::{Network, Stream};
use coracle_runtime::{Container, ContainerSpec, Exit, Mount, Output, Pipe, StdStream, Stdin};
use coracle_stdx::{CancellationToken, Scope};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::Result;
use crate::world::World;

/// Pieces of output that wait to be written. Who writes more is held up by nobody: tests write little.
const PIECES_MAX: usize = 4096;
/// What is read from standard input at a time.
const CHUNK: usize = 4096;
/// What a process ends with when its guest traps.
const TRAPPED: i32 = 134;

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    file: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    mounts: Vec<Mount>,
}

impl Asked {
    fn parse(args: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut asked = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match (arg.as_str(), &asked.file) {
                ("--env", _) => {
                    let (name, value) = pair(args.next(), "=")?;
                    asked.env.push((name, value));
                }
                ("--dir", _) => {
                    let (host, guest) = pair(args.next(), "::")?;
                    asked.mounts.push(Mount { host: host.into(), guest, read_only: false });
                }
                _ => {
                    asked.file = arg.into();
                    break;
                }
            }
        }
        let name = asked.file.file_name().ok_or("no file was named")?;
        asked.args.push(name.to_string_lossy().into_owned());
        asked.args.extend(args);
        Ok(asked)
    }
}

fn pair(arg: Option<String>, between: &str) -> Result<(String, String)> {
    let arg = arg.unwrap_or_default();
    let (left, right) = arg.split_once(between).ok_or_else(|| format!("{arg:?} has no `{between}`"))?;
    Ok((left.to_owned(), right.to_owned()))
}

/// Runs what `args` ask for to its end, or until this process is interrupted.
pub(crate) async fn run(args: impl IntoIterator<Item = String>) -> Result<i32> {
    let asked = Asked::parse(args)?;
    let world = World::new().await?;
    let pod = world.pod("one")?;
    let mut joints = Scope::child_of(&CancellationToken::new());
    for (_, value) in &asked.env {
        if let Ok(address) = value.parse::<SocketAddr>() {
            let pod = Arc::clone(&pod);
            joints.spawn(move |_| into_host(pod, address));
        }
    }
    let read = async || std::fs::read(&asked.file).map(Bytes::from);
    let module = world.runtime.load(&digest(&asked.file), read).await.map_err(|error| format!("load: {error}"))?;
    let (output, pieces) = mpsc::channel(PIECES_MAX);
    let mut spec = ContainerSpec::new("one", Arc::clone(&pod) as Arc<dyn Network>, Arc::new(Queue(output)));
    (spec.args, spec.env, spec.mounts) = (asked.args, asked.env, asked.mounts);
    let pipe = Arc::new(Pipe::default());
    spec.stdin = Stdin::Pipe(Arc::clone(&pipe));
    joints.spawn(|_| read_stdin(pipe));
    let container = world.runtime.start(&module, spec);
    let mut shown = Scope::<Infallible>::child_of(&CancellationToken::new());
    let seen = Arc::clone(&pod);
    shown.spawn(|_| async {
        show(pieces, seen).await;
        Ok(())
    });
    let exit = until_interrupted(&container, &pod).await;
    drop(container);
    // What it wrote is shown before its end is.
    let Ok(()) = shown.join().await;
    Ok(match exit {
        Exit::Code(code) => code,
        Exit::Trap { message, backtrace } => {
            eprintln!("{message}\n{backtrace}");
            TRAPPED
        }
        Exit::Killed => 0,
        exit => {
            eprintln!("{exit:?}");
            1
        }
    })
}

fn digest(file: &Path) -> String {
    file.display().to_string()
}

async fn until_interrupted(container: &Container, pod: &Arc<PodNetwork>) -> Exit {
    let mut ended = pin!(container.wait());
    let mut served = pin!(async {
        container.listening().await;
        serve(Arc::clone(pod), container).await
    });
    loop {
        tokio::select! {
            exit = &mut ended => return exit,
            _ = tokio::signal::ctrl_c() => container.kill(),
            error = &mut served => {
                eprintln!("{error}");
                container.kill();
            }
        }
    }
}

/// Lets the host reach a server, and says where. It ends only when it cannot.
async fn serve(pod: Arc<PodNetwork>, container: &Container) -> String {
    if container.requests().is_none() {
        return std::future::pending().await;
    }
    let to = SocketAddr::new(pod.addresses()[0], 80);
    match TcpListener::bind("127.0.0.1:0").await.and_then(|listener| Ok((listener.local_addr()?, listener))) {
        Ok((address, listener)) => {
            eprintln!("serving http://{address}/");
            from_host(pod, listener, to).await
        }
        Err(error) => error.to_string(),
    }
}

/// Carries connections of the host to `to` in the pod.
async fn from_host(pod: Arc<PodNetwork>, listener: TcpListener, to: SocketAddr) -> String {
    let mut connections = Scope::<String>::child_of(&CancellationToken::new());
    loop {
        let outside = match listener.accept().await {
            Ok((outside, _)) => outside,
            Err(error) => return error.to_string(),
        };
        let pod = Arc::clone(&pod);
        connections.spawn(move |_| async move {
            let inside = pod.connect(None, to).await.map_err(|error| error.to_string());
            if let Ok(inside) = inside {
                join(inside, outside).await;
            }
            Ok(())
        });
    }
}

/// Carries connections of the pod to `address` to the host's, if somebody listens there.
async fn into_host(pod: Arc<PodNetwork>, address: SocketAddr) -> std::result::Result<(), String> {
    if TcpStream::connect(address).await.is_err() {
        return Ok(());
    }
    let listener = pod.listen(address, 16).map_err(|error| error.to_string())?;
    let mut connections = Scope::<String>::child_of(&CancellationToken::new());
    while let Ok(inside) = listener.accept().await {
        connections.spawn(move |_| async move {
            if let Ok(outside) = TcpStream::connect(address).await {
                join(inside, outside).await;
            }
            Ok(())
        });
    }
    Ok(())
}

async fn join(mut inside: Stream, mut outside: TcpStream) {
    // Either side may break off, which the other then sees.
    let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
}

struct Queue(mpsc::Sender<(StdStream, Bytes)>);

impl Output for Queue {
    fn write(&self, stream: StdStream, bytes: Bytes) {
        if self.0.try_send((stream, bytes)).is_err() {
            eprintln!("output was lost");
        }
    }
}

/// Writes what the guest does. An address that it prints becomes one of the host's before anybody can read it.
async fn show(mut pieces: mpsc::Receiver<(StdStream, Bytes)>, pod: Arc<PodNetwork>) {
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    let mut listeners = Scope::<String>::child_of(&CancellationToken::new());
    while let Some((stream, bytes)) = pieces.recv().await {
        let address = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<SocketAddr>().ok());
        if let Some(address) = address
            && let Ok(listener) = TcpListener::bind(address).await
        {
            let pod = Arc::clone(&pod);
            listeners.spawn(move |_| async move { Err(from_host(pod, listener, address).await) });
        }
        match stream {
            StdStream::Stdout => put(&mut stdout, &bytes).await,
            StdStream::Stderr => put(&mut stderr, &bytes).await,
        }
    }
}

/// Nobody may be reading any more, which is no concern of the guest's here.
async fn put(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    if to.write_all(bytes).await.is_ok() {
        let _ = to.flush().await;
    }
}

async fn read_stdin(pipe: Arc<Pipe>) -> std::result::Result<(), String> {
    let mut stdin = tokio::io::stdin();
    let mut chunk = vec![0; CHUNK];
    while let Ok(n @ 1..) = stdin.read(&mut chunk).await {
        if pipe.write(Bytes::copy_from_slice(&chunk[..n])).await.is_err() {
            return Ok(());
        }
    }
    pipe.end();
    Ok(())
}
