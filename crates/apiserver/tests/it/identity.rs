//! Who asks, and what they may: anonymous callers, components, nodes, service accounts.

use axum::body::Body;
use coracle_api::identity::User;
use http::{Method, Request};
use serde_json::json;

use super::cluster::{Cluster, read};

#[tokio::test]
async fn without_credentials_one_learns_health_and_version_only() {
    let cluster = Cluster::start().await;
    let get = async |path: &str| read(cluster.send(None, Request::get(path).body(Body::empty()).unwrap()).await).await;
    for path in ["/healthz", "/livez", "/readyz?verbose", "/version"] {
        assert_eq!(get(path).await.0, 200, "{path}");
    }
    for path in ["/api", "/metrics", "/openapi/v3", "/readyz/ping"] {
        let (code, status) = get(path).await;
        let why = format!("forbidden: User \"system:anonymous\" cannot get path \"{path}\"");
        assert_eq!((code, &status["message"]), (403, &json!(why)));
    }
    let (code, status) = get("/api/v1/pods").await;
    let why = "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" at the cluster scope";
    assert_eq!((code, &status["message"]), (403, &json!(why)));
    assert_eq!(get("/v2/").await.0, 401);
}

#[tokio::test]
async fn who_may_not_is_told_what_in_upstreams_words() {
    let cluster = Cluster::start().await;
    let jane = User::new("jane", &[]);
    let (code, status) = cluster.ask_as(jane.clone(), Method::GET, "/api/v1/namespaces/default/pods/p", None).await;
    let why = "pods \"p\" is forbidden: User \"jane\" cannot get resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert_eq!((code, &status["message"]), (403, &json!(why)));
    assert_eq!(cluster.ask_as(jane, Method::GET, "/apis", None).await.0, 200);
}

#[tokio::test]
async fn a_token_is_its_account_while_the_account_lives() {
    let cluster = Cluster::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    cluster.post(accounts, json!({"metadata": {"name": "robot"}})).await;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let (code, answer) = cluster.post(&format!("{accounts}/robot/token"), request).await;
    assert_eq!(code, 201);
    let token = answer["status"]["token"].as_str().unwrap();
    let who = async || {
        let request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from("{}"))
            .unwrap();
        read(cluster.send(None, request).await).await
    };
    let (code, review) = who().await;
    assert_eq!((code, &review["status"]["userInfo"]["username"]), (201, &json!("system:serviceaccount:default:robot")));
    cluster.delete(&format!("{accounts}/robot"), None).await;
    assert_eq!(who().await.0, 401);
}

#[tokio::test]
async fn a_node_reads_what_its_pods_need() {
    let cluster = Cluster::start().await;
    cluster.config_map("settings", json!({})).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i",
        "envFrom": [{"configMapRef": {"name": "settings"}}]}]}});
    cluster.post("/api/v1/namespaces/default/pods", pod).await;
    let map = "/api/v1/namespaces/default/configmaps/settings";
    let ask = async || cluster.ask_as(User::node("n1"), Method::GET, map, None).await.0;
    assert_eq!(ask().await, 403);
    let binding = json!({"target": {"kind": "Node", "name": "n1"}});
    cluster.post("/api/v1/namespaces/default/pods/p/binding", binding).await;
    assert_eq!(ask().await, 200);
    let other = json!({"metadata": {"name": "n2"}});
    assert_eq!(cluster.ask_as(User::node("n1"), Method::POST, "/api/v1/nodes", Some(other)).await.0, 403);
}

#[tokio::test]
async fn a_node_gets_tokens_for_its_own_pods_only() {
    let cluster = Cluster::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    cluster.post(accounts, json!({"metadata": {"name": "robot"}})).await;
    let mut uids = Vec::new();
    for (pod, node) in [("mine", "n1"), ("theirs", "n2")] {
        let spec =
            json!({"nodeName": node, "serviceAccountName": "robot", "containers": [{"name": "c", "image": "i"}]});
        let (code, made) =
            cluster.post("/api/v1/namespaces/default/pods", json!({"metadata": {"name": pod}, "spec": spec})).await;
        assert_eq!(code, 201, "{made}");
        uids.push(made["metadata"]["uid"].clone());
    }
    let ask = async |reference: serde_json::Value| {
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"boundObjectRef": reference}});
        let path = format!("{accounts}/robot/token");
        let (code, answer) = cluster.ask_as(User::node("n1"), Method::POST, &path, Some(request)).await;
        let why = answer["message"].as_str().unwrap_or_default().to_owned();
        (code, why.trim_start_matches("serviceaccounts \"robot\" is forbidden: ").to_owned())
    };
    let pod =
        |name: &str, uid: &serde_json::Value| json!({"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid});
    assert_eq!(ask(pod("mine", &uids[0])).await.0, 201);
    let refused = [
        (serde_json::Value::Null, "node requested token not bound to a pod"),
        (pod("mine", &json!("")), "node requested token with a pod binding without a uid"),
        (pod("theirs", &uids[1]), "node requested token bound to a pod scheduled on a different node"),
    ];
    for (reference, why) in refused {
        assert_eq!(ask(reference).await, (403, why.to_owned()));
    }
}

#[tokio::test]
async fn one_can_ask_what_one_may_do() {
    let cluster = Cluster::start().await;
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}});
    let (_, mine) = cluster.post(path, review.clone()).await;
    assert_eq!(mine["status"]["allowed"], true);
    let (code, janes) = cluster.ask_as(User::new("jane", &[]), Method::POST, path, Some(review)).await;
    assert_eq!((code, &janes["status"]["allowed"]), (201, &json!(false)));
}
