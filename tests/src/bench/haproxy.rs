//! Connections and bytes through a NodePort to a pod of the same node, against HAProxy in TCP mode. Its backends are the
//! same components: run by wasmtime on the host, and as the very pods that we measure, which it reaches by their node ports.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use coracle_tests::cluster::{Cluster, manifest_file, workload_file};
use coracle_tests::{http, wait};
use serde_json::json;

use crate::child::{Running, ask, cpu_of, given, is_there};
use crate::{Spread, report, report_spread};

const N_PAIRS: usize = 5;
const HTTP_PORT: u16 = 30080;
const SOURCE_PORT: u16 = 30091;
/// Where wasmtime serves, and where HAProxy stands before it and before our pods.
const OUTSIDE: [u16; 2] = [18_111, 18_112];
const BEFORE_OUTSIDE: [u16; 2] = [18_121, 18_122];
const BEFORE_PODS: [u16; 2] = [18_131, 18_132];
const READING: Duration = Duration::from_secs(3);
const READ_BYTES: usize = 256 << 10;

/// Somewhere to connect to: for a page, and for as many bytes as one reads.
struct Side {
    name: &'static str,
    page: SocketAddr,
    source: SocketAddr,
    /// Who does the work.
    pids: Vec<u32>,
    _running: Vec<Running>,
}

pub(crate) fn run() -> Result<()> {
    if !is_there("haproxy") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let cluster = pods(dir.path())?;
    let at_pods = [HTTP_PORT, SOURCE_PORT].map(|port| cluster.node_port(port));
    let us = Side::new("us", at_pods, vec![cluster.pid()], Vec::new());
    let mut running = outside()?;
    running.push(haproxy(dir.path(), BEFORE_OUTSIDE, OUTSIDE.map(local))?);
    let pids = running.iter().map(Running::pid).collect();
    let outside = Side::new("HAProxy, wasmtime behind it", BEFORE_OUTSIDE.map(local), pids, running);
    let before_pods = haproxy(dir.path(), BEFORE_PODS, at_pods)?;
    let pids = vec![before_pods.pid(), cluster.pid()];
    let same = Side::new("HAProxy, the same pod behind it", BEFORE_PODS.map(local), pids, vec![before_pods]);
    let sides = [us, outside, same];
    compare(&sides, "NodePort, connections (wrk -c64)", ["/s", "us CPU"], Side::connections)?;
    compare(&sides, "NodePort, bytes of one connection", ["MB/s", "us/MB"], Side::bytes)
}

/// A cluster of one node with a page and a source of bytes.
fn pods(dir: &Path) -> Result<Cluster> {
    let cluster = Cluster::up(dir, &[]);
    for workload in ["hello-http", "netcat"] {
        cluster.push(workload, &format!("{workload}:v1"));
    }
    cluster.ask(&["apply", "-f", &manifest_file("hello-http")]);
    let container = json!({"name": "source", "image": "netcat:v1", "args": ["source", "9"]});
    let metadata = json!({"name": "source", "labels": {"app": "source"}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}});
    let spec =
        json!({"type": "NodePort", "selector": {"app": "source"}, "ports": [{"port": 9, "nodePort": SOURCE_PORT}]});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "source"}, "spec": spec});
    let applied = cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [pod, service]}).to_string());
    if !applied.status.success() {
        bail!("apply the source: {}", coracle_tests::cluster::said(&applied));
    }
    cluster.ask(&["rollout", "status", "deployment/hello-http", "--timeout=60s"]);
    Ok(cluster)
}

/// The same two components without a cluster.
fn outside() -> Result<Vec<Running>> {
    let wasmtime = given("WASMTIME")?;
    let [page, source] = OUTSIDE.map(|port| port.to_string());
    let mut serve = Command::new(&wasmtime);
    serve.args(["serve", "-S", "cli", "--addr", &format!("127.0.0.1:{page}")]).arg(workload_file("hello-http"));
    let mut run = Command::new(&wasmtime);
    run.args(["run", "-S", "inherit-network"]).arg(workload_file("netcat")).args(["source", &source]);
    Ok(vec![Running::start(&mut serve)?, Running::start(&mut run)?])
}

/// HAProxy at two ports, each before one backend.
fn haproxy(dir: &Path, ports: [u16; 2], backends: [SocketAddr; 2]) -> Result<Running> {
    let mut config = String::from(
        "global\n maxconn 4000\ndefaults\n mode tcp\n option splice-auto\n timeout connect 5s\n timeout client 60s\n \
         timeout server 60s\n",
    );
    for (port, backend) in ports.into_iter().zip(backends) {
        config += &format!("listen at-{port}\n bind {}\n server backend {backend}\n", local(port));
    }
    let file = dir.join(format!("haproxy-{}.cfg", ports[0]));
    std::fs::write(&file, config)?;
    ask(Command::new("haproxy").arg("-c").arg("-f").arg(&file))?;
    Running::start(Command::new("haproxy").arg("-db").arg("-f").arg(&file))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Measures all sides in turn, and reports the first against each other one: what was done a second, and its cost.
fn compare(sides: &[Side], what: &str, units: [&str; 2], measure: fn(&Side) -> Result<[f64; 2]>) -> Result<()> {
    let mut measured = vec![[Vec::new(), Vec::new()]; sides.len()];
    for _ in 0..N_PAIRS {
        for (side, [rates, costs]) in sides.iter().zip(&mut measured) {
            let [rate, cost] = measure(side)?;
            rates.push(rate);
            costs.push(cost);
        }
    }
    let spreads: Vec<[Spread; 2]> = measured.into_iter().map(|both| both.map(Spread::of)).collect();
    let [rate, cost] = &spreads[0];
    for (side, [their_rate, their_cost]) in sides.iter().zip(&spreads).skip(1) {
        report_spread(what, rate, units[0], side.name, their_rate);
        report("  the best of each", rate.most, units[0], side.name, their_rate.most);
        report_spread("  CPU of proxy and backend", cost, units[1], side.name, their_cost);
    }
    Ok(())
}

impl Side {
    /// A side that answers.
    fn new(name: &'static str, [page, source]: [SocketAddr; 2], pids: Vec<u32>, running: Vec<Running>) -> Self {
        wait::until("a page", || match http::get(page, "/") {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        wait::until("some bytes", || read(source, Duration::ZERO).map_err(|error| error.to_string()));
        Self { name, page, source, pids, _running: running }
    }

    /// Connections a second, each for one page, and what one takes.
    fn connections(&self) -> Result<[f64; 2]> {
        let cpu = cpu_of(&self.pids)?;
        let url = format!("http://{}/", self.page);
        let text = ask(Command::new("wrk").args(["-t1", "-c64", "-d3s", "-H", "Connection: close", &url]))?;
        if text.contains("Non-2xx") || text.contains("Socket errors") {
            bail!("wrk saw failures:\n{text}");
        }
        let found = |end: &str| text.lines().find_map(|line| line.split_once(end));
        let (_, rate) = found("Requests/sec:").context("wrk's Requests/sec")?;
        let (n, _) = found(" requests in").context("wrk's requests")?;
        Ok([rate.trim().parse()?, (cpu_of(&self.pids)? - cpu) * 1e6 / n.trim().parse::<f64>()?])
    }

    /// Megabytes a second, and what one takes.
    fn bytes(&self) -> Result<[f64; 2]> {
        let (cpu, began) = (cpu_of(&self.pids)?, Instant::now());
        let megabytes = read(self.source, READING)? as f64 / 1e6;
        let elapsed = began.elapsed().as_secs_f64();
        Ok([megabytes / elapsed, (cpu_of(&self.pids)? - cpu) * 1e6 / megabytes])
    }
}

/// Reads for so long, at least once.
fn read(source: SocketAddr, lasting: Duration) -> Result<usize> {
    let mut stream = TcpStream::connect(source)?;
    let (mut buffer, mut n_bytes, began) = (vec![0; READ_BYTES], 0, Instant::now());
    loop {
        match stream.read(&mut buffer)? {
            0 => bail!("{source} sends nothing"),
            n => n_bytes += n,
        }
        if began.elapsed() >= lasting {
            return Ok(n_bytes);
        }
    }
}
