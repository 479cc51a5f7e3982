//! The spine: from a Deployment in YAML to an answer over HTTP, and what a user does with it afterwards.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::cluster::{Cluster, manifest_file};
use crate::{http, wait};

#[test]
fn from_a_deployment_in_yaml_to_an_answer_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("hello-http", "hello-http:v1");
    cluster.ask(&["apply", "-f", &manifest_file("hello-http")]);
    cluster.ask(&["rollout", "status", "deployment/hello-http", "--timeout=60s"]);

    let port = node_port(&cluster, "hello-http");
    let pods = pod_names(&cluster);
    assert_eq!(pods.len(), 3, "{pods:?}");
    wait::until("answers from three different pods", || {
        let seen: BTreeSet<String> = (0..60).filter_map(|_| who_answers(port, &pods)).collect();
        if seen == pods { Ok(()) } else { Err(format!("{seen:?} of {pods:?}")) }
    });

    the_usual_columns_are_printed(&cluster, &pods);
    a_pod_can_be_described_and_its_log_read(&cluster, pods.first().unwrap());
    scaling_changes_the_number_of_pods(&cluster);
    a_rolling_update_under_load_loses_no_request(&cluster, port);
    an_update_can_be_undone(&cluster);
    deleting_leaves_nothing_behind(&cluster, port);
    assert_eq!(cluster.stop(), Some(0));
}

fn the_usual_columns_are_printed(cluster: &Cluster, pods: &BTreeSet<String>) {
    let wide = cluster.ask(&["get", "pods", "-o", "wide"]);
    for column in ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"] {
        assert!(wide.lines().next().unwrap().contains(column), "{column} is missing in\n{wide}");
    }
    assert!(pods.iter().all(|pod| wide.contains(pod)), "{wide}");
    assert_eq!(wide.matches("1/1     Running").count(), 3, "{wide}");
    let all = cluster.ask(&["get", "deploy,rs,pods,svc,endpointslices", "-A"]);
    for line in [
        "deployment.apps/hello-http",
        "replicaset.apps/hello-http-",
        "service/kubernetes",
        "endpointslice.discovery.k8s.io/",
    ] {
        assert!(all.contains(line), "{line} is missing in\n{all}");
    }
}

fn a_pod_can_be_described_and_its_log_read(cluster: &Cluster, pod: &str) {
    let description = cluster.ask(&["describe", "pod", pod]);
    for fact in ["Successfully assigned default/", "Pulled", "Started", "Ready  ", "hello-http:v1"] {
        assert!(description.contains(fact), "{fact:?} is missing in\n{description}");
    }
    cluster.ask(&["logs", pod]);
    cluster.ask(&["describe", "deployment", "hello-http"]);
    cluster.ask(&["describe", "service", "hello-http"]);
    cluster.ask(&["describe", "node"]);
}

fn scaling_changes_the_number_of_pods(cluster: &Cluster) {
    cluster.ask(&["scale", "deployment/hello-http", "--replicas=5"]);
    cluster.ask(&["rollout", "status", "deployment/hello-http", "--timeout=60s"]);
    assert_eq!(pod_names(cluster).len(), 5);
    cluster.ask(&["scale", "deployment/hello-http", "--replicas=3"]);
    wait::until("three pods", || match pod_names(cluster) {
        pods if pods.len() == 3 => Ok(()),
        pods => Err(format!("{pods:?}")),
    });
}

fn a_rolling_update_under_load_loses_no_request(cluster: &Cluster, port: SocketAddr) {
    cluster.push("hello-http", "hello-http:v2");
    let done = Arc::new(AtomicBool::new(false));
    let load = std::thread::spawn({
        let done = done.clone();
        move || {
            let mut n_answers = 0;
            while !done.load(Ordering::Relaxed) {
                let answer = http::get(port, "/").expect("a request was lost during the rolling update");
                assert_eq!(answer.status, 200, "{answer:?}");
                n_answers += 1;
            }
            n_answers
        }
    });
    cluster.ask(&["set", "image", "deployment/hello-http", "hello-http=hello-http:v2"]);
    cluster.ask(&["rollout", "status", "deployment/hello-http", "--timeout=60s"]);
    wait::until("the old pods to be gone", || match pod_names(cluster) {
        pods if pods.len() == 3 => Ok(()),
        pods => Err(format!("{pods:?}")),
    });
    done.store(true, Ordering::Relaxed);
    let n_answers = load.join().expect("the load found every request answered");
    assert!(n_answers > 0);
    let images =
        cluster.ask(&["get", "pods", "-l", "app=hello-http", "-o", "jsonpath={.items[*].spec.containers[*].image}"]);
    assert_eq!(images, "hello-http:v2 hello-http:v2 hello-http:v2");
}

fn an_update_can_be_undone(cluster: &Cluster) {
    let history = cluster.ask(&["rollout", "history", "deployment/hello-http"]);
    assert!(history.contains("\n1 ") && history.contains("\n2 "), "{history}");
    cluster.ask(&["rollout", "undo", "deployment/hello-http"]);
    cluster.ask(&["rollout", "status", "deployment/hello-http", "--timeout=60s"]);
    let image =
        cluster.ask(&["get", "deployment/hello-http", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]);
    assert_eq!(image, "hello-http:v1");
}

fn deleting_leaves_nothing_behind(cluster: &Cluster, port: SocketAddr) {
    cluster.ask(&["delete", "-f", &manifest_file("hello-http"), "--timeout=60s"]);
    wait::until("every object of the workload to be gone", || {
        let left = cluster.ask(&["get", "deploy,rs,pods,svc,endpointslices", "-l", "app=hello-http", "-o", "name"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    wait::until("the node port to close", || match http::get(port, "/") {
        Err(_) => Ok(()),
        Ok(answer) => Err(format!("{answer:?}")),
    });
}

/// Where a Service is reached on the node.
pub(super) fn node_port(cluster: &Cluster, service: &str) -> SocketAddr {
    let port = cluster.ask(&["get", "service", service, "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    cluster.node_port(port.parse().unwrap_or_else(|_| panic!("no node port: {port:?}")))
}

/// The pods of the sample that are not on their way out.
fn pod_names(cluster: &Cluster) -> BTreeSet<String> {
    let pods: Value =
        serde_json::from_str(&cluster.ask(&["get", "pods", "-l", "app=hello-http", "-o", "json"])).unwrap();
    let items = pods["items"].as_array().unwrap().iter();
    items.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

fn who_answers(port: SocketAddr, pods: &BTreeSet<String>) -> Option<String> {
    let answer = http::get(port, "/").ok().filter(|answer| answer.status == 200)?;
    pods.iter().find(|pod| answer.body.contains(*pod)).cloned()
}
