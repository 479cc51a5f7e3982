//! Whom a proxy's path means, with upstream's words when there is nobody.

use std::net::{IpAddr, SocketAddr};

use coracle_api::status::Status;
use serde_json::Value;

use crate::state::State;

/// What a request is passed on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An address in the pod network, reached from `node`, or from any node when that is empty.
    Address { node: String, address: SocketAddr, host: String },
    /// A node's own paths.
    Node { node: String },
}

/// `[scheme:]name[:port]`, as a path names what is proxied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish<'a> {
    name: &'a str,
    port: &'a str,
}

fn wish<'a>(id: &'a str, what: &str) -> Result<Wish<'a>, Status> {
    let invalid = || Status::bad_request(format!("invalid {what} request {id:?}"));
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts[..] {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme @ ("" | "http" | "https"), name, port] => (scheme, name, port),
        _ => return Err(invalid()),
    };
    if name.is_empty() {
        return Err(invalid());
    }
    if scheme == "https" {
        let why = format!("error trying to reach service: https to {name:?} is not supported, use http");
        return Err(Status::service_unavailable(why));
    }
    Ok(Wish { name, port })
}

pub(super) async fn pod(state: &State, namespace: &str, id: &str) -> Result<Target, Status> {
    let Wish { name, port } = wish(id, "pod")?;
    let pod = state.existing(&state.resource("", "v1", "pods"), namespace, name).await?;
    pod_address(&pod, port)
}

fn pod_address(pod: &Value, port: &str) -> Result<Target, Status> {
    let ip = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
    let ip = ip.filter(|ip| is_allowed(*ip)).ok_or_else(|| Status::bad_request("address not allowed"))?;
    let port = match port {
        "" => Ok(first_port(pod).unwrap_or(80)),
        text => text.parse::<u16>().map_err(|_| {
            Status::service_unavailable(format!(
                "error trying to reach service: dial tcp: lookup tcp/{text}: unknown port"
            ))
        }),
    };
    let address = SocketAddr::new(ip, port?);
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
    Ok(Target::Address { node, address, host: address.to_string() })
}

fn first_port(pod: &Value) -> Option<u16> {
    let containers = pod["spec"]["containers"].as_array()?.iter();
    let mut ports = containers.filter_map(|container| container["ports"][0]["containerPort"].as_u64());
    u16::try_from(ports.next()?).ok()
}

fn is_allowed(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local)
}

pub(super) async fn service(state: &State, namespace: &str, id: &str) -> Result<Target, Status> {
    let Wish { name, port } = wish(id, "service")?;
    let services = state.resource("", "v1", "services");
    let service = state.existing(&services, namespace, name).await?;
    let port = port_name(&service, name, port)?;
    let slices = state.objects(&state.resource("discovery.k8s.io", "v1", "endpointslices"), Some(namespace)).await?;
    let of_service = |slice: &&Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == *name;
    let slices: Vec<&Value> = slices.iter().filter(of_service).collect();
    if slices.is_empty() {
        return Err(Status::not_found(services.kind.resource(), name));
    }
    let found = endpoints(&slices, &port);
    if found.is_empty() {
        return Err(Status::service_unavailable(format!("no endpoints available for service {id:?}")));
    }
    Ok(found[rand::random_range(0..found.len())].clone())
}

/// The name of the port that is meant: given by name, by number, or the one without a name.
fn port_name(service: &Value, name: &str, port: &str) -> Result<String, Status> {
    let Ok(number) = port.parse::<i64>() else { return Ok(port.to_owned()) };
    let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let found = ports.find(|known| known["port"].as_i64() == Some(number));
    let found = found
        .ok_or_else(|| Status::service_unavailable(format!("no service port {number} found for service {name:?}")))?;
    Ok(found["name"].as_str().unwrap_or_default().to_owned())
}

/// The ready endpoints behind a port.
fn endpoints(slices: &[&Value], port: &str) -> Vec<Target> {
    let mut found = Vec::new();
    for slice in slices {
        let mut ports = slice["ports"].as_array().into_iter().flatten();
        let named = ports.find(|known| known["name"].as_str().unwrap_or_default() == port);
        let number = named.and_then(|known| known["port"].as_u64()).and_then(|number| u16::try_from(number).ok());
        let Some(number) = number else { continue };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let is_ready = endpoint["conditions"]["ready"].as_bool().unwrap_or(true);
            let ip = endpoint["addresses"][0].as_str().and_then(|ip| ip.parse().ok()).filter(|ip| is_allowed(*ip));
            if let (true, Some(ip)) = (is_ready, ip) {
                let address = SocketAddr::new(ip, number);
                let node = endpoint["nodeName"].as_str().unwrap_or_default().to_owned();
                found.push(Target::Address { node, address, host: address.to_string() });
            }
        }
    }
    found
}

pub(super) async fn node(state: &State, id: &str) -> Result<Target, Status> {
    let Wish { name, port } = wish(id, "node")?;
    state.existing(&state.resource("", "v1", "nodes"), "", name).await?;
    match port {
        "" | "10250" => Ok(Target::Node { node: name.to_owned() }),
        other => Err(Status::service_unavailable(format!(
            "error trying to reach service: a node serves port 10250 only, not {other}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_may_carry_a_scheme_and_a_port() {
        assert_eq!(wish("web", "service").unwrap(), Wish { name: "web", port: "" });
        assert_eq!(wish("web:http", "service").unwrap(), Wish { name: "web", port: "http" });
        assert_eq!(wish("http:web:", "service").unwrap(), Wish { name: "web", port: "" });
        assert_eq!(wish("ftp:web:80", "pod").unwrap_err().message, "invalid pod request \"ftp:web:80\"");
        assert_eq!(wish("https:web:443", "pod").unwrap_err().code, 503);
    }

    #[test]
    fn a_pod_is_reached_at_its_first_port() {
        let mut pod = json!({"spec": {"nodeName": "n1", "containers": [{}, {"ports": [{"containerPort": 8080}]}]}});
        assert_eq!(pod_address(&pod, "").unwrap_err().message, "address not allowed");
        pod["status"] = json!({"podIP": "10.244.0.9"});
        let Target::Address { node, address, .. } = pod_address(&pod, "").unwrap() else { panic!("a node") };
        assert_eq!((node.as_str(), address), ("n1", "10.244.0.9:8080".parse().unwrap()));
        pod["status"] = json!({"podIP": "127.0.0.1"});
        assert!(pod_address(&pod, "80").is_err());
    }

    #[test]
    fn only_ready_endpoints_of_the_port_count() {
        let slice = json!({"ports": [{"name": "a", "port": 1}, {"port": 2}], "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "nodeName": "n"},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
        ]});
        assert_eq!(endpoints(&[&slice], "").len(), 1);
        assert_eq!(endpoints(&[&slice], "b").len(), 0);
        let service = json!({"spec": {"ports": [{"name": "a", "port": 80}]}});
        assert_eq!(port_name(&service, "web", "80").unwrap(), "a");
        assert_eq!(
            port_name(&service, "web", "81").unwrap_err().message,
            "no service port 81 found for service \"web\""
        );
    }
}
