//! Creation and update: names, versions, conflicts, and what is told about unknown fields.

use axum::body::Body;
use coracle_api::identity::User;
use http::Request;
use serde_json::json;

use super::cluster::{Cluster, read};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn an_object_is_created_read_updated_and_deleted() {
    let cluster = Cluster::start().await;
    let created = cluster.config_map("a", json!({})).await;
    assert_eq!((&created["kind"], &created["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    assert!(created["metadata"]["uid"].as_str().unwrap().len() == 36);
    let (code, read) = cluster.get(&format!("{MAPS}/a")).await;
    assert_eq!((code, &read), (200, &created));
    let (code, updated) =
        cluster.put(&format!("{MAPS}/a"), json!({"metadata": {"name": "a"}, "data": {"a": "2"}})).await;
    assert_eq!((code, &updated["data"]["a"]), (200, &json!("2")));
    assert_ne!(updated["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    let (code, deleted) = cluster.delete(&format!("{MAPS}/a"), None).await;
    assert_eq!(
        (code, &deleted["status"], &deleted["details"]["uid"]),
        (200, &json!("Success"), &created["metadata"]["uid"])
    );
    assert_eq!(cluster.get(&format!("{MAPS}/a")).await.0, 404);
}

#[tokio::test]
async fn what_exists_is_not_created_again() {
    let cluster = Cluster::start().await;
    cluster.config_map("a", json!({})).await;
    let (code, status) = cluster.post(MAPS, json!({"metadata": {"name": "a"}})).await;
    assert_eq!((code, &status["message"]), (409, &json!("configmaps \"a\" already exists")));
    let (code, status) = cluster.post(MAPS, json!({"metadata": {"name": "b", "resourceVersion": "5"}})).await;
    assert_eq!((code, &status["message"]), (500, &json!("resourceVersion should not be set on objects to be created")));
}

#[tokio::test]
async fn a_generated_name_ends_in_letters_of_the_servers_choice() {
    let cluster = Cluster::start().await;
    let (code, object) = cluster.post(MAPS, json!({"metadata": {"generateName": "gen-"}})).await;
    let name = object["metadata"]["name"].as_str().unwrap();
    assert_eq!((code, name.len()), (201, 9));
    assert!(name.starts_with("gen-"));
}

#[tokio::test]
async fn a_stale_version_conflicts_and_an_equal_object_is_not_written() {
    let cluster = Cluster::start().await;
    let first = cluster.config_map("a", json!({})).await;
    let (_, second) = cluster.put(&format!("{MAPS}/a"), json!({"metadata": {"name": "a"}, "data": {"a": "2"}})).await;
    let (code, status) = cluster.put(&format!("{MAPS}/a"), first).await;
    assert_eq!(code, 409);
    assert_eq!(
        status["message"],
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to \
         the latest version and try again"
    );
    let (code, same) = cluster.put(&format!("{MAPS}/a"), second.clone()).await;
    assert_eq!((code, &same["metadata"]["resourceVersion"]), (200, &second["metadata"]["resourceVersion"]));
}

#[tokio::test]
async fn names_and_namespaces_must_agree_with_the_path() {
    let cluster = Cluster::start().await;
    cluster.config_map("a", json!({})).await;
    let (code, status) = cluster.put(&format!("{MAPS}/a"), json!({"metadata": {"name": "b"}})).await;
    assert_eq!(
        (code, &status["message"]),
        (400, &json!("the name of the object (b) does not match the name on the URL (a)"))
    );
    let (code, status) = cluster.post(MAPS, json!({"metadata": {"name": "b", "namespace": "other"}})).await;
    let why = "the namespace of the provided object does not match the namespace sent on the request";
    assert_eq!((code, &status["message"]), (400, &json!(why)));
}

#[tokio::test]
async fn put_creates_only_kinds_that_allow_it() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.put(&format!("{MAPS}/a"), json!({"metadata": {"name": "a"}})).await.0, 404);
    let lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    assert_eq!(cluster.put(lease, json!({"metadata": {"name": "l"}, "spec": {}})).await.0, 201);
}

#[tokio::test]
async fn a_dry_run_answers_and_stores_nothing() {
    let cluster = Cluster::start().await;
    let (code, object) = cluster.post(&format!("{MAPS}?dryRun=All"), json!({"metadata": {"name": "a"}})).await;
    assert_eq!((code, object["metadata"].get("resourceVersion")), (201, None));
    assert_eq!(cluster.get(&format!("{MAPS}/a")).await.0, 404);
}

#[tokio::test]
async fn unknown_fields_are_warned_about_refused_or_ignored() {
    let cluster = Cluster::start().await;
    let post = async |name: &str, query: &str| {
        let body = json!({"metadata": {"name": name}, "colour": "red"}).to_string();
        let request = Request::post(format!("{MAPS}{query}")).body(Body::from(body)).unwrap();
        let response = cluster.send(Some(User::admin()), request).await;
        let warning = response.headers().get("warning").map(|value| value.to_str().unwrap().to_owned());
        (read(response).await, warning)
    };
    let ((code, _), warning) = post("a", "").await;
    assert_eq!((code, warning.as_deref()), (201, Some(r#"299 - "unknown field \"colour\"""#)));
    let ((code, _), warning) = post("b", "?fieldValidation=Ignore").await;
    assert_eq!((code, warning), (201, None));
    let ((code, status), _) = post("c", "?fieldValidation=Strict").await;
    assert_eq!(code, 400);
    assert_eq!(
        status["message"],
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"colour\""
    );
}

#[tokio::test]
async fn bodies_of_another_type_or_kind_are_refused() {
    let cluster = Cluster::start().await;
    let request = Request::post(MAPS).header("content-type", "text/plain").body(Body::from("{}")).unwrap();
    let (code, _) = read(cluster.send(Some(User::admin()), request).await).await;
    assert_eq!(code, 415);
    let (code, _) = cluster.post(MAPS, json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}})).await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn every_write_notes_who_owns_what() {
    let cluster = Cluster::start().await;
    let created = cluster.config_map("a", json!({})).await;
    let entries = created["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(
        (entries.len(), &entries[0]["manager"], &entries[0]["operation"]),
        (1, &json!("tests"), &json!("Update"))
    );
    assert_eq!(entries[0]["fieldsV1"]["f:data"]["f:a"], json!({}));
}

#[tokio::test]
async fn yaml_and_protobuf_are_read() {
    let cluster = Cluster::start().await;
    let send = async |media: &str, body: Vec<u8>| {
        let request = Request::post(MAPS).header("content-type", media).body(Body::from(body)).unwrap();
        read(cluster.send(Some(User::admin()), request).await).await
    };
    let (code, object) = send("application/yaml", b"metadata: {name: from-yaml}\ndata: {a: b}\n".to_vec()).await;
    assert_eq!((code, &object["data"]), (201, &json!({"a": "b"})), "{object}");
    let protobuf = b"k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x1c\n\x12\n\x02cc\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00\"\x00";
    let (code, object) = send("application/vnd.kubernetes.protobuf", protobuf.to_vec()).await;
    assert_eq!((code, &object["data"]), (201, &json!({"a": "b"})), "{object}");
}
