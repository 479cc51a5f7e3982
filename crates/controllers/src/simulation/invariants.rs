//! What must be true at every step of a simulation, and what once everything has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::machines::Machines;
use super::table::of_owner;
use super::world::World;
use crate::{deployment, owners, pods};

#[derive(Debug, Default)]
pub(crate) struct Invariants {
    /// Nothing but the loops takes pods away, so that what is missing is missing by their doing.
    pub(crate) is_calm: bool,
    /// The largest size that each set was ever given, by its uid.
    pub(crate) largest: BTreeMap<String, i32>,
    /// Deployments and budgets that have served once as they should.
    pub(crate) served: BTreeSet<String>,
}

impl Invariants {
    pub(crate) fn check(&mut self, world: &World, machines: &Machines) {
        no_identity_runs_twice(machines);
        self.deployments_stay_within_their_bounds(world);
        self.no_set_makes_more_than_it_was_told(world);
        no_job_runs_more_than_it_may(world);
        no_daemon_has_two_pods_on_a_node(world);
        if self.is_calm {
            self.budgets_hold(world);
        }
    }

    fn deployments_stay_within_their_bounds(&mut self, world: &World) {
        for deployment in world.deployments.all_actual() {
            let (n_max, n_min) = deployment::simulated::bounds(deployment);
            let uid = deployment.metadata.uid.as_deref();
            let sets: Vec<_> = world.replica_sets.all_actual().filter(|set| controller(&set.metadata) == uid).collect();
            let n_asked: i32 = sets.iter().map(|set| set.spec.replicas.unwrap_or(1)).sum();
            assert!(n_asked <= n_max, "{uid:?} asks for {n_asked} pods, at most {n_max} may be");
            let uids: BTreeSet<_> = sets.iter().map(|set| set.metadata.uid.as_deref()).collect();
            let serves = |pod: &&Arc<Pod>| uids.contains(&controller(&pod.metadata)) && is_serving(pod);
            let n_serving = count(world.pods.all_actual().filter(serves).count());
            // The pods of the other are evicted, which is its budget's matter.
            let name = deployment.metadata.name.clone().unwrap();
            if self.is_calm && name == "web" {
                let n_reported: i32 = sets.iter().map(|set| deployment::simulated::n_reported(set)).sum();
                self.never_below(name, n_serving, n_reported, n_min);
            }
        }
    }

    /// Once enough serve, and the API says so, it stays that way. What nobody reported yet nobody can spare.
    fn never_below(&mut self, what: String, n_serving: i32, n_reported: i32, n_min: i32) {
        if n_serving >= n_min && n_reported >= n_min {
            self.served.insert(what);
        } else if n_serving < n_min {
            assert!(!self.served.contains(&what), "{what} has {n_serving} serving pods, at least {n_min} must be");
        }
    }

    fn budgets_hold(&mut self, world: &World) {
        let is_steady = |pod: &&Arc<Pod>| label(pod) == Some("steady") && is_serving(pod);
        let n_serving = count(world.pods.all_actual().filter(is_steady).count());
        self.never_below("the budget".to_owned(), n_serving, n_serving, super::N_STEADY_MIN);
    }

    fn no_set_makes_more_than_it_was_told(&mut self, world: &World) {
        for set in world.replica_sets.all_actual() {
            let uid = set.metadata.uid.clone().unwrap();
            let is_own = |pod: &&Arc<Pod>| controller(&pod.metadata) == Some(uid.as_str()) && pods::is_active(pod);
            let n_active = count(world.pods.all_actual().filter(is_own).count());
            let largest = self.largest.entry(uid.clone()).or_default();
            *largest = (*largest).max(set.spec.replicas.unwrap_or(1));
            assert!(n_active <= *largest, "{:?} has {n_active} pods, was told {largest}", set.metadata.name);
        }
    }
}

fn controller(meta: &ObjectMeta) -> Option<&str> {
    owners::controller_of(meta).map(|owner| owner.uid.as_str())
}

pub(crate) fn label(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get("app").map(String::as_str)
}

fn is_serving(pod: &Pod) -> bool {
    pods::is_active(pod) && pods::is_ready(pod)
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap()
}

fn no_identity_runs_twice(machines: &Machines) {
    let mut seen = BTreeSet::new();
    for name in machines.running() {
        assert!(seen.insert(name), "{name} runs twice");
    }
}

fn no_job_runs_more_than_it_may(world: &World) {
    for job in world.jobs.all_actual() {
        let uid = job.metadata.uid.as_deref();
        let is_own = |pod: &&Arc<Pod>| controller(&pod.metadata) == uid && pods::is_active(pod);
        let n_active = count(world.pods.all_actual().filter(is_own).count());
        let n_max = job.spec.as_ref().and_then(|spec| spec.parallelism).unwrap_or(1);
        assert!(n_active <= n_max, "{:?} runs {n_active} pods, at most {n_max} may be", job.metadata.name);
    }
}

fn no_daemon_has_two_pods_on_a_node(world: &World) {
    let mut nodes = BTreeSet::new();
    for pod in world.pods.all_actual().filter(|pod| label(pod) == Some("agent") && pods::is_active(pod)) {
        let node = crate::daemon_set::simulated::node_of(pod);
        assert!(nodes.insert(node.clone()), "two daemons on {node}");
    }
}

/// What must be true at the end; the first thing that is not.
pub(crate) fn settled(world: &World) -> Result<(), String> {
    deployments_are_complete(world)?;
    stateful_sets_are_complete(world)?;
    replication_controllers_are_complete(world)?;
    let n_nodes = world.nodes.all_actual().count();
    let daemons = world.pods.all_actual().filter(|pod| label(pod) == Some("agent") && is_serving(pod)).count();
    expect(daemons == n_nodes, || format!("{daemons} daemons on {n_nodes} nodes"))?;
    jobs_are_complete(world)?;
    no_pod_is_an_orphan(world)
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn deployments_are_complete(world: &World) -> Result<(), String> {
    world.deployments.all_actual().try_for_each(|deployment| {
        let wanted = deployment.spec.replicas;
        let status = deployment.status.clone().unwrap_or_default();
        let counts = [status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas];
        expect(counts == [wanted; 4], || format!("{:?}: {counts:?} of {wanted:?}", deployment.metadata.name))
    })
}

fn replication_controllers_are_complete(world: &World) -> Result<(), String> {
    world.replication_controllers.all_actual().try_for_each(|controller| {
        let wanted = controller.spec.as_ref().and_then(|spec| spec.replicas);
        let status = controller.status.clone().unwrap_or_default();
        let counts = [Some(status.replicas), status.ready_replicas, status.available_replicas];
        expect(counts == [wanted; 3], || format!("{:?}: {counts:?} of {wanted:?}", controller.metadata.name))
    })
}

fn stateful_sets_are_complete(world: &World) -> Result<(), String> {
    world.stateful_sets.all_actual().try_for_each(|set| {
        let uid = set.metadata.uid.as_deref();
        let own = world.pods.actual_marked(&of_owner(uid.unwrap()));
        let names: BTreeSet<_> = own.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
        let name = set.metadata.name.as_deref().unwrap();
        let wanted: BTreeSet<_> = (0..set.spec.replicas.unwrap_or(1)).map(|idx| format!("{name}-{idx}")).collect();
        expect(names == wanted, || format!("{names:?} instead of {wanted:?}"))?;
        let status = set.status.clone().unwrap_or_default();
        expect(own.iter().all(|pod| is_serving(pod)), || format!("{names:?} do not all serve"))?;
        expect(status.current_revision == status.update_revision, || format!("not all of {names:?} are updated"))
    })
}

fn jobs_are_complete(world: &World) -> Result<(), String> {
    world.jobs.all_actual().try_for_each(|job| {
        let status = job.status.clone().unwrap_or_default();
        let is_complete = status.conditions.iter().flatten().any(|c| c.type_ == "Complete" && c.status == "True");
        expect(is_complete, || format!("{:?} is not complete: {status:?}", job.metadata.name))?;
        let n_wanted = job.spec.as_ref().and_then(|spec| spec.completions);
        expect(status.succeeded == n_wanted, || format!("{:?} of {n_wanted:?} succeeded", status.succeeded))
    })
}

fn no_pod_is_an_orphan(world: &World) -> Result<(), String> {
    let sets = world.replica_sets.all_actual().map(|set| set.metadata.uid.clone());
    let stateful = world.stateful_sets.all_actual().map(|set| set.metadata.uid.clone());
    let daemons = world.daemon_sets.all_actual().map(|set| set.metadata.uid.clone());
    let controllers = world.replication_controllers.all_actual().map(|controller| controller.metadata.uid.clone());
    let jobs = world.jobs.all_actual().map(|job| job.metadata.uid.clone());
    let owners: BTreeSet<String> =
        sets.chain(stateful).chain(daemons).chain(controllers).chain(jobs).flatten().collect();
    world.pods.all_actual().try_for_each(|pod| {
        let name = &pod.metadata.name;
        let is_owned = controller(&pod.metadata).is_some_and(|uid| owners.contains(uid));
        expect(is_owned, || format!("{name:?} has no owner"))?;
        let is_held = pod.metadata.finalizers.iter().flatten().next().is_some();
        expect(!is_held, || format!("{name:?} is still held by its job"))
    })
}
