//! Which endpoints a table gives.

use std::collections::BTreeSet;

use coracle_net::{Protocol, Route, Via};

use super::*;
use crate::{Door, Node, Table, table};

fn on_n1(services: &[Service], slices: &[EndpointSlice]) -> Table {
    let node = Node { name: "n1".into(), addresses: vec![ip("192.0.2.1")], ..Node::default() };
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
    let found = all(|refused| table.enter(ip("192.0.2.9"), Door::NodePort(port), Protocol::Tcp, refused));
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
    assert_eq!(table.doors().collect::<Vec<_>>(), [(Door::NodePort(30080), Protocol::Tcp)]);

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
fn a_load_balancer_is_entered_by_its_rules() {
    let balancer = |change: Value, ingress: Value| {
        let mut spec = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.2", "ports": [{"port": 80}]});
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let mut web = service("web", spec);
        web.status = serde_json::from_value(json!({"loadBalancer": {"ingress": [ingress]}})).unwrap();
        let endpoints = [("10.244.1.2", "n1", "rs"), ("10.244.2.2", "n2", "rs")];
        on_n1(&[web], &[slice("web", json!([{"port": 80}]), &endpoints)])
    };
    let (everywhere, here, door) =
        (&["10.244.1.2:80", "10.244.2.2:80"][..], &["10.244.1.2:80"][..], Door::Address(at("192.0.2.8:80")));
    let entered = |table: &Table, client: &str| {
        all(|refused| table.enter(ip(client), door, Protocol::Tcp, refused)).map(|found| found.join(" "))
    };
    let shown = |expected: &[&str]| Some(expected.join(" "));
    let vip = json!({"ip": "192.0.2.8", "ipMode": "VIP"});

    let table = balancer(json!({}), vip.clone());
    assert_eq!(table.doors().collect::<Vec<_>>(), [(door, Protocol::Tcp)]);
    assert_eq!(entered(&table, "203.0.113.1"), shown(everywhere));

    let table = balancer(json!({"externalTrafficPolicy": "Local"}), vip.clone());
    assert_eq!(entered(&table, "203.0.113.1"), shown(here));
    check(&table, "192.0.2.8:80", Some(everywhere));

    let table = balancer(json!({"loadBalancerSourceRanges": ["203.0.113.0/24", " 198.51.100.1/32"]}), vip);
    for (client, is_let_in) in [("203.0.113.1", true), ("198.51.100.1", true), ("198.51.100.2", false)] {
        assert_eq!(entered(&table, client), shown(if is_let_in { everywhere } else { &[] }), "{client}");
    }

    let table = balancer(json!({}), json!({"ip": "192.0.2.8", "ipMode": "Proxy"}));
    assert_eq!(table.doors().count(), 0);
    check(&table, "192.0.2.8:80", None);
}

/// The endpoints that a node in `zone` sends to, of 10.244.0.1 and so on with these hints: zone, node, conditions.
fn near(node: &str, zone: Option<&str>, change: Value, hinted: &[(&str, &str, &str)]) -> Vec<String> {
    let mut spec = json!({"clusterIP": "10.96.0.2", "ports": [{"port": 80}]});
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let names: Vec<String> = (1..=hinted.len()).map(|n| format!("10.244.0.{n}")).collect();
    let endpoints: Vec<_> = names.iter().zip(hinted).map(|(ip, (.., is))| (ip.as_str(), "n1", *is)).collect();
    let mut slices = [slice("web", json!([{"port": 80}]), &endpoints)];
    let hint = |name: &str| if name.is_empty() { Value::Null } else { json!([{"name": name}]) };
    for (endpoint, (zone, node, _)) in slices[0].endpoints.iter_mut().flatten().zip(hinted) {
        endpoint.hints = serde_json::from_value(json!({"forZones": hint(zone), "forNodes": hint(node)})).unwrap();
    }
    let node = Node { name: node.into(), zone: zone.map(str::to_owned), ..Node::default() };
    let table = table(&[service("web", spec)], &slices, &node);
    let found = all(|refused| table.route(None, at("10.96.0.2:80"), Protocol::Tcp, refused)).unwrap();
    found.iter().map(|found| found.trim_start_matches("10.244.0.").trim_end_matches(":80").to_owned()).collect()
}

#[test]
fn what_is_near_is_preferred_as_the_hints_say() {
    let plain = |node, zone, hinted: &[_]| near(node, zone, json!({}), hinted).join(" ");
    let zones = [("a", "", "rs"), ("b", "", "rs"), ("b", "", "rs")];
    assert_eq!(plain("n1", Some("a"), &zones), "1");
    assert_eq!(plain("n1", Some("b"), &zones), "2 3");
    assert_eq!(plain("n1", Some("c"), &zones), "1 2 3", "none is near");
    assert_eq!(plain("n1", None, &zones), "1 2 3", "nobody knows where the node is");
    assert_eq!(plain("n1", Some("a"), &[("a", "", "rs"), ("", "", "rs")]), "1 2", "one does not say");
    assert_eq!(plain("n1", Some("a"), &[("a", "", ""), ("b", "", "rs")]), "2", "the near one is not ready");
    assert_eq!(plain("n1", Some("a"), &[("a", "", "rs"), ("", "", "")]), "1", "who is not ready need not say");
    assert_eq!(plain("n1", Some("a"), &[("a", "", "st"), ("b", "", "st")]), "1 2", "all are ending");

    let nodes = [("a", "n1", "rs"), ("a", "n2", "rs"), ("b", "n3", "rs")];
    assert_eq!(plain("n2", Some("a"), &nodes), "2");
    assert_eq!(plain("n9", Some("a"), &nodes), "1 2", "none is on the node, some are in its zone");
    assert_eq!(plain("n9", Some("c"), &nodes), "1 2 3");

    let local = json!({"internalTrafficPolicy": "Local"});
    assert_eq!(near("n1", Some("a"), local, &zones).join(" "), "1 2 3", "a local policy goes before hints");
}

#[test]
fn who_is_published_although_not_ready_takes_connections() {
    // The slice says that it is ready, and that it does not serve.
    let services = [service("web", json!({"clusterIP": "10.96.0.2", "ports": [{"port": 80}]}))];
    let mut slices = [slice("web", json!([{"port": 80}]), &[("10.244.1.2", "n1", "r")])];
    check(&on_n1(&services, &slices), "10.96.0.2:80", Some(&["10.244.1.2:80"]));
    slices[0].endpoints.as_mut().unwrap()[0].conditions = None;
    check(&on_n1(&services, &slices), "10.96.0.2:80", Some(&["10.244.1.2:80"]));
}

#[test]
fn a_local_policy_falls_back_to_what_ends_here_not_to_what_is_ready_elsewhere() {
    let spec = json!({"clusterIP": "10.96.0.2", "internalTrafficPolicy": "Local", "ports": [{"port": 80}]});
    let endpoints = [("10.244.1.2", "n1", "st"), ("10.244.2.2", "n2", "rs")];
    let table = on_n1(&[service("web", spec)], &[slice("web", json!([{"port": 80}]), &endpoints)]);
    check(&table, "10.96.0.2:80", Some(&["10.244.1.2:80"]));
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
