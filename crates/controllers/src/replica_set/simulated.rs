//! The loop's look at one ReplicaSet or ReplicationController in a simulated world.

use coracle_client::Key;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use super::plan::{self, Plan, View};
use super::{Replicated, status};
use crate::outstanding::{Doubt, Outstanding};
use crate::owners;
use crate::simulation::{Kept, Refusal, World};

#[derive(Default)]
pub(crate) struct Memory(Outstanding);

pub(crate) fn look<K: Replicated + Kept>(world: &mut World, name: &str) -> Result<(), Refusal> {
    let Some(object) = K::table(world).seen(name) else { return Ok(()) };
    let (key, set) = (Key::new(K::KIND, name), object.as_set());
    world.resolve::<Pod>(|memory| &memory.replica_sets.0, &key, set.metadata.uid.as_deref())?;
    let owned = world.seen_pods_of(set.metadata.uid.as_deref());
    let view = View { set: &set, owned: &owned, related: owned.clone(), now: world.now };
    let revision = world.pods.seen_revision();
    let is_settled = world.memory.replica_sets.0.is_settled_at(&key, revision, |uid| world.seen_pod_by_uid(uid));
    let plan = if is_settled { plan::plan(&view) } else { Plan::default() };
    let done = carry_out(world, &key, &*object, &set, plan);
    let owned = world.memory.replica_sets.0.with_deletions(&key, &owned, world.now);
    let status = status::status(&View { owned: &owned, ..view }, None);
    if let Some(status) = status.filter(|status| !object.has_status(status)) {
        world.replace(object.with_status(status))?;
    }
    done
}

fn carry_out<K: Replicated>(
    world: &mut World,
    key: &Key,
    object: &K,
    set: &ReplicaSet,
    plan: Plan,
) -> Result<(), Refusal> {
    for _ in 0..plan.n_create {
        let pod = plan::pod_of(set, owners::reference_to(object));
        let doubt = Doubt::created(&pod.metadata);
        let made = world.create(pod);
        let outstanding = &world.memory.replica_sets.0;
        outstanding.wrote(key, &made.map_err(|refusal| refusal.noted(outstanding, key, doubt))?.metadata);
    }
    for pod in plan.delete {
        match world.delete_pod(&pod) {
            Ok(fate) => world.memory.replica_sets.0.deleted(key, pod.metadata.uid.as_deref(), fate),
            Err(Refusal::Gone) => {}
            Err(refusal) => {
                return Err(refusal.noted(&world.memory.replica_sets.0, key, Doubt::deleted(&pod.metadata)));
            }
        }
    }
    Ok(())
}
