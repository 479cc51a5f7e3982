//! Deletion: finalizers, propagation, preconditions, grace, and many at once.

use serde_json::json;

use super::cluster::Cluster;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_away() {
    let cluster = Cluster::start().await;
    let body = json!({"metadata": {"name": "a", "finalizers": ["example.com/hold"]}});
    cluster.post(MAPS, body).await;
    let (code, held) = cluster.delete(&format!("{MAPS}/a"), None).await;
    assert_eq!((code, held["metadata"]["deletionTimestamp"].is_string()), (200, true));
    let (code, _) =
        cluster.patch(&format!("{MAPS}/a"), "merge-patch+json", json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(code, 200);
    assert_eq!(cluster.get(&format!("{MAPS}/a")).await.0, 404);
}

#[tokio::test]
async fn foreground_leaves_the_object_to_the_garbage_collector() {
    let cluster = Cluster::start().await;
    cluster.config_map("a", json!({})).await;
    let (_, held) = cluster.delete(&format!("{MAPS}/a"), Some(json!({"propagationPolicy": "Foreground"}))).await;
    assert_eq!(held["metadata"]["finalizers"], json!(["foregroundDeletion"]));
}

#[tokio::test]
async fn preconditions_protect_from_deleting_another_object() {
    let cluster = Cluster::start().await;
    cluster.config_map("a", json!({})).await;
    let (code, status) = cluster.delete(&format!("{MAPS}/a"), Some(json!({"preconditions": {"uid": "other"}}))).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    assert_eq!(cluster.delete(&format!("{MAPS}/a?dryRun=All"), None).await.0, 200);
    assert_eq!(cluster.get(&format!("{MAPS}/a")).await.0, 200);
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_it_is_selected() {
    let cluster = Cluster::start().await;
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
        cluster.config_map(name, json!({"app": app})).await;
    }
    let (code, list) = cluster.delete(&format!("{MAPS}?labelSelector=app%3Dx"), None).await;
    assert_eq!((code, list["items"].as_array().unwrap().len()), (200, 2));
    let (_, rest) = cluster.get(MAPS).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
}
