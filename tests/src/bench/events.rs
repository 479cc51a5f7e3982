//! From a create to its event: how soon, and what a thousand watchers of one kind cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use coracle_tests::cluster::Cluster;
use tokio::task::JoinSet;

use crate::access::Access;
use crate::{Spread, percentile, process, report_limit, runtime};

const PATH: &str = "/api/v1/namespaces/default/configmaps";
const PER_SECOND: u32 = 300;
const N_WRITES: usize = 3000;
const N_RUNS: usize = 3;
const P99_LIMIT_MS: f64 = 1.0;
const N_WATCHERS: usize = 1000;
const N_EVENTS: usize = 20;

pub(crate) fn run() -> Result<()> {
    let runtime = runtime()?;
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    let access = Access::read(&cluster)?;
    let (mut medians, mut tails) = (Vec::new(), Vec::new());
    for run in 0..N_RUNS {
        let times = runtime.block_on(latencies(&access, run))?;
        medians.push(percentile(&times, 0.5));
        tails.push(percentile(&times, 0.99));
    }
    report_limit("create to event at 300/s, p50", &Spread::of(medians), "ms", "limit", P99_LIMIT_MS);
    report_limit("create to event at 300/s, p99", &Spread::of(tails), "ms", "limit (real 2.3)", P99_LIMIT_MS);
    runtime.block_on(watchers(&access, &cluster))
}

/// Milliseconds from before each create to its event at a watcher.
async fn latencies(access: &Arc<Access>, run: usize) -> Result<Vec<f64>> {
    let version = version(access).await?;
    let mut watch = access.connect().await?;
    watch.watch(&format!("{PATH}?watch=true&resourceVersion={version}")).await?;
    let mut writers = Vec::new();
    for _ in 0..4 {
        writers.push(access.connect().await?);
    }
    let begun = Instant::now() + Duration::from_millis(50);
    let due = move |n: usize| begun + Duration::from_secs(1) * n as u32 / PER_SECOND;
    let mut tasks = JoinSet::new();
    let n_writers = writers.len();
    let (sent, mut received) = tokio::sync::mpsc::channel(N_WRITES);
    for (idx, mut writer) in writers.into_iter().enumerate() {
        let sent = sent.clone();
        tasks.spawn(async move {
            for n in (idx..N_WRITES).step_by(n_writers) {
                tokio::time::sleep_until(due(n).into()).await;
                let body = format!(r#"{{"metadata":{{"name":"l{run}-{n:05}"}},"data":{{"a":"1"}}}}"#);
                sent.send((n, Instant::now())).await?;
                writer.create(PATH, &body).await?;
            }
            anyhow::Ok(())
        });
    }
    let mut seen = vec![None; N_WRITES];
    for _ in 0..N_WRITES {
        let line = watch.line().await?;
        let now = Instant::now();
        let name = line.split("\"name\":\"").nth(1).and_then(|rest| rest.split('"').next()).context("a name")?;
        let n: usize = name.rsplit('-').next().context("a number")?.parse()?;
        seen[n] = Some(now);
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    drop(sent);
    let mut times = Vec::new();
    while let Some((n, at)) = received.recv().await {
        let seen = seen[n].context("every create has an event")?;
        times.push(seen.duration_since(at).as_secs_f64() * 1000.0);
    }
    Ok(times)
}

async fn watchers(access: &Arc<Access>, cluster: &Cluster) -> Result<()> {
    let version = version(access).await?;
    let before = process::rss_mib(cluster.pid())?;
    let mut connections = Vec::new();
    for _ in 0..N_WATCHERS {
        connections.push(access.connect().await?);
    }
    let connected = process::rss_mib(cluster.pid())?;
    for connection in &mut connections {
        connection.watch(&format!("{PATH}?watch=true&resourceVersion={version}")).await?;
    }
    let watching = process::rss_mib(cluster.pid())?;
    let per_thousand = |mib: f64| Spread::of(vec![mib * 1024.0 / N_WATCHERS as f64]);
    report_limit("memory of a TLS connection", &per_thousand(connected - before), "KiB", "", 100.0);
    report_limit("memory of a watch", &per_thousand(watching - connected), "KiB", "", 100.0);
    let lines = lines_made(access).await?;
    let mut writer = access.connect().await?;
    let mut times = Vec::new();
    for n in 0..N_EVENTS {
        let start = Instant::now();
        writer.create(PATH, &format!(r#"{{"metadata":{{"name":"w{n}"}}}}"#)).await?;
        for connection in &mut connections {
            connection.line().await?;
        }
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let made = Spread::of(vec![(lines_made(access).await? - lines) / N_EVENTS as f64]);
    report_limit("serialisations of an event for 1,000 watchers", &made, "", "limit", 1.0);
    report_limit("create to the last of 1,000 watchers", &Spread::of(times), "ms", "", 100.0);
    Ok(())
}

async fn version(access: &Arc<Access>) -> Result<String> {
    let list = access.connect().await?.get(&format!("{PATH}?limit=1")).await?.to_vec();
    let list: serde_json::Value = serde_json::from_slice(&list)?;
    Ok(list["metadata"]["resourceVersion"].as_str().context("a version")?.to_owned())
}

async fn lines_made(access: &Arc<Access>) -> Result<f64> {
    let text = String::from_utf8(access.connect().await?.get("/metrics").await?.to_vec())?;
    let line = text.lines().find_map(|line| line.strip_prefix("coracle_watch_lines_made ")).context("the metric")?;
    Ok(line.parse()?)
}
