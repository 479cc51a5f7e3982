//! The documents that clients depend on.

use serde_json::{Value, json};

use super::*;
use crate::kinds;

fn resource(list: &Value, name: &str) -> Value {
    let resources = list["resources"].as_array().expect("a list of resources");
    resources.iter().find(|r| r["name"] == name).cloned().unwrap_or_default()
}

#[test]
fn drain_finds_the_kind_of_evictions() {
    let core = api_resource_list(kinds::all(), "", "v1").expect("the core group is served");
    let eviction = resource(&core, "pods/eviction");
    assert_eq!(
        (&eviction["group"], &eviction["version"], &eviction["kind"]),
        (&json!("policy"), &json!("v1"), &json!("Eviction"))
    );
    assert_eq!(resource(&core, "pods/status").get("group"), None);
}

#[test]
fn a_scale_is_of_another_group() {
    let apps = api_resource_list(kinds::all(), "apps", "v1").expect("apps is served");
    let scale = resource(&apps, "deployments/scale");
    assert_eq!((&scale["group"], &scale["kind"]), (&json!("autoscaling"), &json!("Scale")));
    let deployments = resource(&apps, "deployments");
    assert_eq!(deployments["storageVersionHash"], "8aSe+NMegvE=");
    assert_eq!(deployments["shortNames"], json!(["deploy"]));
    assert_eq!(deployments["categories"], json!(["all"]));
}

#[test]
fn both_forms_name_the_same_resources() {
    for core in [true, false] {
        let document = aggregated(kinds::all(), core, "v2");
        for group in document["items"].as_array().expect("groups") {
            let name = group["metadata"]["name"].as_str().unwrap_or_default();
            for version in group["versions"].as_array().expect("versions") {
                let text = version["version"].as_str().expect("a version");
                let list = api_resource_list(kinds::all(), name, text).expect("the version is served");
                for found in version["resources"].as_array().expect("resources") {
                    let plural = found["resource"].as_str().expect("a name");
                    assert_eq!(resource(&list, plural)["verbs"], found["verbs"], "{plural}");
                }
            }
        }
    }
}

#[test]
fn groups_prefer_their_first_version() {
    let group = api_group(kinds::all(), "apps").expect("apps is served");
    assert_eq!(group["preferredVersion"], json!({"groupVersion": "apps/v1", "version": "v1"}));
    assert_eq!(api_group(kinds::all(), "none"), None);
    assert_eq!(api_group(kinds::all(), ""), None);
}
