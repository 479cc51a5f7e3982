//! Lays endpoints out in slices of at most a hundred, and changes as few slices as it can.

use std::collections::BTreeMap;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

/// Endpoints per slice.
pub(super) const ENDPOINTS_MAX: usize = 100;

/// The endpoints that share one set of ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    pub(super) ports: Option<Vec<EndpointPort>>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// A slice's contents after packing.
#[derive(Debug, PartialEq)]
pub(super) struct Packed {
    /// The slice that now has these contents; `None` for a new one.
    pub(super) of: Option<EndpointSlice>,
    pub(super) group: Group,
}

/// Lays `groups` out over `slices`. Slices that come back as `unused` are to be deleted.
pub(super) fn pack(groups: Vec<Group>, slices: Vec<EndpointSlice>) -> (Vec<Packed>, Vec<EndpointSlice>) {
    let mut by_ports: BTreeMap<String, Vec<EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        by_ports.entry(text(slice.ports.as_ref())).or_default().push(slice);
    }
    let (mut packed, mut left_over) = (Vec::new(), Vec::new());
    for group in groups {
        let slices = by_ports.remove(&text(group.ports.as_ref())).unwrap_or_default();
        let (filled, emptied) = pack_group(group, slices);
        packed.extend(filled);
        left_over.extend(emptied);
    }
    let mut unused: Vec<EndpointSlice> = by_ports.into_values().flatten().chain(left_over).collect();
    // A slice that would go takes the contents of one that would come.
    for fresh in packed.iter_mut().filter(|packed| packed.of.is_none()) {
        fresh.of = unused.pop();
    }
    (packed, unused)
}

fn text(ports: Option<&Vec<EndpointPort>>) -> String {
    serde_json::to_string(&ports.filter(|ports| !ports.is_empty())).expect("ports can be written")
}

fn key(endpoint: &Endpoint) -> String {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.clone()).unwrap_or_default();
    format!("{uid} {}", endpoint.addresses.join(","))
}

fn pack_group(group: Group, slices: Vec<EndpointSlice>) -> (Vec<Packed>, Vec<EndpointSlice>) {
    let ports = group.ports;
    let mut wanted: BTreeMap<String, Endpoint> = group.endpoints.into_iter().map(|e| (key(&e), e)).collect();
    let mut kept: Vec<(EndpointSlice, Vec<Endpoint>)> = Vec::new();
    for slice in slices {
        let known = slice.endpoints.iter().flatten();
        let still: Vec<Endpoint> = known.filter_map(|endpoint| wanted.remove(&key(endpoint))).collect();
        kept.push((slice, still));
    }
    let mut rest = wanted.into_values();
    for (_, endpoints) in &mut kept {
        let room = ENDPOINTS_MAX.saturating_sub(endpoints.len());
        endpoints.extend(rest.by_ref().take(room));
    }
    let (filled, emptied): (Vec<_>, Vec<_>) = kept.into_iter().partition(|(_, endpoints)| !endpoints.is_empty());
    let of_ports = |endpoints| Group { ports: ports.clone(), endpoints };
    let mut packed: Vec<Packed> =
        filled.into_iter().map(|(slice, endpoints)| Packed { of: Some(slice), group: of_ports(endpoints) }).collect();
    loop {
        let endpoints: Vec<Endpoint> = rest.by_ref().take(ENDPOINTS_MAX).collect();
        if endpoints.is_empty() {
            break;
        }
        packed.push(Packed { of: None, group: of_ports(endpoints) });
    }
    (packed, emptied.into_iter().map(|(slice, _)| slice).collect())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use proptest::prelude::*;

    use super::*;

    fn endpoint(n: usize) -> Endpoint {
        Endpoint { addresses: vec![format!("10.0.{}.{}", n / 250, n % 250)], ..Endpoint::default() }
    }

    fn group(numbers: impl IntoIterator<Item = usize>) -> Group {
        let ports = Some(vec![EndpointPort { port: Some(80), ..EndpointPort::default() }]);
        Group { ports, endpoints: numbers.into_iter().map(endpoint).collect() }
    }

    fn slice(name: &str, group: Group) -> EndpointSlice {
        EndpointSlice {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            ports: group.ports,
            endpoints: Some(group.endpoints),
            ..EndpointSlice::default()
        }
    }

    fn applied(packed: Vec<Packed>) -> Vec<EndpointSlice> {
        packed.into_iter().enumerate().map(|(i, packed)| slice(&format!("s{i}"), packed.group)).collect()
    }

    #[test]
    fn one_that_comes_changes_one_slice() {
        let slices = vec![slice("full", group(0..100)), slice("half", group(100..150))];
        let (packed, unused) = pack(vec![group(0..151)], slices.clone());
        assert!(unused.is_empty());
        let changed: Vec<_> = packed
            .iter()
            .filter(|packed| packed.of.as_ref().unwrap().endpoints.as_ref() != Some(&packed.group.endpoints))
            .map(|packed| packed.of.as_ref().unwrap().metadata.name.clone().unwrap())
            .collect();
        assert_eq!(changed, ["half"]);
    }

    #[test]
    fn an_empty_slice_takes_what_a_new_one_would() {
        let empty = slice("empty", Group::default());
        let (packed, unused) = pack(vec![group(0..3)], vec![empty]);
        assert!(unused.is_empty());
        assert_eq!(packed.len(), 1);
        assert_eq!(packed[0].of.as_ref().unwrap().metadata.name.as_deref(), Some("empty"));
    }

    proptest! {
        #[test]
        fn every_endpoint_is_in_exactly_one_slice(before in 0..350usize, gone in 0..350usize, after in 0..450usize) {
            let (packed, _) = pack(vec![group(0..before)], Vec::new());
            let (packed, unused) = pack(vec![group(gone..gone.max(after))], applied(packed));
            let mut all: Vec<String> = packed.iter().flat_map(|p| p.group.endpoints.iter().map(key)).collect();
            let n_all = all.len();
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len(), n_all);
            prop_assert_eq!(n_all, after.saturating_sub(gone));
            prop_assert!(packed.iter().all(|packed| packed.group.endpoints.len() <= ENDPOINTS_MAX));
            prop_assert!(unused.len() <= before.div_ceil(ENDPOINTS_MAX));
        }
    }
}
