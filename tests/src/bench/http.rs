//! Requests through a NodePort to `hello-http`, a fresh instance each, against `wasmtime serve` with the same component.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use coracle_tests::cluster::{Cluster, manifest_file, workload_file};
use coracle_tests::{http, wait};

use crate::{median, report};

const N_PAIRS: usize = 5;
const NODE_PORT: u16 = 30080;
const PEER_PORT: u16 = 18_099;

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("hello-http", "hello-http:v1");
    cluster.ask(&["apply", "-f", &manifest_file("hello-http")]);
    cluster.ask(&["rollout", "status", "deployment/hello-http", "--timeout=60s"]);
    let peer = Peer::serve()?;
    let (us, them) = (cluster.node_port(NODE_PORT), SocketAddr::from(([127, 0, 0, 1], PEER_PORT)));
    answers(us);
    answers(them);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..N_PAIRS {
        ours.push(requests_per_second(us)?);
        theirs.push(requests_per_second(them)?);
    }
    drop(peer);
    report("HTTP through a NodePort (wrk -t1 -c64)", median(ours), "req/s", "wasmtime serve 48", median(theirs));
    Ok(())
}

struct Peer(Child);

impl Peer {
    fn serve() -> Result<Self> {
        let wasmtime = std::env::var_os("WASMTIME").map_or_else(|| PathBuf::from("wasmtime"), PathBuf::from);
        let mut serve = Command::new(wasmtime);
        serve.env_remove("RUST_BACKTRACE").args(["serve", "-S", "cli", "--addr", &format!("127.0.0.1:{PEER_PORT}")]);
        let started = serve.arg(workload_file("hello-http")).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self(started.context("start wasmtime serve")?))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn answers(server: SocketAddr) {
    wait::until("an answer", || match http::get(server, "/") {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn requests_per_second(server: SocketAddr) -> Result<f64> {
    let out = Command::new("wrk").args(["-t1", "-c64", "-d5s", &format!("http://{server}/")]).output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("wrk saw failures:\n{text}");
    }
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("wrk's Requests/sec")?;
    Ok(line.trim().parse()?)
}
