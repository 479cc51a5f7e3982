//! Worlds of a DaemonSet, and what is done about them.

use serde_json::{Value, json};

use super::super::{pod, status};
use super::*;

struct World {
    set: DaemonSet,
    nodes: Vec<Arc<Node>>,
    pods: Vec<Arc<Pod>>,
}

impl World {
    fn new(strategy: Value) -> Self {
        let set = json!({"metadata": {"name": "d", "namespace": "n", "uid": "d", "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "d"}}, "updateStrategy": strategy,
                "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [], "nodeSelector": {"os": "x"}}}}});
        Self { set: serde_json::from_value(set).unwrap(), nodes: Vec::new(), pods: Vec::new() }
    }

    fn rolling(unavailable: i32, surge: i32) -> Self {
        let bounds = json!({"maxUnavailable": unavailable, "maxSurge": surge});
        Self::new(json!({"type": "RollingUpdate", "rollingUpdate": bounds}))
    }

    fn node(&mut self, name: &str, os: &str, taint: Option<(&str, &str)>) -> &mut Self {
        let taints: Vec<Value> = taint.map(|(key, effect)| json!({"key": key, "effect": effect})).into_iter().collect();
        let node = json!({"metadata": {"name": name, "labels": {"os": os}}, "spec": {"taints": taints}});
        self.nodes.push(Arc::new(serde_json::from_value(node).unwrap()));
        self
    }

    fn pod(&mut self, name: &str, node: &str, hash: &str, state: &str) -> &mut Self {
        let mut pod = pod::pod(&self.set, hash, node);
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.uid = Some(name.to_owned());
        let phase = if matches!(state, "ready" | "unready") { "Running" } else { state };
        let status = json!({"phase": phase, "conditions": [{"type": "Ready",
            "status": if state == "ready" { "True" } else { "False" }, "lastTransitionTime": "1970-01-01T00:00:00Z"}]});
        pod.status = Some(serde_json::from_value(status).unwrap());
        self.pods.push(Arc::new(pod));
        self
    }

    fn view(&self) -> View<'_> {
        let now = Timestamp::from_second(100).unwrap();
        View { set: &self.set, nodes: &self.nodes, pods: &self.pods, hash: "new", now }
    }

    fn steps(&self) -> (Vec<String>, Vec<String>) {
        let plan = plan(&self.view());
        (plan.create, plan.delete.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect())
    }
}

fn steps(create: &[&str], delete: &[&str]) -> (Vec<String>, Vec<String>) {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    (owned(create), owned(delete))
}

#[test]
fn every_node_that_fits_gets_one_pod() {
    let mut world = World::rolling(1, 0);
    world.node("a", "x", None).node("b", "y", None);
    world.node("c", "x", Some(("node.kubernetes.io/unschedulable", "NoSchedule")));
    world.node("d", "x", Some(("dedicated", "NoSchedule"))).node("e", "x", Some(("broken", "NoExecute")));
    assert_eq!(world.steps(), steps(&["a", "c"], &[]));
    world.pod("p-a", "a", "new", "ready").pod("p-b", "b", "new", "ready").pod("p-c", "c", "new", "ready");
    world.pod("p-d", "d", "new", "ready").pod("p-e", "e", "new", "ready").pod("p-a2", "a", "new", "ready");
    assert_eq!(world.steps(), steps(&[], &["p-a2", "p-b", "p-e"]));
}

#[test]
fn a_pod_is_bound_to_its_node_and_tolerates_its_troubles() {
    let world = World::rolling(1, 0);
    let made = pod::pod(&world.set, "new", "a");
    assert_eq!(pod::node_of(&made), "a");
    let spec = made.spec.unwrap();
    assert_eq!(spec.tolerations.unwrap().len(), 6);
    assert_eq!(made.metadata.labels.unwrap()["controller-revision-hash"], "new");
}

#[test]
fn pods_that_end_or_wait_for_a_lost_node_are_deleted() {
    let mut world = World::rolling(1, 0);
    world.node("a", "x", None).pod("ended", "a", "new", "Failed").pod("lost", "gone", "new", "Pending");
    assert_eq!(world.steps(), steps(&[], &["ended", "lost"]));
    assert_eq!(plan(&world.view()).ended.len(), 1);
}

#[test]
fn an_update_takes_away_what_is_broken_and_as_much_as_may_be_unavailable() {
    let mut world = World::rolling(1, 0);
    world.node("a", "x", None).node("b", "x", None).node("c", "x", None);
    world.pod("p-a", "a", "old", "ready").pod("p-b", "b", "old", "ready").pod("p-c", "c", "old", "unready");
    assert_eq!(world.steps(), steps(&[], &["p-c", "p-a"]));
    world.pods.remove(0);
    world.pod("q-a", "a", "new", "unready");
    assert_eq!(world.steps(), steps(&[], &["p-c"]));
    world.set.spec.update_strategy = serde_json::from_value(json!({"type": "OnDelete"})).unwrap();
    assert_eq!(world.steps(), steps(&[], &[]));
}

#[test]
fn a_surge_puts_the_new_pod_beside_the_old() {
    let mut world = World::rolling(0, 1);
    world.node("a", "x", None).node("b", "x", None);
    world.pod("p-a", "a", "old", "ready").pod("p-b", "b", "old", "ready");
    assert_eq!(world.steps(), steps(&["a"], &[]));
    world.pod("q-a", "a", "new", "unready");
    assert_eq!(world.steps(), steps(&[], &[]));
    world.pods.pop();
    world.pod("q-a", "a", "new", "ready");
    assert_eq!(world.steps(), steps(&[], &["p-a"]));
}

#[test]
fn the_status_counts_nodes() {
    let mut world = World::rolling(1, 0);
    world.node("a", "x", None).node("b", "x", None).node("c", "y", None);
    world.pod("p-a", "a", "new", "ready").pod("p-c", "c", "old", "ready");
    let status = status::status(&world.view());
    assert_eq!((status.desired_number_scheduled, status.current_number_scheduled), (2, 1));
    assert_eq!((status.number_ready, status.number_misscheduled), (1, 1));
    assert_eq!((status.number_available, status.number_unavailable), (Some(1), Some(1)));
    assert_eq!(status.updated_number_scheduled, Some(1));
}
