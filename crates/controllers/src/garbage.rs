//! Deletes what has lost its owners, and lets owners go that wait for their dependents. It works over every kind served.

mod graph;
mod plan;
#[cfg(test)]
pub(crate) mod simulated;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coracle_client::{Change, Informer};
use coracle_stdx::{CancellationToken, Scope};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::{Api, Client};
use parking_lot::RwLock;
use serde_json::json;
use tracing::warn;

use self::graph::{Graph, Tracked};
use self::plan::{Action, Owner, View};
use crate::discovery;
use crate::driver::{Driver, Next, Reconcile};
use crate::error::Tolerate;
use crate::{Error, LoopMetrics};

/// How often the kinds that are served are asked for.
const REDISCOVER: Duration = Duration::from_secs(30);
/// Owners known to be absent; their uids never come back.
const ABSENT_MAX: usize = 500;
const WORKERS: usize = 20;
const BY_UID: &str = "uid";
const BY_OWNER: &str = "owner";

type Metadata = PartialObjectMeta<DynamicObject>;

/// One object of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Item {
    /// The kind, by its place in the list of kinds.
    kind_idx: usize,
    namespace: String,
    name: String,
    uid: String,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.namespace, self.name, self.uid)
    }
}

pub(crate) struct Garbage {
    client: Client,
    graph: Arc<RwLock<Graph>>,
    absent: parking_lot::Mutex<Vec<String>>,
}

/// Runs the collector until the token is cancelled; `publish` receives the way to its metrics, and `on_removal` the
/// namespace of everything that goes.
pub(crate) async fn run(
    client: Client,
    publish: impl FnOnce(Box<dyn Fn() -> LoopMetrics + Send + Sync>),
    on_removal: impl Fn(&str) + Send + Sync + 'static,
    token: CancellationToken,
) -> Result<(), Error> {
    let mut scope = Scope::child_of(&token);
    let graph = Arc::new(RwLock::new(Graph::default()));
    let driver: Driver<Item> = Driver::new("garbage-collector");
    let shared = driver.shared();
    let metrics = shared.clone();
    publish(Box::new(move || metrics.metrics()));
    let garbage = Garbage { client: client.clone(), graph: graph.clone(), absent: parking_lot::Mutex::default() };
    // Nothing is judged before all kinds are known: an owner that is not seen yet is not absent.
    let first = token.run_until_cancelled(discover_until(&client, &graph)).await;
    let Some(added) = first else { return Ok(()) };
    let enqueue = Arc::new(move |item: Item| shared.enqueue(item));
    let on_removal = Arc::new(on_removal);
    for kind_idx in added {
        follow(kind_idx, &graph, enqueue.clone(), on_removal.clone(), &mut scope);
    }
    let kinds: Vec<Informer<Metadata>> = graph.read().informers().cloned().collect();
    let all_synced = async move { futures::future::join_all(kinds.iter().map(Informer::synced)).await };
    if token.run_until_cancelled(all_synced).await.is_none() {
        return Ok(());
    }
    driver.start(&mut scope, WORKERS, garbage);
    while token.run_until_cancelled(tokio::time::sleep(REDISCOVER)).await.is_some() {
        match discover(&client, &graph).await {
            Ok(added) => {
                for kind_idx in added {
                    follow(kind_idx, &graph, enqueue.clone(), on_removal.clone(), &mut scope);
                }
            }
            Err(error) => warn!(error = &error as &dyn std::error::Error, "kinds not discovered"),
        }
    }
    scope.join().await
}

/// Asks until it is answered.
async fn discover_until(client: &Client, graph: &RwLock<Graph>) -> Vec<usize> {
    let mut backoff = coracle_stdx::Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    loop {
        match discover(client, graph).await {
            Ok(added) => return added,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "kinds not discovered");
                tokio::time::sleep(backoff.next_delay_jittered()).await;
            }
        }
    }
}

/// Adds kinds that are new; returns them by their place.
async fn discover(client: &Client, graph: &RwLock<Graph>) -> Result<Vec<usize>, Error> {
    let served = discovery::served(client).await?;
    let mut graph = graph.write();
    // Events outlive what they are about; nothing depends on them.
    let is_tracked = |kind: &discovery::Served| {
        kind.resource.kind != "Event" && ["list", "watch", "delete"].iter().all(|verb| kind.can(verb))
    };
    Ok(served.into_iter().filter(is_tracked).filter_map(|kind| graph.add(client, kind)).collect())
}

fn follow(
    kind_idx: usize,
    graph: &Arc<RwLock<Graph>>,
    enqueue: Arc<impl Fn(Item) + Send + Sync + 'static>,
    on_removal: Arc<impl Fn(&str) + Send + Sync + 'static>,
    scope: &mut Scope<Error>,
) {
    let informer = graph.read().informer(kind_idx).clone();
    informer.start(scope);
    let mut changes = informer.subscribe();
    let graph = graph.clone();
    scope.spawn(move |token| async move {
        while let Some(changes) = token.run_until_cancelled(changes.next()).await {
            let gone = changes.iter().filter(|change| change.new.is_none() && !change.key.namespace.is_empty());
            gone.map(|change| change.key.namespace.as_str())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .for_each(&*on_removal);
            changes.iter().flat_map(|change| concerned(kind_idx, change, &graph.read())).for_each(|item| enqueue(item));
        }
        Ok(())
    });
}

/// What is to be looked at after a change: the object, and those whose fate hangs on it.
fn concerned(kind_idx: usize, change: &Change<Metadata>, graph: &Graph) -> Vec<Item> {
    let item = |meta: &ObjectMeta| Item {
        kind_idx,
        namespace: change.key.namespace.clone(),
        name: change.key.name.clone(),
        uid: meta.uid.clone().unwrap_or_default(),
    };
    let old = change.old.as_ref().map(|old| &old.metadata);
    let new = change.new.as_ref().map(|new| &new.metadata);
    let uid = |meta: Option<&ObjectMeta>| meta.and_then(|meta| meta.uid.clone());
    let mut items = Vec::new();
    if let Some(meta) = new.filter(|meta| meta.owner_references.is_some() || meta.deletion_timestamp.is_some()) {
        items.push(item(meta));
    }
    let is_gone = old.is_some() && uid(old) != uid(new);
    let began_to_go = new.is_some_and(plan::waits_for_dependents) && !old.is_some_and(plan::waits_for_dependents);
    if let Some(uid) = uid(if is_gone { old } else { new }).filter(|_| is_gone || began_to_go) {
        items.extend(graph.dependents(&uid).into_iter().map(|tracked| tracked.item));
    }
    // An owner that waits for this one may now go.
    let owners = |meta: Option<&ObjectMeta>| -> Vec<OwnerReference> {
        meta.and_then(|meta| meta.owner_references.clone()).unwrap_or_default()
    };
    if is_gone || owners(old) != owners(new) {
        let waiting = owners(old).into_iter().filter_map(|owner| graph.find(&owner.uid));
        items.extend(waiting.filter(|owner| plan::waits_for_dependents(&owner.meta.metadata)).map(|owner| owner.item));
    }
    items
}

impl Reconcile<Item> for Garbage {
    async fn reconcile(&self, item: &Item) -> Result<Next, Error> {
        let Some(tracked) = self.graph.read().find(&item.uid) else { return Ok(Next::Change) };
        let owners = self.owners(&tracked).await?;
        let dependents = self.graph.read().dependents(&item.uid);
        let dependents_meta: Vec<&ObjectMeta> = dependents.iter().map(|dependent| &dependent.meta.metadata).collect();
        let view = View { meta: &tracked.meta.metadata, owners, dependents: &dependents_meta };
        for action in plan::plan(&view) {
            self.carry_out(&tracked, &dependents, action).await?;
        }
        Ok(Next::Change)
    }
}

impl Garbage {
    /// Each owner with what is known of it. One that no cache holds is asked for, once.
    async fn owners(&self, tracked: &Tracked) -> Result<Vec<(OwnerReference, Owner)>, Error> {
        let mut owners = Vec::new();
        for reference in tracked.meta.metadata.owner_references.clone().unwrap_or_default() {
            let state = match self.graph.read().find(&reference.uid) {
                Some(owner) if plan::waits_for_dependents(&owner.meta.metadata) => Some(Owner::Waiting),
                Some(_) => Some(Owner::Present),
                None if self.absent.lock().contains(&reference.uid) => Some(Owner::Absent),
                None => None,
            };
            let state = match state {
                Some(state) => state,
                None => self.ask_for(&reference, &tracked.item.namespace).await?,
            };
            owners.push((reference, state));
        }
        Ok(owners)
    }

    async fn ask_for(&self, reference: &OwnerReference, namespace: &str) -> Result<Owner, Error> {
        let kind = self.graph.read().kind_of(reference);
        let subject = coracle_client::Key::new(namespace, &reference.name);
        // Of a kind that is not served nothing can be known; the owner counts as there until it is.
        let Some(kind) = kind else { return Ok(Owner::Present) };
        let api: Api<DynamicObject> = kind.api(&self.client, namespace);
        let found = api.get_metadata_opt(&reference.name).await.map_err(Error::at("get owner", subject))?;
        let Some(found) = found.filter(|found| found.metadata.uid.as_ref() == Some(&reference.uid)) else {
            let mut absent = self.absent.lock();
            if absent.len() == ABSENT_MAX {
                absent.drain(..ABSENT_MAX / 2);
            }
            absent.push(reference.uid.clone());
            return Ok(Owner::Absent);
        };
        Ok(if plan::waits_for_dependents(&found.metadata) { Owner::Waiting } else { Owner::Present })
    }

    fn api(&self, item: &Item) -> Api<DynamicObject> {
        self.graph.read().kind(item.kind_idx).api(&self.client, &item.namespace)
    }

    async fn carry_out(&self, tracked: &Tracked, dependents: &[Tracked], action: Action) -> Result<(), Error> {
        match action {
            Action::Delete(policy) => self.delete(tracked, policy).await,
            Action::KeepOwners(owners) => {
                self.patch(tracked, "drop owners of", json!({"ownerReferences": owners})).await
            }
            Action::KeepFinalizers(finalizers) => {
                self.patch(tracked, "drop finalizer of", json!({"finalizers": finalizers})).await
            }
            Action::Orphan { dependent, owners } => {
                self.patch(&dependents[dependent], "orphan", json!({"ownerReferences": owners})).await
            }
        }
    }

    /// Deletes the object as it was judged: one that was let go by its owner meanwhile is judged again.
    async fn delete(&self, tracked: &Tracked, policy: PropagationPolicy) -> Result<(), Error> {
        let resource_version = tracked.meta.metadata.resource_version.clone();
        let preconditions = Some(Preconditions { uid: Some(tracked.item.uid.clone()), resource_version });
        let params = DeleteParams { preconditions, propagation_policy: Some(policy), ..DeleteParams::default() };
        let answer = self.api(&tracked.item).delete(&tracked.item.name, &params).await;
        answer.unless_gone().map(drop).map_err(Error::at("delete", tracked.key()))
    }

    async fn patch(&self, tracked: &Tracked, step: &'static str, mut meta: serde_json::Value) -> Result<(), Error> {
        meta["uid"] = json!(tracked.item.uid);
        meta["resourceVersion"] = json!(tracked.meta.metadata.resource_version);
        let patch = Patch::Merge(json!({"metadata": meta}));
        let answer = self.api(&tracked.item).patch_metadata(&tracked.item.name, &PatchParams::default(), &patch).await;
        answer.unless_gone().map_err(Error::at(step, tracked.key()))?;
        Ok(())
    }
}

/// Kinds by group and kind, as owner references name them.
type Names = HashMap<(String, String), usize>;
