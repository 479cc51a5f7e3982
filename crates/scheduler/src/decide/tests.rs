//! Small clusters, and where pods go in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{changed, node, pod};

fn cluster(nodes: &[Arc<Node>]) -> Cluster {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.set_node(node.metadata.name.as_ref().unwrap(), Some(node.clone()));
    }
    cluster
}

/// Decides for each pod in turn, and counts how many each node got.
fn placed(cluster: &mut Cluster, pods: impl IntoIterator<Item = Arc<Pod>>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (turn, pod) in pods.into_iter().enumerate() {
        let subject = Arc::new(Subject::new(pod));
        if let Verdict::Node(name, _) = decide(&subject, cluster, turn) {
            cluster.assume(subject, &name);
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

fn replica(i: usize, change: Value) -> Arc<Pod> {
    let owner = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "set", "controller": true}]}});
    changed(&changed(&pod(&format!("web-{i}"), "100m", "64Mi"), owner), change)
}

#[test]
fn a_pod_that_fits_nowhere_is_told_why_per_node() {
    let taint = json!({"spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]}});
    let cluster = cluster(&[
        node("n1", "500m", "8Gi"),
        node("n2", "4", "8Gi"),
        changed(&node("n3", "4", "8Gi"), taint),
        changed(&node("n4", "4", "8Gi"), json!({"spec": {"unschedulable": true}})),
        changed(&node("n5", "4", "8Gi"), json!({"status": {"allocatable": {"pods": "0"}}})),
    ]);
    let Verdict::Nowhere(nowhere) = decide(&Subject::new(pod("a", "5", "1Gi")), &cluster, 3) else { panic!() };
    insta::assert_snapshot!(nowhere.message(), @r#"0/5 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, 1 node(s) were unschedulable, 3 Insufficient cpu. preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling."#);
}

#[test]
fn a_pod_that_only_lacks_room_is_told_that_nobody_can_be_removed() {
    let mut cluster = cluster(&[node("n1", "4", "8Gi")]);
    placed(&mut cluster, [pod("other", "3", "1Gi")]);
    let Verdict::Nowhere(nowhere) = decide(&Subject::new(pod("a", "2", "1Gi")), &cluster, 0) else { panic!() };
    insta::assert_snapshot!(nowhere.message(), @r#"0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."#);
}

#[test]
fn without_nodes_there_is_nothing_to_explain() {
    let Verdict::Nowhere(nowhere) = decide(&Subject::new(pod("a", "5", "1Gi")), &cluster(&[]), 0) else { panic!() };
    assert_eq!(nowhere.message(), "no nodes available to schedule pods");
}

#[test]
fn replicas_spread_over_nodes() {
    let mut cluster = cluster(&[node("n1", "4", "8Gi"), node("n2", "4", "8Gi"), node("n3", "8", "16Gi")]);
    let counts = placed(&mut cluster, (0..6).map(|i| replica(i, json!({}))));
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn the_emptier_node_is_preferred() {
    let mut cluster = cluster(&[node("n1", "4", "8Gi"), node("n2", "4", "8Gi")]);
    let counts = placed(&mut cluster, [pod("big", "2", "4Gi"), pod("a", "1", "1Gi"), pod("b", "1", "1Gi")]);
    assert_eq!(counts["n1"].min(counts["n2"]), 1, "the big pod is alone");
}

#[test]
fn preferences_win_over_room_but_do_not_bind() {
    let ssd = changed(&node("n2", "2", "8Gi"), json!({"metadata": {"labels": {"disk": "ssd"}}}));
    let mut cluster = cluster(&[node("n1", "8", "8Gi"), ssd]);
    let wish = json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}]}}}});
    let pods = (0..3).map(|i| changed(&pod(&format!("p{i}"), "1", "1Gi"), wish.clone()));
    let counts = placed(&mut cluster, pods);
    assert_eq!((counts["n2"], counts["n1"]), (2, 1), "the third finds no room");
}

#[test]
fn a_node_that_is_better_left_alone_is_avoided() {
    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}});
    let mut cluster = cluster(&[changed(&node("n1", "8", "16Gi"), taint), node("n2", "4", "8Gi")]);
    assert_eq!(placed(&mut cluster, [pod("a", "1", "1Gi")]).into_keys().collect::<Vec<_>>(), ["n2"]);
}

#[test]
fn equal_nodes_take_turns() {
    let cluster = cluster(&[node("n1", "4", "8Gi"), node("n2", "4", "8Gi")]);
    let subject = Subject::new(pod("a", "1", "1Gi"));
    assert_ne!(decide(&subject, &cluster, 0), decide(&subject, &cluster, 1));
}

#[test]
fn of_many_nodes_a_share_is_looked_at() {
    assert_eq!([0, 3, 100, 150, 1000, 10_000].map(n_to_find), [1, 3, 100, 100, 420, 500]);
}

proptest! {
    #[test]
    fn no_node_is_ever_overcommitted(
        nodes in prop::collection::vec((1..8i64, 1..16i64), 1..6),
        pods in prop::collection::vec((0..4i64, 0..6i64), 1..60),
    ) {
        let nodes: Vec<_> =
            nodes.iter().enumerate().map(|(i, (cpu, gi))| node(&format!("n{i}"), &cpu.to_string(), &format!("{gi}Gi"))).collect();
        let mut cluster = cluster(&nodes);
        let n_pods = pods.len();
        let counts = placed(&mut cluster, pods.into_iter().enumerate().map(|(i, (cpu, gi))| {
            pod(&format!("p{i}"), &cpu.to_string(), &format!("{gi}Gi"))
        }));
        prop_assert!(counts.values().sum::<usize>() <= n_pods);
        for view in cluster.nodes() {
            prop_assert!(view.requested.milli_cpu <= view.allocatable.milli_cpu);
            prop_assert!(view.requested.memory <= view.allocatable.memory);
        }
    }
}
