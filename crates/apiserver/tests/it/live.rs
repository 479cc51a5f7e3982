//! Kinds that nobody keeps: the nodes are asked.

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use super::cluster::Cluster;

const PODS: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods";

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("a list");
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

async fn with_nodes() -> Cluster {
    let cluster = Cluster::start().await;
    for (name, pods) in [("n1", ["b", "a"]), ("n2", ["d", "c"])] {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"is": name}}});
        assert_eq!(cluster.post("/api/v1/nodes", node).await.0, 201);
        let of = |pod: &str| {
            let containers = json!([{"name": "c", "usage": {"cpu": "1500000n", "memory": "64Ki"}}]);
            let metadata = json!({"name": pod, "namespace": "default", "labels": {"is": pod}});
            json!({"metadata": metadata, "window": "10s", "containers": containers})
        };
        let pods = json!({"items": pods.map(of)});
        let nodes = json!({"items": [{"metadata": {"name": name}}, {"metadata": {"name": "other"}}]});
        let road = Router::new()
            .route("/metrics/pods", get(async move || axum::Json(pods)))
            .route("/metrics/nodes", get(async move || axum::Json(nodes)));
        cluster.server.kubelets().register(name, road);
    }
    // Nobody answers for the third.
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n3"}});
    assert_eq!(cluster.post("/api/v1/nodes", node).await.0, 201);
    cluster
}

#[tokio::test]
async fn what_all_nodes_have_is_one_list() {
    let cluster = with_nodes().await;
    let (code, list) = cluster.get(PODS).await;
    assert_eq!((code, names(&list)), (200, vec!["a", "b", "c", "d"]));
    assert_eq!((&list["kind"], &list["metadata"]), (&json!("PodMetricsList"), &json!({})));
    let (_, list) = cluster.get("/apis/metrics.k8s.io/v1beta1/pods?labelSelector=is+in+(b,c)").await;
    assert_eq!(names(&list), ["b", "c"]);
    let (_, list) = cluster.get(&format!("{PODS}?fieldSelector=metadata.name%3Dd")).await;
    assert_eq!(names(&list), ["d"]);
    let (_, list) = cluster.get("/apis/metrics.k8s.io/v1beta1/namespaces/other/pods").await;
    assert!(names(&list).is_empty());
}

#[tokio::test]
async fn one_object_is_found_by_its_name() {
    let cluster = with_nodes().await;
    let (code, pod) = cluster.get(&format!("{PODS}/c")).await;
    assert_eq!((code, &pod["kind"], &pod["apiVersion"]), (200, &json!("PodMetrics"), &json!("metrics.k8s.io/v1beta1")));
    assert_eq!(cluster.get(&format!("{PODS}/none")).await.0, 404);
    assert_eq!(cluster.delete(&format!("{PODS}/c"), None).await.0, 405);
}

#[tokio::test]
async fn a_node_has_its_own_labels_and_speaks_for_no_other() {
    let cluster = with_nodes().await;
    let (_, list) = cluster.get("/apis/metrics.k8s.io/v1beta1/nodes").await;
    assert_eq!(names(&list), ["n1", "n2"]);
    assert_eq!(list["items"][1]["metadata"]["labels"], json!({"is": "n2"}));
}

#[tokio::test]
async fn a_table_shows_what_a_pod_uses() {
    let cluster = with_nodes().await;
    let (_, table) = cluster.get_accepting(PODS, "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    assert_eq!(table["rows"][0]["cells"], json!(["a", "1500u", "64Ki", "10s"]));
    let headings: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(headings, ["Name", "cpu", "memory", "Window"]);
}
