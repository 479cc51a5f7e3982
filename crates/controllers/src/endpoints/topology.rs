//! Hints by the zones' shares of the cluster's CPU, as `service.kubernetes.io/topology-mode: Auto` asks. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use coracle_api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, ForZone};

use super::pack::Packed;
use super::slices::zone_of;

/// How much more than its share an endpoint may have to bear.
const OVERLOAD_MAX: f64 = 0.2;
/// In the order in which they are asked.
const MODES: [&str; 2] = ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];
/// Nodes that are left out of account.
const LEFT_OUT: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// Each zone's share of the cluster's CPU.
pub(super) type Shares = BTreeMap<String, f64>;

/// Why there are no hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Without {
    #[error("Insufficient Node information: allocatable CPU or zone not specified on one or more nodes")]
    NodeInfo,
    #[error("Insufficient number of endpoints ({n_endpoints} endpoints, {n_zones} zones)")]
    Endpoints { n_endpoints: usize, n_zones: usize },
    #[error(
        "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
         ({n_endpoints} endpoints, {n_zones} zones)"
    )]
    Overload { n_endpoints: usize, n_zones: usize },
    #[error("One or more endpoints do not have a zone specified")]
    Zone,
}

/// Whether the service asks for these hints.
pub(crate) fn is_asked_for(service: &Service) -> bool {
    let annotations = service.metadata.annotations.as_ref();
    let mode = MODES.iter().find_map(|mode| annotations?.get(*mode));
    mode.is_some_and(|mode| mode == "Auto" || mode == "auto")
}

/// What counts of a node: its zone and its CPU in thousandths, if it counts at all.
pub(crate) fn weight(node: &Node) -> Option<(Option<&String>, i64)> {
    let labels = node.metadata.labels.as_ref();
    let is_left_out = LEFT_OUT.iter().any(|label| labels.is_some_and(|labels| labels.contains_key(*label)));
    let status = node.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let is_ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let cpu = status.allocatable.as_ref().and_then(|allocatable| allocatable.get("cpu"));
    let cpu = cpu.and_then(|cpu| cpu.0.parse::<Quantity>().ok()).map_or(0, |cpu| cpu.milli_value());
    (is_ready && !is_left_out).then(|| (zone_of(Some(node)).filter(|zone| !zone.is_empty()), cpu))
}

/// The zones' shares, if all nodes say enough of themselves and there is more than one zone.
pub(super) fn shares(nodes: &[Arc<Node>]) -> Option<Shares> {
    let mut by_zone = BTreeMap::<&String, i64>::new();
    for (zone, cpu) in nodes.iter().filter_map(|node| weight(node)) {
        *by_zone.entry(zone.filter(|_| cpu > 0)?).or_default() += cpu;
    }
    let total: i64 = by_zone.values().sum();
    let share = |(zone, cpu): (&String, i64)| (zone.clone(), cpu as f64 / total as f64);
    (by_zone.len() > 1).then(|| by_zone.into_iter().map(share).collect())
}

/// How many endpoints a zone should have.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Allocation {
    most: usize,
    desired: f64,
}

fn allocations(shares: &Shares, n_endpoints: usize) -> Result<BTreeMap<&str, Allocation>, Without> {
    let n_zones = shares.len();
    if n_zones > n_endpoints {
        return Err(Without::Endpoints { n_endpoints, n_zones });
    }
    let least = |share: f64| (share * n_endpoints as f64 * (1.0 / (1.0 + OVERLOAD_MAX))).ceil() as usize;
    let least_in_all: usize = shares.values().map(|share| least(*share)).sum();
    let left = n_endpoints.checked_sub(least_in_all).ok_or(Without::Overload { n_endpoints, n_zones })?;
    let allocation = |share: f64| {
        let least = least(share);
        Allocation { most: least + left, desired: (share * n_endpoints as f64).max(least as f64) }
    };
    Ok(shares.iter().map(|(zone, share)| (zone.as_str(), allocation(*share))).collect())
}

/// Gives every endpoint that is ready a zone to serve. What slices hold already stays, where nothing else in them changes
/// and the zones are served well enough.
pub(super) fn assign(packed: &mut [Packed], shares: Option<&Shares>) -> Result<(), Without> {
    let shares = shares.ok_or(Without::NodeInfo)?;
    let n_ready = packed.iter().flat_map(|packed| &packed.group.endpoints).filter(|e| is_ready(e)).count();
    let allocations = allocations(shares, n_ready)?;
    let mut n_hinted = BTreeMap::new();
    let mut open: Vec<&mut Endpoint> = Vec::new();
    for packed in packed {
        match kept(packed, &n_hinted, &allocations) {
            Some((endpoints, counts)) => {
                packed.group.endpoints = endpoints;
                counts.into_iter().for_each(|(zone, n)| *n_hinted.entry(zone).or_default() += n);
            }
            None => open.extend(packed.group.endpoints.iter_mut().filter(|endpoint| is_ready(endpoint))),
        }
    }
    for endpoint in &mut open {
        let zone = endpoint.zone.clone().filter(|zone| !zone.is_empty()).ok_or(Without::Zone)?;
        endpoint.hints = Some(hint(&zone));
        *n_hinted.entry(zone).or_default() += 1;
    }
    let (mut giving, mut receiving) = transfers(&allocations, &n_hinted);
    for endpoint in open {
        let gives = endpoint.zone.as_ref().and_then(|zone| giving.get_mut(zone)).filter(|n| **n > 0);
        let takes = receiving.iter_mut().find(|(_, n)| **n > 0);
        if let (Some(n_to_give), Some((zone, n_to_take))) = (gives, takes) {
            endpoint.hints = Some(hint(zone));
            *n_to_give -= 1;
            *n_to_take -= 1;
        }
    }
    Ok(())
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true))
}

fn hint(zone: &str) -> EndpointHints {
    EndpointHints { for_zones: Some(vec![ForZone { name: zone.to_owned() }]), for_nodes: None }
}

type Counts = BTreeMap<String, usize>;

/// The endpoints of a slice that need no other hints than they have, and how many are meant for each zone.
fn kept(
    packed: &Packed,
    n_hinted: &Counts,
    allocations: &BTreeMap<&str, Allocation>,
) -> Option<(Vec<Endpoint>, Counts)> {
    let known = packed.of.as_ref()?.endpoints.clone()?;
    let without = |endpoint: &Endpoint| Endpoint { hints: None, ..endpoint.clone() };
    if !known.iter().map(without).eq(packed.group.endpoints.iter().map(without)) {
        return None;
    }
    let mut counts = Counts::new();
    for endpoint in known.iter().filter(|endpoint| is_ready(endpoint)) {
        let zones = endpoint.hints.as_ref()?.for_zones.as_ref().filter(|zones| !zones.is_empty())?;
        for zone in zones {
            allocations.get(zone.name.as_str())?;
            *counts.entry(zone.name.clone()).or_default() += 1;
        }
    }
    let fits = |(zone, n): (&String, &usize)| {
        n + n_hinted.get(zone).copied().unwrap_or_default() <= allocations[zone.as_str()].most
    };
    counts.iter().all(fits).then_some((known, counts))
}

/// How many endpoints each zone gives to others, and how many each receives.
fn transfers(allocations: &BTreeMap<&str, Allocation>, n_hinted: &Counts) -> (Counts, Counts) {
    let surplus = |(zone, allocation): (&&str, &Allocation)| {
        let n = n_hinted.get(*zone).copied().unwrap_or_default();
        ((*zone).to_owned(), n as f64 - allocation.desired)
    };
    let mut surplus: Vec<(String, f64)> = allocations.iter().map(surplus).collect();
    let (mut giving, mut receiving) = (Counts::new(), Counts::new());
    loop {
        surplus.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let (Some(poorest), Some(richest)) = (surplus.first(), surplus.last()) else { break };
        let (to_take, to_give) = (-poorest.1, richest.1);
        if (to_give < 1.0 && to_take < 1.0) || to_give < 0.5 || to_take < 0.5 {
            break;
        }
        *receiving.entry(poorest.0.clone()).or_default() += 1;
        *giving.entry(richest.0.clone()).or_default() += 1;
        let last = surplus.len() - 1;
        surplus[0].1 += 1.0;
        surplus[last].1 -= 1.0;
    }
    (giving, receiving)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointSlice};
    use serde_json::{Value, json};

    use super::super::pack::Group;
    use super::*;

    fn node(name: &str, change: Value) -> Arc<Node> {
        let mut node = json!({
            "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": "a"}},
            "status": {"allocatable": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": "True"}]},
        });
        json_patch::merge(&mut node, &change);
        Arc::new(serde_json::from_value(node).unwrap())
    }

    fn zone(zone: &str) -> Value {
        json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}})
    }

    #[test]
    fn zones_count_by_the_cpu_of_their_ready_nodes() {
        let (a, b) = (node("a", json!({})), node("b", zone("b")));
        let big = node("big", json!({"metadata": zone("b")["metadata"], "status": {"allocatable": {"cpu": "4000m"}}}));
        let of = |nodes: &[&Arc<Node>]| shares(&nodes.iter().map(|node| (*node).clone()).collect::<Vec<_>>());
        assert_eq!(of(&[&a, &b, &big]), Some([("a".into(), 0.25), ("b".into(), 0.75)].into()));
        let away = node("away", json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}));
        let master = node("m", json!({"metadata": {"labels": {LEFT_OUT[0]: ""}}}));
        assert_eq!(of(&[&a, &b, &away, &master]), Some([("a".into(), 0.5), ("b".into(), 0.5)].into()));
        assert_eq!(of(&[&a, &away]), None, "it is one zone");
        let nowhere = node("n", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": null}}}));
        assert_eq!(of(&[&a, &b, &nowhere]), None);
        assert_eq!(of(&[&a, &b, &node("none", json!({"status": {"allocatable": {"cpu": "0"}}}))]), None);
    }

    fn endpoints(zones: &str) -> Vec<Endpoint> {
        let endpoint = |(n, zone): (usize, char)| Endpoint {
            addresses: vec![format!("10.244.0.{n}")],
            conditions: Some(EndpointConditions { ready: Some(zone != '-'), ..EndpointConditions::default() }),
            zone: Some(zone.to_string()),
            ..Endpoint::default()
        };
        zones.chars().enumerate().map(endpoint).collect()
    }

    fn packed(of: Option<Vec<Endpoint>>, zones: &str) -> Packed {
        let of = of.map(|endpoints| EndpointSlice { endpoints: Some(endpoints), ..EndpointSlice::default() });
        Packed { of, group: Group { ports: None, endpoints: endpoints(zones) } }
    }

    /// For which zone each endpoint is meant.
    fn hinted(packed: &Packed) -> String {
        let zone = |endpoint: &Endpoint| Some(endpoint.hints.as_ref()?.for_zones.as_ref()?[0].name.clone());
        packed.group.endpoints.iter().map(|endpoint| zone(endpoint).unwrap_or("-".into())).collect()
    }

    fn assigned(zones: &str, shares: &[(&str, f64)]) -> Result<String, String> {
        let shares = shares.iter().map(|(zone, share)| ((*zone).to_owned(), *share)).collect();
        let mut all = [packed(None, zones)];
        assign(&mut all, Some(&shares)).map_err(|without| without.to_string())?;
        Ok(hinted(&all[0]))
    }

    #[test]
    fn zones_give_to_those_that_have_too_few() {
        let halves = [("a", 0.5), ("b", 0.5)];
        assert_eq!(assigned("aabb", &halves).unwrap(), "aabb");
        assert_eq!(assigned("aaaa", &halves).unwrap(), "bbaa");
        assert_eq!(assigned("a-abb", &halves).unwrap(), "a-abb", "who is not ready is meant for nobody");
        assert_eq!(assigned("aaaabbbb", &[("a", 0.5), ("b", 0.25), ("c", 0.25)]).unwrap(), "aaaaccbb");
    }

    #[test]
    fn too_little_to_go_by_gives_no_hints() {
        let halves = [("a", 0.5), ("b", 0.5)];
        let few = "Insufficient number of endpoints (1 endpoints, 2 zones)";
        assert_eq!(assigned("a", &halves).unwrap_err(), few);
        let overload = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
                        (3 endpoints, 2 zones)";
        assert_eq!(assigned("aab", &halves).unwrap_err(), overload);
        let mut nowhere = [packed(None, "aabb")];
        nowhere[0].group.endpoints[3].zone = None;
        let halves = halves.map(|(zone, share)| (zone.to_owned(), share)).into();
        assert_eq!(assign(&mut nowhere, Some(&halves)), Err(Without::Zone));
        assert_eq!(assign(&mut nowhere, None), Err(Without::NodeInfo));
    }

    #[test]
    fn a_slice_in_which_nothing_changes_keeps_its_hints_while_they_will_do() {
        let shares = |a: f64| Shares::from([("a".to_owned(), a), ("b".to_owned(), 1.0 - a)]);
        let mut first = [packed(None, "aaaabb")];
        assign(&mut first, Some(&shares(0.5))).unwrap();
        let before = hinted(&first[0]);
        let again = |share: f64, zones: &str| {
            let mut next = [packed(Some(first[0].group.endpoints.clone()), zones)];
            assign(&mut next, Some(&shares(share))).unwrap();
            hinted(&next[0])
        };
        assert_eq!(again(0.52, "aaaabb"), before);
        assert_eq!(again(0.75, "aaaabb"), "aaaabb", "b would have more than its share allows");
        assert_eq!(again(0.5, "aaabbb"), "aaabbb", "an endpoint has moved");
    }

    #[test]
    fn the_older_annotation_goes_before() {
        let asked = |annotations: Value| {
            is_asked_for(&serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap())
        };
        assert!(asked(json!({MODES[1]: "Auto"})) && asked(json!({MODES[0]: "auto"})));
        assert!(!asked(json!({MODES[1]: "Disabled"})) && !asked(json!({})));
        assert!(!asked(json!({MODES[0]: "Disabled", MODES[1]: "Auto"})));
    }
}
