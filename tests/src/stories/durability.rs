//! What was acknowledged is still there after `kill -9`, and what ran runs again.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::spine::node_port;
use crate::cluster::{Cluster, kubectl, manifest_file};
use crate::{http, wait};

/// Enough to be in the middle of many commits when the kill comes.
const N_ACKNOWLEDGED: usize = 200;

#[test]
fn everything_acknowledged_survives_kill_9_and_pods_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("hello-http", "hello-http:v1");
    cluster.ask(&["apply", "-f", &manifest_file("hello-http")]);
    cluster.ask(&["rollout", "status", "deployment/hello-http", "--timeout=60s"]);
    let port = node_port(&cluster, "hello-http");

    let acknowledged = create_until_killed(cluster);

    let cluster = Cluster::up(dir.path(), &[]);
    let there = cluster.ask(&["get", "configmaps", "-n", "burst", "-o", "name"]);
    let lost: Vec<_> = acknowledged.iter().filter(|name| !there.lines().any(|line| line == *name)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    wait::until("the address to answer again", || match http::get(port, "/") {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    cluster.ask(&["wait", "pods", "-l", "app=hello-http", "--for=condition=Ready", "--timeout=60s"]);
    assert_eq!(cluster.stop(), Some(0));
}

/// Kills the cluster in the middle of a burst of creates; returns the names that kubectl saw acknowledged.
fn create_until_killed(cluster: Cluster) -> Vec<String> {
    cluster.ask(&["create", "namespace", "burst"]);
    let manifests = cluster.kubeconfig().with_file_name("burst.yaml");
    std::fs::write(&manifests, (0..5000).map(configmap).collect::<String>()).unwrap();
    let mut creating = cluster
        .client(&kubectl())
        .args(["create", "--validate=false", "-o", "name", "-f"])
        .arg(&manifests)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(creating.stdout.take().unwrap()).lines();
    let mut acknowledged: Vec<String> = lines.by_ref().map_while(Result::ok).take(N_ACKNOWLEDGED).collect();
    cluster.kill();
    acknowledged.extend(lines.map_while(Result::ok));
    creating.wait().unwrap();
    assert!(
        (N_ACKNOWLEDGED..5000).contains(&acknowledged.len()),
        "the kill came too late or too early: {}",
        acknowledged.len()
    );
    acknowledged
}

fn configmap(i: usize) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{i}, namespace: burst}}\ndata: {{i: \"{i}\"}}\n")
}
