//! What an idle one-node cluster costs, and how soon it is ready.

use std::time::{Duration, Instant};

use anyhow::Result;
use coracle_tests::cluster::Cluster;

use crate::process::{cpu_seconds, rss_mib};
use crate::{median, report};

const N_STARTS: usize = 5;
const SETTLE: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(20);

pub(crate) fn run() -> Result<()> {
    let starts = (0..N_STARTS).map(|_| start_ms()).collect::<Result<Vec<_>>>()?;
    report("start to ready", median(starts), "ms", "limit", 1000.0);

    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    std::thread::sleep(SETTLE);
    let before = cpu_seconds(cluster.pid())?;
    std::thread::sleep(WATCHED);
    let cpu = (cpu_seconds(cluster.pid())? - before) / WATCHED.as_secs_f64() * 100.0;
    report("idle memory", rss_mib(cluster.pid())?, "MiB", "limit (real Kubernetes 493)", 80.0);
    report("idle CPU", cpu, "% core", "limit (real Kubernetes 3.3)", 1.0);
    Ok(())
}

fn start_ms() -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let start = Instant::now();
    let cluster = Cluster::up(dir.path(), &[]);
    let elapsed = start.elapsed();
    drop(cluster);
    Ok(elapsed.as_secs_f64() * 1000.0)
}
