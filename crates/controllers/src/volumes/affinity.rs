//! Where a volume is: the nodes that its affinity accepts.

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, PersistentVolume};

/// True when pods on `node` can use the volume.
pub(super) fn accepts(volume: &PersistentVolume, node: &Node) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let Some(required) = affinity.and_then(|affinity| affinity.required.as_ref()) else { return true };
    required.node_selector_terms.iter().any(|term| {
        let labels = term.match_expressions.iter().flatten().all(|wanted| meets(wanted, label(node, &wanted.key)));
        let name = node.metadata.name.as_deref();
        labels && term.match_fields.iter().flatten().all(|wanted| meets(wanted, name))
    })
}

fn label<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn meets(wanted: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let listed = |value: &str| wanted.values.iter().flatten().any(|known| known == value);
    match wanted.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
