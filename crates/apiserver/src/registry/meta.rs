//! The metadata that the server owns: who may set it, and when it changes.

use coracle_api::kind::{Kind, namespace_of};
use coracle_api::status::Status;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A field of the metadata, as text.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The object's metadata, made when it has none.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().expect("it was just made an object")
}

pub(crate) fn remove(object: &mut Value, field: &str) {
    metadata(object).remove(field);
}

/// Puts the object into the namespace of its request.
pub(crate) fn place(kind: &Kind, object: &mut Value, namespace: &str) -> Result<(), Status> {
    if !kind.namespaced {
        remove(object, "namespace");
        return Ok(());
    }
    match namespace_of(object) {
        same if same == namespace => {}
        "" => {
            metadata(object).insert("namespace".to_owned(), json!(namespace));
        }
        _ => {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Status::bad_request(why));
        }
    }
    Ok(())
}

/// Fills what only the server may say about a new object.
pub(crate) fn begin(object: &mut Value, now: Timestamp) {
    let metadata = metadata(object);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(field);
    }
    metadata.insert("creationTimestamp".to_owned(), json!(time(now)));
    metadata.insert("uid".to_owned(), json!(Uuid::new_v4().to_string()));
}

/// Keeps from the old object what no update may change.
pub(crate) fn keep(object: &mut Value, old: &Value) {
    let metadata = metadata(object);
    metadata.remove("selfLink");
    if metadata.get("uid").and_then(Value::as_str).unwrap_or_default().is_empty() {
        copy(metadata, old, "uid");
    }
    copy(metadata, old, "creationTimestamp");
    if old["metadata"]["deletionTimestamp"].is_string() {
        copy(metadata, old, "deletionTimestamp");
    }
    if old["metadata"]["deletionGracePeriodSeconds"].is_number() && !metadata.contains_key("deletionGracePeriodSeconds")
    {
        copy(metadata, old, "deletionGracePeriodSeconds");
    }
}

fn copy(metadata: &mut Map<String, Value>, old: &Value, field: &str) {
    match old["metadata"].get(field) {
        Some(value) => metadata.insert(field.to_owned(), value.clone()),
        None => metadata.remove(field),
    };
}

/// Names of a list of strings in the metadata.
pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Sets or removes the finalizers.
pub(crate) fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    if finalizers.is_empty() {
        remove(object, "finalizers");
    } else {
        metadata(object).insert("finalizers".to_owned(), json!(finalizers));
    }
}

/// A time as Kubernetes writes it: whole seconds.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// True when somebody has asked for the object's deletion.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}
