//! Which addresses a Service of type LoadBalancer gets. Pure.

use std::net::IpAddr;

use coracle_client::Key;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Node, Service, ServicePort};

/// Addresses of a pool that are considered; an IPv6 network has more than anybody counts.
const ADDRESSES_MAX: usize = 1 << 16;

/// Where addresses come from.
pub(super) enum Source<'a> {
    /// The nodes' own, shared by services of different ports.
    Nodes(Vec<String>),
    /// Each service has its own.
    Pools(&'a [IpNet]),
}

#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    Nothing,
    Write(Vec<LoadBalancerIngress>),
    /// There is no address for it, and why.
    Refuse(String),
}

/// Services that have or want addresses of us: another class is for somebody else.
pub(super) fn is_ours(service: &Service) -> bool {
    let class = service.spec.as_ref().and_then(|spec| spec.load_balancer_class.as_ref());
    class.is_none() && (wants(service) || !ingress(service).is_empty())
}

fn wants(service: &Service) -> bool {
    let is_balancer = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    is_balancer && service.metadata.deletion_timestamp.is_none()
}

fn ingress(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

pub(super) fn with_ingress(service: &Service, ingress: Vec<LoadBalancerIngress>) -> Service {
    let mut service = service.clone();
    service.status.get_or_insert_default().load_balancer.get_or_insert_default().ingress = Some(ingress);
    service
}

/// Where users reach a node: its outer addresses if it has any.
pub(super) fn addresses_of(node: &Node) -> Vec<String> {
    let all = node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    let of = |kind: &str| -> Vec<String> {
        all.iter().filter(|known| known.type_ == kind).map(|known| known.address.clone()).collect()
    };
    let outer = of("ExternalIP");
    if outer.is_empty() { of("InternalIP") } else { outer }
}

/// What is to be done for `service`, beside all `others` that are ours.
pub(super) fn plan(service: &Service, others: &[Service], source: &Source<'_>) -> Plan {
    if !is_ours(service) {
        return Plan::Nothing;
    }
    let addresses = match (wants(service), source) {
        (false, _) => Ok(Vec::new()),
        (true, Source::Nodes(nodes)) => of_nodes(service, others, nodes),
        (true, Source::Pools(pools)) => of_pools(service, others, pools),
    };
    let (addresses, why) = match addresses {
        Ok(addresses) => (addresses, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let wanted: Vec<LoadBalancerIngress> = addresses
        .into_iter()
        .map(|ip| LoadBalancerIngress {
            ip: Some(ip),
            ip_mode: Some("VIP".to_owned()),
            ..LoadBalancerIngress::default()
        })
        .collect();
    match why {
        _ if wanted != ingress(service) => Plan::Write(wanted),
        Some(why) => Plan::Refuse(why),
        None => Plan::Nothing,
    }
}

fn families(service: &Service) -> Vec<bool> {
    let named = service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    if named.is_empty() { vec![true] } else { named.iter().map(|family| family != "IPv6").collect() }
}

fn of_nodes(service: &Service, others: &[Service], nodes: &[String]) -> Result<Vec<String>, String> {
    if let Some(other) = others.iter().find(|other| wants(other) && is_before(other, service) && share(other, service))
    {
        let name = Key::of(&other.metadata);
        return Err(format!("a port of it is taken at the nodes' addresses by service {name}"));
    }
    let families = families(service);
    let is_of_family = |ip: &&String| ip.parse().is_ok_and(|ip: IpAddr| families.contains(&ip.is_ipv4()));
    Ok(nodes.iter().filter(is_of_family).cloned().collect())
}

/// Who was there first keeps what both want.
fn is_before(one: &Service, other: &Service) -> bool {
    let age = |service: &Service| {
        let meta = &service.metadata;
        (meta.creation_timestamp.as_ref().map(|time| time.0), meta.namespace.clone(), meta.name.clone())
    };
    age(one) < age(other)
}

fn share(one: &Service, other: &Service) -> bool {
    let door = |port: &ServicePort| (port.port, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()));
    let doors = |service: &Service| -> Vec<_> {
        service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).map(door).collect()
    };
    let theirs = doors(other);
    doors(one).iter().any(|door| theirs.contains(door))
}

fn of_pools(service: &Service, others: &[Service], pools: &[IpNet]) -> Result<Vec<String>, String> {
    let parsed = |service: &Service| -> Vec<IpAddr> {
        ingress(service).iter().filter_map(|point| point.ip.as_ref()?.parse().ok()).collect()
    };
    let taken: Vec<IpAddr> = others.iter().flat_map(parsed).collect();
    let asked: Option<IpAddr> = service.spec.as_ref().and_then(|spec| spec.load_balancer_ip.as_ref()?.parse().ok());
    let held = parsed(service);
    let is_free = |ip: &IpAddr| pools.iter().any(|pool| pool.contains(ip)) && !taken.contains(ip);
    let mut found = Vec::new();
    for is_v4 in families(service) {
        let asked = asked.filter(|ip| ip.is_ipv4() == is_v4);
        if let Some(asked) = asked.filter(|asked| !is_free(asked)) {
            return Err(format!("address {asked} is not free in the load balancers' pool"));
        }
        let kept = held.iter().copied().find(|ip| ip.is_ipv4() == is_v4 && is_free(ip));
        let free = || {
            let of_family = pools.iter().filter(|pool| pool.addr().is_ipv4() == is_v4);
            // The first address of an IPv6 network is its routers'.
            let is_whole =
                |pool: &IpNet, ip: &IpAddr| *ip != pool.network() || pool.prefix_len() == pool.max_prefix_len();
            of_family.flat_map(|pool| pool.hosts().take(ADDRESSES_MAX).filter(|ip| is_whole(pool, ip))).find(is_free)
        };
        match asked.or(kept).or_else(free) {
            Some(ip) => found.push(ip.to_string()),
            None => return Err("no address is free in the load balancers' pool".to_owned()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(name: &str, spec: Value, held: &[&str]) -> Service {
        let mut full = json!({"type": "LoadBalancer", "ipFamilies": ["IPv4"], "ports": [{"port": 80}]});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let created = format!("2026-01-01T00:00:0{}Z", name.len());
        let held: Vec<Value> = held.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
        let metadata = json!({"namespace": "default", "name": name, "creationTimestamp": created});
        let status = if held.is_empty() { json!({}) } else { json!({"loadBalancer": {"ingress": held}}) };
        serde_json::from_value(json!({"metadata": metadata, "spec": full, "status": status})).unwrap()
    }

    fn shown(plan: Plan) -> String {
        match plan {
            Plan::Nothing => "nothing".to_owned(),
            Plan::Write(ingress) => {
                let ips: Vec<String> = ingress.into_iter().filter_map(|point| point.ip).collect();
                format!("write {}", ips.join(" "))
            }
            Plan::Refuse(why) => why,
        }
    }

    #[test]
    fn nodes_lend_their_addresses_to_services_of_different_ports() {
        let nodes = || Source::Nodes(vec!["192.0.2.1".into(), "192.0.2.2".into(), "fd00::1".into()]);
        let first = service("a", json!({}), &[]);
        assert_eq!(shown(plan(&first, &[], &nodes())), "write 192.0.2.1 192.0.2.2");
        let first = service("a", json!({}), &["192.0.2.1", "192.0.2.2"]);
        assert_eq!(shown(plan(&first, &[], &nodes())), "nothing");
        let both = service("a", json!({"ipFamilies": ["IPv4", "IPv6"]}), &[]);
        assert_eq!(shown(plan(&both, &[], &nodes())), "write 192.0.2.1 192.0.2.2 fd00::1");

        let others = [first];
        let taken = "a port of it is taken at the nodes' addresses by service default/a";
        assert_eq!(shown(plan(&service("bb", json!({}), &[]), &others, &nodes())), taken);
        assert_eq!(shown(plan(&service("bb", json!({}), &["192.0.2.1"]), &others, &nodes())), "write ");
        for ports in [json!([{"port": 81}]), json!([{"port": 80, "protocol": "UDP"}])] {
            let second = service("bb", json!({"ports": ports}), &[]);
            assert_eq!(shown(plan(&second, &others, &nodes())), "write 192.0.2.1 192.0.2.2");
        }
    }

    #[test]
    fn a_pool_gives_each_service_an_address_of_its_own() {
        let pools = ["192.0.2.8/30".parse().unwrap(), "fd00::/120".parse().unwrap()];
        let pools = || Source::Pools(&pools);
        let first = service("a", json!({}), &["192.0.2.9"]);
        assert_eq!(shown(plan(&first, &[], &pools())), "nothing");
        let second = service("b", json!({}), &[]);
        assert_eq!(shown(plan(&second, std::slice::from_ref(&first), &pools())), "write 192.0.2.10");
        let asking = service("b", json!({"loadBalancerIP": "192.0.2.9"}), &[]);
        assert_eq!(
            shown(plan(&asking, std::slice::from_ref(&first), &pools())),
            "address 192.0.2.9 is not free in the load balancers' pool"
        );
        assert_eq!(shown(plan(&asking, &[], &pools())), "write 192.0.2.9");
        let both = service("b", json!({"ipFamilies": ["IPv6", "IPv4"]}), &[]);
        assert_eq!(shown(plan(&both, std::slice::from_ref(&first), &pools())), "write fd00::1 192.0.2.10");
        let last = [first, service("b", json!({}), &["192.0.2.10"])];
        assert_eq!(
            shown(plan(&service("c", json!({}), &[]), &last, &pools())),
            "no address is free in the load balancers' pool"
        );
    }

    #[test]
    fn what_is_no_load_balancer_of_ours_has_no_address_of_ours() {
        let source = || Source::Nodes(vec!["192.0.2.1".into()]);
        let before = |change: Value| plan(&service("a", change, &["192.0.2.1"]), &[], &source());
        assert_eq!(shown(before(json!({"type": "ClusterIP"}))), "write ");
        assert_eq!(shown(before(json!({"loadBalancerClass": "example.com/other"}))), "nothing");
        assert_eq!(shown(plan(&service("a", json!({"type": "NodePort"}), &[]), &[], &source())), "nothing");
    }
}
