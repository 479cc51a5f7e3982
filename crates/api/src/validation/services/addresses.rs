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
    if one.is_empty() && !all.is_empty() {
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
    let before = old["clusterIPs"].as_array().map_or(&[][..], Vec::as_slice);
    let now = spec.field("clusterIPs");
    for (i, (ip, old)) in now.items().zip(before).enumerate() {
        if ip.value() != old {
            errors.push(now.index(i).invalid_value(now.value().clone(), "may not change once set"));
        }
    }
    if now.is_empty() && !before.is_empty() {
        errors.push(now.index(0).invalid_value(now.value().clone(), "primary clusterIP can not be unset"));
    }
    let (before, now) = (&old["ipFamilies"][0], spec.field("ipFamilies"));
    if !before.is_null() && now.is_empty() {
        errors.push(now.index(0).invalid_value(now.value().clone(), "primary ipFamily can not be unset"));
    } else if !before.is_null() && now.index(0).value() != before && !is_headless(spec.value()) && errors.is_empty() {
        family_change(spec, before, errors);
    }
}

/// Another family at the same address is told at the address, by the check of the whole.
fn family_change(spec: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    let (ips, families) = (spec.field("clusterIPs"), spec.field("ipFamilies"));
    let expected_v6 = families.index(0).str() == "IPv6";
    let address_tells = !ips.is_empty() && is_v6(ips.index(0).str()) != expected_v6;
    if !address_tells && !before.is_null() {
        errors.push(families.index(0).invalid_value(families.value().clone(), "may not change once set"));
    }
}
