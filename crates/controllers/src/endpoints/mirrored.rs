//! Mirrors Endpoints that users keep, for Services without a selector, into EndpointSlices. It never changes Endpoints.

use std::net::IpAddr;
use std::sync::Arc;

use coracle_client::{Change, EventType, Key, Recorder};
use k8s_openapi::api::core::v1::{self as core, EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;

use super::address::Family;
use super::slices::{MANAGED_BY, Plan};
use crate::driver::{Next, Reconcile};
use crate::informers::{BY_SERVICE, Informers, SERVICE_NAME};
use crate::outstanding::{OUTSTANDING_MAX, Outstanding};
use crate::{Error, owners};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints that are no more than a lock.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that say something of the Endpoints object itself.
const NOT_MIRRORED: [&str; 2] =
    ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];
/// Addresses of one subset, and of one slice.
const ADDRESSES_MAX: usize = 1000;

pub(crate) struct MirroredEndpoints {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) outstanding: Outstanding,
}

/// The Endpoints that a slice of ours mirrors.
pub(crate) fn key_of_slice(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    is_ours(slice).then(|| Key::new(slice.metadata.namespace.as_deref().unwrap_or_default(), name))
}

/// The Endpoints of a service that has no selector, or just lost or got one.
pub(crate) fn keys_of_service(change: &Change<Service>) -> Vec<Key> {
    let selects = |service: &Option<Arc<Service>>| service.as_ref().map(|service| has_selector(service));
    let is_concerned = [&change.old, &change.new].into_iter().any(|version| selects(version) == Some(false));
    if is_concerned && selects(&change.old) != selects(&change.new) { vec![change.key.clone()] } else { Vec::new() }
}

fn has_selector(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.selector.is_some())
}

pub(super) fn is_ours(slice: &EndpointSlice) -> bool {
    slice.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == MANAGER)
}

fn is_to_be_mirrored(endpoints: &Endpoints) -> bool {
    let meta = &endpoints.metadata;
    let is_skipped = meta.labels.as_ref().and_then(|labels| labels.get(SKIP_MIRROR)).is_some_and(|skip| skip == "true");
    !is_skipped && !meta.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LEADER))
}

/// What one slice is to have.
struct Mirror {
    family: Family,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
}

/// The slices that are to be, and how many addresses were too many.
fn mirrors(endpoints: &Endpoints) -> (Vec<Mirror>, usize) {
    let (mut mirrors, mut n_skipped) = (Vec::new(), 0);
    for subset in endpoints.subsets.iter().flatten() {
        let ports: Vec<EndpointPort> = subset.ports.iter().flatten().map(port).collect();
        let all = addresses(subset);
        n_skipped += all.len().saturating_sub(ADDRESSES_MAX);
        for (address, is_ready) in all.into_iter().take(ADDRESSES_MAX) {
            // The API server lets no other than an address pass.
            let Ok(ip) = address.ip.parse::<IpAddr>() else { continue };
            add(&mut mirrors, Family::of(ip), &ports, endpoint(ip, address, is_ready));
        }
    }
    (mirrors, n_skipped)
}

fn addresses(subset: &EndpointSubset) -> Vec<(&EndpointAddress, bool)> {
    let ready = subset.addresses.iter().flatten().map(|address| (address, true));
    let not_ready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
    ready.chain(not_ready).collect()
}

fn port(port: &core::EndpointPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: port.protocol.clone(),
        app_protocol: port.app_protocol.clone(),
    }
}

fn endpoint(ip: IpAddr, address: &EndpointAddress, is_ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(is_ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|hostname| !hostname.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

/// Adds to the mirror of the same family and ports; of an endpoint that is named twice, the last counts.
fn add(mirrors: &mut Vec<Mirror>, family: Family, ports: &[EndpointPort], endpoint: Endpoint) {
    let found = mirrors.iter().position(|mirror| mirror.family == family && mirror.ports == ports);
    let idx = found.unwrap_or_else(|| {
        mirrors.push(Mirror { family, ports: ports.to_vec(), endpoints: Vec::new() });
        mirrors.len() - 1
    });
    let endpoints = &mut mirrors[idx].endpoints;
    let is_same = |known: &Endpoint| Endpoint { conditions: endpoint.conditions.clone(), ..known.clone() } == endpoint;
    match endpoints.iter().position(is_same) {
        Some(known) => endpoints[known] = endpoint,
        None if endpoints.len() < ADDRESSES_MAX => endpoints.push(endpoint),
        None => {}
    }
}

fn plan(endpoints: &Endpoints, mirrors: Vec<Mirror>, mut slices: Vec<EndpointSlice>) -> Plan {
    let mut plan = Plan::default();
    let mut homeless = Vec::new();
    for mirror in mirrors {
        let is_same = |slice: &EndpointSlice| slice.ports.as_deref().unwrap_or_default() == mirror.ports;
        match take(&mut slices, mirror.family, is_same) {
            Some(slice) => settle(&mut plan, endpoints, mirror, slice),
            None => homeless.push(mirror),
        }
    }
    for mirror in homeless {
        // A slice that would go takes what a new one would have.
        match take(&mut slices, mirror.family, |_| true) {
            Some(slice) => settle(&mut plan, endpoints, mirror, slice),
            None if endpoints.metadata.deletion_timestamp.is_none() => {
                plan.create.push(slice(endpoints, mirror, EndpointSlice::default()));
            }
            None => {}
        }
    }
    plan.delete = slices;
    plan
}

fn take(
    slices: &mut Vec<EndpointSlice>,
    family: Family,
    fits: impl Fn(&EndpointSlice) -> bool,
) -> Option<EndpointSlice> {
    let idx = slices.iter().position(|slice| slice.address_type == family.as_str() && fits(slice))?;
    Some(slices.remove(idx))
}

fn settle(plan: &mut Plan, endpoints: &Endpoints, mirror: Mirror, mut current: EndpointSlice) {
    // Empty and absent are one to a slice, whichever the server prefers.
    current.ports = current.ports.filter(|ports| !ports.is_empty());
    let wanted = slice(endpoints, mirror, current.clone());
    if wanted != current {
        plan.update.push(wanted);
    }
}

fn slice(endpoints: &Endpoints, mirror: Mirror, mut slice: EndpointSlice) -> EndpointSlice {
    let meta = &endpoints.metadata;
    let name = meta.name.clone().unwrap_or_default();
    if slice.metadata.name.is_none() {
        slice.metadata = ObjectMeta {
            namespace: meta.namespace.clone(),
            generate_name: Some(format!("{name}-")),
            owner_references: Some(vec![owners::reference_to(endpoints)]),
            ..ObjectMeta::default()
        };
    }
    let labels = slice.metadata.labels.insert(meta.labels.clone().unwrap_or_default());
    labels.insert(SERVICE_NAME.to_owned(), name);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !NOT_MIRRORED.contains(&key.as_str()));
    slice.metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
    slice.address_type = mirror.family.as_str().to_owned();
    slice.ports = Some(mirror.ports).filter(|ports| !ports.is_empty());
    slice.endpoints = Some(mirror.endpoints);
    slice
}

impl Reconcile for MirroredEndpoints {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        if !self.outstanding.is_settled(key, &self.informers.endpoint_slices, |_| None) {
            return Ok(Next::After(OUTSTANDING_MAX));
        }
        let slices = self.informers.endpoint_slices.by_index(BY_SERVICE, &key.to_string());
        let is_present = |slice: &&Arc<EndpointSlice>| is_ours(slice) && slice.metadata.deletion_timestamp.is_none();
        let slices: Vec<_> = slices.iter().filter(is_present).map(|slice| (**slice).clone()).collect();
        let service = self.informers.services.get(&key.namespace, &key.name);
        let endpoints = self.informers.endpoints.get(&key.namespace, &key.name);
        let mirrored = endpoints
            .filter(|endpoints| is_to_be_mirrored(endpoints) && service.is_some_and(|service| !has_selector(&service)));
        let plan = match mirrored {
            Some(endpoints) => {
                let (mirrors, n_skipped) = mirrors(&endpoints);
                let plan = plan(&endpoints, mirrors, slices);
                self.tell_of_skipped(&endpoints, n_skipped);
                plan
            }
            None => Plan { delete: slices, ..Plan::default() },
        };
        plan.carry_out(&self.client, &self.outstanding, key).await?;
        Ok(Next::Change)
    }
}

impl MirroredEndpoints {
    fn tell_of_skipped(&self, endpoints: &Endpoints, n_skipped: usize) {
        if n_skipped > 0 {
            let text = format!(
                "A max of {ADDRESSES_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset. \
                 {n_skipped} addresses were skipped"
            );
            self.recorder.event(endpoints, EventType::Warning, "TooManyAddressesToMirror", text);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn endpoints(subsets: Value) -> Endpoints {
        serde_json::from_value(json!({
            "metadata": {"name": "m", "namespace": "default", "uid": "e", "labels": {"x": "y"},
                "annotations": {"note": "1", NOT_MIRRORED[1]: "{}"}},
            "subsets": subsets,
        }))
        .unwrap()
    }

    fn planned(endpoints: &Endpoints, slices: Vec<EndpointSlice>) -> Plan {
        plan(endpoints, mirrors(endpoints).0, slices)
    }

    fn named(name: &str, mut slice: EndpointSlice) -> EndpointSlice {
        slice.metadata.name = Some(name.to_owned());
        slice
    }

    fn addresses_of(slice: &EndpointSlice) -> Vec<(&str, bool)> {
        let of = |endpoint: &'_ Endpoint| endpoint.conditions.as_ref().unwrap().ready.unwrap();
        slice.endpoints.as_ref().unwrap().iter().map(|e| (e.addresses[0].as_str(), of(e))).collect()
    }

    #[test]
    fn a_subset_becomes_a_slice_of_each_family() {
        let object = endpoints(json!([{
            "addresses": [{"ip": "192.0.2.10", "hostname": "h"}, {"ip": "2001:db8::1"}],
            "notReadyAddresses": [{"ip": "192.0.2.11"}],
            "ports": [{"port": 8080, "protocol": "TCP"}],
        }]));
        let plan = planned(&object, Vec::new());
        assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), (2, 0, 0));
        assert_eq!(addresses_of(&plan.create[0]), [("192.0.2.10", true), ("192.0.2.11", false)]);
        assert_eq!(addresses_of(&plan.create[1]), [("2001:db8::1", true)]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&plan.create[1]).unwrap(), @r#"
        {
          "apiVersion": "discovery.k8s.io/v1",
          "kind": "EndpointSlice",
          "addressType": "IPv6",
          "endpoints": [
            {
              "addresses": [
                "2001:db8::1"
              ],
              "conditions": {
                "ready": true
              }
            }
          ],
          "metadata": {
            "annotations": {
              "note": "1"
            },
            "generateName": "m-",
            "labels": {
              "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
              "kubernetes.io/service-name": "m",
              "x": "y"
            },
            "namespace": "default",
            "ownerReferences": [
              {
                "apiVersion": "v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "Endpoints",
                "name": "m",
                "uid": "e"
              }
            ]
          },
          "ports": [
            {
              "name": "",
              "port": 8080,
              "protocol": "TCP"
            }
          ]
        }
        "#);
    }

    #[test]
    fn a_mirror_that_is_right_stays_and_what_changed_changes_in_place() {
        let one =
            |port: i32| json!([{"addresses": [{"ip": "192.0.2.10"}], "ports": [{"port": port, "protocol": "TCP"}]}]);
        let slice = named("m-1", planned(&endpoints(one(80)), Vec::new()).create.remove(0));
        let same = planned(&endpoints(one(80)), vec![slice.clone()]);
        assert_eq!((same.create.len(), same.update.len(), same.delete.len()), (0, 0, 0));
        let moved = planned(&endpoints(one(81)), vec![slice.clone()]);
        assert_eq!((moved.create.len(), moved.update.len(), moved.delete.len()), (0, 1, 0));
        assert_eq!(moved.update[0].metadata.name.as_deref(), Some("m-1"));
        let emptied = planned(&endpoints(json!([])), vec![slice]);
        assert_eq!((emptied.create.len(), emptied.update.len(), emptied.delete.len()), (0, 0, 1));
    }

    #[test]
    fn too_many_addresses_of_a_subset_are_skipped_and_counted() {
        let address = |n: usize| json!({"ip": format!("10.0.{}.{}", n / 250, n % 250)});
        let all: Vec<Value> = (0..1003).map(address).collect();
        let (mirrors, n_skipped) = mirrors(&endpoints(json!([{"addresses": all, "ports": [{"port": 80}]}])));
        assert_eq!((mirrors[0].endpoints.len(), n_skipped), (1000, 3));
    }

    #[test]
    fn locks_and_what_asks_to_be_left_alone_are_not_mirrored() {
        assert!(is_to_be_mirrored(&endpoints(json!([]))));
        let mut skipped = endpoints(json!([]));
        skipped.metadata.labels.get_or_insert_default().insert(SKIP_MIRROR.to_owned(), "true".to_owned());
        let mut lock = endpoints(json!([]));
        lock.metadata.annotations.get_or_insert_default().insert(LEADER.to_owned(), "{}".to_owned());
        assert!(!is_to_be_mirrored(&skipped) && !is_to_be_mirrored(&lock));
    }

    #[test]
    fn a_service_matters_when_its_selector_comes_or_goes() {
        let service = |selector: Value| {
            let service: Service = serde_json::from_value(json!({"spec": {"selector": selector}})).unwrap();
            Some(Arc::new(service))
        };
        let (with, without) = (service(json!({"a": "b"})), service(json!(null)));
        let n_keys = |old: &Option<Arc<Service>>, new: &Option<Arc<Service>>| {
            keys_of_service(&Change { key: Key::new("default", "m"), old: old.clone(), new: new.clone() }).len()
        };
        assert_eq!([n_keys(&with, &without), n_keys(&without, &with), n_keys(&None, &without)], [1, 1, 1]);
        assert_eq!([n_keys(&without, &None), n_keys(&without, &without), n_keys(&None, &with)], [1, 0, 0]);
    }
}
