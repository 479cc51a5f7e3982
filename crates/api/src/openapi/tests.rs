use std::collections::BTreeSet;

use super::*;
use crate::schema::message;

fn resources() -> Vec<Resource<'static>> {
    let verbs = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let deployment = Resource {
        group: "apps",
        version: "v1",
        kind: "Deployment",
        plural: "deployments",
        namespaced: true,
        verbs,
        subresources: vec![Subresource {
            name: "scale",
            group: "autoscaling",
            version: "v1",
            kind: "Scale",
            schema: message("io.k8s.api.autoscaling.v1.Scale"),
            verbs: &["get", "update", "patch"],
        }],
        schema: message("io.k8s.api.apps.v1.Deployment").unwrap(),
    };
    let node = Resource {
        group: "",
        version: "v1",
        kind: "Node",
        plural: "nodes",
        namespaced: false,
        verbs,
        subresources: Vec::new(),
        schema: message("io.k8s.api.core.v1.Node").unwrap(),
    };
    vec![deployment, node]
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value.as_str() {
                    Some(target) if name == "$ref" => drop(found.insert(target.to_owned())),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_to_a_definition() {
    let documents = v3(&resources());
    assert_eq!(documents.keys().collect::<Vec<_>>(), ["api/v1", "apis/apps/v1"]);
    for document in documents.values().chain([&v2(&resources())]) {
        let mut found = BTreeSet::new();
        references(document, &mut found);
        for target in found {
            assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
        }
    }
}

#[test]
fn patches_announce_field_validation() {
    let documents = v3(&resources());
    let patch = &documents["apis/apps/v1"]["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    let names: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
    for name in ["dryRun", "fieldManager", "fieldValidation", "force"] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
}

#[test]
fn schemas_carry_the_rules_of_merging() {
    let documents = v3(&resources());
    let schemas = &documents["apis/apps/v1"]["components"]["schemas"];
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-list-type"], "map");
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(schemas["io.k8s.api.apps.v1.DeploymentSpec"]["required"], json!(["selector", "template"]));
}

#[test]
fn operations_have_names_of_their_own() {
    let document = v2(&resources());
    let mut seen = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values().filter_map(|operation| operation["operationId"].as_str()) {
            assert!(seen.insert(operation.to_owned()), "{operation}");
        }
    }
}

#[test]
fn the_index_names_each_document_with_its_hash() {
    let documents = v3(&resources());
    let index = v3_index(&documents);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert_eq!(
        url,
        format!("/openapi/v3/apis/apps/v1?hash={}", hash(documents["apis/apps/v1"].to_string().as_bytes()))
    );
}

#[test]
fn fields_are_described_also_beside_references() {
    let v3 = v3(&resources());
    let strategy =
        &v3["apis/apps/v1"]["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"];
    assert_eq!(strategy["description"], "The deployment strategy to use to replace existing pods with new ones.");
    assert_eq!(strategy["allOf"], json!([{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}]));
    assert_eq!(strategy["x-kubernetes-patch-strategy"], "retainKeys");
    let v2 = v2(&resources());
    let strategy = &v2["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"];
    assert_eq!(strategy["description"], "The deployment strategy to use to replace existing pods with new ones.");
    assert_eq!(strategy["$ref"], "#/definitions/io.k8s.api.apps.v1.DeploymentStrategy");
}
