//! Namespaces: what exists from the start, what is refused in one that goes, and how it goes.

use serde_json::json;

use super::cluster::Cluster;

#[tokio::test]
async fn a_cluster_begins_with_its_namespaces_and_its_own_service() {
    let cluster = Cluster::start().await;
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let (code, namespace) = cluster.get(&format!("/api/v1/namespaces/{name}")).await;
        assert_eq!((code, &namespace["status"]["phase"]), (200, &json!("Active")), "{name}");
    }
    let (_, service) = cluster.get("/api/v1/namespaces/default/services/kubernetes").await;
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    let (_, endpoints) = cluster.get("/api/v1/namespaces/default/endpoints/kubernetes").await;
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "127.0.0.1");
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_missing_or_going() {
    let cluster = Cluster::start().await;
    let map = json!({"metadata": {"name": "a"}});
    let (code, status) = cluster.post("/api/v1/namespaces/none/configmaps", map.clone()).await;
    assert_eq!((code, &status["message"]), (404, &json!("namespaces \"none\" not found")));
    cluster.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await;
    let (code, going) = cluster.delete("/api/v1/namespaces/n", None).await;
    assert_eq!((code, &going["status"]["phase"]), (200, &json!("Terminating")));
    let (code, status) = cluster.post("/api/v1/namespaces/n/configmaps", map).await;
    let why =
        "configmaps \"a\" is forbidden: unable to create new content in namespace n because it is being terminated";
    assert_eq!((code, &status["message"]), (403, &json!(why)));
}

#[tokio::test]
async fn a_namespace_goes_when_its_finalizer_is_taken_away() {
    let cluster = Cluster::start().await;
    cluster.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await;
    let (_, mut going) = cluster.delete("/api/v1/namespaces/n", None).await;
    going["spec"]["finalizers"] = json!([]);
    let (code, _) = cluster.put("/api/v1/namespaces/n/finalize", going).await;
    assert_eq!(code, 200);
    assert_eq!(cluster.get("/api/v1/namespaces/n").await.0, 404);
    let (code, status) = cluster.delete("/api/v1/namespaces/default", None).await;
    let why = "namespaces \"default\" is forbidden: this namespace may not be deleted";
    assert_eq!((code, &status["message"]), (403, &json!(why)));
}
