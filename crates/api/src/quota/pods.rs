//! What pods count for: themselves, and what they ask of a node while they have not ended.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Amounts, add, amounts};
use crate::quantity::Quantity;

/// Every container must say how much of these it needs, where a quota bounds them.
const DEMANDED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const BASIC: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub(super) fn counts(resource: &str) -> bool {
    let plain = resource.strip_prefix("requests.").or_else(|| resource.strip_prefix("limits.")).unwrap_or(resource);
    let extended = |name: &str| name.contains('/') || name.starts_with("hugepages-");
    resource == "pods"
        || BASIC.contains(&plain)
        || plain.starts_with("hugepages-")
        || resource.strip_prefix("requests.").is_some_and(extended)
}

pub(super) fn usage(pod: &Value, now: Timestamp) -> Amounts {
    if has_ended(pod, now) {
        return Amounts::new();
    }
    let mut used = compute(&total(pod, "requests"), &total(pod, "limits"));
    used.insert("pods".to_owned(), Quantity::from_int(1));
    used
}

/// A pod that is over, or whose time to end is over, holds nothing any more.
fn has_ended(pod: &Value, now: Timestamp) -> bool {
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return true;
    }
    let metadata = &pod["metadata"];
    let asked = metadata["deletionTimestamp"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let grace = metadata["deletionGracePeriodSeconds"].as_i64();
    let (Some(asked), Some(grace)) = (asked, grace) else { return false };
    asked.checked_add(SignedDuration::from_secs(grace)).is_ok_and(|end| end < now)
}

/// The names by which quotas call what is requested and limited.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::new();
    for (name, amount) in requests {
        if BASIC.contains(&name.as_str()) || name.starts_with("hugepages-") {
            used.insert(name.clone(), *amount);
        }
        used.insert(format!("requests.{name}"), *amount);
    }
    for (name, amount) in limits.iter().filter(|(name, _)| BASIC.contains(&name.as_str())) {
        used.insert(format!("limits.{name}"), *amount);
    }
    used
}

/// What a pod as a whole may need at any time: all containers together, or more while an init container runs.
pub(super) fn total(pod: &Value, field: &str) -> Amounts {
    let spec = &pod["spec"];
    let mut sum = Amounts::new();
    for container in list(spec, "containers") {
        sum = add(&sum, &amounts(&container["resources"][field]));
    }
    let (mut beside, mut peak) = (Amounts::new(), Amounts::new());
    for container in list(spec, "initContainers") {
        let own = amounts(&container["resources"][field]);
        let needed = add(&own, &beside);
        if container["restartPolicy"] == "Always" {
            sum = add(&sum, &own);
            beside.clone_from(&needed);
        }
        peak = largest(&peak, &needed);
    }
    sum = largest(&sum, &peak);
    sum.extend(amounts(&spec["resources"][field]));
    for (name, extra) in amounts(&spec["overhead"]) {
        let is_bounded = field == "requests" || sum.contains_key(&name);
        if is_bounded {
            sum = add(&sum, &Amounts::from([(name, extra)]));
        }
    }
    sum
}

fn largest(a: &Amounts, b: &Amounts) -> Amounts {
    let mut all = a.clone();
    for (name, amount) in b {
        let entry = all.entry(name.clone()).or_insert(*amount);
        *entry = (*entry).max(*amount);
    }
    all
}

fn list<'v>(spec: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    spec[name].as_array().into_iter().flatten()
}

/// `must specify limits.cpu for: a,b; requests.cpu for: c`.
pub(super) fn missing(hard: &Amounts, pod: &Value) -> Option<String> {
    let spec = &pod["spec"];
    if spec["resources"].as_object().is_some_and(|resources| !resources.is_empty()) {
        return None;
    }
    let demanded: Vec<&str> = DEMANDED.into_iter().filter(|name| hard.contains_key(*name)).collect();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in list(spec, "containers").chain(list(spec, "initContainers")) {
        let resources = &container["resources"];
        let given = compute(&amounts(&resources["requests"]), &amounts(&resources["limits"]));
        for name in demanded.iter().filter(|name| !given.contains_key(**name)) {
            missing.entry(name).or_default().insert(container["name"].as_str().unwrap_or_default());
        }
    }
    let told = |(name, containers): (&str, BTreeSet<&str>)| {
        format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
    };
    let told: Vec<String> = missing.into_iter().map(told).collect();
    (!told.is_empty()).then(|| format!("must specify {}", told.join("; ")))
}
