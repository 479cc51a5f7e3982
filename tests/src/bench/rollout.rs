//! From `kubectl apply` of a Deployment of three to the first answer through its Service.

use std::process::Stdio;
use std::time::Instant;

use anyhow::Result;
use coracle_tests::cluster::{Cluster, kubectl, manifest_file};
use coracle_tests::{http, wait};

use crate::{median, report};

const N_RUNS: usize = 7;
const NODE_PORT: u16 = 30080;

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("hello-http", "hello-http:v1");
    let runs = (0..N_RUNS).map(|_| apply_to_answer_ms(&cluster)).collect::<Result<Vec<_>>>()?;
    report("kubectl apply to the first 200", median(runs), "ms", "limit", 1000.0);
    Ok(())
}

fn apply_to_answer_ms(cluster: &Cluster) -> Result<f64> {
    let manifest = manifest_file("hello-http");
    let start = Instant::now();
    let mut apply = cluster.client(&kubectl());
    let mut applying = apply.args(["apply", "-f", &manifest]).stdout(Stdio::null()).spawn()?;
    wait::until("the first 200", || match http::get(cluster.node_port(NODE_PORT), "/") {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let elapsed = start.elapsed();
    applying.wait()?;
    cluster.ask(&["delete", "-f", &manifest]);
    wait::until("the pods to be gone", || match cluster.ask(&["get", "pods", "-o", "name"]) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
    Ok(elapsed.as_secs_f64() * 1000.0)
}
