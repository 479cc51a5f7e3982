//! Workloads and their templates.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Columns, age, labels, name, number, or_none, text};
use crate::selector::from_label_selector;

pub(crate) fn deployment() -> Columns {
    Columns::of("Deployment", deployment_cells)
}

fn deployment_cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let ready = format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]));
    let (names, images) = containers(&spec["template"]);
    vec![
        name(object),
        json!(ready),
        json!(number(&status["updatedReplicas"])),
        json!(number(&status["availableReplicas"])),
        age(object, now),
        names,
        images,
        selector(&spec["selector"]),
    ]
}

pub(crate) fn replica_set() -> Columns {
    Columns::of("ReplicaSet", replica_set_cells)
}

fn replica_set_cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (names, images) = containers(&spec["template"]);
    vec![
        name(object),
        json!(number(&spec["replicas"])),
        json!(number(&status["replicas"])),
        json!(number(&status["readyReplicas"])),
        age(object, now),
        names,
        images,
        selector(&spec["selector"]),
    ]
}

pub(crate) fn pod_template() -> Columns {
    Columns::of("PodTemplate", |object, _| {
        let (names, images) = containers(&object["template"]);
        vec![name(object), names, images, labels(&object["template"]["metadata"]["labels"])]
    })
}

pub(crate) fn controller_revision() -> Columns {
    Columns::of("ControllerRevision", |object, now| {
        vec![name(object), controller(object), json!(number(&object["revision"])), age(object, now)]
    })
}

/// `deployment.apps/web`.
fn controller(object: &Value) -> Value {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let Some(owner) = owners.into_iter().find(|owner| owner["controller"] == true) else { return or_none("") };
    let kind = text(&owner["kind"]).to_lowercase();
    let kind = match text(&owner["apiVersion"]).split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind,
    };
    json!(format!("{kind}/{}", text(&owner["name"])))
}

/// The names and the images of a template's containers.
pub(super) fn containers(template: &Value) -> (Value, Value) {
    let containers = template["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let joined = |field: &str| json!(containers.iter().map(|c| text(&c[field])).collect::<Vec<_>>().join(","));
    (joined("name"), joined("image"))
}

pub(super) fn selector(object: &Value) -> Value {
    match from_label_selector(object) {
        Ok(selector) => or_none(&selector.to_string()),
        Err(_) => json!("<error>"),
    }
}
