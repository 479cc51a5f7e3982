//! A pod's claim gets its volume on the pod's node, and keeps it when the pod goes.

use coracle_testkit::wait_for;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::world::World;

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "containers": [{"name": "c", "image": "c"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}})
}

#[tokio::test]
async fn a_claim_outlives_its_pods_and_its_volume_goes_with_it() {
    let mut world = World::start().await;
    for name in ["n1", "n2"] {
        world.node(name).await;
    }
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let _: PersistentVolumeClaim = world.create(claim).await;
    let mut places = Vec::new();
    for name in ["first", "second"] {
        let _: Pod = world.create(pod(name)).await;
        let placed = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let pods = world.until("a node for the pod", |pods: &[Pod]| pods.iter().all(|pod| placed(pod).is_some())).await;
        places.extend(pods.iter().filter_map(placed));
        world.api::<Pod>().delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
        world.until("no pod", |pods: &[Pod]| pods.is_empty()).await;
    }
    assert_eq!(places[0], places[1], "both pods run where the volume is");
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    let all = volumes.list(&Default::default()).await.unwrap().items;
    assert_eq!(all.len(), 1);
    assert!(all[0].name_any().starts_with("pvc-"));
    world.api::<PersistentVolumeClaim>().delete("data", &DeleteParams::default()).await.unwrap();
    wait_for("the volume to go", async || {
        let left = volumes.list(&Default::default()).await.map_err(|error| error.to_string())?.items;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}
