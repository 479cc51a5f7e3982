//! Nodes.

use serde_json::{Value, json};

use super::{Cursor, Errors, FieldError, common, resources, scheduling};
use crate::kind::Part;
use crate::names;

pub(crate) fn node(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    taints(spec.field("taints"), &mut errors);
    amounts(root.field("status"), &mut errors);
    cidrs(spec, &mut errors);
    errors
}

fn taints(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut seen = Vec::new();
    for taint in at.items() {
        let (key, value, effect) = (taint.field("key"), taint.field("value"), taint.field("effect"));
        common::text(key, names::qualified_name, errors);
        let problems = names::label_value(value.str());
        if !problems.is_empty() {
            errors.push(value.invalid_str(&problems.join(";")));
        }
        scheduling::effect(effect, errors);
        let pair = (effect.str(), key.str());
        if seen.contains(&pair) {
            let value = json!({"Key": key.str(), "Value": value.str(), "Effect": effect.str(), "TimeAdded": taint.get("timeAdded")});
            errors.push(FieldError::duplicate_in_order(taint.path(), &value, &["Key", "Value", "Effect", "TimeAdded"]));
        }
        seen.push(pair);
    }
}

fn amounts(status: Cursor<'_, '_>, errors: &mut Errors) {
    for field in ["capacity", "allocatable"] {
        let list = status.field(field);
        for (_, amount) in list.entries() {
            resources::quantity(amount, errors);
        }
    }
}

/// At most one of each family.
fn cidrs(spec: Cursor<'_, '_>, errors: &mut Errors) {
    const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let at = spec.field("podCIDRs");
    for cidr in at.items() {
        if cidr.str().parse::<ipnet::IpNet>().is_err() {
            errors.push(cidr.invalid_str(CIDR));
        }
    }
    if at.len() > 2 {
        errors.push(at.invalid("may specify no more than one CIDR for each IP family"));
    }
    let families: Vec<bool> = at.items().map(|cidr| cidr.str().contains(':')).collect();
    if let [first, second] = families.as_slice()
        && first == second
    {
        errors.push(at.invalid("may specify no more than one CIDR for each IP family"));
    }
}

/// A node's addresses and provider are given once.
pub(crate) fn node_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    if part == Part::Status {
        amounts(root.field("status"), &mut errors);
        addresses(root, &mut errors);
        return errors;
    }
    let (spec, before) = (root.field("spec"), &old["spec"]);
    let known = before["podCIDRs"].as_array().map_or(0, Vec::len);
    if known > 0 && before["podCIDRs"] != *spec.get("podCIDRs") {
        errors.push(spec.field("podCIDRs").forbidden("node updates may not change podCIDR except from \"\" to valid"));
    }
    let provider = before["providerID"].as_str().unwrap_or_default();
    if !provider.is_empty() && provider != spec.field("providerID").str() {
        errors.push(
            spec.field("providerID").forbidden("node updates may not change providerID except from \"\" to valid"),
        );
    }
    cidrs(spec, &mut errors);
    taints(spec.field("taints"), &mut errors);
    errors
}

fn addresses(root: Cursor<'_, '_>, errors: &mut Errors) {
    let status = root.field("status");
    let mut seen = Vec::new();
    for address in status.field("addresses").items() {
        if seen.contains(&address.value()) {
            let value = json!({"Type": address.get("type"), "Address": address.get("address")});
            errors.push(FieldError::duplicate_in_order(address.path(), &value, &["Type", "Address"]));
        }
        seen.push(address.value());
    }
}
