//! Services: fields that say the same thing are kept alike, and what was allocated is not lost by an old client's update.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kind::{Part, drop_null};

pub(in super::super) fn service_create(service: &mut Value) {
    let spec = &mut service["spec"];
    if is_text(&spec["clusterIP"]) && is_none(&spec["clusterIPs"]) {
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
    }
    drop_null(spec, "clusterIPs");
    drop_null(spec, "clusterIP");
}

pub(in super::super) fn service_update(new: &mut Value, old: &Value, part: Part) {
    if part != Part::Object {
        return;
    }
    if old["spec"]["type"] == "LoadBalancer" && new["spec"]["type"] != "LoadBalancer" {
        new["status"]["loadBalancer"] = json!({});
    }
    let (new, old) = (&mut new["spec"], &old["spec"]);
    keep_allocated(new, old);
    follow_cluster_ip(new, old);
    drop_dependent(new, old);
    for field in [
        "clusterIP",
        "clusterIPs",
        "ipFamilies",
        "ipFamilyPolicy",
        "healthCheckNodePort",
        "allocateLoadBalancerNodePorts",
        "loadBalancerClass",
        "externalTrafficPolicy",
        "internalTrafficPolicy",
    ] {
        drop_null(new, field);
    }
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn is_none(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

fn needs_cluster_ip(spec: &Value) -> bool {
    matches!(spec["type"].as_str(), Some("ClusterIP" | "NodePort" | "LoadBalancer"))
}

fn needs_node_port(spec: &Value) -> bool {
    match spec["type"].as_str() {
        Some("NodePort") => true,
        Some("LoadBalancer") => spec["allocateLoadBalancerNodePorts"].as_bool() != Some(false),
        _ => false,
    }
}

fn needs_health_check(spec: &Value) -> bool {
    spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

/// What the client left out although the server had filled it in.
fn keep_allocated(new: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(new) {
        if !is_text(&new["clusterIP"]) {
            new["clusterIP"] = old["clusterIP"].clone();
        }
        if is_none(&new["clusterIPs"]) && new["clusterIP"] == old["clusterIP"] {
            new["clusterIPs"] = old["clusterIPs"].clone();
        }
    }
    if needs_node_port(old) && needs_node_port(new) {
        keep_node_ports(new, old);
    }
    if needs_health_check(old)
        && needs_health_check(new)
        && new["healthCheckNodePort"].as_i64().unwrap_or_default() == 0
    {
        new["healthCheckNodePort"] = old["healthCheckNodePort"].clone();
    }
}

/// A port keeps its node port, known by its name, unless another port asks for it.
fn keep_node_ports(new: &mut Value, old: &Value) {
    let node_port = |port: &Value| port["nodePort"].as_i64().unwrap_or_default();
    let name = |port: &Value| port["name"].as_str().unwrap_or_default().to_owned();
    let ports = |spec: &Value| spec["ports"].as_array().cloned().unwrap_or_default();
    let known: BTreeMap<String, i64> = ports(old).iter().map(|port| (name(port), node_port(port))).collect();
    let mut used: Vec<i64> = ports(new).iter().map(node_port).collect();
    for port in new["ports"].as_array_mut().into_iter().flatten() {
        let before = known.get(&name(port)).copied().unwrap_or_default();
        if node_port(port) == 0 && before != 0 && !used.contains(&before) {
            port["nodePort"] = json!(before);
            used.push(before);
        }
    }
}

/// The list follows when only the single field was changed.
fn follow_cluster_ip(new: &mut Value, old: &Value) {
    if new["clusterIP"] == old["clusterIP"] || new["clusterIPs"] != old["clusterIPs"] {
        return;
    }
    new["clusterIPs"] = if is_text(&new["clusterIP"]) { json!([new["clusterIP"]]) } else { Value::Null };
}

/// What a change of type makes meaningless, unless the client asks for it anew.
fn drop_dependent(new: &mut Value, old: &Value) {
    let kind = |spec: &Value| spec["type"].as_str().unwrap_or_default().to_owned();
    if needs_cluster_ip(old) && !needs_cluster_ip(new) {
        same(new, old, &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
    }
    if needs_node_port(old) && !needs_node_port(new) {
        drop_node_ports(new, old);
    }
    if needs_health_check(old) && !needs_health_check(new) {
        same(new, old, &["healthCheckNodePort"]);
    }
    if kind(old) == "LoadBalancer" && kind(new) != "LoadBalancer" {
        same(new, old, &["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if kind(old) != "ExternalName" && kind(new) == "ExternalName" {
        same(new, old, &["internalTrafficPolicy"]);
    }
    if is_external(old) && !is_external(new) {
        same(new, old, &["externalTrafficPolicy"]);
    }
}

fn is_external(spec: &Value) -> bool {
    match spec["type"].as_str() {
        Some("NodePort" | "LoadBalancer") => true,
        Some("ClusterIP") => !is_none(&spec["externalIPs"]),
        _ => false,
    }
}

fn same(new: &mut Value, old: &Value, fields: &[&str]) {
    for field in fields {
        if new[*field] == old[*field] {
            new[*field] = Value::Null;
        }
    }
}

fn drop_node_ports(new: &mut Value, old: &Value) {
    let numbers = |spec: &Value| -> Vec<Value> {
        spec["ports"].as_array().into_iter().flatten().map(|port| port["nodePort"].clone()).collect()
    };
    if numbers(new) != numbers(old) {
        return;
    }
    for port in new["ports"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        port.remove("nodePort");
    }
}
