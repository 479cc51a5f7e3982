//! Services and what stands behind them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Columns, NONE, age, first_few, labels, name, number, or_none, text};

pub(crate) fn service() -> Columns {
    Columns::of("Service", service_cells)
}

fn service_cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        json!(text(&spec["type"])),
        or_none(text(&spec["clusterIPs"][0])),
        json!(external(object)),
        or_none(&ports(&spec["ports"])),
        age(object, now),
        labels(&spec["selector"]),
    ]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Where the world outside the cluster finds a service.
fn external(service: &Value) -> String {
    let spec = &service["spec"];
    let mut places: Vec<&str> = Vec::new();
    let kind = text(&spec["type"]);
    if kind == "LoadBalancer" {
        let points = list(&service["status"]["loadBalancer"]["ingress"]).iter();
        places.extend(points.map(|p| if text(&p["ip"]).is_empty() { text(&p["hostname"]) } else { text(&p["ip"]) }));
        places.retain(|place| !place.is_empty());
        places.sort_unstable();
        places.dedup();
    }
    places.extend(list(&spec["externalIPs"]).iter().map(text));
    match kind {
        "ExternalName" => text(&spec["externalName"]).to_owned(),
        "LoadBalancer" if places.is_empty() => "<pending>".to_owned(),
        "ClusterIP" | "NodePort" if places.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" | "LoadBalancer" => places.join(","),
        _ => "<unknown>".to_owned(),
    }
}

/// `80:30080/TCP,53/UDP`.
fn ports(ports: &Value) -> String {
    let port = |port: &Value| match number(&port["nodePort"]) {
        0 => format!("{}/{}", number(&port["port"]), text(&port["protocol"])),
        node_port => format!("{}:{node_port}/{}", number(&port["port"]), text(&port["protocol"])),
    };
    list(ports).iter().map(port).collect::<Vec<_>>().join(",")
}

pub(crate) fn endpoints() -> Columns {
    Columns::of("Endpoints", |object, now| {
        let places: Vec<String> = list(&object["subsets"]).iter().flat_map(places).collect();
        let shown = first_few(&places, if list(&object["subsets"]).is_empty() { NONE } else { "" });
        vec![name(object), json!(shown), age(object, now)]
    })
}

/// Every ready address with every port.
fn places(subset: &Value) -> Vec<String> {
    let addresses = || list(&subset["addresses"]).iter().map(|address| text(&address["ip"]));
    let ports = list(&subset["ports"]);
    if ports.is_empty() {
        return addresses().map(str::to_owned).collect();
    }
    ports.iter().flat_map(|port| addresses().map(move |ip| host_port(ip, number(&port["port"])))).collect()
}

fn host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

pub(crate) fn endpoint_slice() -> Columns {
    Columns::of("EndpointSlice", |object, now| {
        let ports: Vec<String> = list(&object["ports"]).iter().map(slice_port).collect();
        let endpoints = list(&object["endpoints"]).iter().flat_map(|endpoint| list(&endpoint["addresses"]));
        let addresses: Vec<String> = endpoints.map(|address| text(address).to_owned()).collect();
        vec![
            name(object),
            json!(text(&object["addressType"])),
            json!(first_few(&ports, "<unset>")),
            json!(first_few(&addresses, "<unset>")),
            age(object, now),
        ]
    })
}

fn slice_port(port: &Value) -> String {
    match (&port["port"], &port["name"]) {
        (Value::Number(number), _) => number.to_string(),
        (_, Value::String(name)) => name.clone(),
        _ => "*".to_owned(),
    }
}
