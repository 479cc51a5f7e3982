//! A Deployment that grows from nothing to a thousand ready pods on four nodes, with a real sandbox each.

use std::time::Instant;

use anyhow::{Context, Result};
use coracle_tests::cluster::Cluster;
use coracle_tests::wait;
use serde_json::Value;

use crate::access::Access;
use crate::process::cpu_seconds;
use crate::{Spread, report_limit, runtime};

const N_RUNS: usize = 3;
const N_PODS: u64 = 1000;
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/echo-tcp";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &["--nodes", "4", "--max-pods", "300"]);
    cluster.push("echo-tcp", "echo-tcp:v1");
    cluster.ask(&["create", "deployment", "echo-tcp", "--image=echo-tcp:v1", "--port=7", "--replicas=0"]);
    let access = Access::read(&cluster)?;
    let runtime = runtime()?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..N_RUNS {
        runtime.block_on(scale(&access, 0))?;
        wait::until("the pods to be gone", || match cluster.ask(&["get", "pods", "-o", "name"]) {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{} pods", left.lines().count())),
        });
        let cpu = cpu_seconds(cluster.pid())?;
        let began = Instant::now();
        runtime.block_on(scale(&access, N_PODS))?;
        rates.push(N_PODS as f64 / began.elapsed().as_secs_f64());
        costs.push((cpu_seconds(cluster.pid())? - cpu) / N_PODS as f64 * 1e6);
    }
    report_limit(
        "0 to 1,000 ready pods",
        &Spread::of(rates),
        "pods/s",
        "target (Kubernetes, fake kubelets: 248)",
        500.0,
    );
    report_limit(
        "CPU per pod, all of the cluster",
        &Spread::of(costs),
        "us",
        "what 500 pods/s leave of 2 cores",
        4000.0,
    );
    Ok(())
}

/// Returns when that many pods are ready.
async fn scale(access: &Access, n_pods: u64) -> Result<()> {
    let mut connection = access.connect().await?;
    let patch = format!(r#"{{"spec":{{"replicas":{n_pods}}}}}"#);
    let scaled: Value = serde_json::from_slice(connection.merge(DEPLOYMENT, &patch).await?)?;
    let version = scaled["metadata"]["resourceVersion"].as_str().context("resourceVersion")?;
    if n_ready(&scaled) == n_pods {
        return Ok(());
    }
    connection.watch(&format!("{DEPLOYMENTS}?watch=true&resourceVersion={version}")).await?;
    loop {
        let event: Value = serde_json::from_str(&connection.line().await?)?;
        if n_ready(&event["object"]) == n_pods {
            return Ok(());
        }
    }
}

fn n_ready(deployment: &Value) -> u64 {
    deployment["status"]["readyReplicas"].as_u64().unwrap_or(0)
}
