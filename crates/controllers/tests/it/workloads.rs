//! Deployments from their creation to their end.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::world::{World, deployment};

fn is_complete(deployments: &[Deployment], replicas: i32) -> bool {
    let Some(status) = deployments.first().and_then(|deployment| deployment.status.as_ref()) else { return false };
    let reasons: Vec<_> = status.conditions.iter().flatten().filter_map(|c| c.reason.as_deref()).collect();
    let counts = [status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas];
    counts.iter().all(|count| *count == Some(replicas))
        && status.observed_generation == deployments[0].metadata.generation
        && reasons.contains(&"NewReplicaSetAvailable")
        && reasons.contains(&"MinimumReplicasAvailable")
}

async fn patch(world: &World, patch: Value) {
    let api: Api<Deployment> = world.api();
    api.patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
}

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_comes_up_scales_rolls_and_is_undone() {
    let mut world = World::start().await;
    world.node("n1").await;
    world.node("n2").await;
    world.create::<Deployment>(deployment("web", 4)).await;
    world.until("4 available pods", |all: &[Deployment]| is_complete(all, 4)).await;
    let pods: Vec<Pod> = world.list().await;
    let on =
        |node: &str| pods.iter().filter(|pod| pod.spec.as_ref().unwrap().node_name.as_deref() == Some(node)).count();
    assert_eq!((on("n1"), on("n2")), (2, 2), "replicas are spread");
    assert!(world.event("Scheduled").await.starts_with("Successfully assigned default/web-"));
    let set = world.list::<ReplicaSet>().await.remove(0);
    assert_eq!(world.event("ScalingReplicaSet").await, format!("Scaled up replica set {} from 0 to 4", set.name_any()));

    patch(&world, json!({"spec": {"replicas": 2}})).await;
    world.until("2 pods", |pods: &[Pod]| pods.len() == 2).await;

    patch(&world, image("i:2")).await;
    world
        .until("the second revision", |all: &[Deployment]| {
            is_complete(all, 2) && all[0].annotations()["deployment.kubernetes.io/revision"] == "2"
        })
        .await;
    world
        .until("only new pods", |pods: &[Pod]| {
            pods.len() == 2
                && pods.iter().all(|p| p.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("i:2"))
        })
        .await;

    patch(&world, image("i:1")).await;
    world
        .until("the third revision", |all: &[Deployment]| {
            is_complete(all, 2) && all[0].annotations()["deployment.kubernetes.io/revision"] == "3"
        })
        .await;
    assert_eq!(world.list::<ReplicaSet>().await.len(), 2, "the first set came back");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_deleted_is_replaced_and_one_that_fits_is_adopted() {
    let mut world = World::start().await;
    world.node("n1").await;
    world.create::<Deployment>(deployment("web", 2)).await;
    let pods = world.until("2 pods", |pods: &[Pod]| pods.len() == 2).await;
    world.api::<Pod>().delete(&pods[0].name_any(), &Default::default()).await.unwrap();
    world.until("another pod", |now: &[Pod]| now.len() == 2 && now.iter().all(|pod| pod.uid() != pods[0].uid())).await;

    let set = world.list::<ReplicaSet>().await.remove(0);
    let labels = set.labels().clone();
    let orphan = json!({"metadata": {"name": "orphan", "labels": labels}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    world.create::<Pod>(orphan).await;
    let api: Api<ReplicaSet> = world.api();
    world
        .until("no pod too many", |pods: &[Pod]| {
            pods.len() == 2 && pods.iter().all(|pod| !pod.owner_references().is_empty())
        })
        .await;
    assert_eq!(api.get(&set.name_any()).await.unwrap().spec.replicas, Some(2));
    world.end().await;
}

fn big_of(pods: &[Pod]) -> &Pod {
    pods.iter().find(|pod| pod.name_any() == "big").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fits_nowhere_is_told_why() {
    let mut world = World::start().await;
    world.node("n1").await;
    // The first pod is bound: the scheduler knows the node.
    world.create::<Deployment>(deployment("web", 1)).await;
    world.until("1 available pod", |all: &[Deployment]| is_complete(all, 1)).await;
    let big = json!({"metadata": {"name": "big"}, "spec": {"containers": [
        {"name": "c", "image": "i:1", "resources": {"requests": {"cpu": "64"}}}]}});
    world.create::<Pod>(big).await;
    let text = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
        1 Preemption is not helpful for scheduling.";
    assert_eq!(world.event("FailedScheduling").await, text);
    let is_told = |pods: &[Pod]| {
        let conditions = big_of(pods).status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|condition| condition.reason.as_deref() == Some("Unschedulable"))
    };
    let pods = world.until("the condition", is_told).await;
    let conditions = big_of(&pods).status.as_ref().unwrap().conditions.as_ref().unwrap();
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled").unwrap();
    assert_eq!((scheduled.status.as_str(), scheduled.message.as_deref()), ("False", Some(text)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_stranger_has_is_left_to_it_and_another_is_taken() {
    let world = World::start().await;
    world.create::<Deployment>(deployment("web", 0)).await;
    let taken = world.until("the set", |sets: &[ReplicaSet]| sets.len() == 1).await.remove(0).name_any();
    world.api::<Deployment>().delete("web", &DeleteParams::background()).await.unwrap();
    world.until("no sets", |sets: &[ReplicaSet]| sets.is_empty()).await;

    let labels = json!({"is": "somebody-else"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i:9"}]}});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    world.create::<ReplicaSet>(json!({"metadata": {"name": taken}, "spec": spec})).await;
    world.create::<Deployment>(deployment("web", 0)).await;
    let sets = world.until("two sets", |sets: &[ReplicaSet]| sets.len() == 2).await;
    assert!(sets.iter().any(|set| set.name_any() == taken && set.owner_references().is_empty()));
    let n_collisions = |all: &[Deployment]| all[0].status.as_ref().and_then(|status| status.collision_count);
    world.until("one collision", |all: &[Deployment]| n_collisions(all) == Some(1)).await;
    world.end().await;
}
