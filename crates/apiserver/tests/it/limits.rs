//! What one request or all together may not exceed, and what lies outside the API's resources.

use axum::body::Body;
use coracle_api::identity::User;
use futures::StreamExt;
use http::{Method, Request};
use serde_json::json;

use super::cluster::{Cluster, read};

#[tokio::test]
async fn a_body_over_three_mebibytes_is_refused() {
    let cluster = Cluster::start().await;
    let body = json!({"metadata": {"name": "a"}, "data": {"a": "x".repeat(3 << 20)}});
    let (code, status) = cluster.post("/api/v1/namespaces/default/configmaps", body).await;
    assert_eq!((code, &status["reason"]), (413, &json!("RequestEntityTooLarge")));
}

#[tokio::test]
async fn too_many_watches_are_told_to_come_back() {
    let cluster = Cluster::with(|config| config.limits.streams_per_client_max = 1).await;
    let path = "/api/v1/namespaces/default/configmaps?watch=true";
    let _open = cluster.watch(path).await;
    let response = cluster.send(Some(User::admin()), Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "1"));
}

/// A config map whose body never comes.
pub(crate) fn endless() -> Request<Body> {
    let body = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    Request::post("/api/v1/namespaces/default/configmaps").body(body).unwrap()
}

#[tokio::test]
async fn a_request_ends_when_its_time_is_over() {
    let cluster = Cluster::start().await;
    let mut request = endless();
    *request.uri_mut() = "/api/v1/namespaces/default/configmaps?timeout=10ms".parse().unwrap();
    let (code, status) = read(cluster.send(Some(User::admin()), request).await).await;
    let said = "Timeout: request did not complete within the allotted timeout";
    assert_eq!((code, &status["reason"], &status["message"]), (504, &json!("Timeout"), &json!(said)));
    let (code, status) = cluster.get("/api/v1/namespaces/default/configmaps?timeout=soon").await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")), "{status}");
}

#[tokio::test]
async fn a_client_that_holds_its_share_keeps_nobody_else_from_writing() {
    let cluster = Cluster::with(|config| (config.limits.writes_max, config.limits.queue_max) = (2, 0)).await;
    let mut held = Box::pin(cluster.send(Some(User::new("jane", &["system:masters"])), endless()));
    assert!(futures::poll!(held.as_mut()).is_pending());
    let refused = cluster.send(Some(User::new("jane", &["system:masters"])), endless()).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "1"));
    let (_, status) = read(refused).await;
    assert_eq!(status["reason"], "TooManyRequests");
    cluster.config_map("of-another", json!({})).await;
    let (_, list) = cluster.ask_as(User::new("jane", &["system:masters"]), Method::GET, "/api/v1/nodes", None).await;
    assert_eq!(list["kind"], "NodeList", "reads are bounded apart");
    drop(held);
    let (code, _) = cluster
        .ask_as(
            User::new("jane", &["system:masters"]),
            Method::POST,
            "/api/v1/namespaces",
            Some(json!({"metadata": {"name": "a"}})),
        )
        .await;
    assert_eq!(code, 201, "who goes away leaves its seat");
}

#[tokio::test]
async fn a_thousand_watches_of_a_kind_have_an_event_written_down_once() {
    let cluster = Cluster::start().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let (_, list) = cluster.get(path).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{path}?watch=true&resourceVersion={version}");
    let mut watches = Vec::new();
    for _ in 0..1000 {
        watches.push(cluster.watch(&path).await);
    }
    for n in 0..3 {
        cluster.config_map(&format!("c{n}"), json!({})).await;
    }
    for watch in &mut watches {
        for n in 0..3 {
            assert_eq!(watch.said().await, format!("ADDED c{n}"));
        }
    }
    let (_, text) = cluster.get("/metrics").await;
    assert!(text.as_str().unwrap().lines().any(|line| line == "coracle_watch_lines_made 3"), "{text}");
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

/// The scheduler, or the same in this process.
fn system() -> User {
    User::new("system:kube-scheduler", &[])
}

#[tokio::test]
async fn the_clusters_own_parts_are_served_whatever_others_hold() {
    let cluster = Cluster::with(|config| {
        let limits = &mut config.limits;
        (limits.reads_max, limits.writes_max, limits.queue_max) = (2, 2, 0);
        (limits.streams_max, limits.streams_per_client_max) = (2, 2);
        (limits.memory_bytes_max, limits.memory_per_client_bytes_max) = (1 << 20, 1 << 20);
    })
    .await;
    let masters = |name: &str| User::new(name, &["system:masters"]);
    let mut held = ["jane", "joe"].map(|name| Box::pin(cluster.send(Some(masters(name)), endless())));
    for write in &mut held {
        assert!(futures::poll!(write.as_mut()).is_pending(), "it holds its seat, and all the memory that there is");
    }
    let maps = "/api/v1/namespaces/default/configmaps";
    let watch = format!("{maps}?watch=true");
    let ask = async |user: User| {
        let response = cluster.send(Some(user), Request::get(&watch).body(Body::empty()).unwrap()).await;
        (response.status().as_u16(), response)
    };
    let (first, second) = (ask(masters("jane")).await, ask(masters("joe")).await);
    assert_eq!((first.0, second.0), (200, 200));
    let map = || json!({"metadata": {"generateName": "a"}, "data": {"a": "x".repeat(100 << 10)}});
    let (refused, _) = cluster.ask_as(masters("june"), Method::POST, maps, Some(map())).await;
    assert_eq!((refused, ask(masters("june")).await.0), (429, 429), "for others there is no room");

    let controller = User::new("system:kube-controller-manager", &[]);
    let (code, made) = cluster.ask_as(controller, Method::POST, maps, Some(map())).await;
    assert_eq!(code, 201, "{made}");
    let watching = ask(system()).await;
    assert_eq!(watching.0, 200);
    assert_eq!(cluster.ask_as(system(), Method::GET, "/api/v1/nodes", None).await.0, 200);
}

/// A body in pieces of 64 KiB, one every 50 seconds; it is whole after so many, or never.
fn slow(n_pieces: usize, ends: bool) -> Body {
    let pieces = futures::stream::iter(0..n_pieces).then(|_| async {
        tokio::time::sleep(std::time::Duration::from_secs(50)).await;
        Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b'x'; 64 << 10]))
    });
    if ends { Body::from_stream(pieces) } else { Body::from_stream(pieces.chain(futures::stream::pending())) }
}

#[tokio::test]
async fn a_push_has_time_as_long_as_it_goes_on() {
    let take = async |body: Body| match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => (http::StatusCode::CREATED, bytes.len().to_string()),
        Err(error) => (http::StatusCode::BAD_REQUEST, error.to_string()),
    };
    let cluster = Cluster::with_registry(axum::Router::new().fallback(take)).await;
    tokio::time::pause();
    let push = async |path: &str, body: Body| {
        let request = Request::post(path).body(body).unwrap();
        read(cluster.send(Some(User::admin()), request).await).await
    };
    let began = tokio::time::Instant::now();
    let layer = "/v2/shop/blobs/uploads/1";
    assert_eq!(push(layer, slow(20, true)).await, (201, json!(20 * (64 << 10))));
    assert!(began.elapsed().as_secs() >= 1000);
    let (code, status) = push(layer, slow(5, false)).await;
    assert_eq!((code, &status["reason"]), (504, &json!("Timeout")), "what stops is given up on");
    let began = tokio::time::Instant::now();
    assert_eq!(push("/api/v1/namespaces/default/configmaps", slow(20, true)).await.0, 504, "not so other requests");
    assert_eq!(began.elapsed().as_secs(), 60);
}
