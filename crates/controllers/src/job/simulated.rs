//! The loop's look at one Job in a simulated world.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use coracle_client::Key;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::plan::{self, Plan};
use super::track::{self, Done};
use super::view::{FINALIZER, View, is_finished, uid};
use super::{pod, tracked};
use crate::outstanding::{Doubt, Fate, Outstanding};
use crate::pods;
use crate::simulation::{NAMESPACE, Refusal, World};

#[derive(Default)]
pub(crate) struct Memory {
    pods: Outstanding,
    own: Outstanding,
    known: BTreeMap<String, super::Memory>,
}

pub(crate) fn look(world: &mut World, name: &str) -> Result<(), Refusal> {
    let Some(job) = world.jobs.seen(name) else { return Ok(()) };
    let key = Key::new(NAMESPACE, name);
    if is_finished(&job) {
        let pods = world.seen_pods_of(job.metadata.uid.as_deref());
        return pods.iter().filter(|pod| !tracked(pod).is_empty()).try_for_each(|pod| release(world, pod));
    }
    if !world.memory.jobs.own.is_settled_at(&key, world.jobs.seen_revision(), |_| None) {
        return Ok(());
    }
    world.resolve::<Pod>(|memory| &memory.jobs.pods, &key, job.metadata.uid.as_deref())?;
    let revision = world.pods.seen_revision();
    let is_settled = world.memory.jobs.pods.is_settled_at(&key, revision, |uid| world.seen_pod_by_uid(uid));
    let pods = world.seen_pods_of(job.metadata.uid.as_deref());
    let shown: HashSet<&str> = pods.iter().filter(|pod| !tracked(pod).is_empty()).map(|pod| uid(pod)).collect();
    let memory = world.memory.jobs.known.entry(name.to_owned()).or_default();
    memory.released.retain(|uid| shown.contains(uid.as_str()));
    let memory = memory.clone();
    let view = View { job: &job, pods: &pods, released: &memory.released, backoff: memory.backoff, now: world.now };
    let plan = plan::plan(&view, is_settled);
    let (done, failure) = carry_out(world, &key, &job, &plan, is_settled);
    let tracking = track::track(&view, &plan, done);
    let mut current = (*job).clone();
    if current.status.as_ref() != Some(&tracking.status) {
        current = write(world, &key, current, tracking.status)?;
    }
    world.memory.jobs.known.entry(name.to_owned()).or_default().backoff = plan.backoff;
    let mut released = HashSet::new();
    for pod in tracking.release {
        if release(world, &pod).is_ok() {
            released.insert(uid(&pod).to_owned());
        }
    }
    world.memory.jobs.known.entry(name.to_owned()).or_default().released.extend(released.iter().cloned());
    let still: HashSet<&str> =
        pods.iter().filter(|p| view.is_tracked(p) && !released.contains(uid(p))).map(|p| uid(p)).collect();
    let status = current.status.clone().unwrap_or_default();
    let (last, _) = track::conclude(status, |uid| still.contains(uid), tracking.end.as_ref());
    if current.status.as_ref() != Some(&last) {
        write(world, &key, current, last)?;
    }
    failure.map_or(Ok(()), Err)
}

fn carry_out(world: &mut World, key: &Key, job: &Job, plan: &Plan, is_settled: bool) -> (Done, Option<Refusal>) {
    let mut done = Done { is_whole: is_settled, ..Done::default() };
    let mut failure = None;
    for pod in &plan.delete {
        match delete(world, plan, pod) {
            Ok(fate) => {
                world.memory.jobs.pods.deleted(key, pod.metadata.uid.as_deref(), fate);
                done.n_deleted += 1;
                done.n_ready_deleted += i32::from(pods::is_ready(pod));
            }
            Err(Refusal::Gone) => done.n_deleted += 1,
            Err(refusal) => {
                done.is_whole = false;
                failure = Some(refusal.noted(&world.memory.jobs.pods, key, Doubt::deleted(&pod.metadata)));
            }
        }
    }
    for creation in &plan.create {
        let pod = pod::pod(job, creation);
        let doubt = Doubt::created(&pod.metadata);
        match world.create(pod) {
            Ok(made) => {
                world.memory.jobs.pods.wrote(key, &made.metadata);
                done.n_created += 1;
            }
            Err(refusal) => {
                failure = Some(refusal.noted(&world.memory.jobs.pods, key, doubt));
                break;
            }
        }
    }
    (done, failure)
}

fn delete(world: &mut World, plan: &Plan, pod: &Arc<Pod>) -> Result<Fate, Refusal> {
    if plan.release_deleted {
        release(world, pod)?;
    }
    world.delete_pod(pod)
}

/// Takes the finalizer from the pod as it is now; whoever is gone is let go already.
fn release(world: &mut World, pod: &Pod) -> Result<(), Refusal> {
    let Some(actual) = world.pods.actual(pod.metadata.name.as_deref().unwrap()) else { return Ok(()) };
    if actual.metadata.uid != pod.metadata.uid {
        return Ok(());
    }
    let mut free = (*actual).clone();
    free.metadata.finalizers.iter_mut().for_each(|all| all.retain(|finalizer| finalizer != FINALIZER));
    world.replace(free).map(drop)
}

fn write(world: &mut World, key: &Key, job: Job, status: JobStatus) -> Result<Job, Refusal> {
    let written = world.replace(Job { status: Some(status), ..job })?;
    world.memory.jobs.own.wrote(key, &written.metadata);
    Ok((*written).clone())
}
