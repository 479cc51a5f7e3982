//! Keeps a zone in step with the API server, and answers the fabric from it.

use std::collections::{BTreeSet, HashMap};
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
            let next = known.next_zone(&self.current.zone.load());
            if let Some(zone) = next {
                self.current.zone.store(Arc::new(zone));
            }
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
    /// Of each service, by their names.
    slices: HashMap<Key, Vec<Arc<EndpointSlice>>>,
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
                self.forget_slice(&service, &key.name);
                self.stale.insert(service);
            }
            if let Some((service, slice)) = new.and_then(|slice| Some((service_of(&slice)?, slice))) {
                let slices = self.slices.entry(service.clone()).or_default();
                let idx = slices.partition_point(|known| known.metadata.name < slice.metadata.name);
                slices.reserve_exact(1);
                slices.insert(idx, slice);
                self.stale.insert(service);
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

    /// The zone that follows, when any name leads elsewhere than before: most changes are of endpoints that no name shows,
    /// and a copy of a large zone for each of them is dear.
    fn next_zone(&mut self, zone: &Zone) -> Option<Zone> {
        let mut next = None;
        for key in std::mem::take(&mut self.stale) {
            let record = self.record(&key);
            if zone.record(&key) != record.as_ref() {
                next.get_or_insert_with(|| zone.clone()).set(key, record);
            }
        }
        next
    }

    fn record(&self, key: &Key) -> Option<Record> {
        let slices: Vec<&EndpointSlice> = self.slices.get(key).into_iter().flatten().map(|slice| &**slice).collect();
        Record::new(self.services.get(key)?, &slices)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change<K>(name: &str, object: K) -> Vec<Change<K>> {
        vec![Change { key: Key::new("shop", name), old: None, new: Some(Arc::new(object)) }]
    }

    fn service(name: &str, ip: &str) -> Vec<Change<Service>> {
        let object = json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"clusterIP": ip}});
        change(name, serde_json::from_value(object).unwrap())
    }

    fn slice(name: &str, ip: &str) -> Vec<Change<EndpointSlice>> {
        let labels = json!({"kubernetes.io/service-name": name});
        let endpoints = json!([{"addresses": [ip]}]);
        let metadata = json!({"namespace": "shop", "name": name, "labels": labels});
        let object = json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints});
        change(name, serde_json::from_value(object).unwrap())
    }

    #[test]
    fn only_what_a_name_shows_makes_another_zone() {
        let mut known = Known::default();
        known.hear_of_services(service("web", "10.96.0.2"));
        known.hear_of_services(service("db", "None"));
        let zone = known.next_zone(&Zone::empty("cluster.local")).expect("there are two services more");
        known.hear_of_slices(slice("web", "10.244.1.2"));
        assert!(known.next_zone(&zone).is_none(), "no name leads to the endpoints of a ClusterIP");
        known.hear_of_slices(slice("db", "10.244.1.3"));
        let zone = known.next_zone(&zone).expect("a headless service has another endpoint");
        let found = Answer::Addresses(vec!["10.244.1.3".parse().unwrap()]);
        assert_eq!(zone.resolve("shop", "db"), found);
    }
}
