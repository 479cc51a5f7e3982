//! What a simulated cluster runs, and how users change it.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::super::world::World;
use super::super::{of_app, read, set_image};
use super::counts::Counts;

/// Deployments of each sort per hundred nodes, and pods of each.
const N_PER_HUNDRED: usize = 3;
const N_REPLICAS: i32 = 20;
pub(super) const GUARDED: &str = "guarded";
pub(super) const ROLLED: &str = "rolled";

fn template(app: &str, policy: &str) -> Value {
    let tolerate = |key: &str| json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    json!({"metadata": {"labels": {"app": app}}, "spec": {"restartPolicy": policy,
        "tolerations": [tolerate("not-ready"), tolerate("unreachable")],
        "containers": [{"name": "c", "image": "v0"}]}})
}

/// Everything that is there from the start.
pub(super) fn furnish(world: &mut World, n_nodes: usize) {
    let n = (n_nodes * N_PER_HUNDRED / 100).max(1);
    for idx in 0..n {
        let (guarded, rolled) = (format!("{GUARDED}{idx}"), format!("{ROLLED}{idx}"));
        deploy(world, &guarded);
        deploy(world, &rolled);
        let bound = if idx.is_multiple_of(2) { json!({"maxUnavailable": 2}) } else { json!({"minAvailable": "80%"}) };
        let mut budget = json!({"selector": {"matchLabels": {"app": guarded}}});
        budget.as_object_mut().unwrap().extend(bound.as_object().unwrap().clone());
        world.insert::<PodDisruptionBudget>(read(&guarded, &budget)).unwrap();
        let db = format!("db{idx}");
        let policy = if idx.is_multiple_of(2) { "Parallel" } else { "OrderedReady" };
        let stateful = json!({"replicas": 10, "serviceName": db, "podManagementPolicy": policy,
            "selector": {"matchLabels": {"app": db}}, "template": template(&db, "Always"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}});
        world.insert::<StatefulSet>(read(&db, &stateful)).unwrap();
        let old = format!("old{idx}");
        let controller = json!({"replicas": 10, "selector": {"app": old}, "template": template(&old, "Always")});
        world.insert::<ReplicationController>(read(&old, &controller)).unwrap();
        batch(world, idx);
    }
    let daemon = json!({"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent", "Always"),
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%", "maxSurge": 0}}});
    world.insert::<DaemonSet>(read("agent", &daemon)).unwrap();
}

fn deploy(world: &mut World, app: &str) {
    let surge = world.random.below(6);
    let unavailable = if surge == 0 { 2 } else { world.random.below(4) };
    let spec = json!({"replicas": N_REPLICAS, "revisionHistoryLimit": 2, "selector": {"matchLabels": {"app": app}},
        "template": template(app, "Always"), "strategy": {"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}});
    world.insert::<Deployment>(read(app, &spec)).unwrap();
}

fn job(app: &str, n_completions: i32, mode: &str) -> Value {
    json!({"completions": n_completions, "parallelism": 5, "backoffLimit": 100_000, "completionMode": mode,
        "suspend": false, "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"app": app}}, "template": template(app, "Never")})
}

fn batch(world: &mut World, idx: usize) {
    let app = format!("job{idx}");
    let mode = if idx.is_multiple_of(2) { "Indexed" } else { "NonIndexed" };
    world.insert::<Job>(read(&app, &job(&app, 50, mode))).unwrap();
    let app = format!("cron{idx}");
    let policy = ["Allow", "Forbid", "Replace"][idx % 3];
    let cron = json!({"schedule": "*/15 * * * *", "concurrencyPolicy": policy, "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1, "jobTemplate": {"spec": job(&app, 5, "NonIndexed")}});
    world.insert::<CronJob>(read(&app, &cron)).unwrap();
}

/// The pods of one application that may be evicted as its budget allows.
pub(super) fn guarded(world: &World) -> Vec<Arc<Pod>> {
    // Chosen by the time of day, which costs no chance.
    let budgets: Vec<_> = world.budgets.all_actual().collect();
    let idx = usize::try_from(world.now.as_second()).unwrap() % budgets.len();
    let mut pods = world.pods.actual_marked(&of_app(&budgets[idx].name_any()));
    pods.retain(|pod| crate::pods::is_active(pod) && crate::pods::is_ready(pod));
    pods
}

/// A user changes a template or a size.
pub(super) fn change_something(world: &mut World, counts: &mut Counts) {
    let image = format!("v{}", world.random.below(3));
    match world.random.below(8) {
        0..4 => {
            let mut deployment = pick(world, rolled);
            set_image(&mut deployment.spec.template, image);
            put_deployment(world, deployment);
        }
        4 => {
            let mut deployment = pick(world, rolled);
            counts.note_resize(&deployment, world.now);
            deployment.spec.replicas = Some(N_REPLICAS / 2 + i32::try_from(world.random.below(20)).unwrap());
            put_deployment(world, deployment);
        }
        5 | 6 => {
            let mut set = pick(world, |world| world.stateful_sets.all_actual().cloned().collect());
            change(&mut set.spec.template, &mut set.metadata.generation, image);
            if world.random.one_in(2) {
                set.spec.replicas = Some(5 + i32::try_from(world.random.below(10)).unwrap());
            }
            world.put(set);
        }
        _ => {
            let mut set = pick(world, |world| world.daemon_sets.all_actual().cloned().collect());
            change(&mut set.spec.template, &mut set.metadata.generation, image);
            world.put(set);
        }
    }
}

fn rolled(world: &World) -> Vec<Arc<Deployment>> {
    let all = world.deployments.all_actual();
    all.filter(|deployment| deployment.name_any().starts_with(ROLLED)).cloned().collect()
}

fn pick<K: Clone>(world: &mut World, of: impl Fn(&World) -> Vec<Arc<K>>) -> K {
    let all = of(world);
    (*world.random.pick(&all).unwrap()).clone()
}

fn change(template: &mut PodTemplateSpec, generation: &mut Option<i64>, image: String) {
    set_image(template, image);
    *generation = generation.map(|generation| generation + 1);
}

fn put_deployment(world: &mut World, mut deployment: Deployment) {
    deployment.metadata.generation = deployment.metadata.generation.map(|generation| generation + 1);
    world.put(deployment);
}
