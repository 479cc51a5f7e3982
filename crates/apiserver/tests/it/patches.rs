//! Patches of all types, and applies of several managers.

use serde_json::{Value, json};

use super::cluster::Cluster;

const MAP: &str = "/api/v1/namespaces/default/configmaps/a";

#[tokio::test]
async fn each_type_of_patch_changes_the_object() {
    let cluster = Cluster::start().await;
    cluster.config_map("a", json!({})).await;
    let (_, object) =
        cluster.patch(MAP, "json-patch+json", json!([{"op": "add", "path": "/data/b", "value": "2"}])).await;
    assert_eq!(object["data"], json!({"a": "1", "b": "2"}));
    let (_, object) = cluster.patch(MAP, "merge-patch+json", json!({"data": {"a": null}})).await;
    assert_eq!(object["data"], json!({"b": "2"}));
    let (_, object) = cluster.patch(MAP, "strategic-merge-patch+json", json!({"data": {"c": "3"}})).await;
    assert_eq!(object["data"], json!({"b": "2", "c": "3"}));
    let (code, status) = cluster.patch(MAP, "json", json!({})).await;
    assert_eq!((code, &status["message"]), (415, &json!("415: Unsupported Media Type")));
}

#[tokio::test]
async fn a_patch_of_the_status_leaves_the_spec_and_is_checked_all_the_same() {
    let cluster = Cluster::start().await;
    let base = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "d"}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let (_, created) = cluster.post(base, deployment).await;
    let patch = async |query: &str, body: Value| {
        cluster.patch(&format!("{base}/d/status{query}"), "strategic-merge-patch+json", body).await
    };
    for body in [
        json!({"metadata": {"labels": {"a": "b"}}, "status": {"replicas": 1}}),
        json!({"spec": {"replicas": 5}, "status": {"replicas": 2}}),
    ] {
        let (code, patched) = patch("", body.clone()).await;
        assert_eq!((code, &patched["spec"]), (200, &created["spec"]), "{body}");
        assert_eq!(patched["status"]["replicas"], body["status"]["replicas"]);
    }
    let (code, refused) = patch("?fieldValidation=Strict", json!({"status": {"replicaz": 1}})).await;
    assert_eq!(code, 422, "{refused}");
}

#[tokio::test]
async fn applies_conflict_with_each_other_unless_they_are_forced() {
    let cluster = Cluster::start().await;
    let config =
        |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": value}});
    let apply = async |manager: &str, value: &str| {
        cluster.patch(&format!("{MAP}?fieldManager={manager}"), "apply-patch+yaml", config(value)).await
    };
    assert_eq!(apply("one", "1").await.0, 201);
    let (code, conflict) = apply("two", "2").await;
    assert_eq!((code, &conflict["details"]["causes"][0]["field"]), (409, &json!(".data.a")));
    let (code, forced) = apply("two&force=true", "2").await;
    assert_eq!((code, &forced["data"]["a"]), (200, &json!("2")));
    let (code, status) = cluster.patch(MAP, "apply-patch+yaml", config("3")).await;
    assert_eq!(code, 422);
    assert!(status["message"].as_str().unwrap().contains("fieldManager: Required value"));
}

#[tokio::test]
async fn what_is_no_longer_applied_is_removed() {
    let cluster = Cluster::start().await;
    let apply = async |data: serde_json::Value| {
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
        cluster.patch(&format!("{MAP}?fieldManager=one"), "apply-patch+yaml", config).await.1
    };
    apply(json!({"a": "1", "b": "2"})).await;
    assert_eq!(apply(json!({"b": "2"})).await["data"], json!({"b": "2"}));
}

#[tokio::test]
async fn a_scale_is_read_and_written_in_place_of_its_object() {
    let cluster = Cluster::start().await;
    let base = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "d"}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let (code, created) = cluster.post(base, deployment).await;
    assert_eq!(code, 201, "{created}");
    let (code, scale) =
        cluster.patch(&format!("{base}/d/scale"), "merge-patch+json", json!({"spec": {"replicas": 3}})).await;
    assert_eq!((code, &scale["kind"], &scale["spec"]["replicas"]), (200, &json!("Scale"), &json!(3)));
    assert_eq!(scale["status"]["selector"], "app=d");
    let (_, deployment) = cluster.get(&format!("{base}/d")).await;
    assert_eq!((&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]), (&json!(3), &json!(2)));
    let entries = deployment["metadata"]["managedFields"].as_array().unwrap();
    assert!(entries.iter().any(|entry| entry["subresource"] == "scale"), "{entries:?}");
}

#[tokio::test]
async fn status_and_spec_are_written_apart() {
    let cluster = Cluster::start().await;
    cluster.post("/api/v1/nodes", json!({"metadata": {"name": "n1"}})).await;
    let both = json!({"spec": {"unschedulable": true}, "status": {"phase": "Running"}});
    let (_, node) = cluster.patch("/api/v1/nodes/n1/status", "merge-patch+json", both.clone()).await;
    assert_eq!((node["spec"].get("unschedulable"), &node["status"]["phase"]), (None, &json!("Running")));
    let (_, node) = cluster.patch("/api/v1/nodes/n1", "merge-patch+json", both).await;
    assert_eq!(node["spec"]["unschedulable"], true);
}

#[tokio::test]
async fn a_patch_that_does_not_fit_is_shown_in_upstreams_forms() {
    let cluster = Cluster::start().await;
    let made = json!({"metadata": {"name": "a"}});
    let (_, map) = cluster.post("/api/v1/namespaces/default/configmaps", made).await;

    let why = async |patch_type: &str, patch: Value| {
        let (code, status) = cluster.patch(MAP, patch_type, patch).await;
        assert_eq!(code, 422);
        status["message"].as_str().unwrap().to_owned()
    };
    let (uid, version, made) =
        (&map["metadata"]["uid"], &map["metadata"]["resourceVersion"], &map["metadata"]["creationTimestamp"]);
    let shown = format!(
        r#"{{"apiVersion":"v1","data":{{"a":1}},"kind":"ConfigMap","metadata":{{"name":"a","namespace":"default","uid":{uid},"resourceVersion":{version},"creationTimestamp":{made}}}}}"#
    );
    let merged = why("merge-patch+json", json!({"data": {"a": 1}})).await;
    let error = "json: cannot unmarshal number into Go struct field ConfigMap.data of type string";
    assert_eq!(merged, format!(r#" "" is invalid: patch: Invalid value: {}: {error}"#, json!(shown)));
    assert_eq!(why("json-patch+json", json!([{"op": "add", "path": "/data", "value": {"a": 1}}])).await, merged);
    assert_eq!(
        why("strategic-merge-patch+json", json!({"data": {"a": 1}})).await,
        r#" "" is invalid: patch: Invalid value: "map[data:map[a:1]]": cannot convert int64 to string"#
    );
}

#[tokio::test]
async fn an_empty_list_of_owners_has_them_forgotten() {
    let cluster = Cluster::start().await;

    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
    let (_, made) = cluster.patch(&format!("{MAP}?fieldManager=m"), "apply-patch+yaml", config).await;
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "m");
    let (_, reset) = cluster.patch(MAP, "merge-patch+json", json!({"metadata": {"managedFields": []}})).await;
    assert_eq!((&reset["data"]["x"], reset["metadata"].get("managedFields")), (&json!("1"), None));
}
