//! Which endpoints a table gives.

use std::collections::BTreeSet;

use coracle_net::{Protocol, Route, Via};

use super::*;
use crate::{Node, Table, table};

fn on_n1(services: &[Service], slices: &[EndpointSlice]) -> Table {
    let node = Node { name: "n1".into(), addresses: vec![ip("192.0.2.1")], api_server: None };
    table(services, slices, &node)
}

/// Every endpoint that `ask` gives until all have refused, in order; `None` if it is no service.
fn all(ask: impl Fn(&[SocketAddr]) -> Route) -> Option<Vec<String>> {
    let mut refused = Vec::new();
    loop {
        match ask(&refused) {
            Route::NotService => return None,
            Route::Endpoint(endpoint) => refused.push(endpoint.address),
            Route::NoEndpoints => {
                let found: BTreeSet<_> = refused.into_iter().collect();
                return Some(found.iter().map(ToString::to_string).collect());
            }
        }
    }
}

#[track_caller]
fn check(table: &Table, to: &str, expected: Option<&[&str]>) {
    let found = all(|refused| table.route(None, at(to), Protocol::Tcp, refused));
    let expected = expected.map(|addresses| addresses.iter().map(ToString::to_string).collect());
    assert_eq!(found, expected, "{to}");
}

#[track_caller]
fn check_node_port(table: &Table, port: u16, expected: Option<&[&str]>) {
    let found = all(|refused| table.route_node_port(ip("192.0.2.9"), port, Protocol::Tcp, refused));
    let expected = expected.map(|addresses| addresses.iter().map(ToString::to_string).collect());
    assert_eq!(found, expected, "{port}");
}

#[test]
fn ports_are_matched_by_name_and_protocol() {
    let ports = json!([
        {"name": "http", "port": 80, "protocol": "TCP"},
        {"name": "admin", "port": 81},
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "gone", "port": 82},
        {"name": "sctp", "port": 83, "protocol": "SCTP"},
    ]);
    let services = [service("web", json!({"clusterIP": "10.96.0.2", "ports": ports}))];
    let ports = json!([
        {"name": "http", "port": 8080}, {"name": "admin", "port": 9090, "protocol": "TCP"},
        {"name": "dns", "port": 53, "protocol": "TCP"}, {"name": "dns", "port": 5353, "protocol": "UDP"},
    ]);
    let table = on_n1(&services, &[slice("web", ports, &[("10.244.1.2", "n1", "rs"), ("10.244.2.2", "n2", "rs")])]);
    check(&table, "10.96.0.2:80", Some(&["10.244.1.2:8080", "10.244.2.2:8080"]));
    check(&table, "10.96.0.2:81", Some(&["10.244.1.2:9090", "10.244.2.2:9090"]));
    check(&table, "10.96.0.2:82", Some(&[]));
    check(&table, "10.96.0.2:83", None);
    check(&table, "10.96.0.2:53", None);
    let udp = all(|refused| table.route(None, at("10.96.0.2:53"), Protocol::Udp, refused));
    assert_eq!(udp, Some(vec!["10.244.1.2:5353".to_owned(), "10.244.2.2:5353".to_owned()]));
}

#[test]
fn those_that_end_serve_only_when_no_other_does() {
    let services = [service("web", json!({"clusterIP": "10.96.0.2", "ports": [{"port": 80}]}))];
    let endpoints = [("10.244.1.2", "n1", "rs"), ("10.244.1.3", "n1", "st"), ("10.244.1.4", "n1", "")];
    let mut slices = [slice("web", json!([{"port": 80}]), &endpoints)];
    check(&on_n1(&services, &slices), "10.96.0.2:80", Some(&["10.244.1.2:80"]));
    slices[0] = slice("web", json!([{"port": 80}]), &endpoints[1..]);
    check(&on_n1(&services, &slices), "10.96.0.2:80", Some(&["10.244.1.3:80"]));
    slices[0] = slice("web", json!([{"port": 80}]), &endpoints[2..]);
    check(&on_n1(&services, &slices), "10.96.0.2:80", Some(&[]));
}

#[test]
fn traffic_policies_hold_for_their_traffic() {
    let spec = |policies: Value| {
        let mut spec =
            json!({"type": "NodePort", "clusterIP": "10.96.0.2", "ports": [{"port": 80, "nodePort": 30080}]});
        spec.as_object_mut().unwrap().extend(policies.as_object().unwrap().clone());
        [service("web", spec)]
    };
    let endpoints = [("10.244.1.2", "n1", "rs"), ("10.244.2.2", "n2", "rs")];
    let slices = [slice("web", json!([{"port": 80}]), &endpoints)];
    let (everywhere, here) = (Some(&["10.244.1.2:80", "10.244.2.2:80"][..]), Some(&["10.244.1.2:80"][..]));

    let table = on_n1(&spec(json!({})), &slices);
    check(&table, "10.96.0.2:80", everywhere);
    check_node_port(&table, 30080, everywhere);
    check(&table, "192.0.2.1:30080", everywhere);
    check_node_port(&table, 30081, None);
    assert_eq!(table.node_ports(Protocol::Tcp).collect::<Vec<_>>(), [30080]);
    assert_eq!(table.node_ports(Protocol::Udp).count(), 0);

    let table = on_n1(&spec(json!({"internalTrafficPolicy": "Local"})), &slices);
    check(&table, "10.96.0.2:80", here);
    check_node_port(&table, 30080, everywhere);

    let table = on_n1(&spec(json!({"externalTrafficPolicy": "Local"})), &slices);
    check(&table, "10.96.0.2:80", everywhere);
    check_node_port(&table, 30080, here);
    check(&table, "192.0.2.1:30080", everywhere);

    let elsewhere = [slice("web", json!([{"port": 80}]), &endpoints[1..])];
    check_node_port(&on_n1(&spec(json!({"externalTrafficPolicy": "Local"})), &elsewhere), 30080, Some(&[]));
}

#[test]
fn outer_addresses_lead_to_the_service() {
    let mut web =
        service("web", json!({"clusterIP": "10.96.0.2", "externalIPs": ["192.0.2.7"], "ports": [{"port": 80}]}));
    web.status = serde_json::from_value(json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}})).unwrap();
    let table = on_n1(&[web], &[slice("web", json!([{"port": 80}]), &[("10.244.2.2", "n2", "rs")])]);
    check(&table, "192.0.2.7:80", Some(&["10.244.2.2:80"]));
    check(&table, "192.0.2.8:80", Some(&["10.244.2.2:80"]));
}

#[test]
fn each_family_has_its_own_endpoints() {
    let spec = json!({"clusterIP": "10.96.0.2", "clusterIPs": ["10.96.0.2", "fd00::2"], "ports": [{"port": 80}]});
    let slices = [
        slice("web", json!([{"port": 80}]), &[("10.244.1.2", "n1", "rs")]),
        slice("web", json!([{"port": 80}]), &[("fd01::2", "n1", "rs")]),
    ];
    let table = on_n1(&[service("web", spec)], &slices);
    check(&table, "10.96.0.2:80", Some(&["10.244.1.2:80"]));
    check(&table, "[fd00::2]:80", Some(&["[fd01::2]:80"]));
}

#[test]
fn headless_and_external_services_are_only_names() {
    let ports = json!([{"port": 80, "nodePort": 30080}]);
    let services = [
        service("headless", json!({"clusterIP": "None", "ports": ports})),
        service("external", json!({"type": "ExternalName", "externalName": "a.example", "ports": ports})),
        service("unassigned", json!({"ports": ports})),
    ];
    let table = on_n1(&services, &[slice("headless", json!([{"port": 80}]), &[("10.244.1.2", "n1", "rs")])]);
    check_node_port(&table, 30080, None);
}

#[test]
fn the_api_server_is_reached_over_the_host() {
    let kubernetes = [service("kubernetes", json!({"clusterIP": "10.96.0.1", "ports": [{"port": 443}]}))];
    let slices = [slice("kubernetes", json!([{"port": 6443}]), &[("192.0.2.5", "", "rs")])];
    let reached =
        |node: &Node| match table(&kubernetes, &slices, node).route(None, at("10.96.0.1:443"), Protocol::Tcp, &[]) {
            Route::Endpoint(endpoint) => (endpoint.address, endpoint.via),
            Route::NotService | Route::NoEndpoints => panic!("the API server has an endpoint"),
        };
    assert_eq!(reached(&Node::default()), (at("192.0.2.5:6443"), Via::Host));
    let node = Node { api_server: Some(at("127.0.0.1:6443")), ..Node::default() };
    assert_eq!(reached(&node), (at("127.0.0.1:6443"), Via::Host));
}

#[test]
fn clients_stick_when_the_service_asks_for_it() {
    let spec = json!({"clusterIP": "10.96.0.2", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]});
    let addresses: Vec<String> = (2..40).map(|n| format!("10.244.1.{n}")).collect();
    let endpoints: Vec<_> = addresses.iter().map(|ip| (&**ip, "n1", "rs")).collect();
    let table = on_n1(&[service("web", spec)], &[slice("web", json!([{"port": 80}]), &endpoints)]);
    let chosen = |client: &str| match table.route(Some(ip(client)), at("10.96.0.2:80"), Protocol::Tcp, &[]) {
        Route::Endpoint(endpoint) => endpoint.address,
        Route::NotService | Route::NoEndpoints => panic!("it has endpoints"),
    };
    let clients: Vec<String> = (2..40).map(|n| format!("10.244.2.{n}")).collect();
    let first: Vec<_> = clients.iter().map(|client| chosen(client)).collect();
    let again: Vec<_> = clients.iter().map(|client| chosen(client)).collect();
    assert_eq!(first, again);
    assert!(first.iter().collect::<BTreeSet<_>>().len() > 1);
}
