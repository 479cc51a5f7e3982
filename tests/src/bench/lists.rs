//! A list of 5,000 pods, 10 MB of JSON, over TLS.

use std::time::Instant;

use anyhow::{Result, ensure};
use coracle_tests::cluster::Cluster;

use crate::access::Access;
use crate::{Spread, report_limit, runtime};

const N_PODS: usize = 5000;
const N_RUNS: usize = 40;
const LIMIT_MS: f64 = 12.0;
const PATH: &str = "/api/v1/namespaces/default/pods";

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    let access = Access::read(&cluster)?;
    let runtime = runtime()?;
    runtime.block_on(access.create_many(PATH, N_PODS, 32, pod))?;
    let mut connection = runtime.block_on(access.connect())?;
    let (mut times, mut n_bytes) = (Vec::new(), 0);
    for _ in 0..N_RUNS {
        let start = Instant::now();
        n_bytes = runtime.block_on(connection.get(PATH))?.len();
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    ensure!(n_bytes > 9_000_000, "a list of {n_bytes} bytes is too small to measure");
    let what = format!("list of {N_PODS} pods, {:.1} MB", n_bytes as f64 / 1e6);
    report_limit(&what, &Spread::of(times), "ms", "limit (real Kubernetes 129)", LIMIT_MS);
    Ok(())
}

/// A pod that waits for a node that does not exist, of the usual size.
fn pod(number: usize) -> String {
    let filling = "x".repeat(100);
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p{number:05}","annotations":{{"filling":"{filling}"}}}},"spec":{{"schedulingGates":[{{"name":"bench/never"}}],"containers":[{{"name":"c","image":"none:v1"}}]}}}}"#
    )
}
