//! What a well-behaved HTTP pod feels of adversaries on the same node: the latency at its 99th percentile beside each of
//! them, against the same in quiet. At most twice is promised.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, bail};
use coracle_tests::cluster::{Cluster, said};
use coracle_tests::{http, wait};

use crate::{Spread, percentile, report_spread};

const N_ROUNDS: usize = 5;
const N_REQUESTS: usize = 1000;
/// Pods of each adversary.
const N_PODS: usize = 4;
const NODE_PORT: u16 = 30_090;
const ADVERSARIES: [(&str, &str); 6] = [
    ("spin", r#"["spin"]"#),
    ("memory", r#"["memory"]"#),
    ("sockets", r#"["sockets"]"#),
    ("line", r#"["line", "1024"]"#),
    ("trap", r#"["trap"]"#),
    ("deep", r#"["deep"]"#),
];

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    for image in ["hello-http", "adversary"] {
        cluster.push(image, &format!("{image}:v1"));
    }
    let address = victim(&cluster);
    p99_ms(address)?;
    for (name, args) in ADVERSARIES {
        let (mut beside, mut quiet) = (Vec::new(), Vec::new());
        for _ in 0..N_ROUNDS {
            quiet.push(p99_ms(address)?);
            begin(&cluster, name, args);
            beside.push(p99_ms(address)?);
            cluster.ask(&["delete", "deployment", name, "--wait=true"]);
            cluster.ask(&["delete", "pods", "-l", &format!("app={name}"), "--grace-period=0", "--force"]);
        }
        let what = format!("p99 of requests beside {N_PODS} pods: {name}");
        report_spread(&what, &Spread::of(beside), "ms", "in quiet", &Spread::of(quiet));
    }
    Ok(())
}

fn victim(cluster: &Cluster) -> SocketAddr {
    let manifest = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: victim, labels: {{app: victim}}}}, spec: {{
           containers: [{{name: c, image: 'hello-http:v1', ports: [{{containerPort: 80}}]}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: victim}}, spec: {{
   type: NodePort, selector: {{app: victim}}, ports: [{{port: 80, nodePort: {NODE_PORT}}}]}}}}"
    );
    let applied = cluster.apply(&manifest);
    assert!(applied.status.success(), "{}", said(&applied));
    cluster.ask(&["wait", "--for=condition=Ready", "pod/victim", "--timeout=60s"]);
    let address = cluster.node_port(NODE_PORT);
    wait::until("the victim to answer", || http::get(address, "/").map(drop).map_err(|error| error.to_string()));
    address
}

/// Starts the adversaries, and returns when one of them has run.
fn begin(cluster: &Cluster, name: &str, args: &str) {
    let manifest = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{
           replicas: {N_PODS}, selector: {{matchLabels: {{app: {name}}}}}, template: {{
             metadata: {{labels: {{app: {name}}}}},
             spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: c, image: 'adversary:v1', args: {args},
               resources: {{limits: {{memory: 64Mi}}}}}}]}}}}}}}}"
    );
    let applied = cluster.apply(&manifest);
    assert!(applied.status.success(), "{}", said(&applied));
    let ran = "jsonpath={.items[*].status.containerStatuses[*].containerID}";
    wait::until("an adversary to run", || {
        match cluster.ask(&["get", "pods", "-l", &format!("app={name}"), "-o", ran]) {
            ids if ids.contains("coracle://") => Ok(()),
            ids => Err(ids),
        }
    });
}

/// The latency of requests, one after the other, at the 99th percentile.
fn p99_ms(address: SocketAddr) -> Result<f64> {
    let mut took = Vec::with_capacity(N_REQUESTS);
    for _ in 0..N_REQUESTS {
        let began = Instant::now();
        let answer = http::get(address, "/")?;
        if answer.status != 200 {
            bail!("the victim answered {}", answer.status);
        }
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(percentile(&took, 0.99))
}
