//! Keeps the EndpointSlices of a Service. It never touches slices that others manage.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use coracle_client::{EventType, Key, Recorder};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;

use super::address::{self, Family};
use super::pack::{self, Group, Packed};
use super::topology::{self, Shares};
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{BY_SERVICE, Informers, SERVICE_NAME};
use crate::labels::Labels;
use crate::outstanding::{OUTSTANDING_MAX, Outstanding};
use crate::{Error, labels, owners, pods};

pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";
const ZONE: &str = "topology.kubernetes.io/zone";

pub(crate) struct EndpointSlices {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) outstanding: Outstanding,
    pub(crate) recorder: Recorder,
    /// Services whose endpoints are meant for zones by these zones' shares.
    pub(crate) shared_out: Mutex<HashSet<Key>>,
}

/// The service that a slice of ours belongs to.
pub(crate) fn key_of_slice(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    is_ours(slice).then(|| Key::new(slice.metadata.namespace.as_deref().unwrap_or_default(), name))
}

pub(super) fn is_ours(slice: &EndpointSlice) -> bool {
    slice.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == MANAGER)
}

/// The zone that a node says it is in.
pub(crate) fn zone_of(node: Option<&Node>) -> Option<&String> {
    node?.metadata.labels.as_ref()?.get(ZONE)
}

struct View<'a> {
    service: &'a Service,
    /// The pods that the service selects.
    pods: &'a [Arc<Pod>],
    node: &'a dyn Fn(&str) -> Option<Arc<Node>>,
    slices: Vec<EndpointSlice>,
    /// The zones' shares, if they can be told.
    shares: Option<&'a Shares>,
    /// Whether the endpoints were meant for zones by these when it was last looked at.
    is_shared_out: bool,
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<EndpointSlice>,
    pub(super) is_shared_out: bool,
    pub(super) told: Vec<Told>,
}

/// What is told of the hints by zones' shares: that there are some now, or why there are none.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    enabled: bool,
    message: String,
}

fn plan(view: View<'_>) -> Plan {
    let mut plan = Plan { is_shared_out: view.is_shared_out, ..Plan::default() };
    if view.service.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let families = address::families(view.service);
    let mut slices = view.slices.clone();
    for family in families {
        let (of_family, others) = slices.into_iter().partition(|slice| slice.address_type == family.as_str());
        slices = others;
        plan_family(&view, family, of_family, &mut plan);
    }
    plan.delete.extend(slices);
    plan
}

fn plan_family(view: &View<'_>, family: Family, slices: Vec<EndpointSlice>, plan: &mut Plan) {
    let mut groups = groups(view, family);
    if groups.is_empty() {
        groups.push(Group::default());
    }
    let is_empty = groups.iter().all(|group| group.endpoints.is_empty());
    let (mut packed, mut unused) = if is_empty { (Vec::new(), slices) } else { pack::pack(groups, slices) };
    if is_empty {
        // One empty slice says that there is nothing, which is not the same as not knowing.
        let of = if unused.is_empty() { None } else { Some(unused.remove(0)) };
        packed.push(pack::Packed { of, group: Group::default() });
    }
    share_out(view, family, &mut packed, plan);
    for packed in packed {
        let is_new = packed.of.is_none();
        let mut current = packed.of.unwrap_or_default();
        // Empty and absent are one to a slice, whichever the server prefers.
        current.endpoints = current.endpoints.filter(|endpoints| !endpoints.is_empty());
        current.ports = current.ports.filter(|ports| !ports.is_empty());
        let slice = slice(view.service, family, current.clone(), packed.group);
        match (is_new, slice == current) {
            (true, _) => plan.create.push(slice),
            (false, false) => plan.update.push(slice),
            (false, true) => {}
        }
    }
    plan.delete.append(&mut unused);
}

/// Gives the endpoints to zones by their shares, where the service asks for that.
fn share_out(view: &View<'_>, family: Family, packed: &mut [Packed], plan: &mut Plan) {
    let was_shared_out = std::mem::replace(&mut plan.is_shared_out, false);
    let told = if topology::is_asked_for(view.service) {
        match topology::assign(packed, view.shares) {
            Ok(()) => {
                plan.is_shared_out = true;
                (!was_shared_out).then(|| (true, "Topology Aware Hints has been enabled".to_owned()))
            }
            Err(without) => {
                packed.iter_mut().flat_map(|packed| &mut packed.group.endpoints).for_each(|e| e.hints = None);
                Some((false, without.to_string()))
            }
        }
    } else {
        let is_ended = was_shared_out && distribution(view.service).is_none();
        is_ended.then(|| (false, "Topology Aware Hints has been disabled".to_owned()))
    };
    let told = told.map(|(enabled, what)| (enabled, format!("{what}, addressType: {}", family.as_str())));
    plan.told.extend(told.map(|(enabled, message)| Told { enabled, message }));
}

/// Endpoints by the ports that the service's ports mean for them.
fn groups(view: &View<'_>, family: Family) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for pod in view.pods {
        let Some(endpoint) = endpoint(view, pod, family) else { continue };
        let ports = ports(view.service, pod);
        let text = serde_json::to_string(&ports).expect("ports can be written");
        let group = groups.entry(text).or_insert_with(|| Group { ports, endpoints: Vec::new() });
        group.endpoints.push(endpoint);
    }
    groups.into_values().collect()
}

fn ports(service: &Service, pod: &Pod) -> Option<Vec<EndpointPort>> {
    let wanted = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(address::port(pod, port)?),
            protocol: Some(address::protocol(port).to_owned()),
            app_protocol: port.app_protocol.clone(),
        })
    };
    Some(wanted.filter_map(port).collect::<Vec<_>>()).filter(|ports| !ports.is_empty())
}

fn endpoint(view: &View<'_>, pod: &Pod, family: Family) -> Option<Endpoint> {
    let address = address::address(pod, family).filter(|_| !pods::is_finished(pod))?;
    let publishes_not_ready = super::publishes_not_ready(view.service);
    let node = (view.node)(pods::node_name(pod));
    if node.is_none() && !publishes_not_ready {
        return None;
    }
    let (is_serving, is_ending) = (pods::is_ready(pod), pods::is_ending(pod));
    let zone = zone_of(node.as_deref()).cloned();
    let is_ready = publishes_not_ready || (is_serving && !is_ending);
    let node_name = address::node_name(pod);
    Some(Endpoint {
        addresses: vec![address.to_owned()],
        hints: hints(view.service, zone.as_ref(), node_name.as_ref()).filter(|_| is_ready),
        conditions: Some(EndpointConditions {
            ready: Some(is_ready),
            serving: Some(is_serving),
            terminating: Some(is_ending),
        }),
        hostname: address::hostname(pod, view.service),
        node_name,
        target_ref: Some(address::reference(pod)),
        zone,
        ..Endpoint::default()
    })
}

/// For whom an endpoint is meant before others, as the service's `trafficDistribution` has it.
fn hints(service: &Service, zone: Option<&String>, node: Option<&String>) -> Option<EndpointHints> {
    let node = match distribution(service)? {
        "PreferSameNode" => node,
        "PreferClose" | "PreferSameZone" => None,
        _ => return None,
    };
    let hints = EndpointHints {
        for_zones: zone.map(|name| vec![ForZone { name: name.clone() }]),
        for_nodes: node.map(|name| vec![ForNode { name: name.clone() }]),
    };
    (hints != EndpointHints::default()).then_some(hints)
}

/// The service's `trafficDistribution`, unless an annotation asks for hints by the zones' shares.
fn distribution(service: &Service) -> Option<&str> {
    let distribution = service.spec.as_ref()?.traffic_distribution.as_deref();
    distribution.filter(|_| !topology::is_asked_for(service))
}

fn slice(service: &Service, family: Family, mut slice: EndpointSlice, group: Group) -> EndpointSlice {
    let name = service.metadata.name.clone().unwrap_or_default();
    if slice.metadata.name.is_none() {
        slice.metadata = ObjectMeta {
            namespace: service.metadata.namespace.clone(),
            generate_name: Some(format!("{name}-")),
            owner_references: Some(vec![owners::reference_to(service)]),
            ..ObjectMeta::default()
        };
    }
    let mut labels: Labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if super::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), name);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    slice.metadata.labels = Some(labels);
    slice.address_type = family.as_str().to_owned();
    slice.endpoints = Some(group.endpoints).filter(|endpoints| !endpoints.is_empty());
    slice.ports = group.ports;
    slice
}

impl Reconcile for EndpointSlices {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(service) = self.informers.services.get(&key.namespace, &key.name) else {
            self.shared_out.lock().remove(key);
            return Ok(Next::Change);
        };
        let Some(selector) = super::selector_of(&service) else { return Ok(Next::Change) };
        if !self.outstanding.is_settled(key, &self.informers.endpoint_slices, |_| None) {
            return Ok(Next::After(OUTSTANDING_MAX));
        }
        let pods = self.informers.selected_pods(&key.namespace, &labels::selector_of_labels(selector));
        let slices = self.informers.endpoint_slices.by_index(BY_SERVICE, &key.to_string());
        let is_present = |slice: &&Arc<EndpointSlice>| is_ours(slice) && slice.metadata.deletion_timestamp.is_none();
        let slices = slices.iter().filter(is_present).map(|slice| (**slice).clone()).collect();
        let node = |name: &str| self.informers.nodes.get("", name);
        let asks = topology::is_asked_for(&service);
        let shares = asks.then(|| topology::shares(&self.informers.nodes.list())).flatten();
        let is_shared_out = self.shared_out.lock().contains(key);
        let view = View { service: &service, pods: &pods, node: &node, slices, shares: shares.as_ref(), is_shared_out };
        let plan = plan(view);
        self.tell(&service, key, &plan);
        plan.carry_out(&self.client, &self.outstanding, key).await?;
        Ok(Next::Change)
    }
}

impl EndpointSlices {
    fn tell(&self, service: &Service, key: &Key, plan: &Plan) {
        for Told { enabled, message } in &plan.told {
            let (kind, reason) = match enabled {
                true => (EventType::Normal, "TopologyAwareHintsEnabled"),
                false => (EventType::Warning, "TopologyAwareHintsDisabled"),
            };
            self.recorder.event(service, kind, reason, message.clone());
        }
        let mut shared_out = self.shared_out.lock();
        if plan.is_shared_out {
            shared_out.insert(key.clone());
        } else {
            shared_out.remove(key);
        }
    }
}

impl Plan {
    pub(super) async fn carry_out(self, client: &Client, outstanding: &Outstanding, key: &Key) -> Result<(), Error> {
        let api: Api<EndpointSlice> = Api::namespaced(client.clone(), &key.namespace);
        for slice in self.create {
            let answer = api.create(&PostParams::default(), &slice).await;
            match answer {
                Err(error) if crate::template::is_namespace_ending(&error) => return Ok(()),
                answer => {
                    let written = answer.map_err(Error::at("create a slice of", key.clone()))?;
                    outstanding.wrote(key, &written.metadata);
                }
            }
        }
        for slice in self.update {
            let subject = Key::of(&slice.metadata);
            let answer = api.replace(&subject.name, &PostParams::default(), &slice).await;
            let written = answer.map_err(Error::at("update", subject))?;
            outstanding.wrote(key, &written.metadata);
        }
        for slice in self.delete {
            let subject = Key::of(&slice.metadata);
            let answer = api.delete(&subject.name, &DeleteParams::default()).await;
            answer.unless_gone().map_err(Error::at("delete", subject))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
