//! How many there may be of what, counted along with every write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;

use super::super::table::Change;
use super::super::world::World;
use crate::{daemon_set, deployment, owners, pods};

/// For so long a loop may still go by a size that was changed: watches of two kinds lie between.
const STALE_MAX: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(super) struct Counts {
    /// Pods of an owner that are active, and the most that it was ever told to have.
    active: BTreeMap<String, usize>,
    most: BTreeMap<String, usize>,
    daemons: BTreeMap<(String, String), usize>,
    /// Sizes of the sets of each deployment, by the sets' uids.
    sizes: BTreeMap<String, BTreeMap<String, i32>>,
    /// How many pods a deployment might and had to have before its size was changed.
    before: BTreeMap<String, Vec<(Timestamp, (i32, i32))>>,
    touched: BTreeSet<String>,
}

/// The owner whose pods are counted; a StatefulSet's have identities instead.
fn owner(pod: &Pod) -> Option<(String, String)> {
    owners::controller_of(&pod.metadata).map(|owner| (owner.kind.clone(), owner.uid.clone()))
}

impl Counts {
    pub(super) fn note_resize(&mut self, deployment: &Deployment, now: Timestamp) {
        let uid = deployment.metadata.uid.clone().unwrap();
        let before = self.before.entry(uid).or_default();
        before.retain(|(at, _)| *at + STALE_MAX >= now);
        before.push((now, deployment::simulated::bounds(deployment)));
    }

    /// The most and the least that a deployment's loop may aim for, which may go by a size of a while ago.
    pub(super) fn bounds(&self, deployment: &Deployment, now: Timestamp) -> (i32, i32) {
        let before = self.before.get(deployment.metadata.uid.as_deref().unwrap()).into_iter().flatten();
        let recent = before.filter(|(at, _)| *at + STALE_MAX >= now).map(|(_, bounds)| *bounds);
        let widest = |(most, least): (i32, i32), (n_max, n_min)| (most.max(n_max), least.min(n_min));
        recent.fold(deployment::simulated::bounds(deployment), widest)
    }

    pub(super) fn note_pod(&mut self, (old, new): &Change<Pod>) {
        let active = |pod: &&std::sync::Arc<Pod>| pods::is_active(pod);
        if let Some(pod) = old.as_ref().filter(active) {
            self.count(pod, false);
        }
        if let Some(pod) = new.as_ref().filter(active) {
            self.count(pod, true);
        }
    }

    fn count(&mut self, pod: &Pod, is_more: bool) {
        let Some((kind, uid)) = owner(pod) else { return };
        if kind == "DaemonSet" {
            let node = daemon_set::simulated::node_of(pod);
            let n = self.daemons.entry((uid, node.clone())).or_default();
            *n = if is_more { *n + 1 } else { *n - 1 };
            assert!(*n <= 1, "two daemons on {node}");
        } else if kind != "StatefulSet" {
            let n = self.active.entry(uid.clone()).or_default();
            *n = if is_more { *n + 1 } else { *n - 1 };
            self.touched.insert(uid);
        }
    }

    /// Notes what owners are told to have, and checks what deployments ask for.
    pub(super) fn note_sets(&mut self, world: &mut World) {
        for (old, new) in world.replica_sets.take_written() {
            let Some(set) = new.as_ref().or(old.as_ref()) else { continue };
            let uid = set.metadata.uid.clone().unwrap();
            let size = new.as_ref().map_or(0, |set| set.spec.replicas.unwrap_or(1));
            let most = self.most.entry(uid.clone()).or_default();
            *most = (*most).max(usize::try_from(size).unwrap());
            let Some(above) = owners::controller_of(&set.metadata) else { continue };
            let sizes = self.sizes.entry(above.uid.clone()).or_default();
            let is_more = sizes.insert(uid, size).unwrap_or(0) < size;
            let n_asked: i32 = sizes.values().sum();
            let Some(deployment) = world.deployments.actual(&above.name).filter(|_| is_more) else { continue };
            let (n_max, _) = self.bounds(&deployment, world.now);
            assert!(n_asked <= n_max, "{} asks for {n_asked} pods, at most {n_max} may be", above.name);
        }
        for (_, new) in world.replication_controllers.take_written() {
            let Some(controller) = new else { continue };
            let size = controller.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            self.tell(controller.metadata.uid.clone(), size);
        }
        for (_, new) in world.jobs.take_written() {
            let Some(job) = new else { continue };
            let size = job.spec.as_ref().and_then(|spec| spec.parallelism).unwrap_or(1);
            self.tell(job.metadata.uid.clone(), size);
        }
        // Nobody counts these, and a log that nobody reads grows.
        world.deployments.take_written();
        world.stateful_sets.take_written();
        world.daemon_sets.take_written();
        world.cron_jobs.take_written();
        world.budgets.take_written();
        world.nodes.take_written();
    }

    fn tell(&mut self, uid: Option<String>, size: i32) {
        let most = self.most.entry(uid.unwrap()).or_default();
        *most = (*most).max(usize::try_from(size).unwrap());
    }

    /// Nobody has more than it was ever told to have.
    pub(super) fn check(&mut self) {
        for uid in std::mem::take(&mut self.touched) {
            let n_active = self.active.get(&uid).copied().unwrap_or(0);
            let most = self.most.get(&uid).copied().unwrap_or(0);
            assert!(n_active <= most, "{uid} has {n_active} pods, was told {most}");
            if n_active == 0 {
                self.active.remove(&uid);
            }
        }
    }
}
