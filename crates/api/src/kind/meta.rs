//! The metadata that every object has: reading it, and the rule by which generations grow.

use serde_json::{Map, Value, json};

use super::Generation;

pub fn name_of(object: &Value) -> &str {
    text(object, "name")
}

pub fn namespace_of(object: &Value) -> &str {
    text(object, "namespace")
}

pub fn uid_of(object: &Value) -> &str {
    text(object, "uid")
}

pub fn generation_of(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or_default()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

pub(super) fn begin_generation(rule: Generation, object: &mut Value) {
    match rule {
        Generation::None => {}
        Generation::Spec | Generation::Content | Generation::ContentAndLabels => set_generation(object, 1),
    }
}

pub(super) fn count_generation(rule: Generation, new: &mut Value, old: &Value) {
    let before = generation_of(old);
    let changed = match rule {
        Generation::None => false,
        Generation::Spec => new.get("spec") != old.get("spec"),
        Generation::Content => content(new) != content(old),
        Generation::ContentAndLabels => {
            content(new) != content(old) || new["metadata"]["labels"] != old["metadata"]["labels"]
        }
    };
    match (changed, before) {
        (true, before) => set_generation(new, before + 1),
        (false, 0) => drop_generation(new),
        (false, before) => set_generation(new, before),
    }
}

fn content(object: &Value) -> Vec<(&String, &Value)> {
    let ignored = ["apiVersion", "kind", "metadata", "status"];
    let fields: Option<&Map<String, Value>> = object.as_object();
    fields.into_iter().flatten().filter(|(name, _)| !ignored.contains(&name.as_str())).collect()
}

fn set_generation(object: &mut Value, generation: i64) {
    object["metadata"]["generation"] = json!(generation);
}

/// Objects without a namespace are forgiven for naming one.
pub(super) fn drop_namespace(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("namespace");
    }
}

fn drop_generation(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("generation");
    }
}

/// A field that is null is a field that is absent.
pub(crate) fn drop_null(object: &mut Value, field: &str) {
    if object[field].is_null()
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove(field);
    }
}

/// Sets `field`, or removes it.
pub(super) fn replace(object: &mut Value, field: &str, value: Option<&Value>) {
    let Some(fields) = object.as_object_mut() else { return };
    match value {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}
