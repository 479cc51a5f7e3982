//! Objects as a `Table`, or as their metadata alone.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::cells;
use crate::kind::Kind;

/// The annotation that is no part of what is shown of metadata.
pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// What a row carries of its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

impl IncludeObject {
    /// The values of the query parameter `includeObject`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Self::Metadata),
            "None" => Some(Self::None),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// How a table is made.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions<'a> {
    pub now: Timestamp,
    pub include_object: IncludeObject,
    /// Later events of a watch carry no headings.
    pub no_headers: bool,
    /// `v1`, or `v1beta1` for old clients.
    pub version: &'a str,
}

/// A table of `objects`. `metadata` is the list's own: resourceVersion, continue, remainingItemCount.
pub fn table<'o>(
    kind: &Kind,
    objects: impl IntoIterator<Item = &'o Value>,
    metadata: Value,
    options: TableOptions<'_>,
) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|object| row(kind, object, options)).collect();
    let headings = if options.no_headers {
        Value::Null
    } else {
        kind.columns.headings.iter().map(super::Column::to_json).collect()
    };
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{}", options.version),
        "metadata": metadata,
        "columnDefinitions": headings,
        "rows": rows,
    })
}

/// One row.
pub fn row(kind: &Kind, object: &Value, options: TableOptions<'_>) -> Value {
    let mut row = json!({"cells": cells(kind, object, options.now)});
    let conditions = (kind.columns.conditions)(object);
    if !conditions.is_null() {
        row["conditions"] = conditions;
    }
    row["object"] = match options.include_object {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial(object, options.version),
        IncludeObject::Object => object.clone(),
    };
    row
}

/// An object's metadata alone.
pub fn partial(object: &Value, version: &str) -> Value {
    let mut metadata = object.get("metadata").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    drop_foreign(&mut metadata);
    json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata})
}

/// Upstream keeps this annotation in the spec, and makes metadata from what it keeps.
fn drop_foreign(metadata: &mut Value) {
    let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
    let is_empty = annotations.is_some_and(|all| all.remove(TEMPLATE_GENERATION).is_some() && all.is_empty());
    if is_empty {
        metadata["annotations"] = Value::Null;
        crate::kind::drop_null(metadata, "annotations");
    }
}

/// The metadata of many objects.
pub fn partial_list<'o>(objects: impl IntoIterator<Item = &'o Value>, metadata: Value, version: &str) -> Value {
    let items: Vec<Value> = objects.into_iter().map(|object| partial(object, version)).collect();
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": metadata,
        "items": items,
    })
}
