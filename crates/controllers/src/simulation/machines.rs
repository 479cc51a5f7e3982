//! Scheduler, kubelets and machines that die and return, as far as the loops can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

use super::world::World;
use crate::{daemon_set, owners, pods};

/// Where a container runs, and of which pod.
#[derive(Debug)]
struct Running {
    pod: String,
    node: String,
}

#[derive(Debug, Default)]
pub(crate) struct Machines {
    alive: BTreeSet<String>,
    /// What runs, by the pod's uid; also on a machine that nobody hears from.
    running: BTreeMap<String, Running>,
    n_made: usize,
}

/// Pods fail and lose their readiness by themselves once in so many looks; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flaws {
    pub(crate) fails_at_start: usize,
    pub(crate) flaps: usize,
    pub(crate) fails_in_job: usize,
}

impl Machines {
    pub(crate) fn add(&mut self, world: &mut World) {
        self.n_made += 1;
        let name = format!("node{}", self.n_made);
        let node = json!({"metadata": {"name": name}, "status": {"allocatable": {"pods": "100"}}});
        let node: Node = serde_json::from_value(node).unwrap();
        world.insert(node).unwrap();
        self.alive.insert(name);
    }

    /// A machine falls silent, comes back, or is taken away for good and replaced.
    pub(crate) fn disturb(&mut self, world: &mut World) {
        let silent: Vec<String> = self.all(world).into_iter().filter(|name| !self.alive.contains(name)).collect();
        match (world.random.below(3), world.random.pick(&silent)) {
            (0, Some(name)) => drop(self.alive.insert(name)),
            (1, Some(name)) => self.replace(world, name),
            (_, None) => {
                let alive: Vec<String> = self.alive.iter().cloned().collect();
                if let Some(name) = world.random.pick(&alive).filter(|_| alive.len() > 1) {
                    self.alive.remove(&name);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn mend_all(&mut self, world: &World) {
        self.alive.extend(self.all(world));
    }

    fn all(&self, world: &World) -> Vec<String> {
        world.nodes.all_actual().filter_map(|node| node.metadata.name.clone()).collect()
    }

    /// The machine is known to be no more: what ran there does not, and its pods are collected.
    fn replace(&mut self, world: &mut World, name: String) {
        self.running.retain(|_, running| running.node != name);
        world.remove::<Node>(name.clone());
        let lost: Vec<Arc<Pod>> = world.pods.all_actual().filter(|pod| pods::node_name(pod) == name).cloned().collect();
        for pod in lost {
            let mut failed = (*pod).clone();
            if !pods::is_finished(&failed) {
                failed.status = Some(serde_json::from_value(json!({"phase": "Failed"})).unwrap());
            }
            let failed = world.put(failed);
            world.end::<Pod>(&failed.metadata, false).unwrap();
        }
        self.add(world);
    }

    /// One pod is looked at by whoever is responsible for it now.
    pub(crate) fn look(&mut self, world: &mut World, name: &str, flaws: Flaws) {
        let Some(pod) = world.pods.actual(name) else { return };
        let uid = pod.metadata.uid.clone().unwrap();
        let node = pods::node_name(&pod).to_owned();
        if !node.is_empty() && !self.alive.contains(&node) && self.running.contains_key(&uid) {
            return miss(world, &pod);
        }
        if pods::is_ending(&pod) {
            self.running.remove(&uid);
            return bury(world, &pod);
        }
        if pods::is_finished(&pod) || (!node.is_empty() && !self.alive.contains(&node)) {
            return;
        }
        match (node.is_empty(), pods::phase(&pod)) {
            (true, _) => self.schedule(world, &pod),
            (false, "Running") => self.go_on(world, &pod, flaws),
            (false, _) => {
                let fails = is_of_job(&pod) && world.random.one_in(flaws.fails_at_start);
                self.running.insert(uid, Running { pod: name.to_owned(), node });
                let ready = !world.random.one_in(flaws.fails_at_start);
                say(world, &pod, if fails { "Failed" } else { "Running" }, ready && !fails);
            }
        }
    }

    fn schedule(&mut self, world: &mut World, pod: &Pod) {
        let wanted = daemon_set::simulated::node_of(pod);
        let all = self.all(world);
        let node = if wanted.is_empty() { world.random.pick(&all) } else { all.contains(&wanted).then_some(wanted) };
        if let Some(node) = node {
            let mut bound = pod.clone();
            bound.spec.get_or_insert_default().node_name = Some(node);
            world.put(bound);
        }
    }

    fn go_on(&mut self, world: &mut World, pod: &Pod, flaws: Flaws) {
        if is_of_job(pod) {
            let phase = if world.random.one_in(flaws.fails_in_job) { "Failed" } else { "Succeeded" };
            self.running.remove(pod.metadata.uid.as_deref().unwrap());
            return say(world, pod, phase, false);
        }
        let ready = !world.random.one_in(flaws.flaps);
        if pods::is_ready(pod) != ready {
            say(world, pod, "Running", ready);
        }
    }

    /// The names of the pods that run now, each as often as it runs.
    pub(crate) fn running(&self) -> impl Iterator<Item = &str> {
        self.running.values().map(|running| running.pod.as_str())
    }
}

pub(super) fn is_of_job(pod: &Pod) -> bool {
    owners::controller_of(&pod.metadata).is_some_and(|owner| owner.kind == "Job")
}

/// Nobody hears from the pod's machine: it counts as not ready, and later it is evicted, which its machine does not hear.
fn miss(world: &mut World, pod: &Pod) {
    let is_daemon = owners::controller_of(&pod.metadata).is_some_and(|owner| owner.kind == "DaemonSet");
    if pods::is_ready(pod) {
        say(world, pod, "Running", false);
    } else if !is_daemon && world.random.one_in(4) {
        world.end::<Pod>(&pod.metadata, true).unwrap();
    }
}

/// What was ended is gone once nobody needs it any more.
pub(super) fn bury(world: &mut World, pod: &Pod) {
    if pod.metadata.finalizers.iter().flatten().next().is_none() {
        world.remove::<Pod>(pod.metadata.name.clone().unwrap());
    } else if !pods::is_finished(pod) {
        say(world, pod, "Failed", false);
    }
}

pub(super) fn say(world: &mut World, pod: &Pod, phase: &str, ready: bool) {
    let ready = if ready { "True" } else { "False" };
    let status = json!({"phase": phase,
        "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": world.now.to_string()}]});
    world.put(Pod { status: Some(serde_json::from_value(status).unwrap()), ..pod.clone() });
}
