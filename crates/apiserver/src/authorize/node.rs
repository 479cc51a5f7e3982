//! What a node may do: read the cluster's wiring, write its own Node and Lease, and touch only the pods that run on it
//! and what those pods need.

use coracle_api::status::{Attributes, Status};
use serde_json::Value;

use super::Decision;
use crate::query::Query;
use crate::state::State;

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Pods that are looked at first, and at most at a time: mostly the needed one is among the first.
const PODS_FIRST: usize = 16;
const PODS_MAX: usize = 1024;
const CLUSTER_INFO: (&str, &str) = ("kube-public", "cluster-info");

/// What the node `node` may do, as far as the request alone can tell.
pub(super) fn decide(node: &str, a: &Attributes<'_>, query: &Query) -> Decision {
    let reads = matches!(a.verb, "get" | "list" | "watch");
    let writes = matches!(a.verb, "create" | "update" | "patch");
    let needs = || Decision::IfNodeNeeds { node: node.to_owned() };
    let own_pod = || Decision::IfPodOnNode { node: node.to_owned() };
    let refuse = |why: &str| Decision::NoOpinion(why.to_owned());
    match (a.group, a.resource, a.subresource) {
        ("", "services" | "endpoints" | "namespaces" | "nodes", "") if reads => Decision::Allow,
        ("discovery.k8s.io", "endpointslices", "") if reads => Decision::Allow,
        ("networking.k8s.io", "networkpolicies", "") if reads => Decision::Allow,
        ("node.k8s.io", "runtimeclasses", "") if reads => Decision::Allow,
        ("storage.k8s.io", "csidrivers" | "csinodes", "") if reads => Decision::Allow,
        ("" | "events.k8s.io", "events", "") if writes => Decision::Allow,
        ("", "nodes", "" | "status") if a.verb == "create" || a.name == node => Decision::Allow,
        ("", "nodes", _) => refuse(&format!("node {node:?} is not allowed to modify node {:?}", a.name)),
        ("coordination.k8s.io", "leases", "") if a.namespace == LEASE_NAMESPACE => match a.verb {
            "create" => Decision::Allow,
            _ if a.name == node => Decision::Allow,
            _ => refuse("can only access node lease with the same name as the requesting node"),
        },
        ("coordination.k8s.io", "leases", "") => {
            refuse(&format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"))
        }
        ("certificates.k8s.io", "certificatesigningrequests", "") if reads || a.verb == "create" => Decision::Allow,
        ("", "pods", "") if matches!(a.verb, "list" | "watch") => match selects_node(query, node) {
            true => Decision::Allow,
            false => refuse("can only list/watch pods with spec.nodeName field selector"),
        },
        ("", "pods", "") if matches!(a.verb, "get" | "delete") => own_pod(),
        ("", "pods", "status") if matches!(a.verb, "update" | "patch") => own_pod(),
        ("", "pods", "eviction") if a.verb == "create" => own_pod(),
        // How the cluster is laid out: what a node must know before it has pods.
        ("", "configmaps", "") if a.verb == "get" && (a.namespace, a.name) == CLUSTER_INFO => Decision::Allow,
        ("", "secrets" | "configmaps" | "persistentvolumeclaims", "") if reads => match a.name {
            "" => refuse("No Object name found"),
            _ => needs(),
        },
        ("", "persistentvolumes", "") if a.verb == "get" => Decision::Allow,
        ("", "serviceaccounts", "") if a.verb == "get" => needs(),
        ("", "serviceaccounts", "token") if a.verb == "create" => needs(),
        _ => Decision::NoOpinion(String::new()),
    }
}

fn selects_node(query: &Query, node: &str) -> bool {
    let terms = query.text("fieldSelector").split(',');
    terms.filter_map(|term| term.strip_prefix("spec.nodeName=")).any(|n| n.trim_start_matches('=') == node)
}

/// `None` when a pod on `node` needs the object that is named.
pub(super) async fn needs(state: &State, node: &str, a: &Attributes<'_>) -> Result<Option<String>, Status> {
    let pods = state.resource("", "v1", "pods");
    // Most pods are told apart by their text: a namespace may have thousands, and a node asks for each of its own.
    let (node_text, name_text) = (format!("\"{node}\""), format!("\"{}\"", a.name));
    let may_need = |text: &str| text.contains(&node_text) && text.contains(&name_text);
    let needs = |pod: &Value| pod["spec"]["nodeName"] == node && refers(pod, a.resource, a.name);
    let (mut after, mut limit) = (None, PODS_FIRST);
    loop {
        let (page, next) = state.some_below(&pods, a.namespace, after, limit).await?;
        let mut candidates = page.iter().filter(|kv| std::str::from_utf8(&kv.value).is_ok_and(may_need));
        if candidates.any(|kv| needs(&pods.selectable(&kv.value))) {
            return Ok(None);
        }
        let Some(next) = next else { break };
        (after, limit) = (Some(next), (2 * limit).min(PODS_MAX));
    }
    Ok(Some(format!("no relationship found between node '{node}' and this object")))
}

/// `None` when the pod that is named runs on `node`, or does not exist.
pub(super) async fn runs(state: &State, node: &str, a: &Attributes<'_>) -> Result<Option<String>, Status> {
    let pods = state.resource("", "v1", "pods");
    let Some(stored) = state.stored(&pods, a.namespace, a.name).await? else { return Ok(None) };
    if pods.selectable(&stored.value)["spec"]["nodeName"] == node {
        return Ok(None);
    }
    Ok(Some(format!("no relationship found between node '{node}' and this object")))
}

/// True when `pod` mentions an object of `resource` called `name`.
fn refers(pod: &Value, resource: &str, name: &str) -> bool {
    let spec = &pod["spec"];
    match resource {
        "serviceaccounts" => spec["serviceAccountName"] == name,
        "persistentvolumeclaims" => each(&spec["volumes"]).any(|v| v["persistentVolumeClaim"]["claimName"] == name),
        "configmaps" => mentions(spec, name, ["configMap", "configMapRef", "configMapKeyRef"], "name"),
        "secrets" => {
            mentions(spec, name, ["secret", "secretRef", "secretKeyRef"], "secretName")
                || each(&spec["imagePullSecrets"]).any(|secret| secret["name"] == name)
        }
        _ => false,
    }
}

fn mentions(spec: &Value, name: &str, [volume, all, one]: [&str; 3], volume_name: &str) -> bool {
    let in_volume = |v: &Value| {
        v[volume][volume_name] == name || each(&v["projected"]["sources"]).any(|source| source[volume]["name"] == name)
    };
    let in_container = |c: &Value| {
        each(&c["envFrom"]).any(|from| from[all]["name"] == name)
            || each(&c["env"]).any(|env| env["valueFrom"][one]["name"] == name)
    };
    let containers = ["containers", "initContainers", "ephemeralContainers"];
    each(&spec["volumes"]).any(in_volume) || containers.iter().any(|list| each(&spec[*list]).any(in_container))
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_refers_to_what_its_volumes_and_environment_name() {
        let pod = json!({"spec": {
            "serviceAccountName": "robot",
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"configMap": {"name": "settings"}}, {"secret": {"secretName": "keys"}},
                {"projected": {"sources": [{"configMap": {"name": "ca"}}, {"secret": {"name": "tls"}}]}},
                {"persistentVolumeClaim": {"claimName": "disk"}}],
            "containers": [{"envFrom": [{"secretRef": {"name": "env"}}],
                "env": [{"valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}}]}],
        }});
        let all = [
            ("configmaps", vec!["settings", "ca", "one"]),
            ("secrets", vec!["keys", "tls", "env", "pull"]),
            ("serviceaccounts", vec!["robot"]),
            ("persistentvolumeclaims", vec!["disk"]),
        ];
        for (resource, names) in all {
            for name in names {
                assert!(refers(&pod, resource, name), "{resource} {name}");
            }
            assert!(!refers(&pod, resource, "other"), "{resource}");
        }
    }
}
