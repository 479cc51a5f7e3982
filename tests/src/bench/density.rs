//! Ten thousand pods on one node, each blocked in accept: what they take, and how fast one more starts.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use coracle_tests::cluster::Cluster;
use serde_json::Value;

use crate::access::{Access, Connection};
use crate::process::{cpu_seconds, rss_mib};
use crate::{Spread, percentile, report_limit, runtime};

const N_PODS: usize = 10_000;
const N_CLIENTS: usize = 16;
const N_STARTS: usize = 100;
const PODS: &str = "/api/v1/namespaces/default/pods";
/// What starting leaves to do, as Events, is done when the cluster takes less of a core than this.
const SETTLED: f64 = 0.2;
const SETTLE_WINDOW: Duration = Duration::from_secs(5);
const SETTLE_MAX: Duration = Duration::from_secs(120);
const WATCHED: Duration = Duration::from_secs(20);

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &["--max-pods", "10200"]);
    for workload in ["echo-tcp", "hello-http"] {
        cluster.push(workload, &format!("{workload}:v1"));
    }
    let access = Access::read(&cluster)?;
    let runtime = runtime()?;
    starts(&runtime, &access, &cluster, "on an empty node")?;
    let before = rss_mib(cluster.pid())?;
    let began = Instant::now();
    runtime.block_on(async {
        let running = access.connect().await?;
        let pods = access.create_many(PODS, N_PODS, N_CLIENTS, |number| pod(number, "echo-tcp", 7));
        tokio::try_join!(pods, until_running(running, N_PODS))
    })?;
    let rate = N_PODS as f64 / began.elapsed().as_secs_f64();
    report_limit("pods started, one after another bound", &one(rate), "pods/s", "", 500.0);
    settle(&cluster)?;
    let per_pod = (rss_mib(cluster.pid())? - before) * 1024.0 / N_PODS as f64;
    report_limit("memory of a pod, with all of the cluster's", &one(per_pod), "KiB", "limit", 160.0);
    let cpu = cores(&cluster, WATCHED)? * 100.0;
    report_limit("CPU of 10,000 pods at rest", &one(cpu), "% core", "limit", 5.0);
    starts(&runtime, &access, &cluster, "beside 10,000")
}

fn settle(cluster: &Cluster) -> Result<()> {
    let began = Instant::now();
    while cores(cluster, SETTLE_WINDOW)? > SETTLED && began.elapsed() < SETTLE_MAX {}
    Ok(())
}

/// How many cores the cluster takes, over a time.
fn cores(cluster: &Cluster, window: Duration) -> Result<f64> {
    let before = cpu_seconds(cluster.pid())?;
    std::thread::sleep(window);
    Ok((cpu_seconds(cluster.pid())? - before) / window.as_secs_f64())
}

/// From the request that binds a pod to the first byte that it answers.
fn starts(runtime: &tokio::runtime::Runtime, access: &Access, cluster: &Cluster, place: &str) -> Result<()> {
    let node = cluster.ask(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let times = runtime.block_on(async {
        let mut connection = access.connect().await?;
        let mut times = Vec::new();
        // The first of them compiles.
        for number in 0..=N_STARTS {
            times.push(start(&mut connection, number, &node).await?);
        }
        anyhow::Ok(times.split_off(1))
    })?;
    let (p50, p99) = (percentile(&times, 0.5), percentile(&times, 0.99));
    report_limit(&format!("binding to first byte, p50, {place}"), &one(p50), "ms", "limit", 10.0);
    report_limit(&format!("binding to first byte, p99, {place}"), &one(p99), "ms", "limit", 30.0);
    Ok(())
}

async fn start(connection: &mut Connection, number: usize, node: &str) -> Result<f64> {
    let name = format!("start-{number:05}");
    let bound = pod_named(&name, "hello-http", 80, &format!(r#""nodeName":"{node}","#));
    let began = Instant::now();
    connection.create(PODS, &bound).await?;
    while connection.status_of(&format!("{PODS}/{name}/proxy/")).await? != 200 {}
    let elapsed = began.elapsed();
    connection.delete(&format!("{PODS}/{name}?gracePeriodSeconds=0")).await?;
    Ok(elapsed.as_secs_f64() * 1000.0)
}

/// Returns when that many pods were seen to run.
async fn until_running(mut watch: Connection, n_pods: usize) -> Result<()> {
    watch
        .watch(&format!("{PODS}?watch=true&labelSelector=app%3Decho-tcp&fieldSelector=status.phase%3DRunning"))
        .await?;
    let mut running = HashSet::new();
    while running.len() < n_pods {
        let event: Value = serde_json::from_str(&watch.line().await?)?;
        let name = event["object"]["metadata"]["name"].as_str().context("a name")?;
        if event["type"] == "ADDED" {
            running.insert(name.to_owned());
        }
    }
    Ok(())
}

fn one(value: f64) -> Spread {
    Spread::of(vec![value])
}

fn pod(number: usize, image: &str, port: u16) -> String {
    pod_named(&format!("pod-{number:05}"), image, port, "")
}

fn pod_named(name: &str, image: &str, port: u16, more: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","labels":{{"app":"{image}"}}}},"spec":{{{more}"automountServiceAccountToken":false,"terminationGracePeriodSeconds":1,"containers":[{{"name":"main","image":"{image}:v1","ports":[{{"containerPort":{port}}}]}}]}}}}"#
    )
}
