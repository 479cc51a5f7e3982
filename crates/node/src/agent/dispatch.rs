//! Gives every pod that is bound to this node its worker, and tells the worker what the API says of the pod.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use coracle_client::{Change, Informer};
use coracle_stdx::{CancellationToken, Scope};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::Context;
use super::worker::Worker;

/// Workers among which it is not worth looking for ended ones.
const PRUNE_MIN: usize = 64;

/// What the API says of a pod; `None` once it is gone.
pub(super) type Desired = Option<Arc<Pod>>;

/// Runs workers until the token is cancelled, and returns when all of them have drained.
pub(crate) async fn dispatch(context: Arc<Context>, pods: Informer<Pod>, token: CancellationToken) {
    let Some(()) = token.run_until_cancelled(pods.synced()).await else { return };
    // What was last known may lack the newest pods.
    if pods.revision() > 0 {
        remove_orphans(&context, &pods.list()).await;
    }
    context.keep_addresses(pods.list()).await;
    let mut changes = pods.subscribe();
    let mut workers = Workers { context, by_uid: HashMap::new(), prune_at: PRUNE_MIN, scope: Scope::child_of(&token) };
    while let Some(changed) = token.run_until_cancelled(changes.next()).await {
        for change in changed {
            workers.take_in(change);
        }
    }
    match workers.scope.join().await {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

struct Workers {
    context: Arc<Context>,
    by_uid: HashMap<String, watch::Sender<Desired>>,
    prune_at: usize,
    scope: Scope<Infallible>,
}

impl Workers {
    fn take_in(&mut self, change: Change<Pod>) {
        let old_uid = change.old.as_ref().and_then(|pod| pod.metadata.uid.clone());
        let new_uid = change.new.as_ref().and_then(|pod| pod.metadata.uid.clone());
        if let Some(uid) = old_uid.filter(|uid| new_uid.as_ref() != Some(uid))
            && let Some(worker) = self.by_uid.get(&uid)
        {
            worker.send_replace(None);
        }
        let (Some(pod), Some(uid)) = (change.new, new_uid) else { return };
        match self.by_uid.get(&uid).filter(|worker| !worker.is_closed()) {
            Some(worker) => {
                worker.send_replace(Some(pod));
            }
            None => self.begin(uid, pod),
        }
    }

    /// Forgets workers that have ended, once they may be as many as those that have not.
    fn prune(&mut self) {
        if self.by_uid.len() >= self.prune_at {
            self.by_uid.retain(|_, desired| !desired.is_closed());
            self.prune_at = PRUNE_MIN.max(2 * self.by_uid.len());
        }
    }

    fn begin(&mut self, uid: String, pod: Arc<Pod>) {
        debug!(pod = %coracle_client::Key::of(&pod.metadata), "pod taken on");
        let (desired, updates) = watch::channel(Some(pod.clone()));
        self.prune();
        self.by_uid.insert(uid, desired);
        let worker = Worker::new(self.context.clone(), pod);
        self.scope.spawn(|token| async move {
            worker.run(updates, token).await;
            Ok(())
        });
    }
}

/// Removes what pods left behind that are no longer bound to this node.
async fn remove_orphans(context: &Context, pods: &[Arc<Pod>]) {
    let known: HashSet<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
    let dir = context.config.pods_dir();
    let sweep = move || {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let is_known = entry.file_name().to_str().is_some_and(|name| known.contains(name));
            if !is_known && let Err(error) = std::fs::remove_dir_all(entry.path()) {
                warn!(path = %entry.path().display(), error = &error as &dyn std::error::Error, "orphan not removed");
            }
        }
    };
    tokio::task::spawn_blocking(sweep).await.expect("removing directories does not panic");
}
