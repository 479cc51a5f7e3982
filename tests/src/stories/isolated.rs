//! Pods in processes of their own, seen with real kubectl.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kubectl::says;
use crate::cluster::{Cluster, said};
use crate::{http, wait};

const NODE_PORT: u16 = 30_091;

#[test]
fn isolated_pods_are_like_others_but_have_processes() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    for image in ["toolbox", "hello-http", "hog", "echo-tcp", "netcat"] {
        cluster.push(image, &format!("{image}:v1"));
    }
    says(&cluster, "get runtimeclass isolated -o jsonpath={.handler}", &["isolated"]);
    pods_answer_over_a_service(&cluster);
    guests_reach_each_other_by_name(&cluster);
    commands_run_in_the_pods_place(&cluster);
    a_spinning_pod_is_deleted_within_its_grace(&cluster);
    a_crashed_process_is_a_failed_container(&cluster);
    too_much_memory_is_told(&cluster);
    an_unknown_handler_is_refused_in_words(&cluster);
    nothing_outlives_the_agent(cluster);
}

fn pod(name: &str, image: &str, args: &[&str], more: Value) -> String {
    let mut container = json!({"name": name, "image": format!("{image}:v1"), "args": args});
    for (field, value) in more.as_object().unwrap() {
        container[field] = value.clone();
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"runtimeClassName": "isolated", "restartPolicy": "Never", "containers": [container]},
    })
    .to_string()
}

fn create(cluster: &Cluster, manifest: &str) {
    let created = cluster.apply(manifest);
    assert!(created.status.success(), "{}", said(&created));
}

/// The processes that the agent has for containers.
fn processes(cluster: &Cluster) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", cluster.pid())).unwrap().flatten();
    let children: Vec<String> =
        tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect();
    let numbers = children.iter().flat_map(|line| line.split_whitespace());
    numbers.map(|number| number.parse().unwrap()).collect()
}

fn pods_answer_over_a_service(cluster: &Cluster) {
    let more = json!({"ports": [{"containerPort": 80}], "env": [{"name": "LOG", "value": "yes"}]});
    create(cluster, &pod("web", "hello-http", &[], more));
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "nodePort": NODE_PORT}]},
    });
    create(cluster, &service.to_string());
    says(cluster, "wait --for=condition=Ready pod/web --timeout=60s", &["pod/web condition met"]);
    let address = cluster.node_port(NODE_PORT);
    wait::until("an answer", || match http::get(address, "/") {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(processes(cluster).len(), 1);
    logs(cluster, "web", "answered /");
}

/// Waits until the log has `words`.
fn logs(cluster: &Cluster, pod: &str, words: &str) {
    wait::until(words, || match said(&cluster.kubectl(&["logs", pod])) {
        log if log.contains(words) => Ok(()),
        log => Err(log),
    });
}

fn guests_reach_each_other_by_name(cluster: &Cluster) {
    create(cluster, &pod("echo", "echo-tcp", &["7"], json!({})));
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo"},
        "spec": {"selector": {"app": "echo"}, "ports": [{"port": 7}]},
    });
    create(cluster, &service.to_string());
    says(cluster, "wait --for=condition=Ready pod/echo --timeout=60s", &["condition met"]);
    create(cluster, &pod("call", "netcat", &["tcp", "echo.default.svc.cluster.local:7", "ahoy"], json!({})));
    says(cluster, "wait --for=jsonpath={.status.phase}=Succeeded pod/call --timeout=60s", &["condition met"]);
    says(cluster, "logs call", &["ahoy"]);
}

fn commands_run_in_the_pods_place(cluster: &Cluster) {
    let more = json!({"env": [{"name": "GREETING", "value": "hello"}], "stdin": true, "stdinOnce": true});
    create(cluster, &pod("tools", "toolbox", &["cat"], more));
    says(cluster, "wait --for=condition=Ready pod/tools --timeout=60s", &["condition met"]);
    says(cluster, "exec tools -- toolbox env GREETING", &["hello"]);
    let failed = cluster.kubectl(&["exec", "tools", "--", "toolbox", "exit", "7"]);
    assert_eq!(failed.status.code(), Some(7), "{}", said(&failed));
    let text = "all work and no play\n".repeat(20_000);
    let copied = cluster.kubectl_with_input(&["exec", "-i", "tools", "--", "toolbox", "cat"], &text);
    assert!(copied.stdout == text.as_bytes(), "{} of {} bytes came back", copied.stdout.len(), text.len());
    let attached = cluster.kubectl_with_input(&["attach", "-i", "tools"], "ahoy\n");
    assert!(said(&attached).contains("ahoy"), "{}", said(&attached));
}

fn a_spinning_pod_is_deleted_within_its_grace(cluster: &Cluster) {
    create(cluster, &pod("spin", "hog", &["cpu"], json!({})));
    logs(cluster, "spin", "computing");
    let before = processes(cluster).len();
    let start = Instant::now();
    says(cluster, "delete pod spin --grace-period=2", &["deleted"]);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(processes(cluster).len(), before - 1);
}

fn a_crashed_process_is_a_failed_container(cluster: &Cluster) {
    let before = processes(cluster);
    create(cluster, &pod("crash", "hog", &["cpu"], json!({})));
    logs(cluster, "crash", "computing");
    let process = processes(cluster).into_iter().find(|process| !before.contains(process)).unwrap();
    let killed = std::process::Command::new("kill").args(["-ABRT", &process.to_string()]).status().unwrap();
    assert!(killed.success());
    says(cluster, "wait --for=jsonpath={.status.phase}=Failed pod/crash --timeout=60s", &["condition met"]);
    says(cluster, "describe pod crash", &["Exit Code:    134", "its process was ended by SIGABRT"]);
}

fn too_much_memory_is_told(cluster: &Cluster) {
    let limits = json!({"resources": {"limits": {"memory": "32Mi"}}});
    create(cluster, &pod("greedy", "hog", &["memory", "100"], limits));
    says(cluster, "wait --for=jsonpath={.status.phase}=Failed pod/greedy --timeout=60s", &["condition met"]);
    says(cluster, "describe pod greedy", &["OOMKilled"]);
}

fn an_unknown_handler_is_refused_in_words(cluster: &Cluster) {
    let class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "virtual"}, "handler": "kata",
    });
    create(cluster, &class.to_string());
    let manifest = pod("stranger", "toolbox", &["sleep"], json!({}));
    create(cluster, &manifest.replace("\"isolated\"", "\"virtual\""));
    wait::until("an event", || match cluster.ask(&["describe", "pod", "stranger"]) {
        text if text.contains("no runtime for \"kata\" is configured") => Ok(()),
        text => Err(text),
    });
}

fn nothing_outlives_the_agent(cluster: Cluster) {
    let processes = processes(&cluster);
    assert!(!processes.is_empty());
    cluster.kill();
    wait::until("the processes' end", || {
        let left = processes.iter().filter(|process| is_alive(**process)).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    });
}

fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The state comes after the name, which is in parentheses.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
