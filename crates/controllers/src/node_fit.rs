//! Whether a pod asks for a node: its selector and its required affinity. Room and taints are others' business.

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

use crate::labels::Labels;

pub(crate) fn wants(spec: &PodSpec, node: &Node) -> bool {
    let empty = Labels::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let is_selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let name = node.metadata.name.as_deref().unwrap_or_default();
    is_selected
        && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches(term, labels, name)))
}

/// A term without any requirement matches nothing.
fn matches(term: &NodeSelectorTerm, labels: &Labels, name: &str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let label = |r: &NodeSelectorRequirement| is_met(r, labels.get(&r.key).map(String::as_str));
    let field = |r: &NodeSelectorRequirement| is_met(r, (r.key == "metadata.name").then_some(name));
    expressions.iter().all(label) && fields.iter().all(field)
}

fn is_met(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_listed = value.is_some_and(|value| values.iter().any(|v| v == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let bounds = || value.and_then(number).zip(values.first().and_then(|bound| number(bound)));
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => bounds().is_some_and(|(value, bound)| value > bound),
        "Lt" => bounds().is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_pod_wants_the_nodes_that_it_selects() {
        let node: Node =
            serde_json::from_value(json!({"metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "8"}}}))
                .unwrap();
        let terms = |terms: Value| {
            json!({"containers": [], "affinity": {"nodeAffinity":
                {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
        };
        let expression = |key: &str, operator: &str, values: Value| {
            terms(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
        };
        let table = [
            (json!({"containers": []}), true),
            (json!({"containers": [], "nodeSelector": {"disk": "ssd"}}), true),
            (json!({"containers": [], "nodeSelector": {"disk": "hdd"}}), false),
            (expression("disk", "In", json!(["ssd"])), true),
            (expression("disk", "NotIn", json!(["ssd"])), false),
            (expression("gpu", "DoesNotExist", json!([])), true),
            (expression("cores", "Gt", json!(["4"])), true),
            (expression("cores", "Lt", json!(["8"])), false),
            (terms(json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}])), true),
            (terms(json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}])), false),
            (terms(json!([{}])), false),
        ];
        for (spec, wanted) in table {
            assert_eq!(wants(&serde_json::from_value(spec.clone()).unwrap(), &node), wanted, "{spec}");
        }
    }
}
