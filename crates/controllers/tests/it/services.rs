//! Services and the endpoints that follow their pods.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::world::{World, deployment};

fn n_ready(slices: &[EndpointSlice]) -> usize {
    let ours = slices.iter().filter(|slice| {
        slice
            .metadata
            .labels
            .as_ref()
            .is_some_and(|labels| labels.get("kubernetes.io/service-name").is_some_and(|name| name == "web"))
    });
    let endpoints = ours.flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints.filter(|endpoint| endpoint.conditions.as_ref().is_some_and(|c| c.ready == Some(true))).count()
}

fn n_addresses(endpoints: &[Endpoints]) -> usize {
    let ours = endpoints.iter().filter(|endpoints| endpoints.metadata.name.as_deref() == Some("web"));
    let subsets = ours.flat_map(|endpoints| endpoints.subsets.iter().flatten());
    subsets.map(|subset| subset.addresses.as_ref().map_or(0, Vec::len)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_follow_the_pods_of_a_service() {
    let mut world = World::start().await;
    world.node("n1").await;
    let service = json!({"metadata": {"name": "web"}, "spec": {
        "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}});
    world.create::<Service>(service).await;
    world.create::<Deployment>(deployment("web", 3)).await;
    let slices = world.until("3 ready endpoints", |slices: &[EndpointSlice]| n_ready(slices) == 3).await;
    let slice = slices.iter().find(|slice| slice.endpoints.as_ref().is_some_and(|e| e.len() == 3)).unwrap();
    assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(8080));
    world.until("3 addresses", |all: &[Endpoints]| n_addresses(all) == 3).await;

    let scale = json!({"spec": {"replicas": 1}});
    world.api::<Deployment>().patch("web", &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
    world.until("1 ready endpoint", |slices: &[EndpointSlice]| n_ready(slices) == 1).await;
    world.until("1 address", |all: &[Endpoints]| n_addresses(all) == 1).await;

    world.api::<Service>().delete("web", &Default::default()).await.unwrap();
    let is_gone = |name: Option<&str>| name != Some("web");
    world.until("no Endpoints", |all: &[Endpoints]| all.iter().all(|e| is_gone(e.metadata.name.as_deref()))).await;
    world.until("no slices", |all: &[EndpointSlice]| n_ready(all) == 0).await;
    world.end().await;
}
