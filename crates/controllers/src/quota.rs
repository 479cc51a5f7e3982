//! Counts what namespaces use of their quotas: what the API charges for creations is only ever given back here.
//!
//! **Invariant:** a count is stored only over the quota as it was before counting. Whatever was charged meanwhile makes
//! the write fail, and the count begins again.

mod recount;

use std::sync::Arc;
use std::time::Duration;

use coracle_api::quota::{self, Amounts, Counted};
use coracle_client::{Change, Informer, Key};
use coracle_stdx::Clock;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, Service};
use kube::api::{ListParams, PostParams};
use kube::core::{DynamicObject, NamespaceResourceScope};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::{Error, discovery, pods};

/// Nothing is forgotten for longer than this.
const RESYNC: Duration = Duration::from_secs(300);

pub(crate) struct Quotas {
    pub(crate) client: Client,
    pub(crate) clock: Clock,
}

/// A quota is looked at when it is new or bounds something else; its usage is written by others too.
pub(crate) fn keys_of_quota(change: &Change<ResourceQuota>) -> Vec<Key> {
    let hard = |quota: &Arc<ResourceQuota>| quota.status.as_ref().and_then(|status| status.hard.clone());
    let is_same = match (&change.old, &change.new) {
        (Some(old), Some(new)) => old.spec == new.spec && hard(old) == hard(new),
        _ => false,
    };
    if is_same { Vec::new() } else { vec![change.key.clone()] }
}

/// The quotas of a namespace in which something went.
pub(crate) fn keys_in(quotas: &Informer<ResourceQuota>, namespace: &str) -> Vec<Key> {
    quotas.in_namespace(namespace).iter().map(|quota| Key::of(&quota.metadata)).collect()
}

/// A pod gives back what it had when it ends.
pub(crate) fn keys_of_pod(quotas: &Informer<ResourceQuota>, change: &Change<Pod>) -> Vec<Key> {
    let has_ended = |pod: &Option<Arc<Pod>>| pod.as_ref().is_none_or(|pod| pods::is_finished(pod));
    let ended = has_ended(&change.new) && change.old.as_ref().is_some_and(|pod| !pods::is_finished(pod));
    if ended { keys_in(quotas, &change.key.namespace) } else { Vec::new() }
}

/// A service gives back its ports when it becomes another.
pub(crate) fn keys_of_service(quotas: &Informer<ResourceQuota>, change: &Change<Service>) -> Vec<Key> {
    let differs = match (&change.old, &change.new) {
        (Some(old), Some(new)) => old.spec != new.spec,
        (old, new) => new.is_none() && old.is_some(),
    };
    if differs { keys_in(quotas, &change.key.namespace) } else { Vec::new() }
}

impl Reconcile for Quotas {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let api: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &key.namespace);
        let found = api.get_opt(&key.name).await.map_err(Error::at("read", key.clone()))?;
        let Some(quota) = found.filter(|quota| quota.metadata.deletion_timestamp.is_none()) else {
            return Ok(Next::Change);
        };
        let counted = self.count(&quota, key).await?;
        if let Some(counted) = recount::updated(&quota, &counted) {
            let answer = api.replace_status(&key.name, &PostParams::default(), &counted).await;
            answer.unless_gone().map_err(Error::at("count for", key.clone()))?;
        }
        Ok(Next::After(RESYNC))
    }
}

impl Quotas {
    /// What is there now of everything that the quota bounds.
    async fn count(&self, quota: &ResourceQuota, key: &Key) -> Result<Amounts, Error> {
        let hard = recount::hard(quota);
        let mut used = Amounts::new();
        for (group, plural) in recount::kinds(&hard) {
            let counted = Counted { group: &group, plural: &plural };
            let sum = match (group.as_str(), plural.as_str()) {
                ("", "pods") => self.sum::<Pod>(quota, counted, key).await?,
                ("", "services") => self.sum::<Service>(quota, counted, key).await?,
                ("", "persistentvolumeclaims") => self.sum::<PersistentVolumeClaim>(quota, counted, key).await?,
                _ => recount::times(&self.number(&group, &plural, key).await?, counted, &self.clock.now()),
            };
            used = quota::add(&used, &sum);
        }
        Ok(used)
    }

    async fn sum<K>(&self, quota: &ResourceQuota, counted: Counted<'_>, key: &Key) -> Result<Amounts, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + serde::Serialize,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &key.namespace);
        let all = api.list(&ListParams::default()).await.map_err(Error::at("list for", key.clone()))?;
        let objects: Vec<Value> = all.items.iter().map(recount::value).collect();
        Ok(recount::sum(quota, counted, &objects, self.clock.now()))
    }

    /// How many objects of another kind there are: the server says so with the first of them.
    async fn number(&self, group: &str, plural: &str, key: &Key) -> Result<i64, Error> {
        let served = discovery::served(&self.client).await?;
        let is_it = |kind: &&discovery::Served| kind.resource.group == group && kind.resource.plural == plural;
        let Some(kind) = served.iter().find(is_it).filter(|kind| kind.is_namespaced && kind.can("list")) else {
            return Ok(0);
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, &kind.resource);
        let first = ListParams::default().limit(1);
        let page = api.list_metadata(&first).await.map_err(Error::at("count for", key.clone()))?;
        let n_shown = i64::try_from(page.items.len()).unwrap_or(i64::MAX);
        Ok(n_shown + page.metadata.remaining_item_count.unwrap_or(0))
    }
}
