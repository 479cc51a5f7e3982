//! The collector's look at the pods and jobs of a simulated world, whose owners are all in it.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::plan::{self, Action, Owner, View};
use crate::simulation::{Kept, Refusal, Table, World, of_uid};

/// Collects what has lost its owner.
pub(crate) fn collect(world: &mut World) -> Result<(), Refusal> {
    let jobs: Vec<Arc<Job>> = world.jobs.all_actual().filter(|job| is_garbage(world, &job.metadata)).cloned().collect();
    jobs.iter().try_for_each(|job| world.delete::<Job>(&job.metadata, false))?;
    let is_lost = |pod: &&Arc<Pod>| has_lost_its_owner(world, &pod.metadata);
    let pods: Vec<Arc<Pod>> = world.pods.all_actual().filter(is_lost).cloned().collect();
    for pod in pods {
        // The job that holds it is no more, so that its loop lets it go.
        let mut free = (*pod).clone();
        free.metadata.finalizers = None;
        let free = if pod.metadata.finalizers.is_some() { world.replace(free)? } else { pod };
        if is_garbage(world, &free.metadata) {
            world.delete_pod(&free)?;
        }
    }
    Ok(())
}

fn has_lost_its_owner(world: &World, meta: &ObjectMeta) -> bool {
    meta.owner_references.iter().flatten().any(|reference| !exists(world, reference))
}

fn is_garbage(world: &World, meta: &ObjectMeta) -> bool {
    let judge = |reference: &OwnerReference| if exists(world, reference) { Owner::Present } else { Owner::Absent };
    let owners = meta.owner_references.iter().flatten();
    let owners = owners.map(|reference| (reference.clone(), judge(reference))).collect();
    let actions = plan::plan(&View { meta, owners, dependents: &[] });
    actions.iter().any(|action| matches!(action, Action::Delete(_)))
}

fn exists(world: &World, reference: &OwnerReference) -> bool {
    fn has<K: Kept>(table: &Table<K>, uid: &str) -> bool {
        !table.actual_marked(&of_uid(uid)).is_empty()
    }
    let uid = &reference.uid;
    match reference.kind.as_str() {
        "ReplicaSet" => has(&world.replica_sets, uid),
        "ReplicationController" => has(&world.replication_controllers, uid),
        "StatefulSet" => has(&world.stateful_sets, uid),
        "DaemonSet" => has(&world.daemon_sets, uid),
        "Job" => has(&world.jobs, uid),
        "CronJob" => has(&world.cron_jobs, uid),
        kind => panic!("nothing simulated is owned by a {kind}"),
    }
}
