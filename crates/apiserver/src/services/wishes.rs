//! What a Service asks for, what it has, and how it is told what it gets: pure functions over its spec.

use std::net::Ipv4Addr;

use coracle_api::validation::FieldError;
use serde_json::{Value, json};

/// What a Service needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) address: Address,
    /// One per port of the Service.
    pub(super) ports: Vec<Port>,
    pub(super) health: Port,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    None,
    Any,
    This(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    None,
    Any,
    This(u16),
    /// The one that an earlier port gets: the same port, of another protocol.
    LikeBefore(usize),
}

impl Wishes {
    pub(super) fn of(service: &Value) -> Self {
        let spec = &service["spec"];
        let address = match (type_of(service), text(&spec["clusterIP"])) {
            ("ExternalName", _) | (_, "None") => Address::None,
            (_, "") => Address::Any,
            (_, asked) => Address::This(asked.to_owned()),
        };
        let has_ports = wants_node_ports(service);
        let ports = ports(service);
        let wish = |(idx, port): (usize, &Value)| match number(&port["nodePort"]) {
            Some(asked) => Port::This(asked),
            None if !has_ports => Port::None,
            None => ports[..idx].iter().position(|p| p["port"] == port["port"]).map_or(Port::Any, Port::LikeBefore),
        };
        let health = match (wants_health_port(service), number(&spec["healthCheckNodePort"])) {
            (false, _) => Port::None,
            (true, Some(asked)) => Port::This(asked),
            (true, None) => Port::Any,
        };
        Self { address, ports: ports.iter().enumerate().map(wish).collect(), health }
    }
}

/// The addresses and ports that a stored Service has.
pub(super) fn held(service: &Value) -> (Vec<Ipv4Addr>, Vec<u16>) {
    let spec = &service["spec"];
    let addresses = match type_of(service) {
        "ExternalName" => Vec::new(),
        _ => text(&spec["clusterIP"]).parse().into_iter().collect(),
    };
    let mut numbers: Vec<u16> = ports(service).iter().filter_map(|port| number(&port["nodePort"])).collect();
    numbers.extend(number(&spec["healthCheckNodePort"]));
    numbers.sort_unstable();
    numbers.dedup();
    (addresses, numbers)
}

/// An update that leaves out what was allocated means to keep it, as long as the type still needs it.
pub(super) fn inherit(service: &mut Value, old: &Value) {
    let has_address = |service: &Value| type_of(service) != "ExternalName";
    if has_address(old) && has_address(service) {
        if text(&service["spec"]["clusterIP"]).is_empty() {
            copy(service, old, &["clusterIP", "clusterIPs"]);
        }
        if service["spec"]["ipFamilies"].as_array().is_none_or(Vec::is_empty) {
            copy(service, old, &["ipFamilies"]);
        }
        if text(&service["spec"]["ipFamilyPolicy"]).is_empty() {
            copy(service, old, &["ipFamilyPolicy"]);
        }
    }
    if wants_node_ports(old) && wants_node_ports(service) {
        inherit_ports(service, old);
    }
    if wants_health_port(old) && wants_health_port(service) && number(&service["spec"]["healthCheckNodePort"]).is_none()
    {
        service["spec"]["healthCheckNodePort"] = old["spec"]["healthCheckNodePort"].clone();
    }
}

fn copy(service: &mut Value, old: &Value, fields: &[&str]) {
    for field in fields {
        if let Some(value) = old["spec"].get(field) {
            service["spec"][*field] = value.clone();
        }
    }
}

fn inherit_ports(service: &mut Value, old: &Value) {
    let taken: Vec<u16> = ports(service).iter().filter_map(|port| number(&port["nodePort"])).collect();
    for port in ports_mut(service) {
        if number(&port["nodePort"]).is_some() {
            continue;
        }
        let same = |before: &&Value| before["port"] == port["port"] && before["protocol"] == port["protocol"];
        let before = ports(old).iter().find(same).and_then(|before| number(&before["nodePort"]));
        if let Some(number) = before.filter(|number| !taken.contains(number)) {
            port["nodePort"] = json!(number);
        }
    }
}

/// Fills the families of addresses. There is one family; what has no address of ours may have both.
pub(super) fn families(service: &mut Value) -> Result<(), Vec<FieldError>> {
    if type_of(service) == "ExternalName" {
        return Ok(());
    }
    let is_headless = text(&service["spec"]["clusterIP"]) == "None";
    let has_selector = service["spec"]["selector"].as_object().is_some_and(|labels| !labels.is_empty());
    let is_free = is_headless && !has_selector;
    let spec = &mut service["spec"];
    if text(&spec["ipFamilyPolicy"]).is_empty() {
        spec["ipFamilyPolicy"] = json!(if is_free { "RequireDualStack" } else { "SingleStack" });
    }
    let several = several(spec);
    let errors = if several.is_empty() && !is_free { unknown(spec) } else { several };
    if !errors.is_empty() {
        return Err(errors);
    }
    if spec["ipFamilies"].as_array().is_none_or(Vec::is_empty) {
        let both = is_free && spec["ipFamilyPolicy"] != "SingleStack";
        spec["ipFamilies"] = if both { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) };
    } else if is_free && spec["ipFamilyPolicy"] != "SingleStack" {
        let only = (spec["ipFamilies"].as_array().map_or(0, Vec::len) == 1).then(|| spec["ipFamilies"][0].clone());
        if let Some(only) = only {
            let other = if only == "IPv4" { "IPv6" } else { "IPv4" };
            spec["ipFamilies"] = json!([only, other]);
        }
    }
    if is_headless {
        spec["clusterIPs"] = json!(["None"]);
    }
    Ok(())
}

/// More than one of a thing that a single family has once.
fn several(spec: &Value) -> Vec<FieldError> {
    if spec["ipFamilyPolicy"] != "SingleStack" {
        return Vec::new();
    }
    let lists = [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")];
    let long = lists.iter().filter(|(field, _)| spec[*field].as_array().is_some_and(|list| list.len() > 1));
    let told = long.map(|(_, what)| {
        let detail = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
        FieldError::invalid("spec.ipFamilyPolicy", &spec["ipFamilyPolicy"], &detail)
    });
    told.collect()
}

/// What this cluster, which has addresses of one family, cannot give.
fn unknown(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let families = spec["ipFamilies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ips = spec["clusterIPs"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (i, _) in ips.iter().enumerate().filter(|(i, ip)| *i >= families.len() && text(ip).contains(':')) {
        let at = format!("spec.clusterIPs[{i}]");
        errors.push(FieldError::invalid(at, &spec["clusterIPs"], "IPv6 is not configured on this cluster"));
    }
    if !errors.is_empty() {
        return errors;
    }
    if spec["ipFamilyPolicy"] == "RequireDualStack" {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid("spec.ipFamilyPolicy", &spec["ipFamilyPolicy"], detail));
    }
    for (i, family) in families.iter().enumerate().filter(|(_, family)| *family != "IPv4") {
        errors.push(FieldError::invalid(format!("spec.ipFamilies[{i}]"), family, "not configured on this cluster"));
    }
    errors
}

/// Writes into the Service what it gets.
pub(super) fn grant(service: &mut Value, address: Option<Ipv4Addr>, ports: &[Option<u16>], health: Option<u16>) {
    if let Some(address) = address {
        service["spec"]["clusterIP"] = json!(address.to_string());
        service["spec"]["clusterIPs"] = json!([address.to_string()]);
    }
    for (port, granted) in ports_mut(service).zip(ports) {
        if let Some(granted) = granted {
            port["nodePort"] = json!(granted);
        }
    }
    if let Some(spec) = service["spec"].as_object_mut() {
        match health {
            Some(port) => spec.insert("healthCheckNodePort".to_owned(), json!(port)),
            None => spec.remove("healthCheckNodePort"),
        };
    }
}

fn type_of(service: &Value) -> &str {
    text(&service["spec"]["type"])
}

fn wants_node_ports(service: &Value) -> bool {
    match type_of(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"] != json!(false),
        _ => false,
    }
}

fn wants_health_port(service: &Value) -> bool {
    type_of(service) == "LoadBalancer" && service["spec"]["externalTrafficPolicy"] == "Local"
}

fn ports(service: &Value) -> &[Value] {
    service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn ports_mut(service: &mut Value) -> impl Iterator<Item = &mut Value> {
    service.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten()
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_decides_what_is_needed() {
        let wishes = |spec: Value| Wishes::of(&json!({"spec": spec}));
        let ports =
            json!([{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}, {"port": 81, "nodePort": 30001}]);
        let node_port = wishes(json!({"type": "NodePort", "ports": ports}));
        assert_eq!(node_port.ports, [Port::Any, Port::LikeBefore(0), Port::This(30001)]);
        assert_eq!(node_port.address, Address::Any);
        let cluster = wishes(json!({"type": "ClusterIP", "clusterIP": "10.96.1.1", "ports": [{"port": 80}]}));
        assert_eq!((cluster.ports, cluster.address), (vec![Port::None], Address::This("10.96.1.1".into())));
        assert_eq!(wishes(json!({"type": "ExternalName"})).address, Address::None);
        assert_eq!(wishes(json!({"type": "ClusterIP", "clusterIP": "None"})).address, Address::None);
        let local = wishes(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}));
        assert_eq!(local.health, Port::Any);
    }

    #[test]
    fn an_update_that_does_not_mention_them_keeps_address_and_ports() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.1.1", "clusterIPs": ["10.96.1.1"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}});
        let mut new = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}});
        inherit(&mut new, &old);
        assert_eq!(new, old);
        let mut plain = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP"}]}});
        inherit(&mut plain, &old);
        assert_eq!(held(&plain), (vec!["10.96.1.1".parse().unwrap()], vec![]));
    }

    #[test]
    fn headless_services_without_selector_have_both_families() {
        let families_of = |spec: Value| {
            let mut service = json!({"spec": spec});
            families(&mut service).unwrap();
            (service["spec"]["ipFamilyPolicy"].clone(), service["spec"]["ipFamilies"].clone())
        };
        let both = (json!("RequireDualStack"), json!(["IPv4", "IPv6"]));
        assert_eq!(families_of(json!({"type": "ClusterIP", "clusterIP": "None"})), both);
        let one = (json!("SingleStack"), json!(["IPv4"]));
        assert_eq!(families_of(json!({"type": "ClusterIP", "clusterIP": "None", "selector": {"a": "b"}})), one);
        assert_eq!(families_of(json!({"type": "ClusterIP"})), one);
        let refused = |spec: Value| families(&mut json!({"spec": spec})).unwrap_err()[0].to_string();
        assert!(
            refused(json!({"type": "ClusterIP", "ipFamilies": ["IPv6"]})).contains("not configured on this cluster")
        );
        assert!(
            refused(json!({"type": "ClusterIP", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]}))
                .contains("when multiple IP families are specified")
        );
        assert!(refused(json!({"type": "ClusterIP", "ipFamilyPolicy": "RequireDualStack"})).contains("dual-stack"));
    }
}
