//! Nodes.

use serde_json::{Value, json};

use super::{Cursor, Errors, FieldError, common, resources, scheduling};
use crate::kind::Part;
use crate::names;

pub(crate) fn node(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    taints(root, &mut errors);
    amounts(root.field("status"), &mut errors);
    cidrs(root.field("spec"), &mut errors);
    errors
}

/// Upstream looks for taints in the metadata, as far as its errors tell.
fn taints(root: Cursor<'_, '_>, errors: &mut Errors) {
    let (metadata, spec) = (root.field("metadata"), root.field("spec"));
    taint_list(metadata.with("taints", spec.get("taints")), errors);
}

fn taint_list(at: Cursor<'_, '_>, errors: &mut Errors) {
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
            let order = ["Key", "Value", "Effect", "TimeAdded"];
            let plain = FieldError::duplicate_in_order(taint.path(), &value, &order);
            let message = format!("{}: taints must be unique by key and effect pair", plain.message);
            errors.push(FieldError { message, ..plain });
        }
        seen.push(pair);
    }
}

fn amounts(status: Cursor<'_, '_>, errors: &mut Errors) {
    for field in ["capacity", "allocatable"] {
        let list = status.field(field);
        for (name, _) in list.entries() {
            let amount = list.field(name);
            resources::resource_amount(amount, name, errors);
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
    if at.len() < 2 {
        return;
    }
    let v6 = at.items().filter(|cidr| cidr.str().contains(':')).count();
    if v6 == 0 || v6 == at.len() || at.len() > 2 {
        errors.push(at.invalid("may specify no more than one CIDR for each IP family"));
    }
    let mut seen = Vec::new();
    for cidr in at.items() {
        if seen.contains(&cidr.str()) {
            errors.push(cidr.duplicate());
        }
        seen.push(cidr.str());
    }
}

/// A node's addresses and provider are given once.
pub(crate) fn node_update(new: &Value, old: &Value, _: Part) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let (spec, before) = (root.field("spec"), &old["spec"]);
    amounts(root.field("status"), &mut errors);
    addresses(root, &mut errors);
    pod_cidrs(spec.field("podCIDRs"), &before["podCIDRs"], &mut errors);
    let provider = spec.field("providerID");
    let known = before["providerID"].as_str().unwrap_or_default();
    if !known.is_empty() && known != provider.str() {
        errors.push(provider.forbidden("node updates may not change providerID except from \"\" to valid"));
    }
    config_source(spec.field("configSource"), &mut errors);
    taints(root, &mut errors);
    if spec.field("externalID").str() != before["externalID"].as_str().unwrap_or_default() {
        errors.push(spec.field("externalID").forbidden("may not be updated"));
    }
    errors
}

fn pod_cidrs(at: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    const WHY: &str = "node updates may not change podCIDR except from \"\" to valid";
    let before = before.as_array().map_or(&[][..], Vec::as_slice);
    if before.is_empty() {
        return;
    }
    if before.len() != at.len() {
        errors.push(at.forbidden(WHY));
        return;
    }
    let changed = before.iter().enumerate().filter(|(i, cidr)| at.index(*i).value() != *cidr);
    errors.extend(changed.map(|_| at.forbidden(WHY)));
}

/// A field that is kept for old clients, and still looked at.
fn config_source(at: Cursor<'_, '_>, errors: &mut Errors) {
    type Check = fn(&str) -> Vec<String>;
    if !at.is_set() {
        return;
    }
    let source = at.field("configMap");
    if !source.is_set() {
        let shown = json!({"ConfigMap": null});
        errors.push(at.invalid_value(shown, "exactly one reference subfield must be non-nil"));
        return;
    }
    for field in ["uid", "resourceVersion"] {
        if !source.field(field).str().is_empty() {
            errors.push(source.field(field).forbidden(&format!("{field} must not be set in spec")));
        }
    }
    let checks: [(&str, Check); 3] =
        [("namespace", names::dns_label), ("name", names::dns_subdomain), ("kubeletConfigKey", names::config_map_key)];
    for (field, check) in checks {
        let text = source.field(field);
        if text.str().is_empty() {
            errors.push(text.required(&format!("{field} must be set")));
        } else {
            common::text(text, check, errors);
        }
    }
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
