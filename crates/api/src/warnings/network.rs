//! Services and what stands behind them.

use serde_json::Value;

use super::ips;
use crate::validation::Cursor;

const OLD_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

pub(crate) fn service(new: &Value, _: Option<&Value>) -> Vec<String> {
    let (root, mut warnings) = (Cursor::root(new), Vec::new());
    let spec = root.field("spec");
    if new["metadata"]["annotations"].get(OLD_HINTS).is_some() {
        let new = "service.kubernetes.io/topology-mode";
        warnings.push(format!("annotation {OLD_HINTS} is deprecated, please use {new} instead"));
    }
    let kind = spec.field("type").str();
    let headless = kind == "ClusterIP" && spec.field("clusterIP").str() == "None";
    if !matches!(spec.field("clusterIP").str(), "" | "None") {
        spec.field("clusterIPs").items().for_each(|ip| ips::ip(ip, &mut warnings));
    }
    if headless {
        self::headless(spec, &mut warnings);
    }
    addresses(spec, headless, &mut warnings);
    let is_external = kind == "ExternalName";
    if is_external && !spec.field("externalIPs").is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !is_external && !spec.field("externalName").str().is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.field("trafficDistribution").str() == "PreferClose" {
        let why = "\"PreferClose\" is deprecated; use \"PreferSameZone\"";
        warnings.push(format!("spec.trafficDistribution: {why}"));
    }
    warnings
}

fn headless(spec: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let ignored = [
        ("loadBalancerIP", !spec.field("loadBalancerIP").str().is_empty()),
        ("externalIPs", !spec.field("externalIPs").is_empty()),
        ("SessionAffinity", spec.field("sessionAffinity").str() != "None"),
    ];
    let given = ignored.iter().filter(|(_, given)| *given);
    warnings.extend(given.map(|(field, _)| format!("spec.{field} is ignored for headless services")));
}

fn addresses(spec: Cursor<'_, '_>, headless: bool, warnings: &mut Vec<String>) {
    let external = spec.field("externalIPs");
    external.items().for_each(|ip| ips::ip(ip, warnings));
    if !external.is_empty() && !headless && spec.field("type").str() != "ExternalName" {
        let why = "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
        warnings.push(why.to_owned());
    }
    ips::ip(spec.field("loadBalancerIP"), warnings);
    spec.field("loadBalancerSourceRanges").items().for_each(|range| ips::cidr(range, warnings));
}

pub(crate) fn endpoint_slice(new: &Value, _: Option<&Value>) -> Vec<String> {
    let (root, mut warnings) = (Cursor::root(new), Vec::new());
    if root.field("addressType").str() == "FQDN" {
        warnings.push("addressType: FQDN endpoints are deprecated".to_owned());
        return warnings;
    }
    for endpoint in root.field("endpoints").items() {
        endpoint.field("addresses").items().for_each(|address| ips::ip(address, &mut warnings));
    }
    warnings
}

pub(crate) fn endpoints(new: &Value, _: Option<&Value>) -> Vec<String> {
    let (root, mut warnings) = (Cursor::root(new), Vec::new());
    for subset in root.field("subsets").items() {
        for list in ["addresses", "notReadyAddresses"] {
            subset.field(list).items().for_each(|address| ips::ip(address.field("ip"), &mut warnings));
        }
    }
    warnings
}
