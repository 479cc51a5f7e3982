//! Services: addresses and ports, given, kept, refused and freed.

use serde_json::{Value, json};

use super::cluster::Cluster;

const SERVICES: &str = "/api/v1/namespaces/default/services";

async fn service(cluster: &Cluster, name: &str, spec: Value) -> (u16, Value) {
    cluster.post(SERVICES, json!({"metadata": {"name": name}, "spec": spec})).await
}

#[tokio::test]
async fn an_address_is_given_once_and_free_again_after_deletion() {
    let cluster = Cluster::start().await;
    let (_, first) = service(&cluster, "a", json!({"ports": [{"port": 80}]})).await;
    let address = first["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96."));
    let wanted = json!({"clusterIP": address, "ports": [{"port": 80}]});
    let (code, status) = service(&cluster, "b", wanted.clone()).await;
    assert_eq!(code, 422);
    assert_eq!(
        status["details"]["causes"][0]["message"],
        format!("Invalid value: [\"{address}\"]: failed to allocate IP {address}: provided IP is already allocated")
    );
    cluster.delete(&format!("{SERVICES}/a"), None).await;
    assert_eq!(service(&cluster, "b", wanted).await.0, 201);
}

#[tokio::test]
async fn node_ports_are_given_kept_and_released() {
    let cluster = Cluster::start().await;
    let (_, created) = service(&cluster, "a", json!({"type": "NodePort", "ports": [{"port": 80}]})).await;
    let port = created["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30000..=32767).contains(&port));
    let update = json!({"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let (_, updated) = cluster.put(&format!("{SERVICES}/a"), update).await;
    assert_eq!(updated["spec"]["ports"][0]["nodePort"], port, "{updated}");
    let wanted = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let (code, status) = service(&cluster, "b", wanted.clone()).await;
    assert_eq!((code, &status["details"]["causes"][0]["field"]), (422, &json!("spec.ports[0].nodePort")));
    let plain = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": null}]}});
    let (code, plain) = cluster.patch(&format!("{SERVICES}/a"), "merge-patch+json", plain).await;
    assert_eq!((code, plain["spec"]["ports"][0].get("nodePort")), (200, None));
    assert_eq!(service(&cluster, "b", wanted).await.0, 201);
}

#[tokio::test]
async fn a_refused_service_keeps_nothing() {
    let cluster = Cluster::with(|config| config.node_ports = 30000..=30001).await;
    let two =
        json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 29999}]});
    assert_eq!(service(&cluster, "a", two).await.0, 422);
    let both = json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]});
    assert_eq!(service(&cluster, "b", both).await.0, 201);
}

#[tokio::test]
async fn a_dry_run_takes_no_address_and_no_port() {
    let cluster = Cluster::with(|config| config.node_ports = 30000..=30000).await;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let body = json!({"metadata": {"name": "a"}, "spec": spec});
    for _ in 0..2 {
        let (code, tried) = cluster.post(&format!("{SERVICES}?dryRun=All"), body.clone()).await;
        assert_eq!((code, &tried["spec"]["ports"][0]["nodePort"]), (201, &json!(30000)));
        assert_eq!(tried["metadata"].get("resourceVersion"), None);
    }
    assert_eq!(service(&cluster, "a", spec).await.0, 201);
}

#[tokio::test]
async fn a_service_that_becomes_a_name_outside_drops_what_that_has_not() {
    let cluster = Cluster::start().await;
    service(&cluster, "a", json!({"ports": [{"port": 80}]})).await;
    let name = json!({"spec": {"type": "ExternalName", "externalName": "example.com", "ports": null}});
    let (code, changed) = cluster.patch(&format!("{SERVICES}/a"), "merge-patch+json", name).await;
    let expected = json!({"type": "ExternalName", "externalName": "example.com", "sessionAffinity": "None"});
    assert_eq!((code, &changed["spec"]), (200, &expected));
}
