//! What goes with its owner, what waits for its dependents, and what outlives both.

use coracle_testkit::wait_for;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::world::{World, deployment};

async fn with_pods(replicas: usize) -> World {
    let mut world = World::start().await;
    world.node("n1").await;
    world.create::<Deployment>(deployment("web", i32::try_from(replicas).unwrap())).await;
    world.until("pods", |pods: &[Pod]| pods.len() == replicas).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_go_with_their_deployment() {
    let world = with_pods(3).await;
    world.api::<Deployment>().delete("web", &DeleteParams::background()).await.unwrap();
    world.until("no pods", |pods: &[Pod]| pods.is_empty()).await;
    world.until("no sets", |sets: &[ReplicaSet]| sets.is_empty()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_deleted_in_the_foreground_leaves_nothing() {
    let world = with_pods(2).await;
    world.api::<Deployment>().delete("web", &DeleteParams::foreground()).await.unwrap();
    world.until("no deployment", |all: &[Deployment]| all.is_empty()).await;
    world.until("no sets", |sets: &[ReplicaSet]| sets.is_empty()).await;
    world.until("no pods", |pods: &[Pod]| pods.is_empty()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_deleted_in_the_foreground_waits_for_its_dependents() {
    let world = World::start().await;
    let owner = world.create::<ConfigMap>(json!({"metadata": {"name": "owner"}})).await;
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid(), "blockOwnerDeletion": true}]);
    let held = json!({"metadata": {"name": "held", "ownerReferences": reference, "finalizers": ["example.com/hold"]}});
    world.create::<ConfigMap>(held).await;
    let maps: Api<ConfigMap> = world.api();
    maps.delete("owner", &DeleteParams::foreground()).await.unwrap();
    let is_ending = |map: &ConfigMap| map.metadata.deletion_timestamp.is_some();
    world
        .until("the held one to end", |maps: &[ConfigMap]| maps.iter().any(|m| m.name_any() == "held" && is_ending(m)))
        .await;
    assert!(maps.get_opt("owner").await.unwrap().is_some(), "it waits");
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &PatchParams::default(), &release).await.unwrap();
    world.until("the owner to go", |maps: &[ConfigMap]| maps.iter().all(|map| map.name_any() != "owner")).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_stay() {
    let world = with_pods(2).await;
    world.api::<Deployment>().delete("web", &DeleteParams::orphan()).await.unwrap();
    world.until("no deployment", |all: &[Deployment]| all.is_empty()).await;
    let sets =
        world.until("a free set", |sets: &[ReplicaSet]| sets.iter().any(|set| set.owner_references().is_empty())).await;
    assert_eq!((sets.len(), world.list::<Pod>().await.len()), (1, 2));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_an_owner_that_never_was_is_deleted() {
    let world = World::start().await;
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "0b0b0b0b-0000-0000-0000-000000000000"}]);
    world.create::<ConfigMap>(json!({"metadata": {"name": "lost", "ownerReferences": owner}})).await;
    world.until("nothing lost", |maps: &[ConfigMap]| maps.iter().all(|map| map.name_any() != "lost")).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_furnished_and_emptied() {
    let world = World::start().await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), "shop");
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "shop");
    wait_for("a service account and a certificate", async || {
        let account = accounts.get_opt("default").await.unwrap().ok_or("no account")?;
        let map = maps.get_opt("kube-root-ca.crt").await.unwrap().ok_or("no certificate")?;
        assert_eq!(map.data.unwrap()["ca.crt"], "PEM");
        Ok(account)
    })
    .await;
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "prices"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    wait_for("the namespace to go", async || match namespaces.get_opt("shop").await.unwrap() {
        None => Ok(()),
        Some(namespace) => Err(format!("{namespace:#?}")),
    })
    .await;
    world.end().await;
}
