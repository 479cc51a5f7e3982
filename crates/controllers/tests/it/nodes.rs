//! Nodes that come, fall silent, and go.

use std::time::Duration;

use coracle_controllers::NodeTimings;
use coracle_testkit::wait_for;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::world::{World, deployment};

async fn until_node(world: &World, name: &str, is_so: impl Fn(&Node) -> bool) -> Node {
    let nodes: Api<Node> = Api::all(world.client.clone());
    wait_for("the node", async || {
        let node = nodes.get(name).await.unwrap();
        if is_so(&node) { Ok(node) } else { Err(format!("{node:#?}")) }
    })
    .await
}

fn taints(node: &Node) -> Vec<String> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_gets_its_own_pod_network() {
    let mut world = World::start().await;
    let mut networks = Vec::new();
    for name in ["n1", "n2", "n3"] {
        world.node(name).await;
        let has_network = |node: &Node| node.spec.as_ref().is_some_and(|spec| spec.pod_cidr.is_some());
        networks.push(until_node(&world, name, has_network).await.spec.unwrap().pod_cidr.unwrap());
    }
    assert_eq!(networks, ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_leave_a_node_that_fell_silent() {
    let timings = NodeTimings {
        monitor_period: Duration::from_millis(50),
        grace_period: Duration::from_secs(3),
        eviction_interval: Duration::ZERO,
        ..NodeTimings::default()
    };
    let mut world = World::with(timings).await;
    let silence = world.node("n1").await;
    world.node("n2").await;
    let mut web = deployment("web", 4);
    // Held, so that what left can be looked at.
    web["spec"]["template"]["metadata"]["finalizers"] = json!(["example.com/hold"]);
    web["spec"]["template"]["spec"]["tolerations"] = json!([
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]);
    world.create::<Deployment>(web).await;
    let node_of = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    let is_ready = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let runs_on_n1 = |pod: &&Pod| node_of(pod) == "n1" && is_ready(pod);
    world.until("ready pods on both", |pods: &[Pod]| pods.iter().filter(runs_on_n1).count() == 2).await;
    silence.cancel();
    let unreachable = ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"];
    until_node(&world, "n1", |node| taints(node) == unreachable).await;
    let is_ending = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    let pods = world
        .until("4 pods elsewhere", |pods: &[Pod]| {
            pods.iter().filter(|pod| node_of(pod) == "n2" && !is_ending(pod)).count() == 4
                && pods.iter().filter(|pod| node_of(pod) == "n1").all(is_ending)
        })
        .await;
    let left = pods.iter().find(|pod| node_of(pod) == "n1").unwrap();
    let conditions = left.status.as_ref().unwrap().conditions.as_ref().unwrap();
    let target = conditions.iter().find(|condition| condition.type_ == "DisruptionTarget");
    let target = target.unwrap_or_else(|| panic!("{left:#?}"));
    assert_eq!(target.reason.as_deref(), Some("DeletionByTaintManager"));
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "False", "services do not lead to {}", left.name_any());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordoned_node_is_tainted_until_it_is_not() {
    let mut world = World::start().await;
    world.node("n1").await;
    let nodes: Api<Node> = Api::all(world.client.clone());
    let cordon = |is_cordoned: bool| Patch::Merge(json!({"spec": {"unschedulable": is_cordoned}}));
    nodes.patch("n1", &PatchParams::default(), &cordon(true)).await.unwrap();
    until_node(&world, "n1", |node| taints(node) == ["node.kubernetes.io/unschedulable:NoSchedule"]).await;
    nodes.patch("n1", &PatchParams::default(), &cordon(false)).await.unwrap();
    until_node(&world, "n1", |node| taints(node).is_empty()).await;
    world.end().await;
}
