//! Services: their ports, what kind of traffic they take, and what may change. Their addresses are in `addresses`.

use serde_json::{Value, json};

use super::{Cursor, Errors, FieldError, common};
use crate::kind::Part;
use crate::names;

mod addresses;
mod traffic;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// One day.
const AFFINITY_MAX: i64 = 86400;
const MODE: &str = "service.kubernetes.io/topology-mode";
const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
/// The port of every node's agent.
const KUBELET_PORT: i64 = 10250;
const LOAD_BALANCER_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

pub(crate) fn service(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    all(root, &mut errors);
    errors
}

/// Addresses come first, as upstream looks at them before anything else, and at nothing else when they are wrong.
fn all(root: Cursor<'_, '_>, errors: &mut Errors) {
    let (spec, mut related) = (root.field("spec"), Vec::new());
    addresses::cluster_ips(spec, &mut related);
    if !related.is_empty() {
        *errors = related;
        return;
    }
    topology(root.field("metadata"), errors);
    check(spec, errors);
    annotated_ranges(root, errors);
}

/// Two annotations for one thing must agree.
fn topology(metadata: Cursor<'_, '_>, errors: &mut Errors) {
    let annotations = metadata.field("annotations");
    let (mode, hints) = (annotations.key(MODE), annotations.key(HINTS));
    if mode.is_set() && hints.is_set() && mode.value() != hints.value() {
        errors.push(mode.invalid(&format!("must match annotations[{HINTS}] when both are specified")));
    }
}

/// Where the field is not used, an annotation may say the same.
fn annotated_ranges(root: Cursor<'_, '_>, errors: &mut Errors) {
    let (spec, metadata) = (root.field("spec"), root.field("metadata"));
    let annotations = metadata.field("annotations");
    let at = annotations.key(RANGES);
    if !at.is_set() || !spec.field("loadBalancerSourceRanges").is_empty() {
        return;
    }
    if spec.field("type").str() != "LoadBalancer" {
        errors.push(at.forbidden(LOAD_BALANCER_ONLY));
    }
    for range in at.str().trim().split(',').map(str::trim).filter(|_| !at.str().trim().is_empty()) {
        if range.parse::<ipnet::IpNet>().is_err() {
            errors.push(at.invalid_value(range, traffic::CIDR));
        }
    }
}

fn check(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let (kind, ports) = (spec.field("type"), spec.field("ports"));
    if ports.is_empty() && !is_headless(spec.value()) && kind.str() != "ExternalName" {
        errors.push(ports.required(""));
    }
    by_type(spec, errors);
    let mut names = Vec::new();
    for port in ports.items() {
        self::port(port, ports.len() > 1, &mut names, errors);
    }
    common::labels(spec.field("selector"), errors);
    affinity(spec, errors);
    for ip in spec.field("externalIPs").items() {
        common::reachable_ip(ip, errors);
    }
    common::one_of(kind, &TYPES, errors);
    if kind.str() == "ClusterIP" {
        for port in ports.items().filter(|port| port.field("nodePort").int() != 0) {
            errors.push(port.field("nodePort").forbidden("may not be used when `type` is 'ClusterIP'"));
        }
    }
    duplicates(ports, errors);
    traffic::check(spec, errors);
}

pub(super) fn is_headless(spec: &Value) -> bool {
    spec["clusterIPs"][0] == "None" || (spec["clusterIPs"].is_null() && spec["clusterIP"] == "None")
}

fn by_type(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let kind = spec.field("type").str();
    if kind == "LoadBalancer" {
        for port in spec.field("ports").items().filter(|port| port.field("port").int() == KUBELET_PORT) {
            let detail = format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet");
            errors.push(port.invalid_value(KUBELET_PORT, &detail));
        }
    }
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(spec.value()) => {
            let first = spec.field("clusterIPs");
            errors.push(first.index(0).invalid(&format!("may not be set to 'None' for {kind} services")));
        }
        "ExternalName" => external_name(spec, errors),
        _ => {}
    }
}

fn external_name(spec: Cursor<'_, '_>, errors: &mut Errors) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !spec.field(field).is_empty() {
            errors.push(spec.field(field).forbidden("may not be set for ExternalName services"));
        }
    }
    let at = spec.field("externalName");
    match at.str().strip_suffix('.').unwrap_or(at.str()) {
        "" => errors.push(at.required("")),
        name => errors.extend(names::dns_subdomain(name).iter().map(|problem| at.invalid_value(name, problem))),
    }
}

fn port<'v>(at: Cursor<'_, 'v>, named: bool, names: &mut Vec<&'v str>, errors: &mut Errors) {
    let name = at.field("name");
    if named && name.str().is_empty() {
        errors.push(name.required(""));
    } else if !name.str().is_empty() {
        common::text(name, names::dns_label, errors);
        if names.contains(&name.str()) {
            errors.push(name.duplicate());
        }
        names.push(name.str());
    }
    common::port_number(at.field("port"), errors);
    common::one_of(at.field("protocol"), &PROTOCOLS, errors);
    common::port_or_name(at.field("targetPort"), errors);
    common::optional_text(at.field("appProtocol"), names::qualified_name, errors);
}

fn affinity(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let (kind, config) = (spec.field("sessionAffinity"), spec.field("sessionAffinityConfig"));
    common::one_of(kind, &["ClientIP", "None"], errors);
    match kind.str() {
        "ClientIP" => {
            let client = config.field("clientIP");
            let seconds = client.field("timeoutSeconds");
            if !config.is_set() {
                errors.push(config.required("when session affinity type is ClientIP"));
            } else if !(1..=AFFINITY_MAX).contains(&seconds.int()) {
                let detail = format!("must be greater than 0 and less than {AFFINITY_MAX}");
                errors.push(seconds.invalid_value(seconds.int(), &detail));
            }
        }
        "None" if config.is_set() => {
            errors.push(config.forbidden("must not be set when session affinity is None"));
        }
        _ => {}
    }
}

fn duplicates(ports: Cursor<'_, '_>, errors: &mut Errors) {
    let (mut node_ports, mut seen) = (Vec::new(), Vec::new());
    for port in ports.items() {
        let key = (port.field("protocol").str(), port.field("nodePort").int());
        if key.1 != 0 && node_ports.contains(&key) {
            errors.push(port.field("nodePort").duplicate());
        }
        node_ports.push(key);
    }
    for port in ports.items() {
        let key = (port.field("protocol").str(), port.field("port").int());
        if seen.contains(&key) {
            errors.push(duplicate_port(port, key.0, key.1));
        }
        seen.push(key);
    }
}

/// Go shows the port as its structure, with everything but the key left zero.
fn duplicate_port(at: Cursor<'_, '_>, protocol: &str, port: i64) -> FieldError {
    let order = ["Name", "Protocol", "AppProtocol", "Port", "TargetPort", "NodePort"];
    let value =
        json!({"Name": "", "Protocol": protocol, "AppProtocol": null, "Port": port, "TargetPort": 0, "NodePort": 0});
    FieldError::duplicate_in_order(at.path(), &value, &order)
}

pub(crate) fn service_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    if part == Part::Status {
        ingress(root, &mut errors);
        return errors;
    }
    let (spec, mut whole) = (root.field("spec"), Vec::new());
    all(root, &mut whole);
    let mut related = Vec::new();
    addresses::cluster_ips(spec, &mut related);
    if related.is_empty() {
        addresses::changes(spec, &old["spec"], &mut errors);
        traffic::changes(spec, &old["spec"], &mut errors);
    }
    errors.extend(whole);
    errors
}

/// Where a load balancer takes traffic in.
fn ingress(root: Cursor<'_, '_>, errors: &mut Errors) {
    let (spec, status) = (root.field("spec"), root.field("status"));
    let balancer = status.field("loadBalancer");
    let at = balancer.field("ingress");
    if spec.field("type").str() != "LoadBalancer" && !at.is_empty() {
        errors.push(at.forbidden("may only be used when `spec.type` is 'LoadBalancer'"));
        return;
    }
    for point in at.items() {
        let (ip, mode, host) = (point.field("ip"), point.field("ipMode"), point.field("hostname"));
        if !ip.str().is_empty() {
            common::ip(ip, errors);
        }
        if mode.is_set() && ip.str().is_empty() {
            errors.push(mode.forbidden("may not be specified when `ip` is not set"));
        }
        common::optional_one_of(mode, &["Proxy", "VIP"], errors);
        if !host.str().is_empty() {
            common::text(host, names::dns_subdomain, errors);
            if common::parse_ip(host.str()).is_some() {
                errors.push(host.invalid("must be a DNS name, not an IP address"));
            }
        }
    }
}
