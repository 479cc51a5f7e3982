//! Scheduler and kubelets: each pod that changed is looked at by whoever is responsible, a little later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::super::machines::{bury, is_of_job, say};
use super::super::table::{Change, of_node};
use super::super::world::World;
use super::lifecycle::Lifecycle;
use super::name;
use crate::{daemon_set, pods};

const LATENCY_SECONDS_MAX: usize = 4;

#[derive(Default)]
pub(super) struct Kubelets {
    due: BTreeSet<(Timestamp, String)>,
    /// What runs, by the pod's uid; also on a machine that nobody hears from.
    running: BTreeMap<String, (String, String)>,
    /// How often a pod of this name runs.
    names: BTreeMap<String, usize>,
}

impl Kubelets {
    /// A pod changed: somebody looks at it.
    pub(super) fn note(&mut self, world: &mut World, (_, new): &Change<Pod>) {
        if let Some(pod) = new {
            self.soon(world, name(pod));
        }
    }

    fn soon(&mut self, world: &mut World, name: &str) {
        let seconds = u64::try_from(1 + world.random.below(LATENCY_SECONDS_MAX)).unwrap();
        self.due.insert((world.now + Duration::from_secs(seconds), name.to_owned()));
    }

    /// A machine is back: its kubelet looks at all of its pods.
    pub(super) fn wake_node(&mut self, world: &World, node: &str) {
        let pods = world.pods.actual_marked(&of_node(node));
        self.due.extend(pods.iter().map(|pod| (world.now, name(pod).to_owned())));
    }

    /// A machine is no more, and nothing runs on it.
    pub(super) fn lose_node(&mut self, node: &str) {
        let lost: Vec<String> =
            self.running.iter().filter(|(_, (_, on))| on == node).map(|(uid, _)| uid.clone()).collect();
        lost.iter().for_each(|uid| self.stopped(uid));
    }

    fn started(&mut self, uid: String, name: &str, node: String) {
        if self.running.insert(uid, (name.to_owned(), node)).is_none() {
            let n_running = self.names.entry(name.to_owned()).or_default();
            *n_running += 1;
            assert_eq!(*n_running, 1, "{name} runs more than once");
        }
    }

    fn stopped(&mut self, uid: &str) {
        let Some((name, _)) = self.running.remove(uid) else { return };
        if let Some(n_running) = self.names.get_mut(&name) {
            *n_running -= 1;
            if *n_running == 0 {
                self.names.remove(&name);
            }
        }
    }

    pub(super) fn work(&mut self, world: &mut World, nodes: &Lifecycle, is_quiet: bool) {
        let later = self.due.split_off(&(world.now + Duration::from_nanos(1), String::new()));
        let due = std::mem::replace(&mut self.due, later);
        let is_unplaced = |name: &str| world.pods.actual(name).is_some_and(|pod| pods::node_name(&pod).is_empty());
        let open = if due.iter().any(|(_, name)| is_unplaced(name)) { nodes.open(world) } else { Vec::new() };
        let names: BTreeSet<String> = due.into_iter().map(|(_, name)| name).collect();
        for name in names {
            if let Some(pod) = world.pods.actual(&name) {
                self.look(world, nodes, &open, &pod, is_quiet);
            }
        }
    }

    fn look(&mut self, world: &mut World, nodes: &Lifecycle, open: &[String], pod: &Arc<Pod>, is_quiet: bool) {
        let (uid, node) = (pod.metadata.uid.clone().unwrap(), pods::node_name(pod).to_owned());
        if node.is_empty() {
            return self.schedule(world, nodes, open, pod);
        }
        if !nodes.is_alive(&node) {
            return;
        }
        if pods::is_ending(pod) {
            self.stopped(&uid);
            return bury(world, pod);
        }
        if pods::is_finished(pod) {
            return self.stopped(&uid);
        }
        let fails = !is_quiet && world.random.one_in(20);
        if pods::phase(pod) != "Running" {
            let of_job = is_of_job(pod);
            self.started(uid, name(pod), node);
            return say(world, pod, if fails && of_job { "Failed" } else { "Running" }, !fails);
        }
        if is_of_job(pod) {
            self.stopped(&uid);
            return say(world, pod, if fails { "Failed" } else { "Succeeded" }, false);
        }
        if !pods::is_ready(pod) && !fails {
            say(world, pod, "Running", true);
        } else if !pods::is_ready(pod) {
            self.soon(world, name(pod));
        }
    }

    fn schedule(&mut self, world: &mut World, nodes: &Lifecycle, open: &[String], pod: &Arc<Pod>) {
        if pods::is_ending(pod) {
            return bury(world, pod);
        }
        let wanted = daemon_set::simulated::node_of(pod);
        let node = if wanted.is_empty() { world.random.pick(open) } else { Some(wanted) };
        let Some(node) = node.filter(|node| nodes.is_known(world, node)) else { return self.soon(world, name(pod)) };
        let mut bound = Pod::clone(pod);
        bound.spec.get_or_insert_default().node_name = Some(node);
        world.put(bound);
    }
}
