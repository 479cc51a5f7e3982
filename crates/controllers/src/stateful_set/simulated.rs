//! The loop's look at one StatefulSet in a simulated world.

use coracle_client::Key;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;

use super::plan::{self, Action, Revision, View};
use crate::outstanding::{Doubt, Outstanding};
use crate::simulation::{NAMESPACE, Refusal, World};
use crate::{deployment, history};

#[derive(Default)]
pub(crate) struct Memory {
    pods: Outstanding,
    own: Outstanding,
}

pub(crate) fn look(world: &mut World, name: &str) -> Result<(), Refusal> {
    let Some(set) = world.stateful_sets.seen(name) else { return Ok(()) };
    let key = Key::new(NAMESPACE, name);
    world.resolve::<Pod>(|memory| &memory.stateful_sets.pods, &key, set.metadata.uid.as_deref())?;
    let memory = &world.memory.stateful_sets;
    if !memory.pods.is_settled_at(&key, world.pods.seen_revision(), |uid| world.seen_pod_by_uid(uid))
        || !memory.own.is_settled_at(&key, world.stateful_sets.seen_revision(), |_| None)
    {
        return Ok(());
    }
    let pods = world.seen_pods_of(set.metadata.uid.as_deref());
    let (current, update) = revisions(world, &set);
    let claim = |_: &str| None;
    let view = View {
        set: &set,
        pods: &pods,
        current: &current,
        update: &update,
        n_collisions: 0,
        claim: &claim,
        now: world.now,
    };
    let plan = plan::plan(&view);
    let done = plan.actions.into_iter().try_for_each(|action| act(world, &key, action));
    if set.status.as_ref() != Some(&plan.status) {
        let written = world.replace(StatefulSet { status: Some(plan.status), ..(*set).clone() })?;
        world.memory.stateful_sets.own.wrote(&key, &written.metadata);
    }
    done
}

fn revisions(world: &mut World, set: &StatefulSet) -> (Revision, Revision) {
    let hash = deployment::template_hash(&set.spec.template, None);
    let name = history::name(set.metadata.name.as_deref().unwrap(), &hash);
    world.templates.insert(name.clone(), set.spec.template.clone());
    let update = Revision { name, template: set.spec.template.clone() };
    let current = set.status.as_ref().and_then(|status| status.current_revision.clone());
    let current = current.and_then(|name| Some(Revision { template: world.templates.get(&name)?.clone(), name }));
    (current.unwrap_or_else(|| update.clone()), update)
}

fn act(world: &mut World, key: &Key, action: Action) -> Result<(), Refusal> {
    match action {
        Action::Create { pod, .. } => {
            let doubt = Doubt::created(&pod.metadata);
            let made = world.create(*pod);
            let outstanding = &world.memory.stateful_sets.pods;
            outstanding.wrote(key, &made.map_err(|refusal| refusal.noted(outstanding, key, doubt))?.metadata);
        }
        Action::Replace(pod) | Action::Delete(pod) => match world.delete_pod(&pod) {
            Ok(fate) => world.memory.stateful_sets.pods.deleted(key, pod.metadata.uid.as_deref(), fate),
            Err(Refusal::Gone) => {}
            Err(refusal) => {
                return Err(refusal.noted(&world.memory.stateful_sets.pods, key, Doubt::deleted(&pod.metadata)));
            }
        },
        Action::Mend(pod) => {
            let doubt = Doubt::created(&pod.metadata);
            let written = world.replace(*pod);
            let outstanding = &world.memory.stateful_sets.pods;
            outstanding.wrote(key, &written.map_err(|refusal| refusal.noted(outstanding, key, doubt))?.metadata);
        }
        Action::Claim { .. } | Action::Own { .. } => {}
    }
    Ok(())
}
