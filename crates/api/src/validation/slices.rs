//! EndpointSlices and Endpoints.

use std::net::IpAddr;

use serde_json::Value;

use super::{Cursor, Errors, FieldError, common};
use crate::kind::Part;
use crate::names;

const ADDRESSES_MAX: usize = 100;
const ENDPOINTS_MAX: usize = 1000;
const PORTS_MAX: usize = 20_000;
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

pub(crate) fn slice(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    common::one_of(root.field("addressType"), &["FQDN", "IPv4", "IPv6"], &mut errors);
    endpoints(root.field("endpoints"), root.field("addressType").str(), &mut errors);
    slice_ports(root.field("ports"), &mut errors);
    errors
}

pub(crate) fn slice_update(new: &Value, old: &Value, _: Part) -> Vec<FieldError> {
    let mut errors = if new["endpoints"] == old["endpoints"] { unchanged(new) } else { slice(new) };
    common::immutable(Cursor::root(new).field("addressType"), &old["addressType"], &mut errors);
    errors
}

/// What is checked of a slice whose endpoints were valid before.
fn unchanged(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    common::one_of(root.field("addressType"), &["FQDN", "IPv4", "IPv6"], &mut errors);
    slice_ports(root.field("ports"), &mut errors);
    errors
}

fn endpoints(at: Cursor<'_, '_>, family: &str, errors: &mut Errors) {
    if at.len() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(at.path(), at.len(), ENDPOINTS_MAX));
        return;
    }
    for endpoint in at.items() {
        let addresses = endpoint.field("addresses");
        if addresses.is_empty() {
            errors.push(addresses.required("must contain at least 1 address"));
        } else if addresses.len() > ADDRESSES_MAX {
            errors.push(FieldError::too_many(addresses.path(), addresses.len(), ADDRESSES_MAX));
        }
        for address in addresses.items() {
            self::address(address, addresses, family, errors);
        }
        common::optional_text(endpoint.field("nodeName"), names::dns_subdomain, errors);
        common::labels(endpoint.field("deprecatedTopology"), errors);
        let host = endpoint.field("hostname");
        if host.is_set() {
            common::text(host, names::dns_label, errors);
        }
    }
}

/// The family's errors name the list and not the address, as upstream's do.
fn address(at: Cursor<'_, '_>, list: Cursor<'_, '_>, family: &str, errors: &mut Errors) {
    match family {
        "FQDN" => common::text(at, names::dns_subdomain, errors),
        "IPv4" | "IPv6" => {
            let before = errors.len();
            common::reachable_ip(at, errors);
            if errors.len() > before && common::parse_ip(at.str()).is_none() {
                return;
            }
            let is_v4 = matches!(common::parse_ip(at.str()), Some(IpAddr::V4(_)));
            if is_v4 != (family == "IPv4") {
                let detail = format!("must be an {family} address");
                errors.push(list.invalid_value(at.str(), &detail));
            }
        }
        _ => {}
    }
}

fn slice_ports(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.len() > PORTS_MAX {
        errors.push(FieldError::too_many(at.path(), at.len(), PORTS_MAX));
        return;
    }
    let mut names_seen = Vec::new();
    for port in at.items() {
        let name = port.field("name");
        common::optional_text(name, names::dns_label, errors);
        if names_seen.contains(&name.str()) {
            errors.push(name.duplicate());
        }
        names_seen.push(name.str());
        common::one_of(port.field("protocol"), &PROTOCOLS, errors);
        common::optional_text(port.field("appProtocol"), names::qualified_name, errors);
    }
}

pub(crate) fn endpoints_object(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    for subset in root.field("subsets").items() {
        self::subset(subset, &mut errors);
    }
    errors
}

fn subset(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (ready, not_ready, ports) = (at.field("addresses"), at.field("notReadyAddresses"), at.field("ports"));
    if ready.len() + not_ready.len() == 0 {
        errors.push(at.required("must specify `addresses` or `notReadyAddresses`"));
    }
    for list in [ready, not_ready] {
        for address in list.items() {
            common::reachable_ip(address.field("ip"), errors);
            common::optional_text(address.field("hostname"), names::dns_label, errors);
            common::optional_text(address.field("nodeName"), names::dns_subdomain, errors);
        }
    }
    for port in ports.items() {
        endpoint_port(port, ports.len() > 1, errors);
    }
}

fn endpoint_port(at: Cursor<'_, '_>, named: bool, errors: &mut Errors) {
    let name = at.field("name");
    if named && name.str().is_empty() {
        errors.push(name.required(""));
    }
    common::optional_text(name, names::dns_label, errors);
    common::port_number(at.field("port"), errors);
    common::one_of(at.field("protocol"), &PROTOCOLS, errors);
    common::optional_text(at.field("appProtocol"), names::qualified_name, errors);
}

pub(crate) fn endpoints_update(new: &Value, _: &Value, _: Part) -> Vec<FieldError> {
    endpoints_object(new)
}
