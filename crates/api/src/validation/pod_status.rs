//! What a pod's status may say.

use serde_json::{Value, json};

use super::{Cursor, Errors, FieldError, common, pod_annotations};
use crate::names;

const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];

pub(super) fn update(new: &Value, old: &Value, errors: &mut Errors) {
    let root = Cursor::root(new);
    let (metadata, spec, status) = (root.field("metadata"), root.field("spec"), root.field("status"));
    pod_annotations::changes(metadata, old, spec, errors);
    conditions(metadata.with("conditions", status.get("conditions")), errors);
    if spec.get("nodeName") != &old["spec"]["nodeName"] {
        errors.push(status.field("nodeName").forbidden("may not be changed directly"));
    }
    let nominated = status.field("nominatedNodeName");
    if *nominated.value() != old["status"]["nominatedNodeName"] {
        common::optional_text(nominated, names::dns_subdomain, errors);
    }
    transitions(status, old, errors);
    claims(status.field("resourceClaimStatuses"), spec.field("resourceClaims"), errors);
    ips(status.field("podIPs"), errors);
    host_ips(status, errors);
    common::immutable(status.field("qosClass"), &old["status"]["qosClass"], errors);
}

fn conditions(at: Cursor<'_, '_>, errors: &mut Errors) {
    for condition in at.items() {
        let kind = condition.with("Type", condition.get("type"));
        if !SYSTEM_CONDITIONS.contains(&kind.str()) {
            common::text(kind, names::qualified_name, errors);
        }
    }
}

/// What has ended and is not to be restarted stays ended.
fn transitions(status: Cursor<'_, '_>, old: &Value, errors: &mut Errors) {
    let policy = old["spec"]["restartPolicy"].as_str().unwrap_or_default();
    let sidecars: Vec<&Value> = old["spec"]["initContainers"].as_array().into_iter().flatten().collect();
    let is_sidecar = |name: &Value| sidecars.iter().any(|c| c["name"] == *name && c["restartPolicy"] == "Always");
    for (list, policy) in
        [("containerStatuses", policy), ("initContainerStatuses", policy), ("ephemeralContainerStatuses", "Never")]
    {
        let (at, before) = (status.field(list), &old["status"][list]);
        if policy == "Always" {
            continue;
        }
        for (i, before) in before.as_array().into_iter().flatten().enumerate() {
            let ended = &before["state"]["terminated"];
            let may_restart = ended["exitCode"].as_i64().unwrap_or_default() != 0 && policy == "OnFailure";
            let sidecar = list == "initContainerStatuses" && is_sidecar(&before["name"]);
            if ended.is_null() || may_restart || sidecar {
                continue;
            }
            let revived = |now: &Cursor<'_, '_>| {
                *now.get("name") == before["name"] && now.field("state").get("terminated").is_null()
            };
            if at.items().any(|now| revived(&now)) {
                let at = at.index(i);
                errors.push(at.field("state").forbidden("may not be transitioned to non-terminated state"));
            }
        }
    }
}

fn claims(at: Cursor<'_, '_>, known: Cursor<'_, '_>, errors: &mut Errors) {
    let mut seen = Vec::new();
    for claim in at.items() {
        let name = claim.field("name");
        if !known.items().any(|k| k.field("name").str() == name.str()) {
            errors.push(name.invalid_str("must match the name of an entry in `spec.resourceClaims`"));
        }
        if seen.contains(&name.str()) {
            errors.push(name.duplicate());
        }
        seen.push(name.str());
    }
}

fn ips(at: Cursor<'_, '_>, errors: &mut Errors) {
    for ip in at.items() {
        let text = ip.get("ip").as_str().unwrap_or_default();
        if common::parse_ip(text).is_none() {
            errors.push(FieldError::invalid(ip.path(), &text.into(), common::IP_ADDRESS));
        }
    }
    let addresses: Vec<&str> = at.items().map(|ip| ip.get("ip").as_str().unwrap_or_default()).collect();
    if addresses.len() < 2 {
        return;
    }
    let both = addresses.iter().any(|ip| ip.contains(':')) && addresses.iter().any(|ip| !ip.contains(':'));
    if !both || addresses.len() > 2 {
        let shown: Vec<Value> = addresses.iter().map(|ip| json!({"IP": ip})).collect();
        errors.push(at.invalid_value(shown, "may specify no more than one IP for each IP family"));
    }
    for (i, ip) in addresses.iter().enumerate() {
        if addresses[..i].contains(ip) {
            errors.push(FieldError::duplicate(at.index(i).path(), &json!({"IP": ip})));
        }
    }
}

fn host_ips(status: Cursor<'_, '_>, errors: &mut Errors) {
    let at = status.field("hostIPs");
    if at.is_empty() {
        return;
    }
    let first = at.index(0);
    let ip = first.field("ip");
    if ip.str() != status.field("hostIP").str() {
        errors.push(ip.invalid_str("must be equal to `hostIP`"));
    }
    ips(at, errors);
}
