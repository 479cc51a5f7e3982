//! What the API server says of services and their endpoints, grouped by service. It decides nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use coracle_client::{Change, Key};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The service that a slice belongs to.
pub(crate) fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name))
}

/// Drops what no node reads of a slice: it is kept for as long as there is one.
pub fn trim(slice: &mut EndpointSlice) {
    let metadata = &mut slice.metadata;
    (metadata.annotations, metadata.owner_references, metadata.generate_name) = (None, None, None);
    if let Some(labels) = &mut metadata.labels {
        labels.retain(|label, _| label == SERVICE_NAME);
    }
    for endpoint in slice.endpoints.iter_mut().flatten() {
        (endpoint.target_ref, endpoint.deprecated_topology) = (None, None);
        endpoint.addresses.shrink_to_fit();
    }
    if let Some(endpoints) = &mut slice.endpoints {
        endpoints.shrink_to_fit();
    }
}

/// Services and slices as last heard.
#[derive(Debug, Default)]
pub(crate) struct World {
    services: HashMap<Key, Arc<Service>>,
    /// Of each service, by their names.
    slices: HashMap<Key, Vec<Arc<EndpointSlice>>>,
}

impl World {
    pub(crate) fn service(&self, key: &Key) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = Key> {
        self.services.keys().cloned()
    }

    pub(crate) fn slices(&self, service: &Key) -> Vec<&EndpointSlice> {
        self.slices.get(service).into_iter().flatten().map(|slice| &**slice).collect()
    }

    /// Takes in what changed, and adds to `stale` whose rows that concerns.
    pub(crate) fn hear_of_services(&mut self, changes: Vec<Change<Service>>, stale: &mut BTreeSet<Key>) {
        for change in changes {
            match change.new {
                Some(service) => self.services.insert(change.key.clone(), service),
                None => self.services.remove(&change.key),
            };
            stale.insert(change.key);
        }
    }

    /// As [`World::hear_of_services`], for slices.
    pub(crate) fn hear_of_slices(&mut self, changes: Vec<Change<EndpointSlice>>, stale: &mut BTreeSet<Key>) {
        for Change { key, old, new } in changes {
            if let Some(service) = old.as_deref().and_then(service_of) {
                self.forget_slice(&service, &key.name);
                stale.insert(service);
            }
            if let Some((service, slice)) = new.and_then(|slice| Some((service_of(&slice)?, slice))) {
                let slices = self.slices.entry(service.clone()).or_default();
                let idx = slices.partition_point(|known| known.metadata.name < slice.metadata.name);
                slices.reserve_exact(1);
                slices.insert(idx, slice);
                stale.insert(service);
            }
        }
    }

    fn forget_slice(&mut self, service: &Key, name: &str) {
        if let Some(slices) = self.slices.get_mut(service) {
            slices.retain(|slice| slice.metadata.name.as_deref() != Some(name));
            if slices.is_empty() {
                self.slices.remove(service);
            }
        }
    }
}
