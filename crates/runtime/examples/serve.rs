//! `serve WASM PORT` serves an HTTP component on a port of this machine, to measure the path of a request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{env, fs, io};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use coracle_runtime::network::{Connection, Datagrams, Listener, Network, NetworkError, Stream};
use coracle_runtime::{Config, ContainerSpec, Output, Runtime, StdStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let (wasm, port) = args.next().zip(args.next()).context("usage: serve WASM PORT")?;
    let bytes = Bytes::from(fs::read(&wasm)?);
    let runtime = Runtime::new(Config::new(env::temp_dir().join("coracle-serve")))?;
    let module = runtime.load(&wasm, async || Ok(bytes)).await?;
    let mut spec = ContainerSpec::new("serve", Arc::new(Loopback), Arc::new(Console));
    spec.http_port = port.parse()?;
    spec.env = vec![("POD_NAME".into(), "here".into())];
    let container = runtime.start(&module, spec);
    tokio::select! {
        exit = container.wait() => anyhow::bail!("it ended: {exit:?}"),
        () = container.listening() => println!("listening on 127.0.0.1:{port}"),
    }
    println!("{:?}", container.wait().await);
    Ok(())
}

struct Console;

impl Output for Console {
    fn write(&self, _stream: StdStream, bytes: Bytes) {
        print!("{}", String::from_utf8_lossy(&bytes));
    }
}

/// Listens on this machine's loopback, and does nothing else.
struct Loopback;

#[async_trait]
impl Network for Loopback {
    fn addresses(&self) -> Vec<IpAddr> {
        vec![Ipv4Addr::LOCALHOST.into()]
    }

    fn listen(&self, local: SocketAddr, _backlog: usize) -> Result<Box<dyn Listener>, NetworkError> {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, local.port()));
        let listener = std::net::TcpListener::bind(local).map_err(|_| NetworkError::AddressInUse)?;
        listener.set_nonblocking(true).map_err(|_| NetworkError::NotSupported)?;
        Ok(Box::new(Host(TcpListener::from_std(listener).map_err(|_| NetworkError::NotSupported)?)))
    }

    async fn connect(&self, _local: Option<SocketAddr>, _remote: SocketAddr) -> Result<Stream, NetworkError> {
        Err(NetworkError::AccessDenied)
    }

    fn bind_udp(&self, _local: SocketAddr) -> Result<Arc<dyn Datagrams>, NetworkError> {
        Err(NetworkError::AccessDenied)
    }

    async fn resolve(&self, _name: &str) -> Result<Vec<IpAddr>, NetworkError> {
        Err(NetworkError::NameUnresolvable)
    }
}

struct Host(TcpListener);

#[async_trait]
impl Listener for Host {
    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    async fn accept(&self) -> Result<Stream, NetworkError> {
        let (stream, peer) = self.0.accept().await.map_err(|_| NetworkError::ConnectionAborted)?;
        let _ = stream.set_nodelay(true);
        Ok(Box::new(Accepted { stream, local: self.local_addr(), peer }))
    }
}

struct Accepted {
    stream: TcpStream,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Connection for Accepted {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
