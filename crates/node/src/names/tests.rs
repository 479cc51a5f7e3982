//! Pods, their files and their resolvers.

use serde_json::{Value, json};

use super::*;

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": "web-0"}, "spec": spec})).unwrap()
}

fn surroundings() -> Surroundings {
    let host = Conf::parse("# of the host\nsearch example.com\nnameserver 192.0.2.53\noptions timeout:1 ndots:2\n");
    Surroundings { cluster_domain: "cluster.local".into(), servers: vec!["10.96.0.10".parse().unwrap()], host }
}

#[track_caller]
fn check(spec: Value, expected: &str) {
    assert_eq!(conf(&pod(spec), &surroundings()).text(), expected);
}

#[test]
fn a_pod_searches_the_cluster_first() {
    let cluster = "search shop.svc.cluster.local svc.cluster.local cluster.local example.com\n\
                   nameserver 10.96.0.10\noptions ndots:5\n";
    check(json!({"containers": []}), cluster);
    check(json!({"containers": [], "dnsPolicy": "ClusterFirst"}), cluster);
    check(json!({"containers": [], "dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), cluster);
}

#[test]
fn other_policies_are_the_hosts_or_nothing() {
    let host = "search example.com\nnameserver 192.0.2.53\noptions timeout:1 ndots:2\n";
    check(json!({"containers": [], "dnsPolicy": "Default"}), host);
    check(json!({"containers": [], "dnsPolicy": "ClusterFirst", "hostNetwork": true}), host);
    check(json!({"containers": [], "dnsPolicy": "None"}), "");
}

#[test]
fn a_pods_own_settings_are_added_once_and_options_replaced() {
    let own = json!({
        "nameservers": ["10.96.0.10", "192.0.2.1"], "searches": ["cluster.local", "own.example"],
        "options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}],
    });
    check(
        json!({"containers": [], "dnsConfig": own}),
        "search shop.svc.cluster.local svc.cluster.local cluster.local example.com own.example\n\
         nameserver 10.96.0.10\nnameserver 192.0.2.1\noptions ndots:1 edns0\n",
    );
    check(
        json!({"containers": [], "dnsPolicy": "None", "dnsConfig": own}),
        "search cluster.local own.example\nnameserver 10.96.0.10\nnameserver 192.0.2.1\noptions ndots:1 edns0\n",
    );
}

#[test]
fn names_are_looked_up_as_the_files_say() {
    let resolver = |spec: Value| {
        let found = resolver(&pod(spec), &[], &surroundings());
        let search = found.search.map(|search| format!("{} {}", search.ndots, search.domains.join(" ")));
        (found.asks, search)
    };
    assert_eq!(resolver(json!({"containers": []})), (Asks::Cluster, None));
    assert_eq!(resolver(json!({"containers": [], "dnsPolicy": "Default"})), (Asks::Host, None));
    let own = json!({"nameservers": ["192.0.2.1"], "searches": ["own.example"]});
    assert_eq!(
        resolver(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": own})),
        (Asks::Servers(vec!["192.0.2.1:53".parse().unwrap()]), Some("1 own.example".to_owned()))
    );
    let searched = "5 shop.svc.cluster.local svc.cluster.local cluster.local example.com own.example".to_owned();
    assert_eq!(resolver(json!({"containers": [], "dnsConfig": own})), (Asks::Cluster, Some(searched)));
}

#[test]
fn a_pod_finds_itself_and_its_aliases_in_its_hosts() {
    let spec = json!({
        "containers": [], "hostname": "db", "subdomain": "data",
        "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["foo", "bar"]}],
    });
    let addresses = ["10.244.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
    let text = hosts(&pod(spec.clone()), &addresses, "cluster.local");
    assert_eq!(
        text.strip_prefix(HOSTS).unwrap(),
        "10.244.0.5\tdb.data.shop.svc.cluster.local\tdb\nfd00::5\tdb.data.shop.svc.cluster.local\tdb\n\n\
         # Entries added by HostAliases.\n192.0.2.7\tfoo\tbar\n"
    );
    let found = resolver(&pod(spec), &addresses, &surroundings()).hosts;
    assert_eq!(found[0], (addresses[0], vec!["db.data.shop.svc.cluster.local".to_owned(), "db".to_owned()]));
    assert_eq!(found[2], ("192.0.2.7".parse().unwrap(), vec!["foo".to_owned(), "bar".to_owned()]));
    let text = hosts(&pod(json!({"containers": []})), &addresses[..1], "cluster.local");
    assert_eq!(text.strip_prefix(HOSTS).unwrap(), "10.244.0.5\tweb-0\n");
}
