//! Makes a message of a custom resource's structural schema, so that custom and built-in kinds are handled alike.

use std::sync::Arc;

use serde_json::Value;

use super::{Builder, Field, Key, Link, List, ListKind, Map, Message, Patch, Presence, Scalar, TypeRef, table::link};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The message of a version's `openAPIV3Schema`. What the schema leaves open is kept and owned field by field.
pub fn structural(kind: &str, schema: &Value) -> Arc<Message> {
    Arc::new(resource(properties(Message::builder(kind), schema)).build())
}

fn resource(builder: Builder) -> Builder {
    let meta = link(OBJECT_META).map_or(TypeRef::Deduced, TypeRef::Message);
    builder
        .typed(true)
        .replace(field("apiVersion", TypeRef::Scalar(Scalar::String), false))
        .replace(field("kind", TypeRef::Scalar(Scalar::String), false))
        .replace(field("metadata", meta, false))
}

fn field(name: &str, ty: TypeRef, required: bool) -> Field {
    Field { name: name.into(), number: 0, ty, required, presence: Presence::Kept, patch: Patch::default() }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn text<'a>(schema: &'a Value, name: &str) -> &'a str {
    schema.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn properties(mut builder: Builder, schema: &Value) -> Builder {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        builder = builder.field(field(name, shape(property), required.contains(&name.as_str())));
    }
    if let Some(additional) = schema.get("additionalProperties").filter(|additional| **additional != Value::Bool(false))
    {
        builder = builder.additional(shape(additional));
    }
    builder
        .atomic(text(schema, "x-kubernetes-map-type") == "atomic")
        .preserve_unknown(flag(schema, "x-kubernetes-preserve-unknown-fields"))
}

fn shape(schema: &Value) -> TypeRef {
    if flag(schema, "x-kubernetes-int-or-string") {
        return TypeRef::Scalar(Scalar::IntOrString);
    }
    match text(schema, "type") {
        "object" => object(schema),
        "array" => TypeRef::List(Arc::new(List {
            element: schema.get("items").map_or(TypeRef::Deduced, shape),
            kind: list_kind(schema),
        })),
        "string" => TypeRef::Scalar(Scalar::String),
        "boolean" => TypeRef::Scalar(Scalar::Bool),
        "integer" => TypeRef::Scalar(Scalar::Int64),
        "number" => TypeRef::Scalar(Scalar::Double),
        _ => TypeRef::Deduced,
    }
}

fn object(schema: &Value) -> TypeRef {
    let atomic = text(schema, "x-kubernetes-map-type") == "atomic";
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
    match (schema.get("properties"), schema.get("additionalProperties")) {
        (None, Some(additional)) if !embedded && additional.is_object() => {
            TypeRef::Map(Arc::new(Map { value: shape(additional), atomic }))
        }
        (None, _) if !embedded && preserve && !atomic => TypeRef::Deduced,
        (_, _) => {
            let builder = properties(Message::builder(""), schema);
            TypeRef::Message(Link::Owned(Arc::new(if embedded { resource(builder) } else { builder }.build())))
        }
    }
}

fn list_kind(schema: &Value) -> ListKind {
    match text(schema, "x-kubernetes-list-type") {
        "set" => ListKind::Set,
        "map" => ListKind::Map(
            schema
                .get("x-kubernetes-list-map-keys")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(|name| Key { name: name.into(), default: key_default(schema, name) })
                .collect(),
        ),
        _ => ListKind::Atomic,
    }
}

fn key_default(schema: &Value, key: &str) -> Option<Value> {
    schema.get("items")?.get("properties")?.get(key)?.get("default").cloned()
}
