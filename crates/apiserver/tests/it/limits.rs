//! What one request or all together may not exceed, and what lies outside the API's resources.

use axum::body::Body;
use coracle_api::identity::User;
use http::{Method, Request};
use serde_json::json;

use super::cluster::Cluster;

#[tokio::test]
async fn a_body_over_three_mebibytes_is_refused() {
    let cluster = Cluster::start().await;
    let body = json!({"metadata": {"name": "a"}, "data": {"a": "x".repeat(3 << 20)}});
    let (code, status) = cluster.post("/api/v1/namespaces/default/configmaps", body).await;
    assert_eq!((code, &status["reason"]), (413, &json!("RequestEntityTooLarge")));
}

#[tokio::test]
async fn too_many_watches_are_told_to_come_back() {
    let cluster = Cluster::with(|config| config.limits.streams_max = 1).await;
    let path = "/api/v1/namespaces/default/configmaps?watch=true";
    let _open = cluster.watch(path).await;
    let response = cluster.send(Some(User::admin()), Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "1"));
}

#[tokio::test]
async fn paths_and_methods_that_are_not_served_are_refused() {
    let cluster = Cluster::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let ask = async |method: Method, path: &str| cluster.ask_as(User::admin(), method, path, Some(json!({}))).await.0;
    assert_eq!(ask(Method::PUT, maps).await, 405);
    assert_eq!(ask(Method::POST, &format!("{maps}/a")).await, 405);
    assert_eq!(ask(Method::DELETE, "/api/v1/namespaces").await, 405);
    assert_eq!(ask(Method::POST, "/version").await, 405);
    assert_eq!(ask(Method::DELETE, "/apis/apps/v1").await, 405);
    assert_eq!(ask(Method::GET, "/api/v1/namespaces/default/gizmos").await, 404);
    assert_eq!(ask(Method::GET, "/apis/none.example.com/v1/gizmos").await, 404);
    assert_eq!(ask(Method::GET, "/api/v1/namespaces/default/pods/p/status/x").await, 404);
}

#[tokio::test]
async fn discovery_and_schemas_are_served_with_their_tags() {
    let cluster = Cluster::start().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let (_, aggregated) = cluster.get_accepting("/apis", accept).await;
    assert_eq!(aggregated["kind"], "APIGroupDiscoveryList");
    let (_, legacy) = cluster.get("/apis").await;
    assert_eq!(legacy["kind"], "APIGroupList");
    let (_, index) = cluster.get("/openapi/v3").await;
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let get = async |tag: Option<&str>| {
        let mut request = Request::get(url);
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        cluster.send(Some(User::admin()), request.body(Body::empty()).unwrap()).await
    };
    let response = get(None).await;
    assert_eq!(response.headers()["cache-control"], "public, immutable");
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(get(Some(&tag)).await.status(), 304);
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    assert_eq!(cluster.get_accepting("/openapi/v2", protobuf).await.0, 200);
    assert_eq!(cluster.get_accepting("/openapi/v2", "text/html").await.0, 406);
}

#[tokio::test]
async fn requests_are_counted() {
    let cluster = Cluster::start().await;
    cluster.config_map("a", json!({})).await;
    let (code, text) = cluster.get("/metrics").await;
    let line =
        "apiserver_request_total{verb=\"create\",group=\"\",resource=\"configmaps\",subresource=\"\",code=\"201\"} 1";
    assert_eq!(code, 200);
    assert!(text.as_str().unwrap().lines().any(|l| l == line), "{text}");
}
