//! Ten thousand services of ten endpoints each, on four nodes: how soon a change reaches every node's table, measured by
//! pods that connect again and again, and what the endpoints take. The table itself is measured by an example of `proxy`.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use coracle_tests::cluster::{Cluster, said};
use coracle_tests::wait;
use serde_json::{Value, json};

use crate::access::Access;
use crate::child::{ask, given};
use crate::process::rss_mib;
use crate::{Spread, report, report_limit, runtime};

const N_SERVICES: usize = 10_000;
const N_ENDPOINTS: usize = 10;
const N_CLIENTS: usize = 16;
const N_CHANGES: usize = 20;
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const NAMES: [&str; 2] = ["left", "right"];
/// Time for tables to be made and memory to be given back, and between changes.
const SETTLE: Duration = Duration::from_secs(15);
const REST: Duration = Duration::from_millis(500);

pub(crate) fn run() -> Result<()> {
    table()?;
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &["--nodes", "4"]);
    cluster.push("netcat", "netcat:v1");
    let access = Access::read(&cluster)?;
    let runtime = runtime()?;
    let endpoints = NAMES.map(|name| pod(&cluster, name, None, &["name", "80", name]));
    apply(&cluster, &[moving(), serde_json::from_str(&slice("moving", 80, &[endpoints[0].clone()]))?])?;
    let address = cluster.ask(&["get", "service", "moving", "-o", "jsonpath={.spec.clusterIP}"]);
    let nodes = cluster.ask(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]);
    let followers: Vec<String> = nodes.split(' ').map(|node| format!("follow-{node}")).collect();
    for (node, follower) in nodes.split(' ').zip(&followers) {
        pod(&cluster, follower, Some(node), &["follow", &format!("{address}:80")]);
    }
    runtime.block_on(changes(&access, &cluster, &followers, &endpoints, "a few services"))?;
    std::thread::sleep(SETTLE);
    let before = rss_mib(cluster.pid())?;
    runtime.block_on(async {
        access.create_many(SERVICES, N_SERVICES, N_CLIENTS, service).await?;
        access.create_many(SLICES, N_SERVICES, N_CLIENTS, |number| slice(&name(number), 8080, &addresses(number))).await
    })?;
    std::thread::sleep(SETTLE);
    let grown = (rss_mib(cluster.pid())? - before) * 1024.0 / (N_SERVICES * N_ENDPOINTS) as f64;
    runtime.block_on(changes(&access, &cluster, &followers, &endpoints, "10,000 services"))?;
    report_limit("memory of an endpoint: API server, 4 nodes", &Spread::of(vec![grown]), "KiB", "limit", 1.0);
    Ok(())
}

/// What one node's table takes, without a cluster around it.
fn table() -> Result<()> {
    let said = ask(&mut Command::new(given("SERVICE_TABLE")?))?;
    let measured: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    let number = |key: &str| measured[key].as_f64().with_context(|| format!("{key} in {said}"));
    report("lookup in a node's table", number("lookup_ns")?, "ns", "limit", 1000.0);
    report("", number("lookup_ns")?, "ns", "a std HashMap's, by address", number("hash_map_ns")?);
    report("one service changes in it", number("change_ms")?, "ms", "limit, for all of the way", 100.0);
    report("memory of an endpoint in it", number("endpoint_bytes")?, "bytes", "limit", 1024.0);
    Ok(())
}

/// Lets the service change hands again and again, and tells how long it took until a pod on each node saw it.
async fn changes(
    access: &Access,
    cluster: &Cluster,
    followers: &[String],
    endpoints: &[String; 2],
    beside: &str,
) -> Result<()> {
    let mut connection = access.connect().await?;
    let mut begun = Vec::new();
    for change in 0..=N_CHANGES {
        let which = change % 2;
        begun.push((now_ns()?, NAMES[which]));
        let patch = json!({"endpoints": [{"addresses": [endpoints[which]], "conditions": {"ready": true}}]});
        connection.merge(&format!("{SLICES}/moving"), &patch.to_string()).await?;
        tokio::time::sleep(REST).await;
    }
    let seen = followers.iter().map(|follower| cluster.ask(&["logs", follower])).collect::<Vec<_>>();
    // The first may have changed nothing.
    let latest = begun[1..].iter().map(|(at, name)| latest(&seen, *at, name)).collect::<Result<Vec<_>>>()?;
    report_limit(&format!("a change on every node, beside {beside}"), &Spread::of(latest), "ms", "limit", 100.0);
    Ok(())
}

/// Milliseconds from `at` until the last of all had seen `name`.
fn latest(seen: &[String], at: u64, name: &str) -> Result<f64> {
    let mut latest: f64 = 0.0;
    for log in seen {
        let mut lines = log.lines().filter_map(|line| line.split_once(' '));
        let first = lines.find_map(|(when, who)| when.parse().ok().filter(|when| *when >= at && who == name));
        let first: u64 = first.with_context(|| format!("{name} was not seen after {at}:\n{log}"))?;
        latest = latest.max((first - at) as f64 / 1e6);
    }
    Ok(latest)
}

fn now_ns() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}

/// Starts `netcat ARGS` in a pod, and returns its address.
fn pod(cluster: &Cluster, name: &str, node: Option<&str>, args: &[&str]) -> String {
    let container = json!({"name": "netcat", "image": "netcat:v1", "args": args});
    let spec = json!({"nodeName": node, "containers": [container]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    apply(cluster, &[pod]).expect("a pod is created");
    wait::until("a pod to run", || {
        let seen = cluster.ask(&["get", "pod", name, "-o", "jsonpath={.status.phase} {.status.podIP}"]);
        seen.strip_prefix("Running ").map(str::to_owned).ok_or(seen)
    })
}

fn apply(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    let applied = cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
    if !applied.status.success() {
        bail!("apply {objects:?}: {}", said(&applied));
    }
    Ok(())
}

fn moving() -> Value {
    let spec = json!({"ports": [{"name": "main", "port": 80}]});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "moving"}, "spec": spec})
}

fn name(number: usize) -> String {
    format!("service-{number:05}")
}

fn service(number: usize) -> String {
    let ports = json!([{"name": "main", "port": 80, "targetPort": 8080}]);
    json!({"metadata": {"name": name(number)}, "spec": {"ports": ports}}).to_string()
}

fn addresses(number: usize) -> Vec<String> {
    let nth = |n: usize| format!("10.{}.{}.{}", 128 + (n >> 16), n >> 8 & 255, n & 255);
    (0..N_ENDPOINTS).map(|n| nth(number * N_ENDPOINTS + n + 1)).collect()
}

/// The endpoints of a service that selects no pods.
fn slice(service: &str, port: u16, addresses: &[String]) -> String {
    let endpoints = addresses.iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}}));
    let endpoints: Vec<Value> = endpoints.collect();
    let labels = json!({"kubernetes.io/service-name": service});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": service, "labels": labels},
        "addressType": "IPv4", "ports": [{"name": "main", "port": port, "protocol": "TCP"}], "endpoints": endpoints,
    })
    .to_string()
}
