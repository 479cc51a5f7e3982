//! What the API server says of services and their endpoints, grouped by service. It decides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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

/// Services and slices as last heard.
#[derive(Debug, Default)]
pub(crate) struct World {
    services: HashMap<Key, Arc<Service>>,
    slices: HashMap<Key, BTreeMap<String, Arc<EndpointSlice>>>,
}

impl World {
    pub(crate) fn service(&self, key: &Key) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = Key> {
        self.services.keys().cloned()
    }

    pub(crate) fn slices(&self, service: &Key) -> Vec<&EndpointSlice> {
        self.slices.get(service).into_iter().flat_map(|slices| slices.values()).map(|slice| &**slice).collect()
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
            if let Some(service) = new.as_deref().and_then(service_of) {
                self.slices.entry(service.clone()).or_default().extend(new.map(|slice| (key.name, slice)));
                stale.insert(service);
            }
        }
    }

    fn forget_slice(&mut self, service: &Key, name: &str) {
        if let Some(slices) = self.slices.get_mut(service) {
            slices.remove(name);
            if slices.is_empty() {
                self.slices.remove(service);
            }
        }
    }
}
