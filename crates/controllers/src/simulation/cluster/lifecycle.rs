//! Machines that die, return or are replaced, and the loops about it: health, taints, eviction, collection of lost pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::super::machines::say;
use super::super::table::of_node;
use super::super::world::World;
use super::kubelets::Kubelets;
use crate::nodes::eviction::{self, Leave};
use crate::nodes::taints::{self, Leaving};
use crate::nodes::{NodeTimings, READY, condition_status, health};
use crate::{owners, pod_gc, pods};

const COLLECT_SECONDS: u64 = 20;
const FINISHED_MAX: usize = 12_500;
/// A node dies once in so many seconds; very seldom, most of them do together.
const DEATH_SECONDS: usize = 20;
const OUTAGE_SECONDS: usize = 5000;

#[derive(Default)]
pub(super) struct Lifecycle {
    timings: NodeTimings,
    alive: BTreeSet<String>,
    /// When a dead machine returns; `None` when it never does.
    returns: BTreeMap<String, Option<Timestamp>>,
    /// Since when a dead machine's silence is noticed.
    silent: BTreeMap<String, Timestamp>,
    last_eviction: Option<Timestamp>,
    missing: BTreeMap<String, Timestamp>,
    n_made: usize,
    pub(super) n_deaths: usize,
}

fn ready(node: &Node, status: &str, now: Timestamp) -> Node {
    let mut node = node.clone();
    let conditions: Value = json!([{"type": READY, "status": status, "lastTransitionTime": now.to_string()}]);
    node.status.get_or_insert_default().conditions = Some(serde_json::from_value(conditions).unwrap());
    node
}

impl Lifecycle {
    pub(super) fn add(&mut self, world: &mut World) {
        self.n_made += 1;
        let name = format!("node{:05}", self.n_made);
        let node: Node = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        world.insert(ready(&node, "True", world.now)).unwrap();
        self.alive.insert(name);
    }

    pub(super) fn is_alive(&self, node: &str) -> bool {
        self.alive.contains(node)
    }

    pub(super) fn is_known(&self, world: &World, node: &str) -> bool {
        world.nodes.actual(node).is_some()
    }

    /// The nodes that new pods may go to.
    pub(super) fn open(&self, world: &World) -> Vec<String> {
        world.nodes.all_seen().filter(|node| is_well(node)).map(|node| node.name_any()).collect()
    }

    pub(super) fn forget(&mut self) {
        self.last_eviction = None;
        self.missing.clear();
        self.silent.clear();
    }

    pub(super) fn disturb(&mut self, world: &mut World, kubelets: &mut Kubelets) {
        if world.random.one_in(DEATH_SECONDS) {
            self.kill(world);
        }
        if world.random.one_in(OUTAGE_SECONDS) {
            let n_nodes = self.alive.len();
            (0..n_nodes * 6 / 10).for_each(|_| self.kill(world));
        }
        let back: Vec<String> = {
            let is_due = |at: &Option<Timestamp>| at.is_some_and(|at| at <= world.now);
            self.returns.iter().filter(|(_, at)| is_due(at)).map(|(name, _)| name.clone()).collect()
        };
        back.iter().for_each(|name| self.bring_back(world, kubelets, name));
        if world.random.one_in(10 * DEATH_SECONDS) {
            self.replace_one(world, kubelets);
        }
    }

    fn kill(&mut self, world: &mut World) {
        let idx = world.random.below(self.alive.len());
        let Some(name) = self.alive.iter().nth(idx).cloned() else { return };
        self.alive.remove(&name);
        self.n_deaths += 1;
        let seconds = match world.random.below(10) {
            0..4 => Some(world.random.below(60)),
            4..8 => Some(world.random.below(1800)),
            _ => None,
        };
        let at = seconds.map(|seconds| world.now + Duration::from_secs(u64::try_from(seconds).unwrap()));
        self.returns.insert(name, at);
    }

    fn bring_back(&mut self, world: &World, kubelets: &mut Kubelets, name: &str) {
        self.returns.remove(name);
        self.alive.insert(name.to_owned());
        kubelets.wake_node(world, name);
    }

    /// A machine that never returns is taken out of the cluster, and a new one comes.
    fn replace_one(&mut self, world: &mut World, kubelets: &mut Kubelets) {
        let lost: Vec<String> =
            self.returns.iter().filter(|(_, at)| at.is_none()).map(|(name, _)| name.clone()).collect();
        let Some(name) = world.random.pick(&lost) else { return };
        self.returns.remove(&name);
        kubelets.lose_node(&name);
        world.remove::<Node>(name);
        self.add(world);
    }

    pub(super) fn mend_all(&mut self, world: &World, kubelets: &mut Kubelets) {
        let dead: Vec<String> = self.returns.keys().cloned().collect();
        dead.iter().for_each(|name| self.bring_back(world, kubelets, name));
    }

    /// The loops about nodes, each when its time has come.
    pub(super) fn look(&mut self, world: &mut World, second: u64) {
        if second.is_multiple_of(self.timings.monitor_period.as_secs()) {
            self.look_at_health(world);
            self.look_at_taints(world);
        }
        if second.is_multiple_of(COLLECT_SECONDS) {
            self.collect(world);
        }
    }

    /// Whoever lives says so; whoever is silent for too long is marked.
    fn look_at_health(&mut self, world: &mut World) {
        let now = world.now;
        let mut changed = Vec::new();
        for node in world.nodes.all_actual() {
            let name = node.metadata.name.as_deref().unwrap();
            let is_ready = condition_status(node, READY) == "True";
            if self.alive.contains(name) {
                self.silent.remove(name);
                if !is_ready {
                    changed.push(ready(node, "True", now));
                }
                continue;
            }
            let heard = *self.silent.entry(name.to_owned()).or_insert(now);
            if is_ready && !health::silence(node, heard, now, &self.timings).is_empty() {
                changed.push(ready(node, "Unknown", now));
            }
        }
        changed.into_iter().for_each(|node| drop(world.put(node)));
    }

    fn look_at_taints(&mut self, world: &mut World) {
        let now = world.now;
        let n_nodes = world.nodes.all_seen().count();
        let unwell: Vec<Arc<Node>> = world.nodes.all_seen().filter(|node| !is_well(node)).cloned().collect();
        let n_unready = unwell.iter().filter(|node| condition_status(node, READY) != "True").count();
        let disruption = taints::disruption(n_nodes - n_unready, n_nodes, &self.timings);
        for node in unwell {
            let known = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
            let is_ready = condition_status(&node, READY) == "True";
            let leaving = taints::leaving(&node, disruption, self.last_eviction, now, &self.timings);
            let no_execute = match leaving {
                Leaving::Told(key) | Leaving::Tell(key) => Some(key),
                Leaving::No | Leaving::Wait(_) => None,
            };
            let wanted = taints::wanted(&node, no_execute, now);
            if wanted != known {
                let mut tainted = Node::clone(&node);
                tainted.spec.get_or_insert_default().taints = Some(wanted);
                let is_written = world.replace(tainted).is_ok();
                if matches!(leaving, Leaving::Tell(_)) && is_written {
                    self.last_eviction = Some(now);
                }
            }
            if !is_ready {
                self.look_at_pods(world, &node);
            }
        }
    }

    /// Pods of a node that is not ready are not ready either, and leave when their tolerance ends.
    fn look_at_pods(&self, world: &mut World, node: &Node) {
        let taints: Vec<_> = eviction::no_execute(node).collect();
        for seen in world.pods.seen_marked(&of_node(&node.name_any())) {
            let Some(pod) = world.pods.actual(&seen.name_any()).filter(|pod| pod.uid() == seen.uid()) else { continue };
            if pods::is_ready(&seen) && pods::is_ready(&pod) {
                say(world, &pod, pods::phase(&pod), false);
            }
            let is_due = matches!(eviction::leave(&seen, &taints, world.now), Leave::At(at) if at <= world.now);
            if pods::is_active(&seen) && is_due {
                let _ = world.end::<Pod>(&seen.metadata, true);
            }
        }
    }

    /// Pods of nodes that are no more are removed at once.
    fn collect(&mut self, world: &mut World) {
        let now = world.now;
        let all: Vec<Arc<Pod>> = world.pods.all_seen().cloned().collect();
        let named: BTreeSet<&str> =
            all.iter().map(|pod| pods::node_name(pod)).filter(|name| !name.is_empty()).collect();
        let is_missing = |name: &&str| world.nodes.seen(name).is_none();
        let before = std::mem::take(&mut self.missing);
        let missing = named.into_iter().filter(is_missing);
        self.missing = missing.map(|name| (name.to_owned(), before.get(name).copied().unwrap_or(now))).collect();
        let is_gone = |name: &str| {
            let is_old = self.missing.get(name).is_some_and(|since| *since + pod_gc::QUARANTINE <= now);
            is_old && world.nodes.actual(name).is_none()
        };
        let plan = pod_gc::plan(&all, FINISHED_MAX, is_gone);
        plan.orphaned.iter().for_each(|pod| remove(world, pod));
    }

    /// Nobody is marked for what is over.
    pub(super) fn settled(&self, world: &World) -> Result<(), String> {
        match world.nodes.all_actual().find(|node| !is_well(node)) {
            Some(node) => Err(format!("{} is not well: {:?}", node.name_any(), node.spec)),
            None => Ok(()),
        }
    }
}

/// Ready, and nothing keeps pods away.
fn is_well(node: &Node) -> bool {
    let has_taints = node.spec.as_ref().is_some_and(|spec| spec.taints.iter().flatten().next().is_some());
    condition_status(node, READY) == "True" && !has_taints
}

fn remove(world: &mut World, pod: &Arc<Pod>) {
    let Some(pod) = world.pods.actual(&pod.name_any()).filter(|actual| actual.uid() == pod.uid()) else { return };
    let is_of_job = owners::controller_of(&pod.metadata).is_some_and(|owner| owner.kind == "Job");
    if is_of_job && !pods::is_finished(&pod) {
        say(world, &pod, "Failed", false);
    }
    let _ = world.end::<Pod>(&pod.metadata, false);
}
