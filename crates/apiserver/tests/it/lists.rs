//! Lists: selectors, pages, versions, and the forms in which they are answered.

use serde_json::{Value, json};

use super::cluster::Cluster;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn five() -> Cluster {
    let cluster = Cluster::start().await;
    for (name, odd) in [("a", "0"), ("b", "1"), ("c", "0"), ("d", "1"), ("e", "0")] {
        cluster.config_map(name, json!({"odd": odd})).await;
    }
    cluster
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_holds_objects_without_their_kind() {
    let cluster = five().await;
    let (code, list) = cluster.get(MAPS).await;
    assert_eq!((code, &list["kind"], names(&list)), (200, &json!("ConfigMapList"), vec!["a", "b", "c", "d", "e"]));
    assert!(list["items"][0].get("kind").is_none());
    assert!(list["items"][0]["metadata"]["resourceVersion"].is_string());
}

#[tokio::test]
async fn selectors_choose_by_label_and_field() {
    let cluster = five().await;
    for (query, expected) in [
        ("labelSelector=odd%3D1", vec!["b", "d"]),
        ("labelSelector=odd+in+(0)", vec!["a", "c", "e"]),
        ("labelSelector=!odd", vec![]),
        ("fieldSelector=metadata.name%3Dc", vec!["c"]),
        ("fieldSelector=metadata.name!%3Dc&labelSelector=odd%3D0", vec!["a", "e"]),
        ("fieldSelector=metadata.namespace%3Dother", vec![]),
    ] {
        let (code, list) = cluster.get(&format!("{MAPS}?{query}")).await;
        assert_eq!((code, names(&list)), (200, expected), "{query}");
    }
    let (code, status) = cluster.get(&format!("{MAPS}?fieldSelector=data.a%3D1")).await;
    let why = "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    assert_eq!((code, &status["message"]), (400, &json!(why)));
}

#[tokio::test]
async fn pages_are_all_of_the_first_pages_revision() {
    let cluster = five().await;
    let (_, first) = cluster.get(&format!("{MAPS}?limit=2")).await;
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &json!(3)));
    cluster.config_map("bb", json!({})).await;
    cluster.delete(&format!("{MAPS}/d"), None).await;
    let next = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = cluster.get(&format!("{MAPS}?limit=9&continue={next}")).await;
    assert_eq!(names(&second), ["c", "d", "e"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(second["metadata"].get("continue").is_none());
}

#[tokio::test]
async fn pages_of_a_selection_do_not_count_what_remains() {
    let cluster = five().await;
    let (_, first) = cluster.get(&format!("{MAPS}?limit=2&labelSelector=odd%3D0")).await;
    assert_eq!((names(&first), first["metadata"].get("remainingItemCount")), (vec!["a", "c"], None));
    let next = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = cluster.get(&format!("{MAPS}?limit=2&labelSelector=odd%3D0&continue={next}")).await;
    assert_eq!((names(&second), second["metadata"].get("continue")), (vec!["e"], None));
}

#[tokio::test]
async fn a_token_that_was_compacted_away_is_answered_with_a_fresh_one() {
    let cluster = five().await;
    let (_, first) = cluster.get(&format!("{MAPS}?limit=2")).await;
    cluster.config_map("z", json!({})).await;
    cluster.store.compact(cluster.store.revision()).await.unwrap();
    let next = first["metadata"]["continue"].as_str().unwrap();
    let (code, status) = cluster.get(&format!("{MAPS}?limit=9&continue={next}")).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    let fresh = status["metadata"]["continue"].as_str().unwrap();
    let (code, rest) = cluster.get(&format!("{MAPS}?limit=9&continue={fresh}")).await;
    assert_eq!((code, names(&rest)), (200, vec!["c", "d", "e", "z"]));
}

#[tokio::test]
async fn a_version_can_be_asked_for_exactly_or_at_least() {
    let cluster = Cluster::start().await;
    let first = cluster.config_map("a", json!({})).await;
    cluster.config_map("b", json!({})).await;
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let (_, exact) = cluster.get(&format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).await;
    assert_eq!(names(&exact), ["a"]);
    let (_, newer) = cluster.get(&format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(names(&newer), ["a", "b"]);
    cluster.store.compact(cluster.store.revision()).await.unwrap();
    let (code, status) = cluster.get(&format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}

#[tokio::test]
async fn a_table_and_bare_metadata_are_made_on_request() {
    let cluster = five().await;
    let (_, table) = cluster.get_accepting(MAPS, "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    assert_eq!((&table["kind"], table["rows"].as_array().unwrap().len()), (&json!("Table"), 5));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let (_, partial) = cluster.get_accepting(MAPS, accept).await;
    assert_eq!((&partial["kind"], partial["items"][0].get("data")), (&json!("PartialObjectMetadataList"), None));
    assert_eq!(cluster.get_accepting(MAPS, "text/html").await.0, 406);
}

#[tokio::test]
async fn an_event_is_the_same_in_both_of_its_groups() {
    let cluster = Cluster::start().await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "message": "hello", "reason": "Greeted", "type": "Normal"});
    assert_eq!(cluster.post("/api/v1/namespaces/default/events", event).await.0, 201);
    let (code, list) = cluster.get("/apis/events.k8s.io/v1/namespaces/default/events").await;
    assert_eq!((code, &list["items"][0]["note"]), (200, &json!("hello")));
    let (_, found) = cluster.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp").await;
    assert_eq!(names(&found), ["e"]);
}
