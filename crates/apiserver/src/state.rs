//! What all requests share.

use std::sync::{Arc, OnceLock};

use axum::Router;
use coracle_api::kind::Resource as ResourceName;
use coracle_api::status::Status;
use coracle_pki::Pki;
use coracle_stdx::{CancellationToken, Scope};
use coracle_store::{KeyValue, ListOptions, Revision, Store};
use parking_lot::Mutex;
use serde_json::Value;

use crate::admission::QuotaTurns;
use crate::authenticate::Tokens;
use crate::config::Config;
use crate::fairness::Fairness;
use crate::kubelets::Kubelets;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::paths::Schemas;
use crate::resources::{Catalog, Resource};
use crate::services::Allocators;
use crate::versions::store_failure;

/// Everything that is the same for every request.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) pki: Pki,
    /// The image registry below `/v2/`.
    pub(crate) registry: Option<Router>,
    pub(crate) catalog: Catalog,
    pub(crate) kubelets: Kubelets,
    /// What is known of kinds that nobody keeps.
    pub(crate) live: Live,
    pub(crate) metrics: Metrics,
    pub(crate) fairness: Fairness,
    pub(crate) allocators: Allocators,
    pub(crate) quota_turns: QuotaTurns,
    pub(crate) tokens: Tokens,
    pub(crate) schemas: Schemas,
    /// Where this server's memory of events begins: nobody has seen a version before it.
    pub(crate) began: OnceLock<Revision>,
    /// The shared streams of events.
    pub(crate) scope: Mutex<Scope>,
    /// Cancelled when the server ends.
    pub(crate) token: CancellationToken,
}

impl State {
    /// The row of a built-in kind.
    pub(crate) fn resource(&self, group: &str, version: &str, plural: &str) -> Arc<Resource> {
        self.catalog.find(group, version, plural).expect("built-in kinds are always served")
    }

    /// What is stored for an object, if it exists.
    pub(crate) async fn stored(
        &self,
        kind: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<KeyValue>, Status> {
        let key = kind.kind.key(namespace, name);
        Ok(self.store.get(&key).await.map_err(|error| store_failure(&error))?.1)
    }

    /// An object, if it exists.
    pub(crate) async fn object(&self, kind: &Resource, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
        Ok(self.stored(kind, namespace, name).await?.map(|kv| kind.decode(&kv)))
    }

    /// An object, or 404.
    pub(crate) async fn existing(&self, kind: &Resource, namespace: &str, name: &str) -> Result<Value, Status> {
        let found = self.object(kind, namespace, name).await?;
        found.ok_or_else(|| Status::not_found(kind.kind.resource(), name))
    }

    /// Every object of a kind below a namespace, or everywhere.
    pub(crate) async fn objects(&self, kind: &Resource, namespace: Option<&str>) -> Result<Vec<Value>, Status> {
        let prefix = kind.kind.prefix(namespace);
        let list = self.store.list(&prefix, ListOptions::default()).await.map_err(|error| store_failure(&error))?;
        Ok(list.items.iter().map(|kv| kind.decode(kv)).collect())
    }

    /// What is stored for every object of a kind in a namespace.
    pub(crate) async fn stored_below(&self, kind: &Resource, namespace: &str) -> Result<Vec<KeyValue>, Status> {
        let prefix = kind.kind.prefix(Some(namespace));
        let list = self.store.list(&prefix, ListOptions::default()).await.map_err(|error| store_failure(&error))?;
        Ok(list.items)
    }

    /// What is stored for at most `limit` objects of a kind in a namespace after the key `after`; and the key to go on
    /// from, when there are more.
    pub(crate) async fn some_below(
        &self,
        kind: &Resource,
        namespace: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<KeyValue>, Option<String>), Status> {
        let prefix = kind.kind.prefix(Some(namespace));
        let options = ListOptions { after, limit: Some(limit), uncounted: true, ..ListOptions::default() };
        let list = self.store.list(&prefix, options).await.map_err(|error| store_failure(&error))?;
        let next = list.items.last().filter(|_| list.more).map(|kv| kv.key.to_string());
        Ok((list.items, next))
    }

    pub(crate) async fn pods_in(&self, namespace: &str) -> Result<Vec<Value>, Status> {
        self.objects(&self.resource("", "v1", "pods"), Some(namespace)).await
    }

    pub(crate) async fn namespace(&self, name: &str) -> Result<Option<KeyValue>, Status> {
        self.stored(&self.resource("", "v1", "namespaces"), "", name).await
    }
}

/// The name of a resource in messages.
pub(crate) fn named<'a>(group: &'a str, name: &'a str) -> ResourceName<'a> {
    ResourceName { group, name }
}
