//! A node writes its own Node and its own Lease and no other: creation has no name in its path, so authorisation cannot tell.

use std::collections::BTreeSet;

use coracle_api::kind::name_of;
use coracle_api::status::Status;
use serde_json::{Value, json};

use crate::registry::Write;

/// Labels of Kubernetes' own that a node may give to itself.
const OWN_LABELS: [&str; 12] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.kubernetes.io/zone",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];
const OWN_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const RESERVED_NAMESPACE: &str = "node-restriction.kubernetes.io";

/// Refuses what the agent of another node should write, and what no agent should.
pub(super) fn restrict(write: &Write<'_>, object: &Value, old: Option<&Value>) -> Result<(), Status> {
    let Some(node) = write.user.node_name() else { return Ok(()) };
    let kind = &write.resource.kind;
    let name = name_of(object);
    let why = match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "nodes") if name != node => format!("node {node:?} is not allowed to modify node {name:?}"),
        ("", "nodes") => match overreach(node, object, old) {
            Some(why) => why,
            None => return Ok(()),
        },
        ("coordination.k8s.io", "leases") if name != node => {
            "can only access node lease with the same name as the requesting node".to_owned()
        }
        _ => return Ok(()),
    };
    Err(Status::forbidden(kind.resource(), name, &why))
}

/// What a node does with its own Node that only others may: with it, it would draw pods to itself.
fn overreach(node: &str, object: &Value, old: Option<&Value>) -> Option<String> {
    let differs = |at: &str| {
        let list = |object: &Value| object.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default();
        old.map(list).unwrap_or_default() != list(object)
    };
    if old.is_some() && differs("/spec/taints") {
        return Some(format!("node {node:?} is not allowed to modify taints"));
    }
    if differs("/metadata/ownerReferences") {
        let verb = if old.is_some() { "modify" } else { "set" };
        return Some(format!("node {node:?} is not allowed to {verb} ownerReferences"));
    }
    let labels = forbidden_labels(&object["metadata"]["labels"], old.map(|old| &old["metadata"]["labels"]));
    match (labels.is_empty(), old) {
        (true, _) => None,
        (false, None) => {
            Some(format!("node {node:?} is not allowed to set the following labels: {}", labels.join(", ")))
        }
        (false, Some(_)) => Some(format!("is not allowed to modify labels: {}", labels.join(", "))),
    }
}

/// The labels that changed although they are not the node's.
fn forbidden_labels(new: &Value, old: Option<&Value>) -> Vec<String> {
    let names = |labels: &Value| labels.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
    let of_old: BTreeSet<String> = old.map(names).unwrap_or_default();
    let all: BTreeSet<String> = of_old.into_iter().chain(names(new)).collect();
    let value = |labels: &Value, name: &str| labels.get(name).cloned();
    let changed = all.into_iter().filter(|name| value(new, name) != old.and_then(|old| value(old, name)));
    changed.filter(|name| !is_nodes_own(name)).collect()
}

fn is_nodes_own(label: &str) -> bool {
    let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
    let is_below =
        |domain: &str| namespace.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    if is_below(RESERVED_NAMESPACE) {
        return false;
    }
    let is_kubernetes = is_below("kubernetes.io") || is_below("k8s.io");
    !is_kubernetes || OWN_LABELS.contains(&label) || OWN_NAMESPACES.into_iter().any(is_below)
}

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// A new node takes no pods before it has said that it is ready.
pub(super) fn taint(write: &Write<'_>, object: &mut Value) {
    let kind = &write.resource.kind;
    if (kind.group.as_str(), kind.plural.as_str()) != ("", "nodes") {
        return;
    }
    let Some(spec) = object.as_object_mut().map(|node| node.entry("spec").or_insert_with(|| json!({}))) else { return };
    let present = spec["taints"].as_array().cloned().unwrap_or_default();
    if !present.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule") {
        spec["taints"] = present.into_iter().chain([json!({"key": NOT_READY, "effect": "NoSchedule"})]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(labels: Value, taints: Value) -> Value {
        json!({"metadata": {"name": "n1", "labels": labels}, "spec": {"taints": taints}})
    }

    #[test]
    fn a_node_labels_itself_within_its_bounds() {
        let own = json!({"kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "a", "plain": "x",
            "example.com/x": "y", "node.kubernetes.io/x": "y", "sub.kubelet.kubernetes.io/x": "y"});
        assert_eq!(overreach("n1", &node(own, json!([])), None), None);
        let labels = json!({"node-role.kubernetes.io/control-plane": "", "a.node-restriction.kubernetes.io/x": "",
            "k8s.io/x": "", "notk8s.io/x": ""});
        let refused = "a.node-restriction.kubernetes.io/x, k8s.io/x, node-role.kubernetes.io/control-plane";
        assert_eq!(
            overreach("n1", &node(labels.clone(), json!([])), None).unwrap(),
            format!("node \"n1\" is not allowed to set the following labels: {refused}")
        );
        let old = node(labels.clone(), json!([]));
        assert_eq!(overreach("n1", &node(labels, json!([])), Some(&old)), None, "nothing changes");
        assert_eq!(
            overreach("n1", &node(json!({"notk8s.io/x": ""}), json!([])), Some(&old)).unwrap(),
            format!("is not allowed to modify labels: {refused}")
        );
    }

    #[test]
    fn a_node_leaves_taints_and_owners_alone() {
        let taints = json!([{"key": "a", "effect": "NoSchedule"}]);
        let (tainted, free) = (node(json!({}), taints), node(json!({}), Value::Null));
        assert_eq!(overreach("n1", &tainted, None), None, "it may begin with taints");
        let why = "node \"n1\" is not allowed to modify taints";
        assert_eq!(overreach("n1", &free, Some(&tainted)).unwrap(), why);
        let mut owned = free.clone();
        owned["metadata"]["ownerReferences"] = json!([{"kind": "X"}]);
        assert_eq!(
            overreach("n1", &owned, Some(&free)).unwrap(),
            "node \"n1\" is not allowed to modify ownerReferences"
        );
    }
}
