use serde_json::{Value, json};

use super::*;

fn service(namespace: &str, name: &str, spec: Value) -> Service {
    let object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

fn slice(service: &str, endpoints: Value) -> EndpointSlice {
    let metadata = json!({"namespace": "shop", "name": service, "labels": {SERVICE_NAME: service}});
    serde_json::from_value(json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints})).unwrap()
}

fn zone() -> Zone {
    let services = [
        service("default", "kubernetes", json!({"clusterIP": "10.96.0.1"})),
        service("shop", "web", json!({"clusterIP": "10.96.0.2", "clusterIPs": ["10.96.0.2", "fd00::2"]})),
        service("shop", "db", json!({"clusterIP": "None"})),
        service("shop", "idle", json!({"clusterIP": "None"})),
        service("shop", "mail", json!({"type": "ExternalName", "externalName": "mail.example.com"})),
        service("shop", "new", json!({})),
    ];
    let slices = [slice(
        "db",
        json!([
            {"addresses": ["10.244.1.2"], "hostname": "db-0", "conditions": {"ready": true}},
            {"addresses": ["10.244.1.3"], "hostname": "db-1", "conditions": {}},
            {"addresses": ["10.244.1.4"], "hostname": "db-2", "conditions": {"ready": false}},
        ]),
    )];
    Zone::new("Cluster.Local.", &services, &slices)
}

fn addresses(ips: &[&str]) -> Answer {
    Answer::Addresses(ips.iter().map(|ip| ip.parse().unwrap()).collect())
}

#[test]
fn a_services_name_may_be_cut_short() {
    let zone = zone();
    let web = addresses(&["10.96.0.2", "fd00::2"]);
    for name in ["web", "web.shop", "Web.Shop.SVC", "web.shop.svc.cluster.local", "web.shop.svc.cluster.local."] {
        assert_eq!(zone.resolve("shop", name), web, "{name}");
    }
    for name in ["web.shop", "web.shop.svc", "web.shop.svc.cluster.local"] {
        assert_eq!(zone.resolve("default", name), web, "{name}");
    }
    assert_eq!(zone.resolve("shop", "kubernetes.default"), addresses(&["10.96.0.1"]));
}

#[test]
fn a_headless_service_is_its_ready_endpoints() {
    let zone = zone();
    let Answer::Addresses(mut all) = zone.resolve("shop", "db") else { panic!("db is a service") };
    all.sort();
    assert_eq!(Answer::Addresses(all), addresses(&["10.244.1.2", "10.244.1.3"]));
    assert_eq!(zone.resolve("shop", "db-1.db"), addresses(&["10.244.1.3"]));
    assert_eq!(zone.resolve("default", "db-0.db.shop.svc.cluster.local"), addresses(&["10.244.1.2"]));
    assert_eq!(zone.resolve("shop", "idle"), addresses(&[]));
    assert_eq!(zone.resolve("shop", "db-2.db.shop.svc.cluster.local"), Answer::NoSuchName);
}

#[test]
fn an_external_name_is_an_alias() {
    assert_eq!(zone().resolve("shop", "mail"), Answer::Alias("mail.example.com.".into()));
}

#[test]
fn a_pods_dashed_address_is_its_name() {
    assert_eq!(zone().resolve("shop", "10-244-1-2.shop.pod"), addresses(&["10.244.1.2"]));
    assert_eq!(zone().resolve("shop", "fd00--2.shop.pod.cluster.local"), addresses(&["fd00::2"]));
    assert_eq!(zone().resolve("shop", "no-pod.shop.pod.cluster.local"), Answer::NoSuchName);
}

#[test]
fn what_is_not_there_is_ours_only_below_the_domain() {
    let zone = zone();
    for name in ["nothing.shop.svc.cluster.local", "web.default.svc.cluster.local", "cluster.cluster.local."] {
        assert_eq!(zone.resolve("shop", name), Answer::NoSuchName, "{name}");
    }
    for name in ["nothing", "example.com", "web.", "notcluster.local", "new", "a.b.c.d.e.f.example.com"] {
        assert_eq!(zone.resolve("shop", name), Answer::NotOurs, "{name}");
    }
    assert_eq!(zone.resolve("shop", "cluster.local"), addresses(&[]));
}

#[test]
fn ports_are_found_by_their_names_and_addresses_lead_back() {
    let ports =
        json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    let services = [
        service("shop", "web", json!({"clusterIP": "10.96.0.2", "ports": ports})),
        service("shop", "db", json!({"clusterIP": "None"})),
    ];
    let mut db = slice(
        "db",
        json!([{"addresses": ["10.244.1.2"], "hostname": "db-0"}, {"addresses": ["10.244.1.3"], "conditions": {}}]),
    );
    db.ports = serde_json::from_value(json!([{"name": "sql", "port": 5432}])).unwrap();
    let mut zone = Zone::new("cluster.local", &services, [&db]);
    let found = |zone: &Zone, name: &str| match zone.look_up(name) {
        Lookup::Services(all) => all.iter().map(|at| format!("{}:{} {:?}", at.name, at.port, at.addresses)).collect(),
        other => vec![format!("{other:?}")],
    };
    assert_eq!(found(&zone, "_dns._udp.web.shop.svc.cluster.local"), ["web.shop.svc.cluster.local:53 [10.96.0.2]"]);
    assert_eq!(found(&zone, "_dns._tcp.web.shop.svc.cluster.local"), ["NoSuchName"]);
    assert_eq!(
        found(&zone, "_sql._tcp.db.shop.svc.cluster.local"),
        ["10-244-1-3.db.shop.svc.cluster.local:5432 [10.244.1.3]", "db-0.db.shop.svc.cluster.local:5432 [10.244.1.2]"]
    );
    assert_eq!(names_of_address(&zone, "2.0.96.10"), ["web.shop.svc.cluster.local"]);
    assert_eq!(names_of_address(&zone, "2.1.244.10"), ["db-0.db.shop.svc.cluster.local"]);
    assert!(names_of_address(&zone, "1.2.0.192").is_empty());
    zone.set(Key::new("shop", "web"), None);
    assert!(names_of_address(&zone, "2.0.96.10").is_empty());
    let v6 = format!("{}8.b.d.0.1.0.0.2.ip6.arpa", "1.".to_owned() + &"0.".repeat(23));
    assert_eq!(reversed(&v6), Some("2001:db8::1".parse().unwrap()));
}

/// What an address, spelled backwards, leads back to.
fn names_of_address(zone: &Zone, backwards: &str) -> Vec<String> {
    match zone.look_up(&format!("{backwards}.in-addr.arpa")) {
        Lookup::Pointers(names) => names,
        Lookup::NotOurs => Vec::new(),
        other => panic!("{backwards}: {other:?}"),
    }
}

#[test]
fn two_services_that_swap_their_addresses_are_both_found_by_them() {
    let at = |name: &str, ip: &str| Record::new(&service("shop", name, json!({"clusterIP": ip})), &[]);
    let mut zone = Zone::empty("cluster.local");
    for (name, ip) in [("left", "10.96.0.1"), ("right", "10.96.0.2"), ("left", "10.96.0.2"), ("right", "10.96.0.1")] {
        zone.set(Key::new("shop", name), at(name, ip));
    }
    assert_eq!(names_of_address(&zone, "1.0.96.10"), ["right.shop.svc.cluster.local"]);
    assert_eq!(names_of_address(&zone, "2.0.96.10"), ["left.shop.svc.cluster.local"]);
}

#[test]
fn an_address_behind_two_headless_services_leads_back_to_both() {
    let headless = |name: &str| {
        let endpoints = slice(name, json!([{"addresses": ["10.244.1.2"], "hostname": "db-0"}]));
        Record::new(&service("shop", name, json!({"clusterIP": "None"})), &[&endpoints])
    };
    let mut zone = Zone::empty("cluster.local");
    for name in ["db", "all"] {
        zone.set(Key::new("shop", name), headless(name));
    }
    let both = ["db-0.db.shop.svc.cluster.local", "db-0.all.shop.svc.cluster.local"];
    assert_eq!(names_of_address(&zone, "2.1.244.10"), both);
    zone.set(Key::new("shop", "all"), None);
    assert_eq!(names_of_address(&zone, "2.1.244.10"), both[..1]);
}
