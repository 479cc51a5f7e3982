//! Gives Services of type LoadBalancer their addresses: of a pool if there is one, else the nodes' own. It opens nothing:
//! the nodes' proxies listen where the status says.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coracle_client::{EventType, Key, Recorder};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;

use self::plan::{Plan, Source, plan};
use crate::Error;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::{BY_SERVICE, Informers};
use crate::nodes::{READY, condition_status};

/// Nodes with this label take no traffic for load balancers.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

pub(crate) struct LoadBalancers {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) pools: Vec<IpNet>,
    /// What services were given and the cache may not show yet.
    pub(crate) given: Mutex<BTreeMap<Key, Vec<LoadBalancerIngress>>>,
}

impl Reconcile for LoadBalancers {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(service) = self.informers.services.get(&key.namespace, &key.name) else {
            self.given.lock().remove(key);
            return Ok(Next::Change);
        };
        let others = self.others(key);
        let source = match self.pools.as_slice() {
            [] => Source::Nodes(self.addresses(&service, key)),
            pools => Source::Pools(pools),
        };
        match plan(&service, &others, &source) {
            Plan::Nothing => {}
            Plan::Write(ingress) => self.write(&service, key, ingress).await?,
            Plan::Refuse(why) => {
                self.recorder.event(&*service, EventType::Warning, "SyncLoadBalancerFailed", why);
            }
        }
        Ok(Next::Change)
    }
}

impl LoadBalancers {
    /// All services but this one, with what they were given last.
    fn others(&self, key: &Key) -> Vec<Service> {
        let given = self.given.lock();
        let others = self.informers.services.list().into_iter().filter(|other| Key::of(&other.metadata) != *key);
        let known = others.map(|other| match given.get(&Key::of(&other.metadata)) {
            Some(ingress) => plan::with_ingress(&other, ingress.clone()),
            None => (*other).clone(),
        });
        known.filter(plan::is_ours).collect()
    }

    /// Where nodes are that serve it: for a local policy, those that have an endpoint that is ready.
    fn addresses(&self, service: &Service, key: &Key) -> Vec<String> {
        let is_local = service.spec.as_ref().and_then(|spec| spec.external_traffic_policy.as_deref()) == Some("Local");
        let serving: BTreeSet<String> = match is_local {
            true => self.serving_nodes(key),
            false => BTreeSet::new(),
        };
        let nodes = self.informers.nodes.list();
        let is_in = |node: &&Arc<k8s_openapi::api::core::v1::Node>| {
            let labels = node.metadata.labels.as_ref();
            condition_status(node, READY) == "True"
                && labels.is_none_or(|labels| !labels.contains_key(EXCLUDED))
                && (!is_local || node.metadata.name.as_ref().is_some_and(|name| serving.contains(name)))
        };
        let all: BTreeSet<String> = nodes.iter().filter(is_in).flat_map(|node| plan::addresses_of(node)).collect();
        all.into_iter().collect()
    }

    fn serving_nodes(&self, key: &Key) -> BTreeSet<String> {
        let slices = self.informers.endpoint_slices.by_index(BY_SERVICE, &key.to_string());
        let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let is_ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
        };
        endpoints.filter(is_ready).filter_map(|endpoint| endpoint.node_name.clone()).collect()
    }

    async fn write(&self, service: &Service, key: &Key, ingress: Vec<LoadBalancerIngress>) -> Result<(), Error> {
        let balancer = if ingress.is_empty() { json!({"ingress": null}) } else { json!({"ingress": ingress}) };
        let patch = json!({"metadata": {"uid": service.metadata.uid}, "status": {"loadBalancer": balancer}});
        let api: Api<Service> = Api::namespaced(self.client.clone(), &key.namespace);
        let answer = api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        answer.unless_gone().map_err(Error::at("give addresses to service", key.clone()))?;
        if !ingress.is_empty() {
            self.recorder.event(service, EventType::Normal, "EnsuredLoadBalancer", "Ensured load balancer");
        }
        self.given.lock().insert(key.clone(), ingress);
        Ok(())
    }
}

/// All services that have or want addresses: what happens to one may concern the others.
pub(crate) fn concerned(services: &coracle_client::Informer<Service>) -> Vec<Key> {
    let all = services.list();
    all.iter().filter(|service| plan::is_ours(service)).map(|service| Key::of(&service.metadata)).collect()
}
