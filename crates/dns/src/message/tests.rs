//! Queries and what is answered.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;

use super::*;

fn zone(n_endpoints: u8) -> Zone {
    let service = |name: &str, spec| -> Service {
        serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec})).unwrap()
    };
    let endpoints: Vec<_> = (0..n_endpoints).map(|n| json!({"addresses": [format!("10.244.1.{n}")]})).collect();
    let labels = json!({"kubernetes.io/service-name": "db"});
    let metadata = json!({"namespace": "shop", "name": "db", "labels": labels});
    let slice: EndpointSlice = serde_json::from_value(
        json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "sql", "port": 5432}]}),
    )
    .unwrap();
    let services = [
        service("web", json!({"clusterIP": "10.96.0.2", "clusterIPs": ["10.96.0.2", "fd00::2"]})),
        service("db", json!({"clusterIP": "None"})),
        service("mail", json!({"type": "ExternalName", "externalName": "mail.example.com"})),
        service("front", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"})),
    ];
    Zone::new("cluster.local", &services, [&slice])
}

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new();
    message.set_id(7).set_recursion_desired(true);
    message.add_query(Query::query(absolute(name).unwrap(), kind));
    message.to_vec().unwrap()
}

fn told(name: &str, kind: RecordType) -> String {
    let bytes = match answer(&zone(2), &query(name, kind), Transport::Udp) {
        Outcome::Answer(bytes) => bytes,
        Outcome::Forward { .. } => return "forward".into(),
        Outcome::Nothing => return "nothing".into(),
    };
    let reply = Message::from_vec(&bytes).unwrap();
    assert_eq!((reply.id(), reply.queries().len()), (7, 1));
    let mut said: Vec<String> = reply.answers().iter().map(|record| record.data().to_string()).collect();
    said.sort();
    format!("{} {}", reply.response_code(), said.join(" "))
}

#[test]
fn the_zone_answers_for_its_domain_and_leaves_the_rest() {
    let table = [
        ("web.shop.svc.cluster.local", RecordType::A, "No Error 10.96.0.2"),
        ("WEB.shop.SVC.cluster.local", RecordType::AAAA, "No Error fd00::2"),
        ("web.shop.svc.cluster.local", RecordType::TXT, "No Error "),
        ("db.shop.svc.cluster.local", RecordType::A, "No Error 10.244.1.0 10.244.1.1"),
        ("none.shop.svc.cluster.local", RecordType::A, "Non-Existent Domain "),
        ("mail.shop.svc.cluster.local", RecordType::A, "No Error mail.example.com."),
        ("front.shop.svc.cluster.local", RecordType::A, "No Error 10.96.0.2 web.shop.svc.cluster.local."),
        ("2.0.96.10.in-addr.arpa", RecordType::PTR, "No Error web.shop.svc.cluster.local."),
        ("example.com", RecordType::A, "forward"),
        ("9.2.0.192.in-addr.arpa", RecordType::PTR, "forward"),
    ];
    for (name, kind, expected) in table {
        assert_eq!(told(name, kind), expected, "{name} {kind}");
    }
    let services = told("_sql._tcp.db.shop.svc.cluster.local", RecordType::SRV);
    assert!(services.contains("0 100 5432 10-244-1-0.db.shop.svc.cluster.local."), "{services}");
}

#[test]
fn what_does_not_fit_into_a_datagram_is_to_be_had_over_tcp() {
    let (zone, query) = (zone(100), query("db.shop.svc.cluster.local", RecordType::A));
    let read = |transport| match answer(&zone, &query, transport) {
        Outcome::Answer(bytes) => Message::from_vec(&bytes).unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(read(Transport::Udp).truncated());
    assert_eq!(read(Transport::Tcp).answers().len(), 100);
}

#[test]
fn what_is_no_query_is_not_answered() {
    assert_eq!(answer(&zone(0), b"nonsense", Transport::Udp), Outcome::Nothing);
    let Outcome::Answer(reply) = answer(&zone(0), &query("web.shop.svc.cluster.local", RecordType::A), Transport::Udp)
    else {
        panic!("it is the zone's");
    };
    assert_eq!(answer(&zone(0), &reply, Transport::Udp), Outcome::Nothing);
}
