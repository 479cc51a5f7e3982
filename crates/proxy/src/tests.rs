//! Worlds, the tables they make, and a proxy that follows one.

mod following;
mod tables;

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn service(name: &str, spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": "default", "name": name}, "spec": spec})).unwrap()
}

/// A slice of `service`, whose endpoints are given as address, node and conditions (`r`eady, `s`erving, `t`erminating).
fn slice(service: &str, ports: Value, endpoints: &[(&str, &str, &str)]) -> EndpointSlice {
    let family = if endpoints.iter().any(|(ip, ..)| ip.contains(':')) { "IPv6" } else { "IPv4" };
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(ip, node, conditions)| {
            let is = |letter: char| conditions.contains(letter);
            let conditions = json!({"ready": is('r'), "serving": is('s'), "terminating": is('t')});
            json!({"addresses": [ip], "nodeName": node, "conditions": conditions})
        })
        .collect();
    let name = format!("{service}-{family}");
    let labels = json!({"kubernetes.io/service-name": service});
    let metadata = json!({"namespace": "default", "name": name, "labels": labels});
    let object = json!({"metadata": metadata, "addressType": family, "ports": ports, "endpoints": endpoints});
    serde_json::from_value(object).unwrap()
}
