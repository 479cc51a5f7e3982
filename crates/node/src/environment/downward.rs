//! The downward API: what a pod may learn of itself, for variables and volumes alike.

use std::collections::BTreeMap;
use std::net::IpAddr;

use coracle_api::quantity::Quantity;
use k8s_openapi::api::core::v1 as core;

use super::Error;

/// A pod, and what the node knows of it.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub pod: &'a core::Pod,
    pub pod_addresses: &'a [IpAddr],
    pub host_addresses: &'a [IpAddr],
    /// What the node can give: the limits of a container that has none.
    pub allocatable: &'a BTreeMap<String, String>,
}

impl<'a> Facts<'a> {
    pub fn name(&self) -> &'a str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    pub fn namespace(&self) -> &'a str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub fn container(&self, name: &str) -> Option<&'a core::Container> {
        let spec = self.pod.spec.as_ref()?;
        let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
        all.find(|container| container.name == name)
    }
}

/// The value of a field path such as `metadata.labels['app']`.
pub fn field(facts: &Facts<'_>, path: &str) -> Result<String, Error> {
    let meta = &facts.pod.metadata;
    let spec = facts.pod.spec.as_ref();
    let joined = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let first = |all: &[IpAddr]| all.first().map(ToString::to_string).unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        return match map {
            "metadata.labels" => Ok(entry(meta.labels.as_ref(), key)),
            "metadata.annotations" => Ok(entry(meta.annotations.as_ref(), key)),
            _ => Err(Error::Field(path.to_owned())),
        };
    }
    Ok(match path {
        "metadata.name" => facts.name().to_owned(),
        "metadata.namespace" => facts.namespace().to_owned(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default(),
        "status.podIP" => first(facts.pod_addresses),
        "status.podIPs" => joined(facts.pod_addresses),
        "status.hostIP" => first(facts.host_addresses),
        "status.hostIPs" => joined(facts.host_addresses),
        _ => return Err(Error::Field(path.to_owned())),
    })
}

/// `map['key']` taken apart.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

fn entry(map: Option<&BTreeMap<String, String>>, key: &str) -> String {
    map.and_then(|map| map.get(key)).cloned().unwrap_or_default()
}

/// A whole map, one quoted entry a line.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A container's request or limit in units of the selector's divisor, rounded up.
pub fn resource(
    facts: &Facts<'_>,
    container: &core::Container,
    selector: &core::ResourceFieldSelector,
) -> Result<String, Error> {
    let unsupported = || Error::Resource(selector.resource.clone());
    let (kind, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let given = container.resources.as_ref();
    let amounts = match kind {
        "limits" => given.and_then(|given| given.limits.as_ref()),
        "requests" => given.and_then(|given| given.requests.as_ref()),
        _ => return Err(unsupported()),
    };
    let fallback = || if kind == "limits" { facts.allocatable.get(name).map(String::as_str) } else { None };
    let amount = amounts.and_then(|all| all.get(name)).map(|amount| amount.0.as_str()).or_else(fallback);
    let amount = parsed(amount.unwrap_or("0")).ok_or_else(unsupported)?;
    let divisor = selector.divisor.as_ref().and_then(|divisor| parsed(&divisor.0)).filter(|divisor| !divisor.is_zero());
    let divisor = divisor.unwrap_or(Quantity::from_int(1));
    let (amount, divisor) = match name {
        "cpu" => (amount.milli_value(), divisor.milli_value()),
        "memory" | "ephemeral-storage" => (amount.value(), divisor.value()),
        _ if name.starts_with("hugepages-") => (amount.value(), divisor.value()),
        _ => return Err(unsupported()),
    };
    let (amount, divisor) = (amount.max(0).unsigned_abs(), divisor.max(1).unsigned_abs());
    Ok(amount.div_ceil(divisor).to_string())
}

fn parsed(text: &str) -> Option<Quantity> {
    text.parse().ok()
}
