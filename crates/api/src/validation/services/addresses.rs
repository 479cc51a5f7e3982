//! A Service's cluster addresses and their families. Whether an address is free is the allocator's question.

use serde_json::Value;

use super::super::{Cursor, Errors, common};
use super::is_headless;

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

pub(super) fn cluster_ips(spec: Cursor<'_, '_>, errors: &mut Errors) {
    if spec.field("type").str() == "ExternalName" {
        return;
    }
    let (one, all) = (spec.field("clusterIP").str(), spec.field("clusterIPs"));
    let before = errors.len();
    if !one.is_empty() && all.is_empty() {
        errors.push(all.required(""));
    } else if one.is_empty() && !all.is_empty() {
        errors.push(all.invalid("must be empty when `clusterIP` is not specified"));
    } else if !one.is_empty() && all.index(0).str() != one {
        errors.push(all.invalid("first value must match `clusterIP`"));
    }
    families(spec, errors);
    if well_formed(all, errors) {
        one_of_each_family(all, errors);
        if errors.len() == before {
            families_match(spec, errors);
        }
    }
}

fn families(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let mut seen = Vec::new();
    for family in spec.field("ipFamilies").items() {
        if !FAMILIES.contains(&family.str()) {
            errors.push(family.not_supported(&FAMILIES));
        }
        if seen.contains(&family.str()) {
            errors.push(family.duplicate());
        }
        seen.push(family.str());
    }
    common::optional_one_of(spec.field("ipFamilyPolicy"), &POLICIES, errors);
}

fn well_formed(all: Cursor<'_, '_>, errors: &mut Errors) -> bool {
    let before = errors.len();
    for (i, ip) in all.items().enumerate() {
        if i > 0 || ip.str() != "None" {
            common::ip(ip, errors);
        } else if all.len() > 1 {
            errors.push(all.invalid("'None' must be the first and only value"));
        }
    }
    let fine = errors.len() == before;
    if all.len() > 2 {
        errors.push(all.invalid("may only hold up to 2 values"));
    }
    fine
}

fn one_of_each_family(all: Cursor<'_, '_>, errors: &mut Errors) {
    if all.len() > 1 && is_v6(all.index(0).str()) == is_v6(all.index(1).str()) {
        errors.push(all.invalid("may specify no more than one IP for each IP family"));
    }
}

fn families_match(spec: Cursor<'_, '_>, errors: &mut Errors) {
    if is_headless(spec.value()) {
        return;
    }
    let (all, families) = (spec.field("clusterIPs"), spec.field("ipFamilies"));
    for (i, (ip, family)) in all.items().zip(families.items()).enumerate() {
        let expected = family.str();
        if is_v6(ip.str()) != (expected == "IPv6") {
            errors.push(ip.invalid(&format!("expected an {expected} value as indicated by `ipFamilies[{i}]`")));
        }
    }
}

fn is_v6(ip: &str) -> bool {
    ip.contains(':')
}

/// Addresses and families that were given out stay.
pub(super) fn changes(spec: Cursor<'_, '_>, old: &Value, errors: &mut Errors) {
    if spec.field("type").str() == "ExternalName" || old["type"] == "ExternalName" {
        return;
    }
    let (was_headless, headless) = (is_headless(old), is_headless(spec.value()));
    if !(was_headless && headless) {
        cluster_ip_changes(spec, old, errors);
    }
    if !was_headless && !headless {
        family_changes(spec, old, errors);
    }
}

fn list<'v>(spec: &'v Value, field: &str) -> &'v [Value] {
    spec[field].as_array().map_or(&[], Vec::as_slice)
}

fn cluster_ip_changes(spec: Cursor<'_, '_>, old: &Value, errors: &mut Errors) {
    let (at, before, now) = (spec.field("clusterIPs"), list(old, "clusterIPs"), list(spec.value(), "clusterIPs"));
    let changed = |i: usize| at.index(i).invalid_value(now.to_vec(), "may not change once set");
    if before.len() == now.len() {
        errors.extend((0..now.len()).filter(|i| before[*i] != now[*i]).map(changed));
        return;
    }
    if now.is_empty() {
        errors.push(at.index(0).invalid_value(at.value().clone(), "primary clusterIP can not be unset"));
    } else if before.first().is_some_and(|first| *first != now[0]) {
        errors.push(changed(0));
    }
    if before.len() > now.len() && now.len() == 1 {
        released(spec, "clusterIP", errors);
    }
}

fn family_changes(spec: Cursor<'_, '_>, old: &Value, errors: &mut Errors) {
    let (at, before, now) = (spec.field("ipFamilies"), list(old, "ipFamilies"), list(spec.value(), "ipFamilies"));
    let why = "may not change once set";
    if before.len() == now.len() {
        let changed = (0..now.len()).filter(|i| before[*i] != now[*i]);
        errors.extend(changed.map(|_| at.index(0).invalid_value(now.to_vec(), why)));
        return;
    }
    if before.len() > now.len() && spec.field("clusterIPs").is_empty() {
        errors.push(at.index(0).invalid_value(at.value().clone(), "primary ipFamily can not be unset"));
    }
    if let (Some(first), Some(before)) = (now.first(), before.first())
        && first != before
    {
        errors.push(at.index(0).invalid_value(spec.field("clusterIPs").value().clone(), why));
    }
    if before.len() > now.len() && now.len() == 1 {
        released(spec, "ipFamily", errors);
    }
}

/// The second address and family go when one family is asked for, and only then.
fn released(spec: Cursor<'_, '_>, what: &str, errors: &mut Errors) {
    let policy = spec.field("ipFamilyPolicy");
    if policy.str() != "SingleStack" {
        errors.push(policy.invalid(&format!("must be set to 'SingleStack' when releasing the secondary {what}")));
    }
}
