//! Runs one program and compares what it did with what is expected.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use coracle_runtime::network::Network;
use coracle_runtime::{Container, ContainerSpec, Exit, Mount, Output, Pipe, StdStream, Stdin};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::Result;
use crate::program::{Expected, Program};
use crate::world::World;

/// Longer than any of them takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a program that should not end is watched.
const FOREVER: Duration = Duration::from_millis(500);
/// How long a server may work on a request.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(3);
/// How much of what it wrote is shown.
const SHOWN_MAX: usize = 400;

#[derive(Default)]
struct Written {
    stdout: Mutex<Vec<u8>>,
    stderr: Mutex<Vec<u8>>,
}

impl Output for Written {
    fn write(&self, stream: StdStream, bytes: Bytes) {
        let to = match stream {
            StdStream::Stdout => &self.stdout,
            StdStream::Stderr => &self.stderr,
        };
        to.lock().expect("nobody panics holding it").extend_from_slice(&bytes);
    }
}

impl Written {
    /// What it wrote last before it gave up, on one line.
    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr.lock().expect("nobody panics holding it")).replace('\n', " / ");
        let text = text.find("panicked at").map_or(text.as_str(), |at| &text[at..]);
        text.chars().take(SHOWN_MAX).collect()
    }
}

pub(crate) async fn run(world: &World, file: &Path, program: &Program) -> Result<()> {
    let load = world.runtime.load(&program.name, async || fs::read(file).map(Bytes::from));
    let module = load.await.map_err(|error| format!("load: {error}"))?;
    let pod = world.pod(&program.name)?;
    let (own, read_only) = (directory(program)?, tempfile::tempdir().map_err(|error| error.to_string())?);
    let output = Arc::new(Written::default());
    let mut spec = ContainerSpec::new(&program.name, Arc::clone(&pod) as Arc<dyn Network>, Arc::clone(&output) as _);
    spec.args.clone_from(&program.args);
    spec.env.clone_from(&program.env);
    spec.env.extend(program.server.map(|server| ("HTTP_SERVER".into(), server.into())));
    spec.request_time_max = Some(REQUEST_TIME_MAX);
    spec.working_dir = program.working_dir.map(str::to_owned);
    for dir in program.dirs {
        spec.mounts.push(mount(&own, dir, false));
    }
    if let Some((guest, name, content)) = program.read_only {
        fs::write(read_only.path().join(name), content).map_err(|error| error.to_string())?;
        spec.mounts.push(mount(&read_only, guest, true));
    }
    // What every pod has besides.
    let (etc, dev) = (of_a_pod()?, tempfile::tempdir().map_err(|error| error.to_string())?);
    spec.mounts.extend([mount(&etc, "/etc", true), mount(&dev, "/dev", false)]);
    if let Some(text) = program.stdin {
        let pipe = Arc::new(Pipe::default());
        pipe.push(Bytes::from_static(text.as_bytes())).map_err(|error| error.to_string())?;
        pipe.end();
        spec.stdin = Stdin::Pipe(pipe);
    }
    let container = world.runtime.start(&module, spec);
    let judged = judge(world, &pod.addresses()[0].to_string(), &container, program, &output).await;
    judged.map_err(|reason| format!("{reason}; {}", output.shown()))
}

fn mount(host: &TempDir, guest: &str, read_only: bool) -> Mount {
    Mount { host: host.path().to_path_buf(), guest: guest.into(), read_only }
}

/// The files by which a pod's guests learn of names.
fn of_a_pod() -> Result<TempDir> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    for name in ["hosts", "resolv.conf", "hostname"] {
        fs::write(dir.path().join(name), "\n").map_err(|error| error.to_string())?;
    }
    Ok(dir)
}

fn directory(program: &Program) -> Result<TempDir> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    for (name, content) in &program.files {
        let path = dir.path().join(name);
        let parent = path.parent().expect("it lies in the directory");
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, content)).map_err(|error| error.to_string())?;
    }
    Ok(dir)
}

async fn judge(world: &World, address: &str, container: &Container, program: &Program, output: &Written) -> Result<()> {
    let exit = match &program.expected {
        Expected::Status(status) => return answers(world, address, container, program.request, *status).await,
        Expected::Forever => return lasts(container).await,
        Expected::Code(_) | Expected::Trap(_) | Expected::Output(_) => ended(container, PATIENCE).await?,
    };
    match (&program.expected, &exit) {
        (Expected::Code(code), Exit::Code(found)) if code == found => Ok(()),
        (Expected::Trap(words), Exit::Trap { message, .. }) if message.contains(words) => Ok(()),
        (Expected::Output(text), Exit::Code(0)) => {
            let written = output.stdout.lock().expect("nobody panics holding it");
            if *written == text.as_bytes() { Ok(()) } else { Err(format!("wrote {} bytes", written.len())) }
        }
        (_, Exit::Trap { message, .. }) => Err(format!("trap: {message}")),
        _ => Err(format!("{exit:?}")),
    }
}

async fn ended(container: &Container, patience: Duration) -> Result<Exit> {
    timeout(patience, container.wait()).await.map_err(|_| "it did not end".to_owned())
}

async fn lasts(container: &Container) -> Result<()> {
    if let Ok(exit) = ended(container, FOREVER).await {
        return Err(format!("{exit:?}"));
    }
    container.kill();
    match ended(container, PATIENCE).await? {
        Exit::Killed => Ok(()),
        exit => Err(format!("{exit:?}")),
    }
}

async fn answers(
    world: &World,
    address: &str,
    container: &Container,
    request: (&str, &str),
    status: u16,
) -> Result<()> {
    tokio::select! {
        () = container.listening() => {}
        exit = container.wait() => return Err(format!("it ended before it listened: {exit:?}")),
    }
    let to: SocketAddr = format!("{address}:80").parse().expect("it is an address");
    let mut stream = world.fabric.connect(to).await.map_err(|error| error.to_string())?;
    let (target, head) = request;
    let request = format!("GET {target} HTTP/1.1\r\n{head}\r\nenv: HTTP_SERVER\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    let expected = format!("HTTP/1.1 {status} ");
    if answer.starts_with(&expected) { Ok(()) } else { Err(format!("answered {:?}", answer.lines().next())) }
}
