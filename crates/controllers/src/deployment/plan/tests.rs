//! Rollouts step by step, and properties of every rollout.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A deployment and its sets, moved on by the plan as an API server and a ReplicaSet controller would.
struct World {
    deployment: Deployment,
    sets: BTreeMap<String, ReplicaSet>,
    n_created: i64,
    now: i64,
    events: Vec<String>,
}

impl World {
    fn new(replicas: i32, strategy: Value) -> Self {
        let deployment = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "web", "generation": 1},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": strategy,
                "progressDeadlineSeconds": 600,
                "revisionHistoryLimit": 2,
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
            },
        }))
        .unwrap();
        Self { deployment, sets: BTreeMap::new(), n_created: 0, now: 1000, events: Vec::new() }
    }

    fn rolling(replicas: i32, surge: Value, unavailable: Value) -> Self {
        let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        Self::new(replicas, json!({"type": "RollingUpdate", "rollingUpdate": rolling}))
    }

    fn change(&mut self, change: impl FnOnce(&mut k8s_openapi::api::apps::v1::DeploymentSpec)) {
        change(&mut self.deployment.spec);
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
    }

    fn set_image(&mut self, image: &str) {
        self.change(|spec| {
            spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
        });
    }

    fn plan(&self) -> Plan {
        let sets: Vec<Arc<ReplicaSet>> = self.sets.values().cloned().map(Arc::new).collect();
        plan(&View { deployment: &self.deployment, sets: &sets, pods: &[], now: at(self.now) })
    }

    /// Plans and writes; true when something was written.
    fn step(&mut self) -> bool {
        self.now += 1;
        let plan = self.plan();
        let mut is_changed = plan.create.is_some() || !plan.update.is_empty() || !plan.delete.is_empty();
        for scaling in plan.update.into_iter().chain(plan.create) {
            let mut set = scaling.set;
            self.events.extend(scaling.event);
            if set.metadata.uid.is_none() {
                self.n_created += 1;
                set.metadata.uid = set.metadata.name.clone();
                set.metadata.creation_timestamp =
                    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(self.now + self.n_created)));
                set.status = Some(ReplicaSetStatus::default());
            }
            self.sets.insert(set.metadata.name.clone().unwrap(), set);
        }
        for set in plan.delete {
            self.sets.remove(set.metadata.name.as_ref().unwrap());
        }
        if let Some(number) = plan.revision {
            self.deployment.metadata.annotations.get_or_insert_default().insert(revision::REVISION.to_owned(), number);
        }
        is_changed |= self.deployment.status.as_ref() != Some(&plan.status);
        self.deployment.status = Some(plan.status);
        is_changed
    }

    /// Every set has the pods it wants; of each, `n_ready` at most are available.
    fn run_pods(&mut self, n_ready: i32) {
        for set in self.sets.values_mut() {
            let size = spec_replicas(set);
            let status = set.status.get_or_insert_default();
            let n_available = size.min(n_ready.max(status.available_replicas.unwrap_or(0)));
            status.replicas = size;
            status.ready_replicas = Some(n_available);
            status.available_replicas = Some(n_available);
        }
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            self.run_pods(i32::MAX);
            if !self.step() {
                return;
            }
        }
        panic!("it never settles: {:?}", self.sizes());
    }

    fn sizes(&self) -> Vec<i32> {
        let mut sets: Vec<&ReplicaSet> = self.sets.values().collect();
        sets.sort_by_key(|set| created(set));
        sets.into_iter().map(spec_replicas).collect()
    }

    fn reason(&self, condition_type: &str) -> String {
        let conditions = self.deployment.status.as_ref().unwrap().conditions.clone().unwrap();
        let condition = conditions.iter().find(|condition| condition.type_.as_deref() == Some(condition_type)).unwrap();
        format!(
            "{} {}: {}",
            condition.status.as_ref().unwrap(),
            condition.reason.as_ref().unwrap(),
            condition.message.as_ref().unwrap()
        )
    }

    fn n_serving(&self) -> i32 {
        self.sets.values().map(|set| available(set).min(spec_replicas(set))).sum()
    }

    fn number(&self) -> &str {
        &self.deployment.metadata.annotations.as_ref().unwrap()[revision::REVISION]
    }
}

#[test]
fn the_first_step_creates_the_set_at_its_size() {
    let world = World::rolling(3, json!("25%"), json!("25%"));
    let plan = world.plan();
    let created = plan.create.unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&created.set).unwrap(), @r#"
    {
      "apiVersion": "apps/v1",
      "kind": "ReplicaSet",
      "metadata": {
        "annotations": {
          "deployment.kubernetes.io/desired-replicas": "3",
          "deployment.kubernetes.io/max-replicas": "4",
          "deployment.kubernetes.io/revision": "1"
        },
        "labels": {
          "app": "web",
          "pod-template-hash": "5d8969679f"
        },
        "name": "web-5d8969679f",
        "namespace": "default",
        "ownerReferences": [
          {
            "apiVersion": "apps/v1",
            "blockOwnerDeletion": true,
            "controller": true,
            "kind": "Deployment",
            "name": "web",
            "uid": "web"
          }
        ]
      },
      "spec": {
        "replicas": 3,
        "selector": {
          "matchLabels": {
            "app": "web",
            "pod-template-hash": "5d8969679f"
          }
        },
        "template": {
          "metadata": {
            "labels": {
              "app": "web",
              "pod-template-hash": "5d8969679f"
            }
          },
          "spec": {
            "containers": [
              {
                "image": "i:1",
                "name": "c"
              }
            ]
          }
        }
      }
    }
    "#);
    assert_eq!(created.event, Some(format!("Scaled up replica set {} from 0 to 3", name(&created.set))));
    assert_eq!(plan.revision.as_deref(), Some("1"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan.status).unwrap(), @r#"
    {
      "conditions": [
        {
          "lastTransitionTime": "1970-01-01T00:16:40Z",
          "lastUpdateTime": "1970-01-01T00:16:40Z",
          "message": "Created new replica set \"web-5d8969679f\"",
          "reason": "NewReplicaSetCreated",
          "status": "True",
          "type": "Progressing"
        },
        {
          "lastTransitionTime": "1970-01-01T00:16:40Z",
          "lastUpdateTime": "1970-01-01T00:16:40Z",
          "message": "Deployment does not have minimum availability.",
          "reason": "MinimumReplicasUnavailable",
          "status": "False",
          "type": "Available"
        }
      ],
      "observedGeneration": 1,
      "terminatingReplicas": 0,
      "unavailableReplicas": 3
    }
    "#);
}

#[test]
fn a_rollout_completes_and_says_so() {
    let mut world = World::rolling(3, json!("25%"), json!("25%"));
    world.step();
    assert_eq!(
        world.reason("Available"),
        "False MinimumReplicasUnavailable: Deployment does not have minimum availability."
    );
    world.settle();
    assert_eq!(world.sizes(), [3]);
    let set = world.sets.keys().next().unwrap().clone();
    assert_eq!(world.reason("Available"), "True MinimumReplicasAvailable: Deployment has minimum availability.");
    assert_eq!(
        world.reason("Progressing"),
        format!("True NewReplicaSetAvailable: ReplicaSet \"{set}\" has successfully progressed.")
    );
}

#[test]
fn a_rolling_update_takes_steps_that_keep_service_up() {
    let mut world = World::rolling(4, json!(1), json!(1));
    world.settle();
    world.set_image("i:2");
    world.events.clear();
    let mut sizes = Vec::new();
    for _ in 0..40 {
        world.step();
        sizes.push(world.sizes());
        sizes.dedup();
        world.run_pods(i32::MAX);
    }
    assert_eq!(sizes, [[3, 1], [3, 2], [1, 2], [1, 4], [0, 4]]);
    assert_eq!(world.number(), "2");
}

#[test]
fn no_old_pod_goes_by_what_a_set_said_before_its_size_changed() {
    let mut world = World::rolling(4, json!(1), json!(0));
    world.settle();
    world.set_image("i:2");
    world.step();
    world.run_pods(i32::MAX);
    world.sets.values_mut().for_each(|set| set.metadata.generation = Some(2));
    world.step();
    assert_eq!(world.sizes(), [4, 1]);
    world.sets.values_mut().for_each(|set| set.status.get_or_insert_default().observed_generation = Some(2));
    world.step();
    assert_eq!(world.sizes(), [3, 1]);
}

#[test]
fn a_rollout_that_is_stuck_is_reported_after_the_deadline() {
    let mut world = World::rolling(3, json!(1), json!(0));
    world.settle();
    world.set_image("i:broken");
    for _ in 0..10 {
        world.step();
        for set in world.sets.values_mut().filter(|set| set.status == Some(ReplicaSetStatus::default())) {
            set.status = Some(ReplicaSetStatus { replicas: 1, ..ReplicaSetStatus::default() });
        }
    }
    assert_eq!(world.sizes(), [3, 1], "no old pod goes before a new one serves");
    let wait = world.plan().next_look.unwrap();
    assert!((580..=601).contains(&wait.as_secs()), "{wait:?}");
    world.now += 700;
    world.step();
    assert!(world.reason("Progressing").starts_with("False ProgressDeadlineExceeded: ReplicaSet \"web-"));
    assert_eq!(world.plan().next_look, None);
}

#[test]
fn undoing_brings_the_old_set_back_as_the_newest_revision() {
    let mut world = World::rolling(2, json!(1), json!(0));
    world.settle();
    world.set_image("i:2");
    world.settle();
    world.set_image("i:1");
    world.settle();
    assert_eq!(world.sizes(), [2, 0]);
    assert_eq!(world.number(), "3");
    let first = world.sets.values().min_by_key(|set| created(set)).unwrap();
    assert_eq!(first.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision-history"], "1");
}

#[test]
fn history_beyond_the_limit_is_deleted() {
    let mut world = World::rolling(1, json!(1), json!(0));
    for image in ["i:1", "i:2", "i:3", "i:4", "i:5"] {
        world.set_image(image);
        world.settle();
    }
    let mut numbers: Vec<i64> = world.sets.values().map(revision::number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [3, 4, 5]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = World::rolling(2, json!(1), json!(0));
    world.settle();
    world.change(|spec| spec.paused = Some(true));
    world.set_image("i:2");
    world.settle();
    assert_eq!(world.sizes(), [2]);
    assert_eq!(world.reason("Progressing"), "Unknown DeploymentPaused: Deployment is paused");
    world.change(|spec| spec.replicas = Some(5));
    world.settle();
    assert_eq!(world.sizes(), [5]);
    world.change(|spec| spec.paused = Some(false));
    world.step();
    assert!(world.reason("Progressing").starts_with("True NewReplicaSetCreated"));
    world.settle();
    assert_eq!(world.sizes(), [0, 5]);
}

#[test]
fn a_change_of_size_amid_a_rollout_keeps_proportions() {
    let mut world = World::rolling(10, json!(3), json!(2));
    world.settle();
    world.set_image("i:broken");
    for _ in 0..3 {
        world.step();
    }
    assert_eq!(world.sizes(), [8, 5]);
    world.change(|spec| spec.replicas = Some(30));
    world.step();
    assert_eq!(world.sizes(), [20, 13], "upstream's conformance test says so");
}

#[test]
fn of_sets_alike_the_newer_grows_first_and_the_older_shrinks_first() {
    let world_of = |replicas: i32| {
        let mut world = World::rolling(10, json!(0), json!(10));
        world.settle();
        world.set_image("i:broken");
        world.step();
        for set in world.sets.values_mut() {
            resize_to(set, 5);
            set.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)));
            revision::note_sizes(set, 10, 10);
        }
        world.change(|spec| spec.replicas = Some(replicas));
        world.step();
        world.sets.values().map(spec_replicas).collect::<Vec<_>>()
    };
    // Half a pod is rounded up for the set that is looked at first; the last by name counts as the newest.
    assert_eq!(world_of(11), [5, 6]);
    assert_eq!(world_of(9), [4, 5]);
}

#[test]
fn a_set_that_has_its_size_keeps_what_is_noted_on_it() {
    let mut world = World::rolling(4, json!(1), json!(0));
    world.settle();
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0}});
    world.change(|spec| spec.strategy = serde_json::from_value(rolling).unwrap());
    let plan = world.plan();
    assert!(plan.update.is_empty(), "{:?}", plan.update);
}

#[test]
fn a_deployment_that_is_going_only_reports() {
    let mut world = World::rolling(2, json!(1), json!(0));
    world.settle();
    world.change(|spec| spec.paused = Some(true));
    world.deployment.metadata.deletion_timestamp =
        world.sets.values().next().unwrap().metadata.creation_timestamp.clone();
    world.set_image("i:2");
    let plan = world.plan();
    assert!(plan.create.is_none() && plan.update.is_empty() && plan.delete.is_empty());
    world.step();
    assert!(world.reason("Progressing").starts_with("True NewReplicaSetAvailable"), "a pause does not matter any more");
}

#[test]
fn a_refused_set_is_told_where_there_is_a_deadline() {
    let mut world = World::rolling(2, json!(1), json!(0));
    world.settle();
    let text = "Failed to create new replica set \"web-x\": no";
    let failed = conditions::create_failed(&world.deployment, text.to_owned(), at(9)).unwrap();
    assert_eq!(failed.replicas, Some(2), "the rest stays as it was");
    world.deployment.status = Some(failed);
    assert_eq!(world.reason("Progressing"), format!("False ReplicaSetCreateError: {text}"));
    world.change(|spec| spec.progress_deadline_seconds = None);
    assert!(conditions::create_failed(&world.deployment, text.to_owned(), at(9)).is_none());
}

#[test]
fn recreate_waits_until_old_pods_are_gone() {
    let mut world = World::new(2, json!({"type": "Recreate"}));
    world.settle();
    world.set_image("i:2");
    world.step();
    assert_eq!(world.sizes(), [0]);
    world.step();
    assert_eq!(world.sizes(), [0], "the old set still reports pods");
    world.run_pods(0);
    let set = world.sets.values().next().unwrap();
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name(set), "uid": set.metadata.uid, "controller": true}]},
        "status": {"phase": "Running"},
    }))
    .unwrap();
    let sets: Vec<Arc<ReplicaSet>> = world.sets.values().cloned().map(Arc::new).collect();
    let pods = [Arc::new(pod)];
    let waiting = plan(&View { deployment: &world.deployment, sets: &sets, pods: &pods, now: at(5000) });
    assert!(waiting.create.is_none(), "a pod still runs");
    world.settle();
    assert_eq!(world.sizes(), [0, 2]);
}

#[test]
fn a_refused_pod_is_the_deployments_failure_too() {
    let mut world = World::rolling(2, json!(1), json!(0));
    world.step();
    let failure =
        json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no quota"}]);
    world.sets.values_mut().next().unwrap().status.as_mut().unwrap().conditions =
        serde_json::from_value(failure).unwrap();
    world.step();
    assert_eq!(world.reason("ReplicaFailure"), "True FailedCreate: no quota");
}

proptest! {
    /// Pods become ready, or not, at any pace; images and sizes change at any time.
    #[test]
    fn a_rollout_stays_within_its_fence_and_converges(
        replicas in 1..30i32,
        surge in 0..12i32,
        unavailable in 0..12i32,
        steps in prop::collection::vec((0..6u8, 0..30i32), 1..60),
    ) {
        let mut world = World::rolling(replicas, json!(surge), json!(unavailable));
        world.settle();
        for (kind, n) in steps {
            match kind {
                0 => world.set_image(&format!("i:{}", n % 4)),
                1..=2 => world.run_pods(n),
                _ => {
                    let fence = scale::fence(&world.deployment);
                    let before: i32 = world.sizes().iter().sum();
                    let had = world.n_serving();
                    world.step();
                    let total: i32 = world.sizes().iter().sum();
                    prop_assert!(total <= before.max(replicas + fence.surge), "{total} pods, {before} before");
                    // What the plan leaves of the pods that are available now.
                    let kept = world.n_serving();
                                        prop_assert!(kept >= had.min(replicas - fence.unavailable), "kept {kept} of {had}");
                }
            }
        }
        world.settle();
        prop_assert_eq!(world.sizes().iter().sum::<i32>(), replicas);
        prop_assert!(world.reason("Progressing").starts_with("True NewReplicaSetAvailable"));
    }

    #[test]
    fn a_change_of_size_converges_whatever_the_state(
        sizes in prop::collection::vec(0..60i32, 1..5), surge in 0..8i32, unavailable in 0..8i32, n_ready in 0..20i32,
    ) {
        let mut world = World::rolling(sizes[0], json!(surge), json!(unavailable));
        world.settle();
        for (i, size) in sizes.iter().enumerate() {
            world.set_image(&format!("i:{i}"));
            world.step();
            world.run_pods(n_ready);
            world.step();
            world.change(|spec| spec.replicas = Some(*size));
            world.step();
            let fence = scale::fence(&world.deployment);
            let total: i32 = world.sizes().iter().sum();
            let max = if *size == 0 { 0 } else { size + fence.surge };
            prop_assert!(total <= max, "{total} pods of {max}");
        }
        world.settle();
        prop_assert_eq!(world.sizes().iter().sum::<i32>(), *sizes.last().unwrap());
    }
}
