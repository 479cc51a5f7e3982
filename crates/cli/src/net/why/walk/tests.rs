//! Worlds, targets, and what is said of the way.

use serde_json::{Value, json};

use super::*;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn endpoint(ip: &str, node: &str, conditions: Value) -> Value {
    json!({"addresses": [ip], "nodeName": node, "conditions": conditions})
}

fn world() -> World {
    let node = |name: &str, n: u8| {
        let cidr = format!("10.244.{n}.0/24");
        read(json!({"metadata": {"name": name}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}))
    };
    let service = |name: &str, ip: &str, spec: Value| {
        let mut whole = json!({"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80, "protocol": "TCP"}]});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        read(json!({"metadata": {"namespace": "default", "name": name}, "spec": whole}))
    };
    let slice = |service: &str, endpoints: Vec<Value>| {
        let metadata = json!({"namespace": "default", "name": service, "labels": {SERVICE_NAME: service}});
        let ports = json!([{"name": "", "port": 8080, "protocol": "TCP"}]);
        read(json!({"addressType": "IPv4", "metadata": metadata, "ports": ports, "endpoints": endpoints}))
    };
    let ready = json!({"ready": true, "serving": true});
    let link = |peer: &str, state: &str, relay: Option<&str>| Link {
        peer: peer.into(),
        state: state.into(),
        relay: relay.map(str::to_owned),
    };
    World {
        pod: read(json!({
            "metadata": {"namespace": "default", "name": "web"}, "spec": {"nodeName": "n1", "containers": []},
            "status": {"phase": "Running", "podIP": "10.244.1.5"},
        })),
        services: vec![
            service("api", "10.96.0.7", json!({"selector": {"app": "api"}})),
            service("far", "10.96.0.8", json!({})),
            service("none", "10.96.0.9", json!({"selector": {"app": "none"}})),
            service("sick", "10.96.0.10", json!({})),
            service("near", "10.96.0.11", json!({"internalTrafficPolicy": "Local"})),
            service("out", "", json!({"type": "ExternalName", "externalName": "example.com"})),
        ],
        slices: vec![
            slice(
                "api",
                vec![
                    endpoint("10.244.1.6", "n1", ready.clone()),
                    endpoint("10.244.2.6", "n2", ready.clone()),
                    endpoint("10.244.3.6", "n3", json!({"ready": false, "serving": true, "terminating": true})),
                ],
            ),
            slice("far", vec![endpoint("10.244.4.6", "n4", ready.clone())]),
            slice("sick", vec![endpoint("10.244.2.7", "n2", json!({"ready": false}))]),
            slice("near", vec![endpoint("10.244.2.8", "n2", ready)]),
        ],
        nodes: vec![node("n1", 1), node("n2", 2), node("n3", 3), node("n4", 4)],
        links: vec![link("n2", "direct", None), link("n3", "relayed", Some("n2")), link("n4", "unreachable", None)],
        domain: "cluster.local".into(),
    }
}

fn told(target: &str) -> String {
    let way = walk(&world(), &Target::parse(target, false).unwrap());
    let mut lines: Vec<String> = way.steps.iter().map(|step| format!("{}: {}", step.what, step.text)).collect();
    lines.extend(way.failure.map(|why| format!("ends: {why}")));
    lines[1..].join("\n")
}

#[test]
fn a_service_is_walked_to_its_endpoints() {
    assert_eq!(
        told("api:80"),
        "name: api is 10.96.0.7\nservice: default/api takes it on 80/TCP\nendpoints: 2 ready, 0 not ready, 1 leaving\n\
         route: 10.244.1.6 is on the same node\nroute: 10.244.2.6 is on n2: direct link"
    );
}

#[test]
fn the_walk_says_where_it_ends_and_why() {
    let table = [
        (
            "nowhere.default.svc.cluster.local",
            "ends: there is no name nowhere.default.svc.cluster.local in the cluster",
        ),
        ("api:81", "ends: service default/api has no such TCP port; it has 80/TCP"),
        ("none", "ends: no pod with an address matches app=none"),
        ("sick", "ends: none of its endpoints is ready"),
        ("near", "ends: its internal traffic policy is Local, and it has no endpoint on n1"),
        ("far", "ends: n1 has no way to n4: the link is unreachable"),
        ("out:443", "name: example.com. is not the cluster's: the node's resolver is asked"),
        ("10.244.3.9:80", "route: 10.244.3.9 port 80 is on n3: relayed link through n2"),
        ("192.0.2.1:80", "route: 192.0.2.1 port 80 is no pod's: over the network of n1, if its policy allows"),
    ];
    for (target, last) in table {
        assert_eq!(told(target).lines().last(), Some(last), "{target}");
    }
}

#[test]
fn a_pod_without_an_address_goes_nowhere() {
    let mut world = world();
    world.pod.status = None;
    let way = walk(&world, &Target::parse("api", false).unwrap());
    assert_eq!(way.failure.unwrap(), "the pod has no address: it is Pending");
}

#[test]
fn a_target_is_a_name_or_an_address_with_or_without_a_port() {
    let parse = |text| Target::parse(text, false).map(|target| (target.host, target.port)).ok();
    assert_eq!(parse("api:80"), Some(("api".into(), Some(80))));
    assert_eq!(parse("fd00::1"), Some(("fd00::1".into(), None)));
    assert_eq!(parse("[fd00::1]:53"), Some(("fd00::1".into(), Some(53))));
    assert_eq!(parse("api:http"), None);
    assert_eq!(parse(":80"), None);
}
