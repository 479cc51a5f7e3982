//! The loop's look at one Deployment in a simulated world.

use std::sync::Arc;

use coracle_client::Key;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;

use super::plan::{self, View};
use super::{revision, scale};
use crate::outstanding::{Doubt, Outstanding};
use crate::simulation::{NAMESPACE, Refusal, World, of_owner};

#[derive(Default)]
pub(crate) struct Memory {
    sets: Outstanding,
    own: Outstanding,
}

pub(crate) fn look(world: &mut World, name: &str) -> Result<(), Refusal> {
    let Some(deployment) = world.deployments.seen(name) else { return Ok(()) };
    let key = Key::new(NAMESPACE, name);
    world.resolve::<ReplicaSet>(|memory| &memory.deployments.sets, &key, deployment.metadata.uid.as_deref())?;
    let (sets_revision, own_revision) = (world.replica_sets.seen_revision(), world.deployments.seen_revision());
    let memory = &world.memory.deployments;
    if !memory.sets.is_settled_at(&key, sets_revision, |_| None)
        || !memory.own.is_settled_at(&key, own_revision, |_| None)
    {
        return Ok(());
    }
    let uid = deployment.metadata.uid.as_deref();
    let sets = world.replica_sets.seen_marked(&of_owner(uid.unwrap()));
    let pods: Vec<Arc<Pod>> = match scale::is_recreate(&deployment) {
        true => sets.iter().flat_map(|set| world.seen_pods_of(set.metadata.uid.as_deref())).collect(),
        false => Vec::new(),
    };
    let plan = plan::plan(&View { deployment: &deployment, sets: &sets, pods: &pods, now: world.now });
    for scaling in plan.update {
        let doubt = Doubt::created(&scaling.set.metadata);
        let written = world.replace(next_generation(scaling.set));
        let outstanding = &world.memory.deployments.sets;
        outstanding.wrote(&key, &written.map_err(|refusal| refusal.noted(outstanding, &key, doubt))?.metadata);
    }
    if let Some(scaling) = plan.create {
        let doubt = Doubt::created(&scaling.set.metadata);
        let written = world.create(scaling.set);
        let outstanding = &world.memory.deployments.sets;
        outstanding.wrote(&key, &written.map_err(|refusal| refusal.noted(outstanding, &key, doubt))?.metadata);
    }
    for set in plan.delete {
        world.delete::<ReplicaSet>(&set.metadata, false)?;
    }
    let mut current = (*deployment).clone();
    if let Some(number) = plan.revision {
        let annotations = current.metadata.annotations.get_or_insert_default();
        annotations.insert(revision::REVISION.to_owned(), number);
        current = write(world, &key, current)?;
    }
    if current.status.as_ref() != Some(&plan.status) {
        write(world, &key, Deployment { status: Some(plan.status), ..current })?;
    }
    Ok(())
}

fn next_generation(mut set: ReplicaSet) -> ReplicaSet {
    set.metadata.generation = set.metadata.generation.map(|generation| generation + 1);
    set
}

fn write(world: &mut World, key: &Key, deployment: Deployment) -> Result<Deployment, Refusal> {
    let written = world.replace(deployment)?;
    world.memory.deployments.own.wrote(key, &written.metadata);
    Ok((*written).clone())
}

/// How many pods there may be at most, and how many must serve, while this Deployment is brought to its template.
pub(crate) fn bounds(deployment: &Deployment) -> (i32, i32) {
    let (wanted, fence) = (scale::replicas(deployment), scale::fence(deployment));
    (wanted + fence.surge, wanted - fence.unavailable)
}

/// How many of the pods that are to stay the set says are available.
pub(crate) fn n_reported(set: &ReplicaSet) -> i32 {
    let n_available = set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    n_available.min(set.spec.replicas.unwrap_or(1))
}
