//! Watches: what they begin with, what they show, and how they end.

use std::time::Duration;

use serde_json::json;

use super::cluster::Cluster;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_watch_shows_creation_change_and_deletion_in_order() {
    let cluster = Cluster::start().await;
    let mut watch = cluster.watch(&format!("{MAPS}?watch=true")).await;
    cluster.config_map("a", json!({})).await;
    cluster.patch(&format!("{MAPS}/a"), "merge-patch+json", json!({"data": {"a": "2"}})).await;
    cluster.delete(&format!("{MAPS}/a"), None).await;
    assert_eq!(watch.said().await, "ADDED a");
    let modified = watch.next().await.unwrap();
    assert_eq!((&modified["type"], &modified["object"]["data"]["a"]), (&json!("MODIFIED"), &json!("2")));
    let deleted = watch.next().await.unwrap();
    assert_eq!((&deleted["type"], &deleted["object"]["data"]["a"]), (&json!("DELETED"), &json!("2")));
    let version = |event: &serde_json::Value| {
        event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
    };
    assert!(version(&deleted) > version(&modified));
}

#[tokio::test]
async fn a_watch_from_a_version_shows_what_came_after_without_gap_or_repeat() {
    let cluster = Cluster::start().await;
    let first = cluster.config_map("a", json!({})).await;
    cluster.config_map("b", json!({})).await;
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    // Another watch makes the shared stream flow before this one joins it late.
    let mut other = cluster.watch(&format!("{MAPS}?watch=true")).await;
    let mut watch = cluster.watch(&format!("{MAPS}?watch=true&resourceVersion={version}")).await;
    cluster.config_map("c", json!({})).await;
    assert_eq!([watch.said().await, watch.said().await], ["ADDED b", "ADDED c"]);
    assert_eq!([other.said().await, other.said().await, other.said().await], ["ADDED a", "ADDED b", "ADDED c"]);
}

#[tokio::test]
async fn a_watch_from_before_the_server_began_is_told_to_begin_anew() {
    let cluster = Cluster::start().await;
    let mut watch = cluster.watch(&format!("{MAPS}?watch=true&resourceVersion=1")).await;
    let error = watch.next().await.unwrap();
    let status = &error["object"];
    assert_eq!((&error["type"], &status["code"], &status["reason"]), (&json!("ERROR"), &json!(410), &json!("Expired")));
    assert!(status["message"].as_str().unwrap().starts_with("too old resource version: 1 ("), "{status}");
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let cluster = Cluster::start().await;
    let mut watch = cluster.watch(&format!("{MAPS}?watch=true&labelSelector=app%3Dx")).await;
    cluster.config_map("a", json!({"app": "y"})).await;
    let label = async |value: &str| {
        cluster.patch(&format!("{MAPS}/a"), "merge-patch+json", json!({"metadata": {"labels": {"app": value}}})).await
    };
    label("x").await;
    label("y").await;
    assert_eq!(watch.said().await, "ADDED a");
    let left = watch.next().await.unwrap();
    assert_eq!((&left["type"], &left["object"]["metadata"]["labels"]["app"]), (&json!("DELETED"), &json!("x")));
}

#[tokio::test]
async fn initial_events_end_in_a_bookmark() {
    let cluster = Cluster::start().await;
    cluster.config_map("a", json!({})).await;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = cluster.watch(&format!("{MAPS}?{query}")).await;
    assert_eq!(watch.said().await, "ADDED a");
    let end = watch.next().await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    cluster.config_map("b", json!({})).await;
    assert_eq!(watch.said().await, "ADDED b");
}

#[tokio::test]
async fn an_idle_watch_is_told_how_far_it_has_come() {
    let cluster = Cluster::with(|config| config.limits.bookmark_interval = Duration::from_millis(20)).await;
    let mut watch = cluster.watch(&format!("{MAPS}?watch=true&allowWatchBookmarks=true")).await;
    let secret = json!({"metadata": {"name": "s"}});
    let (_, secret) = cluster.post("/api/v1/namespaces/default/secrets", secret).await;
    let wanted: u64 = secret["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    loop {
        let event = watch.next().await.unwrap();
        assert_eq!(event["type"], "BOOKMARK");
        if event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() >= wanted {
            break;
        }
    }
}

#[tokio::test]
async fn a_watch_from_the_forgotten_past_ends_in_an_error_event() {
    let cluster = Cluster::start().await;
    let first = cluster.config_map("a", json!({})).await;
    cluster.config_map("b", json!({})).await;
    cluster.store.compact(cluster.store.revision()).await.unwrap();
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = cluster.watch(&format!("{MAPS}?watch=true&resourceVersion={version}")).await;
    let error = watch.next().await.unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout_and_when_the_server_ends() {
    let cluster = Cluster::start().await;
    let mut short = cluster.watch(&format!("{MAPS}?watch=true&timeoutSeconds=1")).await;
    let mut long = cluster.watch(&format!("{MAPS}?watch=true")).await;
    assert!(short.next().await.is_none());
    cluster.token.cancel();
    assert!(long.next().await.is_none());
}

#[tokio::test]
async fn a_slow_watcher_catches_up_from_the_window() {
    let cluster = Cluster::start().await;
    let mut slow = cluster.watch(&format!("{MAPS}?watch=true")).await;
    for i in 0..3000 {
        cluster.config_map(&format!("m{i:05}"), json!({})).await;
    }
    for i in 0..3000 {
        assert_eq!(slow.said().await, format!("ADDED m{i:05}"));
    }
}

#[tokio::test]
async fn a_watched_table_has_its_headings_once() {
    let cluster = Cluster::start().await;
    let request = http::Request::get(format!("{MAPS}?watch=true"))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = cluster.send(Some(coracle_api::identity::User::admin()), request).await;
    let mut stream = response.into_body().into_data_stream();
    cluster.config_map("a", json!({})).await;
    cluster.config_map("b", json!({})).await;
    let mut headings = Vec::new();
    for _ in 0..2 {
        let chunk = futures::StreamExt::next(&mut stream).await.unwrap().unwrap();
        let event: serde_json::Value = serde_json::from_slice(&chunk).unwrap();
        headings.push(event["object"]["columnDefinitions"].is_array());
    }
    assert_eq!(headings, [true, false]);
}

#[tokio::test]
async fn wrong_combinations_are_refused_before_anything_is_streamed() {
    let cluster = Cluster::start().await;
    let (code, _) = cluster.get(&format!("{MAPS}?watch=true&sendInitialEvents=true")).await;
    assert_eq!(code, 422);
    let (code, _) = cluster.get(&format!("{MAPS}?watch=true&resourceVersion=abc")).await;
    assert_eq!(code, 500);
}
