//! Debian's etcd, loaded with puts by a client as lean as ours: gRPC written by hand over HTTP/2 without TLS, which etcd
//! is not asked for. It may choose how its clients come: on few connections or on many, whichever is faster.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use coracle_tests::wait;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const PORT: u16 = 23_790;
const PEER_PORT: u16 = 23_800;

pub(crate) struct Etcd(Child);

impl Etcd {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let (client, peer) = (format!("http://127.0.0.1:{PORT}"), format!("http://127.0.0.1:{PEER_PORT}"));
        let mut etcd = Command::new("etcd");
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error", "--data-dir"])
            .arg(dir);
        let started = etcd.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start etcd");
        let etcd = Self(started?);
        wait::until("etcd", || {
            let answer = coracle_tests::http::get(address(), "/health").map_err(|error| format!("{error:?}"))?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        });
        Ok(etcd)
    }

    /// Puts of new keys by `n_clients`, which share `n_connections`, each a second.
    pub(crate) async fn puts(
        &self,
        value: &Bytes,
        n_clients: usize,
        n_connections: usize,
        lasting: Duration,
        run: usize,
    ) -> Result<f64> {
        let mut senders = Vec::new();
        for _ in 0..n_connections {
            senders.push(connect().await?);
        }
        let mut clients = JoinSet::new();
        let start = Instant::now();
        for client in 0..n_clients {
            let (sender, value) = (senders[client % n_connections].clone(), value.clone());
            clients.spawn(put_until(start + lasting, sender, value, run, client));
        }
        let mut n_put = 0;
        while let Some(ended) = clients.join_next().await {
            n_put += ended??;
        }
        Ok(n_put as f64 / start.elapsed().as_secs_f64())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], PORT))
}

type Sender = SendRequest<Full<Bytes>>;

#[expect(clippy::disallowed_methods, reason = "a connection lives as long as its senders")]
async fn connect() -> Result<Sender> {
    let stream = TcpStream::connect(address()).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn put_until(end: Instant, mut sender: Sender, value: Bytes, run: usize, client: usize) -> Result<usize> {
    let mut n_put = 0;
    while Instant::now() < end {
        let body = put(&format!("/registry/configmaps/default/c{run}-{client}-{n_put}"), &value);
        let request = Request::post(format!("http://127.0.0.1:{PORT}/etcdserverpb.KV/Put"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await?.into_body().collect().await?;
        let trailers = answer.trailers().context("a gRPC answer has trailers")?;
        if trailers.get("grpc-status").is_none_or(|status| status != "0") {
            bail!("a put failed: {trailers:?}");
        }
        n_put += 1;
    }
    Ok(n_put)
}

/// A `PutRequest` in its gRPC frame.
fn put(key: &str, value: &[u8]) -> Bytes {
    let mut message = BytesMut::new();
    for (tag, bytes) in [(0x0a, key.as_bytes()), (0x12, value)] {
        message.put_u8(tag);
        let mut length = bytes.len();
        while length > 0x7f {
            message.put_u8(length as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(bytes);
    }
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a message is small"));
    frame.extend_from_slice(&message);
    frame.freeze()
}
