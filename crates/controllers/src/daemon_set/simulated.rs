//! The loop's look at one DaemonSet in a simulated world.

use coracle_client::Key;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;

use super::plan::{self, View};
use super::{pod, status};
use crate::deployment;
use crate::outstanding::{Doubt, Outstanding};
use crate::simulation::{NAMESPACE, Refusal, World};

#[derive(Default)]
pub(crate) struct Memory(Outstanding);

pub(crate) fn look(world: &mut World, name: &str) -> Result<(), Refusal> {
    let Some(set) = world.daemon_sets.seen(name) else { return Ok(()) };
    let key = Key::new(NAMESPACE, name);
    world.resolve::<Pod>(|memory| &memory.daemon_sets.0, &key, set.metadata.uid.as_deref())?;
    let revision = world.pods.seen_revision();
    if !world.memory.daemon_sets.0.is_settled_at(&key, revision, |uid| world.seen_pod_by_uid(uid)) {
        return Ok(());
    }
    let nodes: Vec<_> = world.nodes.all_seen().cloned().collect();
    let pods = world.seen_pods_of(set.metadata.uid.as_deref());
    let hash = deployment::template_hash(&set.spec.template, None);
    let view = View { set: &set, nodes: &nodes, pods: &pods, hash: &hash, now: world.now };
    let (plan, status) = (plan::plan(&view), status::status(&view));
    let done = carry_out(world, &key, &set, &hash, plan);
    if set.status.as_ref() != Some(&status) {
        world.replace(DaemonSet { status: Some(status), ..(*set).clone() })?;
    }
    done
}

fn carry_out(world: &mut World, key: &Key, set: &DaemonSet, hash: &str, plan: plan::Plan) -> Result<(), Refusal> {
    for node in &plan.create {
        let pod = pod::pod(set, hash, node);
        let doubt = Doubt::created(&pod.metadata);
        let made = world.create(pod);
        let outstanding = &world.memory.daemon_sets.0;
        outstanding.wrote(key, &made.map_err(|refusal| refusal.noted(outstanding, key, doubt))?.metadata);
    }
    for pod in plan.delete {
        match world.delete_pod(&pod) {
            Ok(fate) => world.memory.daemon_sets.0.deleted(key, pod.metadata.uid.as_deref(), fate),
            Err(Refusal::Gone) => {}
            Err(refusal) => {
                return Err(refusal.noted(&world.memory.daemon_sets.0, key, Doubt::deleted(&pod.metadata)));
            }
        }
    }
    Ok(())
}

/// The node for which a pod was made; empty when any will do.
pub(crate) fn node_of(pod: &Pod) -> String {
    pod::node_of(pod).to_owned()
}
