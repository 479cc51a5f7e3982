//! Services and what stands behind them. Addresses, node ports and IP families are allocated later, by the API server.

use serde_json::{Value, json};

use super::{Object, fill, fill_text, items, make, text};

const AFFINITY_SECONDS: i64 = 3 * 60 * 60;

pub(crate) fn service(object: &mut Value) {
    ingress_modes(object);
    let Some(spec) = object.as_object_mut().and_then(|o| make(o, "spec")) else { return };
    fill_text(spec, "sessionAffinity", "None");
    affinity(spec);
    fill_text(spec, "type", "ClusterIP");
    items(spec, "ports").for_each(port);
    if is_external(spec) {
        fill_text(spec, "externalTrafficPolicy", "Cluster");
    }
    let kind = text(spec, "type").to_owned();
    if kind != "ExternalName" {
        fill(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        fill(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// An address of a load balancer is reached as it is, unless it says otherwise.
fn ingress_modes(object: &mut Value) {
    let balancer = object.get_mut("status").and_then(|status| status.get_mut("loadBalancer"));
    let Some(balancer) = balancer.and_then(Value::as_object_mut) else { return };
    for point in items(balancer, "ingress").filter(|point| !text(point, "ip").is_empty()) {
        fill(point, "ipMode", "VIP");
    }
}

fn affinity(spec: &mut Object) {
    match text(spec, "sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let config = make(spec, "sessionAffinityConfig").and_then(|config| make(config, "clientIP"));
            config.into_iter().for_each(|client| fill(client, "timeoutSeconds", AFFINITY_SECONDS));
        }
        _ => {}
    }
}

fn port(port: &mut Object) {
    fill_text(port, "protocol", "TCP");
    let target = port.get("targetPort").unwrap_or(&Value::Null);
    if target.is_null() || *target == json!(0) || *target == json!("") {
        let number = port.get("port").cloned().unwrap_or(json!(0));
        port.insert("targetPort".to_owned(), number);
    }
}

/// Reached from outside the cluster.
fn is_external(spec: &Object) -> bool {
    match text(spec, "type") {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty()),
        _ => false,
    }
}

pub(crate) fn endpoint_slice(object: &mut Value) {
    // An empty list is stored as none at all, and always shown.
    if object["endpoints"].as_array().is_some_and(Vec::is_empty) {
        object["endpoints"] = Value::Null;
    }
    for port in object.as_object_mut().into_iter().flat_map(|o| items(o, "ports")) {
        fill(port, "name", "");
        fill(port, "protocol", "TCP");
    }
}

pub(crate) fn endpoints(object: &mut Value) {
    for subset in object.as_object_mut().into_iter().flat_map(|o| items(o, "subsets")) {
        items(subset, "ports").for_each(|port| fill_text(port, "protocol", "TCP"));
    }
}
