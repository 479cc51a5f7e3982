//! Removes pods that nobody will ever end: of nodes that are gone, too many that finished, and those that never began.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use coracle_client::Key;
use coracle_stdx::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};
use parking_lot::Mutex;

use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;
use crate::nodes::eviction;
use crate::{Error, batch, pods};

/// A node that is missing for less than this may only be late.
pub(crate) const QUARANTINE: Duration = Duration::from_secs(40);

pub(crate) struct PodGc {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) clock: Clock,
    /// Finished pods that may stay.
    pub(crate) finished_max: usize,
    /// Since when a node that pods name has been missing.
    pub(crate) missing: Mutex<HashMap<String, Timestamp>>,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) finished: Vec<Arc<Pod>>,
    pub(crate) orphaned: Vec<Arc<Pod>>,
    pub(crate) unbegun: Vec<Arc<Pod>>,
}

/// `is_gone` says of a node name that no such node exists any more.
pub(crate) fn plan(all: &[Arc<Pod>], finished_max: usize, is_gone: impl Fn(&str) -> bool) -> Plan {
    let mut finished: Vec<Arc<Pod>> = all.iter().filter(|pod| pods::is_finished(pod)).cloned().collect();
    finished.sort_by_key(|pod| (pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone()));
    finished.truncate(finished.len().saturating_sub(finished_max));
    let is_orphan = |pod: &&Arc<Pod>| !pods::node_name(pod).is_empty() && is_gone(pods::node_name(pod));
    let is_unbegun = |pod: &&Arc<Pod>| pods::is_ending(pod) && pods::node_name(pod).is_empty();
    Plan {
        finished,
        orphaned: all.iter().filter(is_orphan).cloned().collect(),
        unbegun: all.iter().filter(is_unbegun).cloned().collect(),
    }
}

impl Reconcile for PodGc {
    /// Looks at all pods, whatever the key.
    async fn reconcile(&self, _all: &Key) -> Result<Next, Error> {
        let all = self.informers.pods.list();
        let gone = self.gone_nodes(&all).await?;
        let plan = plan(&all, self.finished_max, |name| gone.iter().any(|gone| gone == name));
        let (_, orphaned) = batch::all(plan.orphaned, |pod| self.remove_orphan(pod)).await;
        let (_, others) = batch::all(plan.finished.into_iter().chain(plan.unbegun), |pod| self.remove(pod)).await;
        orphaned.or(others).map_or(Ok(Next::Change), Err)
    }
}

impl PodGc {
    /// Nodes that pods name and that have been missing for a while, in the cache and by a look at the API itself.
    async fn gone_nodes(&self, all: &[Arc<Pod>]) -> Result<Vec<String>, Error> {
        let now = self.clock.now();
        let suspects: Vec<String> = {
            let mut missing = self.missing.lock();
            let is_missing = |name: &str| !name.is_empty() && self.informers.nodes.get("", name).is_none();
            let names = all.iter().map(|pod| pods::node_name(pod)).filter(|name| is_missing(name));
            let seen: HashMap<String, Timestamp> =
                names.map(|name| (name.to_owned(), missing.get(name).copied().unwrap_or(now))).collect();
            *missing = seen;
            missing.iter().filter(|(_, since)| **since + QUARANTINE <= now).map(|(name, _)| name.clone()).collect()
        };
        let api: Api<Node> = Api::all(self.client.clone());
        let mut gone = Vec::new();
        for name in suspects {
            if api.get_opt(&name).await.map_err(Error::at("get node", Key::cluster(&name)))?.is_none() {
                gone.push(name);
            }
        }
        Ok(gone)
    }

    async fn remove_orphan(&self, pod: Arc<Pod>) -> Result<(), Error> {
        let key = Key::of(&pod.metadata);
        let phase = (!pods::is_finished(&pod)).then_some("Failed");
        let text = "PodGC: node no longer exists";
        eviction::disrupt(&self.client, &key, &pod, phase, "DeletionByPodGC", text, self.clock.now()).await?;
        self.remove(pod).await
    }

    async fn remove(&self, pod: Arc<Pod>) -> Result<(), Error> {
        let key = Key::of(&pod.metadata);
        let preconditions = Some(Preconditions { uid: pod.metadata.uid.clone(), ..Preconditions::default() });
        let params = DeleteParams { preconditions, ..DeleteParams::default() }.grace_period(0);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        api.delete(&key.name, &params).await.unless_gone().map_err(Error::at("remove", key))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, node: &str, phase: &str, age: i64, is_ending: bool) -> Arc<Pod> {
        let created = Timestamp::from_second(1000 - age).unwrap().to_string();
        let mut pod = json!({
            "metadata": {"name": name, "creationTimestamp": created}, "spec": {"containers": [], "nodeName": node},
            "status": {"phase": phase},
        });
        if is_ending {
            pod["metadata"]["deletionTimestamp"] = json!(created);
        }
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn only_what_nobody_else_will_end_is_removed() {
        let all = [
            pod("running", "n1", "Running", 1, true),
            pod("orphan", "gone", "Running", 1, false),
            pod("unbegun", "", "Pending", 1, true),
            pod("pending", "", "Pending", 1, false),
            pod("done-old", "n1", "Succeeded", 30, false),
            pod("done-new", "n1", "Failed", 10, false),
        ];
        let plan = plan(&all, 1, |name| name == "gone");
        let names = |pods: &[Arc<Pod>]| pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&plan.finished), ["done-old"]);
        assert_eq!(names(&plan.orphaned), ["orphan"]);
        assert_eq!(names(&plan.unbegun), ["unbegun"]);
    }
}
