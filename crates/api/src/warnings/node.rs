//! Nodes, and labels of nodes that have newer names.

use serde_json::Value;

use super::ips;
use crate::validation::Cursor;

const LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#),
    ("beta.kubernetes.io/os", r#"deprecated since v1.14; use "kubernetes.io/os" instead"#),
    (
        "failure-domain.beta.kubernetes.io/region",
        r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#,
    ),
    ("failure-domain.beta.kubernetes.io/zone", r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#),
    ("beta.kubernetes.io/instance-type", r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#),
];

/// Why a label should not be used any more.
pub(super) fn deprecated(label: &str) -> Option<&'static str> {
    LABELS.iter().find(|(old, _)| *old == label).map(|(_, why)| *why)
}

/// Old labels in a pod's wishes for nodes.
pub(super) fn labels(spec: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let selector = spec.field("nodeSelector");
    for (key, at) in selector.entries() {
        if let Some(why) = deprecated(key) {
            warnings.push(format!("{}: {why}", at.path()));
        }
    }
    let affinity = spec.field("affinity");
    let affinity = affinity.field("nodeAffinity");
    let required = affinity.field("requiredDuringSchedulingIgnoredDuringExecution");
    required.field("nodeSelectorTerms").items().for_each(|term| self::term(term, warnings));
    for preferred in affinity.field("preferredDuringSchedulingIgnoredDuringExecution").items() {
        term(preferred.field("preference"), warnings);
    }
}

fn term(at: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    for expression in at.field("matchExpressions").items() {
        let key = expression.field("key");
        if let Some(why) = deprecated(key.str()) {
            warnings.push(format!("{}: {} is {why}", key.path(), key.str()));
        }
    }
}

pub(crate) fn node(new: &Value, _: Option<&Value>) -> Vec<String> {
    let (root, mut warnings) = (Cursor::root(new), Vec::new());
    let spec = root.field("spec");
    if spec.field("configSource").is_set() {
        warnings.push("spec.configSource: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    if !spec.field("externalID").str().is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    let cidrs = spec.field("podCIDRs");
    cidrs.items().for_each(|cidr| ips::cidr(cidr, &mut warnings));
    warnings
}
