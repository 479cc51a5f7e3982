//! Pods: what they are given, how they are bound, evicted and deleted, and where their logs come from.

use axum::Router;
use axum::routing::get;
use coracle_api::identity::User;
use http::Method;
use serde_json::{Value, json};

use super::cluster::Cluster;

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn pod(cluster: &Cluster, name: &str) -> Value {
    let body = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    let (code, pod) = cluster.post(PODS, body).await;
    assert_eq!(code, 201, "{pod}");
    pod
}

async fn bind(cluster: &Cluster, name: &str, node: &str) -> (u16, Value) {
    let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
    cluster.post(&format!("{PODS}/{name}/binding"), binding).await
}

#[tokio::test]
async fn a_pod_gets_an_account_a_token_and_tolerations() {
    let cluster = Cluster::start().await;
    let pod = pod(&cluster, "p").await;
    assert_eq!((&pod["spec"]["serviceAccountName"], &pod["status"]["phase"]), (&json!("default"), &json!("Pending")));
    assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 2);
    let volume = pod["spec"]["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-"));
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["name"], volume);
    let nobody = json!({"metadata": {"name": "q"}, "spec": {"serviceAccountName": "nobody", "containers": [{"name": "c", "image": "i"}]}});
    let (code, status) = cluster.post(PODS, nobody).await;
    let why =
        "pods \"q\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found";
    assert_eq!((code, &status["message"]), (403, &json!(why)));
}

#[tokio::test]
async fn a_pod_is_bound_once_and_then_given_time_to_go() {
    let cluster = Cluster::start().await;
    pod(&cluster, "p").await;
    assert_eq!(bind(&cluster, "p", "n1").await.0, 201);
    assert_eq!(bind(&cluster, "p", "n2").await.0, 409);
    let (_, bound) = cluster.get(&format!("{PODS}/p")).await;
    assert_eq!(
        (&bound["spec"]["nodeName"], &bound["status"]["conditions"][0]["type"]),
        (&json!("n1"), &json!("PodScheduled"))
    );
    let (code, going) = cluster.delete(&format!("{PODS}/p"), None).await;
    assert_eq!((code, &going["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(30)));
    let node = User::node("n1");
    let force = Some(json!({"gracePeriodSeconds": 0}));
    let stranger = cluster.ask_as(User::node("n2"), Method::DELETE, &format!("{PODS}/p"), force.clone()).await;
    assert_eq!(stranger.0, 403);
    assert_eq!(cluster.ask_as(node, Method::DELETE, &format!("{PODS}/p"), force).await.0, 200);
    assert_eq!(cluster.get(&format!("{PODS}/p")).await.0, 404);
}

#[tokio::test]
async fn an_evicted_pod_is_deleted() {
    let cluster = Cluster::start().await;
    pod(&cluster, "p").await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    assert_eq!(cluster.post(&format!("{PODS}/p/eviction"), eviction).await.0, 201);
    assert_eq!(cluster.get(&format!("{PODS}/p")).await.0, 404);
}

#[tokio::test]
async fn a_log_comes_from_the_pods_node() {
    let cluster = Cluster::start().await;
    pod(&cluster, "p").await;
    assert_eq!(cluster.get(&format!("{PODS}/p/log")).await.0, 204);
    bind(&cluster, "p", "n1").await;
    assert_eq!(cluster.get(&format!("{PODS}/p/log")).await.0, 500);
    let logs = get(|uri: http::Uri| async move { format!("asked for {uri}") });
    cluster.server.kubelets().register("n1", Router::new().route("/containerLogs/{namespace}/{pod}/{container}", logs));
    let (code, text) = cluster.get(&format!("{PODS}/p/log?tailLines=3")).await;
    assert_eq!((code, text), (200, json!("asked for /containerLogs/default/p/c?tailLines=3")));
    let (code, _) = cluster.get(&format!("{PODS}/p/log?container=none")).await;
    assert_eq!(code, 400);
}
