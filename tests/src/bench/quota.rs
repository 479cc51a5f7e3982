//! How exactly a container that computes without pause is held to its CPU limit, in the agent and isolated: what its node
//! has counted over several seconds, against the limit. Within 5 % is promised.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use coracle_tests::cluster::{Cluster, said};

use crate::{Spread, report_spread};

const N_ROUNDS: usize = 3;
const WINDOW: Duration = Duration::from_secs(5);
/// Thousandths of a core.
const LIMITS: [u32; 2] = [200, 500];

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("adversary", "adversary:v1");
    for (place, class) in [("in the agent", ""), ("isolated", "runtimeClassName: isolated, ")] {
        for limit in LIMITS {
            begin(&cluster, class, limit);
            // What was saved up is used first.
            let mut last = used(&cluster)?;
            let mut shares = Vec::new();
            for _ in 0..N_ROUNDS {
                std::thread::sleep(WINDOW);
                let now = used(&cluster)?;
                shares.push((now.cpu_s - last.cpu_s) / (now.at - last.at).as_secs_f64() * 1000.0);
                last = now;
            }
            cluster.ask(&["delete", "pod", "spins", "--wait=true"]);
            let what = format!("a guest that spins under limits.cpu {limit}m, {place}");
            report_spread(&what, &Spread::of(shares), "m", "its limit", &Spread::of(vec![f64::from(limit)]));
        }
    }
    Ok(())
}

fn begin(cluster: &Cluster, class: &str, limit: u32) {
    let manifest = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: spins}}, spec: {{{class}terminationGracePeriodSeconds: 0,
           containers: [{{name: c, image: 'adversary:v1', args: [spin], resources: {{limits: {{cpu: {limit}m}}}}}}]}}}}"
    );
    let applied = cluster.apply(&manifest);
    assert!(applied.status.success(), "{}", said(&applied));
    cluster.ask(&["wait", "--for=condition=Ready", "pod/spins", "--timeout=60s"]);
}

/// CPU time of the pod's container, and when it was that.
struct Used {
    cpu_s: f64,
    at: Instant,
}

fn used(cluster: &Cluster) -> Result<Used> {
    let node = cluster.ask(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let path = format!("/api/v1/nodes/{node}/proxy/metrics");
    let before = Instant::now();
    let metrics = cluster.ask(&["get", "--raw", &path]);
    let at = before + before.elapsed() / 2;
    let name = "container_cpu_usage_seconds_total{namespace=\"default\",pod=\"spins\"";
    let line =
        metrics.lines().find(|line| line.starts_with(name)).context("the pod's CPU time in the node's metrics")?;
    let value = line.rsplit("} ").next().and_then(|rest| rest.split_whitespace().next()).context("a value")?;
    Ok(Used { cpu_s: value.parse()?, at })
}
