//! Keeps a zone in step with the API server, and answers the fabric from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use coracle_client::{Change, Informer, Key};
use coracle_net::{Answer, Names, PodIdentity};
use coracle_stdx::{CancellationToken, Gate, Scope};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::message::{self, Transport};
use crate::record::Record;
use crate::server::{self, Server};
use crate::zone::{Zone, service_of};

/// The zone as the fabric reads it.
#[derive(Debug)]
pub(crate) struct Current {
    zone: ArcSwap<Zone>,
    /// Who is asked for what is not the cluster's, when a guest asks by itself.
    upstream: Vec<SocketAddr>,
}

impl Current {
    pub(crate) fn new(zone: Zone) -> Self {
        Self { zone: ArcSwap::from_pointee(zone), upstream: Vec::new() }
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Zone>> {
        self.zone.load()
    }
}

#[async_trait]
impl Names for Current {
    fn resolve(&self, from: &PodIdentity, name: &str) -> Answer {
        self.zone.load().resolve(&from.namespace, name)
    }

    async fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        server::answer(&self.zone.load_full(), &self.upstream, query, Transport::Udp).await
    }

    fn query(&self, name: &str, v4: bool) -> Option<Vec<u8>> {
        message::query(name, v4)
    }

    fn addresses_in(&self, answer: &[u8]) -> Vec<IpAddr> {
        message::addresses_in(answer)
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
        Self::asking(services, slices, domain, Vec::new())
    }

    /// The same; guests that ask by themselves for what is not the cluster's are answered by `upstream`.
    pub fn asking(
        services: Informer<Service>,
        slices: Informer<EndpointSlice>,
        domain: &str,
        upstream: Vec<SocketAddr>,
    ) -> Self {
        let current = Arc::new(Current { upstream, ..Current::new(Zone::empty(domain)) });
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
            self.current.zone.store(Arc::new(known.next_zone(&self.current.zone.load())));
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
