//! Requests through a NodePort to `hello-http`, against `wasmtime serve` with the same component: a fresh instance each, and
//! with reuse; and what a line of log for each request costs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use coracle_tests::cluster::{Cluster, said, workload_file};
use coracle_tests::{http, wait};

use crate::{Spread, report_spread};

const N_PAIRS: usize = 5;
const REUSE: &str = "1000";

/// A deployment of ours, by its name and its node port.
#[derive(Clone, Copy)]
struct Ours {
    name: &'static str,
    node_port: u16,
    annotations: &'static str,
    env: &'static str,
}

const FRESH: Ours = Ours { name: "fresh", node_port: 30080, annotations: "", env: "" };
const REUSED: Ours = Ours {
    name: "reused",
    node_port: 30081,
    annotations: "http.coracle.dev/max-instance-reuse-count: '1000'",
    env: "",
};
const LOGGING: Ours = Ours { name: "logging", node_port: 30082, annotations: "", env: "{name: LOG, value: '1'}" };

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("hello-http", "hello-http:v1");
    let [fresh, reused, logging] = [FRESH, REUSED, LOGGING].map(|ours| ours.start(&cluster));
    let peer = Peer::serve(18_099, &[])?;
    compare("HTTP through a NodePort (wrk -t1 -c64)", fresh, "wasmtime serve 48", peer.address)?;
    drop(peer);
    let peer = Peer::serve(18_098, &["--max-instance-reuse-count", REUSE])?;
    compare("the same with 1000 requests per instance", reused, "wasmtime serve 48, reuse 1000", peer.address)?;
    drop(peer);
    compare("the same with a line of log per request", logging, "without", fresh)
}

impl Ours {
    fn start(self, cluster: &Cluster) -> SocketAddr {
        let applied = cluster.apply(&self.manifest());
        assert!(applied.status.success(), "{}", said(&applied));
        cluster.ask(&["rollout", "status", &format!("deployment/{}", self.name), "--timeout=60s"]);
        cluster.node_port(self.node_port)
    }

    fn manifest(self) -> String {
        let Self { name, node_port, annotations, env } = self;
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{
               replicas: 3, selector: {{matchLabels: {{app: {name}}}}}, template: {{
                 metadata: {{labels: {{app: {name}}}, annotations: {{{annotations}}}}},
                 spec: {{containers: [{{name: c, image: 'hello-http:v1', env: [{env}], ports: [{{containerPort: 80}}]}}]}}}}}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{
   type: NodePort, selector: {{app: {name}}}, ports: [{{port: 80, nodePort: {node_port}}}]}}}}"
        )
    }
}

struct Peer {
    process: Child,
    address: SocketAddr,
}

impl Peer {
    fn serve(port: u16, args: &[&str]) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let wasmtime = std::env::var_os("WASMTIME").map_or_else(|| PathBuf::from("wasmtime"), PathBuf::from);
        let mut serve = Command::new(wasmtime);
        serve.env_remove("RUST_BACKTRACE").args(["serve", "-S", "cli", "--addr", &address.to_string()]).args(args);
        let started = serve.arg(workload_file("hello-http")).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self { process: started.context("start wasmtime serve")?, address })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Measures both in turn.
fn compare(what: &str, ours: SocketAddr, peer: &str, theirs: SocketAddr) -> Result<()> {
    answers(ours);
    answers(theirs);
    let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
    for _ in 0..N_PAIRS {
        our_rates.push(requests_per_second(ours)?);
        their_rates.push(requests_per_second(theirs)?);
    }
    report_spread(what, &Spread::of(our_rates), "req/s", peer, &Spread::of(their_rates));
    Ok(())
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
