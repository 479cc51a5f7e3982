//! May this pod run on this node at all? Each filter is a function that says why not.

use k8s_openapi::api::core::v1::{PodSpec, Taint, Toleration};

use crate::cluster::NodeView;
use crate::labels;
use crate::subject::Subject;

/// Why a node is out of the question for a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reason {
    pub(crate) text: String,
    /// Room could be made by removing other pods.
    pub(crate) is_resolvable: bool,
}

fn never(text: impl Into<String>) -> Vec<Reason> {
    vec![Reason { text: text.into(), is_resolvable: false }]
}

fn not_now(text: impl Into<String>) -> Reason {
    Reason { text: text.into(), is_resolvable: true }
}

type Filter = fn(&Subject, &NodeView) -> Vec<Reason>;

/// In the order in which they are asked: a node is told by the first that objects.
const FILTERS: [Filter; 6] = [unschedulable, node_name, taints, affinity, ports, resources];

/// Everything the first objecting filter says; empty when the node fits.
pub(crate) fn objections(subject: &Subject, view: &NodeView) -> Vec<Reason> {
    FILTERS.iter().map(|filter| filter(subject, view)).find(|reasons| !reasons.is_empty()).unwrap_or_default()
}

fn unschedulable(subject: &Subject, view: &NodeView) -> Vec<Reason> {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if view.is_unschedulable() && !is_tolerated(&taint, subject.tolerations()) {
        return never("node(s) were unschedulable");
    }
    Vec::new()
}

fn node_name(subject: &Subject, view: &NodeView) -> Vec<Reason> {
    if !subject.node_name().is_empty() && subject.node_name() != view.name() {
        return never("node(s) didn't match the requested node name");
    }
    Vec::new()
}

fn taints(subject: &Subject, view: &NodeView) -> Vec<Reason> {
    let keeps_away = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    let untolerated = view.taints().iter().filter(keeps_away).find(|taint| !is_tolerated(taint, subject.tolerations()));
    untolerated.map_or_else(Vec::new, |taint| {
        never(format!(
            "node(s) had untolerated taint {{{}: {}}}",
            taint.key,
            taint.value.as_deref().unwrap_or_default()
        ))
    })
}

/// True when one of `tolerations` accepts the taint.
pub(crate) fn is_tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        let is_same =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w.is_empty() || w == value);
        let is_value_accepted = match toleration.operator.as_deref() {
            None | Some("" | "Equal") => {
                toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
            }
            Some("Exists") => true,
            Some(_) => false,
        };
        is_same(&toleration.effect, &taint.effect) && is_same(&toleration.key, &taint.key) && is_value_accepted
    })
}

fn affinity(subject: &Subject, view: &NodeView) -> Vec<Reason> {
    if subject.spec().is_none_or(|spec| is_selected(spec, view)) {
        return Vec::new();
    }
    never("node(s) didn't match Pod's node affinity/selector")
}

/// The pod's node selector and required node affinity accept the node.
pub(crate) fn is_selected(spec: &PodSpec, view: &NodeView) -> bool {
    let has = |(key, value): (&String, &String)| view.labels().and_then(|labels| labels.get(key)) == Some(value);
    if !spec.node_selector.iter().flatten().all(has) {
        return false;
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|selector| {
        selector.node_selector_terms.iter().any(|term| labels::meets(term, view.name(), view.labels()))
    })
}

fn ports(subject: &Subject, view: &NodeView) -> Vec<Reason> {
    if subject.ports.is_empty() {
        return Vec::new();
    }
    let mut taken = view.pods.values().flat_map(|pod| &pod.ports);
    if taken.any(|taken| subject.ports.iter().any(|port| port.collides(taken))) {
        return vec![not_now("node(s) didn't have free ports for the requested pod ports")];
    }
    Vec::new()
}

fn resources(subject: &Subject, view: &NodeView) -> Vec<Reason> {
    let (wanted, taken, all) = (&subject.requested, &view.requested, &view.allocatable);
    let mut reasons = Vec::new();
    if view.pods.len() + 1 > view.pods_max {
        reasons.push(not_now("Too many pods"));
    }
    let mut lack = |name: &str, wanted: i64, taken: i64, all: i64| {
        if wanted > 0 && wanted > all - taken {
            reasons.push(Reason { text: format!("Insufficient {name}"), is_resolvable: wanted <= all });
        }
    };
    lack("cpu", wanted.milli_cpu, taken.milli_cpu, all.milli_cpu);
    lack("memory", wanted.memory, taken.memory, all.memory);
    lack("ephemeral-storage", wanted.ephemeral, taken.ephemeral, all.ephemeral);
    for (name, amount) in &wanted.others {
        let of = |resources: &crate::resources::Resources| resources.others.get(name).copied().unwrap_or(0);
        lack(name, *amount, of(taken), of(all));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::{Node, Pod};
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::Cluster;
    use crate::testing::{changed, node, pod};

    fn told(node: Arc<Node>, others: &[Arc<Pod>], pod: &Arc<Pod>) -> String {
        let mut cluster = Cluster::default();
        let name = node.metadata.name.clone().unwrap();
        cluster.set_node(&name, Some(node));
        for other in others {
            cluster.assume(Arc::new(Subject::new(other.clone())), &name);
        }
        let reasons = objections(&Subject::new(pod.clone()), cluster.node(&name).unwrap());
        reasons.into_iter().map(|reason| reason.text).collect::<Vec<_>>().join(", ")
    }

    fn wishing(change: Value) -> Arc<Pod> {
        changed(&pod("a", "1", "1Gi"), json!({"spec": change}))
    }

    #[test]
    fn a_pod_fits_where_there_is_room() {
        assert_eq!(told(node("n1", "1", "1Gi"), &[], &pod("a", "1", "1Gi")), "");
        assert_eq!(
            told(node("n1", "1500m", "1Gi"), &[pod("b", "1", "1")], &pod("a", "1", "1Gi")),
            "Insufficient cpu, Insufficient memory"
        );
        let full = changed(&node("n1", "4", "8Gi"), json!({"status": {"allocatable": {"pods": "1"}}}));
        assert_eq!(told(full, &[pod("b", "1", "1")], &pod("a", "1", "1")), "Too many pods");
        let gpu = json!({"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]});
        assert_eq!(told(node("n1", "1", "1Gi"), &[], &wishing(gpu)), "Insufficient example.com/gpu");
    }

    #[test]
    fn a_pod_without_wishes_fits_a_node_that_is_overcommitted() {
        let none = wishing(json!({"containers": [{"name": "c"}]}));
        assert_eq!(told(node("n1", "1", "1Gi"), &[pod("b", "2", "2Gi")], &none), "");
    }

    #[test]
    fn taints_keep_away_who_does_not_tolerate_them() {
        let taints = json!({"spec": {"taints": [
            {"key": "soft", "effect": "PreferNoSchedule"}, {"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}});
        let tainted = changed(&node("n1", "4", "8Gi"), taints);
        assert_eq!(told(tainted.clone(), &[], &pod("a", "1", "1")), "node(s) had untolerated taint {gpu: yes}");
        for toleration in [
            json!({"key": "gpu", "operator": "Exists"}),
            json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"}),
            json!({"operator": "Exists"}),
        ] {
            assert_eq!(told(tainted.clone(), &[], &wishing(json!({"tolerations": [toleration]}))), "");
        }
        let other = json!({"tolerations": [{"key": "gpu", "value": "no"}]});
        assert_ne!(told(tainted, &[], &wishing(other)), "");
    }

    #[test]
    fn a_cordoned_node_takes_only_those_who_tolerate_it() {
        let cordoned = changed(&node("n1", "4", "8Gi"), json!({"spec": {"unschedulable": true}}));
        assert_eq!(told(cordoned.clone(), &[], &pod("a", "1", "1")), "node(s) were unschedulable");
        let tolerant = json!({"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]});
        assert_eq!(told(cordoned, &[], &wishing(tolerant)), "");
    }

    #[test]
    fn selectors_and_affinity_choose_nodes() {
        let text = "node(s) didn't match Pod's node affinity/selector";
        let ssd = changed(&node("n1", "4", "8Gi"), json!({"metadata": {"labels": {"disk": "ssd", "rank": "7"}}}));
        let required = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
        let expression =
            |key: &str, operator: &str, values: Value| json!({"key": key, "operator": operator, "values": values});
        let cases = [
            (json!({"nodeSelector": {"disk": "ssd"}}), ""),
            (json!({"nodeSelector": {"disk": "hdd"}}), text),
            (required(json!([{"matchExpressions": [expression("disk", "In", json!(["ssd", "nvme"]))]}])), ""),
            (required(json!([{"matchExpressions": [expression("rank", "Gt", json!(["6"]))]}])), ""),
            (required(json!([{"matchExpressions": [expression("rank", "Lt", json!(["6"]))]}])), text),
            (
                required(
                    json!([{"matchExpressions": [expression("gpu", "Exists", json!([]))]}, {"matchFields": [expression("metadata.name", "In", json!(["n1"]))]}]),
                ),
                "",
            ),
            (required(json!([{}])), text),
        ];
        for (wish, expected) in cases {
            assert_eq!(told(ssd.clone(), &[], &wishing(wish.clone())), expected, "{wish}");
        }
    }

    #[test]
    fn host_ports_are_taken_once() {
        let port = |ip: &str| json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": ip}]}]});
        let (any, one, other) = (wishing(port("")), wishing(port("10.0.0.1")), wishing(port("10.0.0.2")));
        let text = "node(s) didn't have free ports for the requested pod ports";
        assert_eq!(told(node("n1", "4", "8Gi"), std::slice::from_ref(&any), &one), text);
        assert_eq!(told(node("n1", "4", "8Gi"), std::slice::from_ref(&other), &one), "");
    }
}
