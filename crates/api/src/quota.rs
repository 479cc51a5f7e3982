//! What objects count for in quotas: pure arithmetic over objects, for who admits them and for who counts what is there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::quantity::Quantity;

mod pods;
mod scopes;

/// Amounts by the name of their resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// A kind's objects, as far as quotas are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    pub group: &'a str,
    pub plural: &'a str,
}

const CLASS: &str = ".storageclass.storage.k8s.io/";
/// Counted under their plain names too.
const OLD_NAMES: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];

/// The amounts of a list of resources, those that cannot be read left out.
pub fn amounts(list: &Value) -> Amounts {
    let entries = list.as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.parse().ok()?))).collect()
}

/// The sum of two lists.
pub fn add(a: &Amounts, b: &Amounts) -> Amounts {
    let mut sum = a.clone();
    for (name, amount) in b {
        let entry = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *entry = *entry + *amount;
    }
    sum
}

/// What `a` has more than `b`, never less than nothing.
pub fn exceeding(a: &Amounts, b: &Amounts) -> Amounts {
    let rest = |(name, amount): (&String, &Quantity)| {
        let rest = b.get(name).map_or(*amount, |less| *amount - *less);
        let kept = !rest.is_negative() && !rest.is_zero();
        kept.then(|| (name.clone(), rest))
    };
    a.iter().filter_map(rest).collect()
}

/// What a pod as a whole asks for (`requests`), or may have (`limits`).
pub fn pod_total(pod: &Value, field: &str) -> Amounts {
    pods::total(pod, field)
}

/// `a=1,b=2`.
pub fn printed(amounts: &Amounts) -> String {
    amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

impl Counted<'_> {
    /// `count/deployments.apps`.
    pub fn name(&self) -> String {
        if self.group.is_empty() {
            format!("count/{}", self.plural)
        } else {
            format!("count/{}.{}", self.plural, self.group)
        }
    }

    fn is_core(&self, plural: &str) -> bool {
        self.group.is_empty() && self.plural == plural
    }

    /// Whether objects of this kind count for `resource`.
    pub fn counts(&self, resource: &str) -> bool {
        if resource == self.name() {
            return true;
        }
        if !self.group.is_empty() {
            return false;
        }
        match self.plural {
            "pods" => pods::counts(resource),
            "services" => matches!(resource, "services" | "services.nodeports" | "services.loadbalancers"),
            "persistentvolumeclaims" => {
                let of_class = resource.split_once(CLASS).map(|(_, rest)| rest);
                matches!(of_class.unwrap_or(resource), "persistentvolumeclaims" | "requests.storage")
            }
            plural => OLD_NAMES.contains(&plural) && resource == plural,
        }
    }

    /// Whether `quota` is about `object`: it bounds something that the object counts for, and its scopes contain it.
    pub fn is_in(&self, quota: &Value, hard: &Amounts, object: &Value) -> bool {
        hard.keys().any(|resource| self.counts(resource)) && scopes::contain(quota, *self, object)
    }

    /// What `object` uses.
    pub fn usage(&self, object: &Value, now: Timestamp) -> Amounts {
        let one = Quantity::from_int(1);
        let mut used = Amounts::from([(self.name(), one)]);
        if self.is_core("pods") {
            used.extend(pods::usage(object, now));
        } else if self.is_core("services") {
            used.extend(service(object));
        } else if self.is_core("persistentvolumeclaims") {
            used.extend(claim(object));
        } else if self.group.is_empty() && OLD_NAMES.contains(&self.plural) {
            used.insert(self.plural.to_owned(), one);
        }
        used
    }

    /// What an object must say of itself before it can be counted for `hard`; its absence in words.
    pub fn missing(&self, hard: &Amounts, object: &Value) -> Option<String> {
        if self.is_core("pods") { pods::missing(hard, object) } else { None }
    }
}

fn service(service: &Value) -> Amounts {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let all = ports.len();
    let chosen = ports.iter().filter(|port| port["nodePort"].as_i64().unwrap_or_default() != 0).count();
    let (node_ports, balancers) = match spec["type"].as_str() {
        Some("NodePort") => (all, 0),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => (chosen, 1),
        Some("LoadBalancer") => (all, 1),
        _ => (0, 0),
    };
    let count = |n: usize| Quantity::from_int(i64::try_from(n).unwrap_or(i64::MAX));
    let named = |(name, n): (&str, usize)| (name.to_owned(), count(n));
    [("services", 1), ("services.nodeports", node_ports), ("services.loadbalancers", balancers)].map(named).into()
}

fn claim(claim: &Value) -> Amounts {
    let (spec, one) = (&claim["spec"], Quantity::from_int(1));
    let mut used = Amounts::from([("persistentvolumeclaims".to_owned(), one)]);
    let class = spec["storageClassName"].as_str().unwrap_or_default();
    if !class.is_empty() {
        used.insert(format!("{class}{CLASS}persistentvolumeclaims"), one);
    }
    let asked = amounts(&spec["resources"]["requests"]).remove("storage");
    let given = amounts(&claim["status"]["allocatedResources"]).remove("storage");
    if let Some(size) = asked.max(given) {
        used.insert("requests.storage".to_owned(), size);
        if !class.is_empty() {
            used.insert(format!("{class}{CLASS}requests.storage"), size);
        }
    }
    used
}

#[cfg(test)]
mod tests;
