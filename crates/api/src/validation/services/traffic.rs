//! How a Service takes traffic: load balancers, policies, health checks.

use serde_json::Value;

use super::super::{Cursor, Errors, common};
use super::LOAD_BALANCER_ONLY;
use crate::names;

const POLICIES: [&str; 2] = ["Cluster", "Local"];
pub(super) const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

pub(super) fn check(spec: Cursor<'_, '_>, errors: &mut Errors) {
    load_balancer(spec, errors);
    external(spec, errors);
    internal(spec, errors);
    common::optional_one_of(
        spec.field("trafficDistribution"),
        &["PreferClose", "PreferSameZone", "PreferSameNode"],
        errors,
    );
}

fn load_balancer(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let balanced = spec.field("type").str() == "LoadBalancer";
    let ranges = spec.with("LoadBalancerSourceRanges", spec.get("loadBalancerSourceRanges"));
    if !ranges.is_empty() && !balanced {
        errors.push(ranges.forbidden(LOAD_BALANCER_ONLY));
    }
    for range in ranges.items() {
        let text = range.str().trim();
        if text.parse::<ipnet::IpNet>().is_err() {
            errors.push(range.invalid_value(text, CIDR));
        }
    }
    let allocate = spec.field("allocateLoadBalancerNodePorts");
    if !balanced && allocate.is_set() {
        errors.push(allocate.forbidden(LOAD_BALANCER_ONLY));
    }
    if balanced && !allocate.is_set() {
        // Upstream's path has no `spec` here.
        errors.push(super::super::FieldError::required("allocateLoadBalancerNodePorts", ""));
    }
    let class = spec.field("loadBalancerClass");
    if class.is_set() && balanced {
        common::text(class, names::qualified_name, errors);
    } else if class.is_set() {
        errors.push(class.forbidden(LOAD_BALANCER_ONLY));
    }
}

pub(crate) fn is_external(spec: &Value) -> bool {
    match spec["type"].as_str().unwrap_or_default() {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => spec["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty()),
        _ => false,
    }
}

fn needs_health_check(spec: &Value) -> bool {
    spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

fn external(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let (policy, port) = (spec.field("externalTrafficPolicy"), spec.field("healthCheckNodePort"));
    if is_external(spec.value()) {
        common::one_of(policy, &POLICIES, errors);
    } else if !policy.str().is_empty() {
        errors.push(policy.invalid("may only be set for externally-accessible services"));
    }
    if port.int() != 0 && !needs_health_check(spec.value()) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(port.invalid(detail));
    } else if port.int() != 0 {
        common::port_number(port, errors);
    }
}

fn internal(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let policy = spec.field("internalTrafficPolicy");
    if !policy.is_set() {
        if spec.field("type").str() != "ExternalName" && is_known(spec.field("type").str()) {
            errors.push(policy.required(""));
        }
        return;
    }
    common::optional_one_of(policy, &POLICIES, errors);
}

fn is_known(kind: &str) -> bool {
    ["ClusterIP", "LoadBalancer", "NodePort"].contains(&kind)
}

/// What was chosen once, and given out, stays.
pub(super) fn changes(spec: Cursor<'_, '_>, old: &Value, errors: &mut Errors) {
    let (class, port) = (spec.field("loadBalancerClass"), spec.field("healthCheckNodePort"));
    if old["type"] == "LoadBalancer"
        && spec.field("type").str() == "LoadBalancer"
        && *class.value() != old["loadBalancerClass"]
    {
        errors.push(class.invalid("may not change once set"));
    }
    let before = old["healthCheckNodePort"].as_i64().unwrap_or_default();
    if needs_health_check(old) && needs_health_check(spec.value()) && before != 0 && before != port.int() {
        errors.push(port.forbidden("field is immutable"));
    }
}
