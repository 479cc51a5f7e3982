//! Keeps a zone in step with the API server, and answers the fabric from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use coracle_client::{Change, Informer, Key};
use coracle_net::{Answer, Names, PodIdentity};
use coracle_stdx::{CancellationToken, Gate, Scope};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::record::Record;
use crate::server::Server;
use crate::zone::{Zone, service_of};

/// The zone as the fabric reads it.
#[derive(Debug)]
pub(crate) struct Current(ArcSwap<Zone>);

impl Current {
    pub(crate) fn new(zone: Zone) -> Self {
        Self(ArcSwap::from_pointee(zone))
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Zone>> {
        self.0.load()
    }
}

impl Names for Current {
    fn resolve(&self, from: &PodIdentity, name: &str) -> Answer {
        self.0.load().resolve(&from.namespace, name)
    }
}

/// The names of a cluster, kept up to date. One serves every node of a process.
pub struct ClusterNames {
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    current: Arc<Current>,
    ready: Gate,
}

impl ClusterNames {
    /// Names below `domain`, from informers of all namespaces, which may be shared.
    pub fn new(services: Informer<Service>, slices: Informer<EndpointSlice>, domain: &str) -> Self {
        let current = Arc::new(Current::new(Zone::empty(domain)));
        Self { services, slices, current, ready: Gate::new() }
    }

    /// What a fabric asks.
    pub fn names(&self) -> Arc<dyn Names> {
        self.current.clone()
    }

    /// Listens on `address`, UDP and TCP, to answer others; what is not the cluster's is asked of `upstream`.
    pub async fn listen(&self, address: SocketAddr, upstream: Vec<SocketAddr>) -> std::io::Result<Server> {
        Server::bind(address, self.current.clone(), upstream).await
    }

    /// Opens when the names first hold what the API server knows.
    pub fn ready(&self) -> Gate {
        self.ready.clone()
    }

    /// Follows the API server until `token` is cancelled. Starts the informers, unless they run.
    pub async fn run(self, token: CancellationToken) {
        let mut scope = Scope::<Infallible>::child_of(&token);
        self.services.start(&mut scope);
        self.slices.start(&mut scope);
        scope.spawn(|token| async move {
            token.run_until_cancelled(self.follow()).await;
            Ok(())
        });
        let Ok(()) = scope.join().await;
    }

    async fn follow(self) {
        self.services.synced().await;
        self.slices.synced().await;
        let (mut services, mut slices) = (self.services.subscribe(), self.slices.subscribe());
        let mut known = Known::default();
        known.hear_of_services(services.take());
        known.hear_of_slices(slices.take());
        loop {
            self.current.0.store(Arc::new(known.next_zone(&self.current.0.load())));
            self.ready.open();
            tokio::select! {
                changes = services.next() => known.hear_of_services(changes),
                changes = slices.next() => known.hear_of_slices(changes),
            }
        }
    }
}

/// Services and slices as last heard, and which services' records are out of date.
#[derive(Debug, Default)]
struct Known {
    services: HashMap<Key, Arc<Service>>,
    slices: HashMap<Key, BTreeMap<String, Arc<EndpointSlice>>>,
    stale: BTreeSet<Key>,
}

impl Known {
    fn hear_of_services(&mut self, changes: Vec<Change<Service>>) {
        for Change { key, new, .. } in changes {
            match new {
                Some(service) => self.services.insert(key.clone(), service),
                None => self.services.remove(&key),
            };
            self.stale.insert(key);
        }
    }

    fn hear_of_slices(&mut self, changes: Vec<Change<EndpointSlice>>) {
        for Change { key, old, new } in changes {
            if let Some(service) = old.as_deref().and_then(service_of) {
                if let Some(slices) = self.slices.get_mut(&service) {
                    slices.remove(&key.name);
                }
                self.stale.insert(service);
            }
            if let Some((service, slice)) = new.and_then(|slice| Some((service_of(&slice)?, slice))) {
                self.slices.entry(service.clone()).or_default().insert(key.name, slice);
                self.stale.insert(service);
            }
        }
        self.slices.retain(|_, slices| !slices.is_empty());
    }

    fn next_zone(&mut self, zone: &Zone) -> Zone {
        let mut zone = zone.clone();
        for key in std::mem::take(&mut self.stale) {
            let slices: Vec<&EndpointSlice> =
                self.slices.get(&key).into_iter().flat_map(|slices| slices.values()).map(|slice| &**slice).collect();
            let record = self.services.get(&key).and_then(|service| Record::new(service, &slices));
            zone.set(key, record);
        }
        zone
    }
}
