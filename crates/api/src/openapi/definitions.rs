//! The schemas of a document: every type that its kinds reach, with types, formats and rules of merging.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Resource;
use super::descriptions::Descriptions;
use crate::schema::{Either, Field, Link, ListKind, Message, Scalar, TypeRef};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

pub(super) struct Definitions<'a> {
    prefix: &'static str,
    descriptions: &'a Descriptions,
    schemas: Map<String, Value>,
    seen: BTreeSet<String>,
}

impl<'a> Definitions<'a> {
    pub(super) fn new(prefix: &'static str, descriptions: &'a Descriptions) -> Definitions<'a> {
        Definitions { prefix, descriptions, schemas: Map::new(), seen: BTreeSet::new() }
    }

    pub(super) fn finish(self) -> Value {
        Value::Object(self.schemas)
    }

    /// Adds a kind, its list, and what its requests carry.
    pub(super) fn resource(&mut self, resource: &Resource<'_>) {
        let gvk = gvk(resource.group, resource.version, resource.kind);
        let name = type_name(resource);
        self.kind(&name, resource.schema, gvk);
        for subresource in &resource.subresources {
            if let Some(schema) = subresource.schema {
                self.kind(&schema.name, schema, self::gvk(subresource.group, subresource.version, subresource.kind));
            }
        }
        self.list(resource, &name);
        for name in ["DeleteOptions", "Status", "WatchEvent", "Patch"] {
            self.meta(name);
        }
    }

    fn kind(&mut self, name: &str, message: &Message, gvk: Value) {
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        let mut schema = self.message(message);
        schema["x-kubernetes-group-version-kind"] = json!([gvk]);
        self.schemas.insert(name.to_owned(), schema);
    }

    fn list(&mut self, resource: &Resource<'_>, name: &str) {
        let list = format!("{name}List");
        if !self.seen.insert(list.clone()) {
            return;
        }
        let metadata = self.reference(&format!("{META}ListMeta"), crate::schema::message(&format!("{META}ListMeta")));
        let about = |field| self.descriptions.list_field(field);
        let schema = json!({
            "description": format!("{0}List is a list of {0}.", resource.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": self.described(json!({"type": "string"}), about("apiVersion")),
                "kind": self.described(json!({"type": "string"}), about("kind")),
                "metadata": self.described(metadata, about("metadata")),
                "items": self.described(json!({"type": "array", "items": self.link(name)}), about("items")),
            },
            "x-kubernetes-group-version-kind": [gvk(resource.group, resource.version, &format!("{}List", resource.kind))],
        });
        self.schemas.insert(list, schema);
    }

    fn meta(&mut self, name: &str) {
        let full = format!("{META}{name}");
        match name {
            "Patch" => {
                self.schemas.insert(full, json!({"type": "object"}));
            }
            _ => {
                if let Some(message) = crate::schema::message(&full) {
                    self.kind(&full, message, gvk("", "v1", name));
                }
            }
        }
    }

    fn link(&self, name: &str) -> Value {
        json!({"$ref": format!("{}{name}", self.prefix)})
    }

    /// A reference to a type, whose definition is added when it is new.
    fn reference(&mut self, name: &str, message: Option<&Message>) -> Value {
        if self.seen.insert(name.to_owned()) {
            let schema = message.map_or_else(|| json!({"type": "object"}), |message| self.message(message));
            self.schemas.insert(name.to_owned(), schema);
        }
        self.link(name)
    }

    fn simple(&mut self, name: &str, schema: Value) -> Value {
        if self.seen.insert(name.to_owned()) {
            let schema = self.described(schema, self.descriptions.of_type(name));
            self.schemas.insert(name.to_owned(), schema);
        }
        self.link(name)
    }

    fn message(&mut self, message: &Message) -> Value {
        let properties: Map<String, Value> =
            message.fields().iter().map(|field| (field.name.to_string(), self.field(&message.name, field))).collect();
        let required: Vec<&str> =
            message.fields().iter().filter(|field| field.required).map(|field| &*field.name).collect();
        let mut schema = self.described(json!({"type": "object"}), self.descriptions.of_type(&message.name));
        if !properties.is_empty() {
            schema["properties"] = Value::Object(properties);
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if message.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        if message.preserve_unknown {
            schema["x-kubernetes-preserve-unknown-fields"] = true.into();
        }
        if let Some(additional) = &message.additional {
            schema["additionalProperties"] = self.ty(additional);
        }
        schema
    }

    fn field(&mut self, parent: &str, field: &Field) -> Value {
        let schema = self.ty(&field.ty);
        let mut schema = self.described(schema, self.descriptions.of_field(parent, &field.name));
        let patch = &field.patch;
        let words = [(patch.merge, "merge"), (patch.replace, "replace"), (patch.retain_keys, "retainKeys")];
        let strategy: Vec<&str> = words.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
        if !strategy.is_empty() {
            schema = self.with_room(schema);
            schema["x-kubernetes-patch-strategy"] = strategy.join(",").into();
        }
        if let Some(key) = &patch.key {
            schema["x-kubernetes-patch-merge-key"] = (**key).into();
        }
        schema
    }

    fn described(&self, schema: Value, description: Option<&str>) -> Value {
        let Some(description) = description else { return schema };
        let mut schema = self.with_room(schema);
        schema["description"] = description.into();
        schema
    }

    /// Siblings of a reference are ignored by readers of v3: it is wrapped where it gets any. Readers of v2 know no wrapping.
    fn with_room(&self, schema: Value) -> Value {
        let wrapped = schema.get("$ref").is_some() && self.is_v3();
        if wrapped { json!({"allOf": [schema]}) } else { schema }
    }

    fn is_v3(&self) -> bool {
        self.prefix.starts_with("#/components")
    }

    fn ty(&mut self, ty: &TypeRef) -> Value {
        match ty {
            TypeRef::Scalar(scalar) => self.scalar(*scalar),
            TypeRef::Message(Link::Owned(message)) if message.name.is_empty() => self.message(message),
            TypeRef::Message(link) => self.reference(&link.name, Some(link)),
            TypeRef::List(list) => {
                let mut schema = json!({"type": "array", "items": self.ty(&list.element)});
                match &list.kind {
                    ListKind::Atomic => schema["x-kubernetes-list-type"] = "atomic".into(),
                    ListKind::Set => schema["x-kubernetes-list-type"] = "set".into(),
                    ListKind::Map(keys) => {
                        schema["x-kubernetes-list-type"] = "map".into();
                        schema["x-kubernetes-list-map-keys"] = keys.iter().map(|key| Value::from(&*key.name)).collect();
                    }
                }
                schema
            }
            TypeRef::Map(map) => {
                let mut schema = json!({"type": "object", "additionalProperties": self.ty(&map.value)});
                if map.atomic {
                    schema["x-kubernetes-map-type"] = "atomic".into();
                }
                schema
            }
            TypeRef::Either(either, link) => {
                self.reference(&link.name, Some(link));
                let suffix = match either {
                    Either::OrList => "OrArray",
                    Either::OrBool => "OrBool",
                    Either::OrStrings => "OrStringArray",
                };
                // Such a union has no type: any value is let through.
                self.simple(&format!("{}{suffix}", link.name), json!({}))
            }
            TypeRef::Any | TypeRef::Deduced => json!({"x-kubernetes-preserve-unknown-fields": true}),
        }
    }

    fn scalar(&mut self, scalar: Scalar) -> Value {
        match scalar {
            Scalar::String | Scalar::Duration => json!({"type": "string"}),
            Scalar::Bool => json!({"type": "boolean"}),
            Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
            Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
            Scalar::Double => json!({"type": "number", "format": "double"}),
            Scalar::Bytes => json!({"type": "string", "format": "byte"}),
            Scalar::Quantity => {
                let v3 = json!({"oneOf": [{"type": "string"}, {"type": "number"}]});
                let schema = if self.is_v3() { v3 } else { json!({"type": "string"}) };
                self.simple(QUANTITY, schema)
            }
            Scalar::IntOrString => {
                let v3 = json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"});
                let v2 = json!({"type": "string", "format": "int-or-string"});
                let schema = if self.is_v3() { v3 } else { v2 };
                self.simple(INT_OR_STRING, schema)
            }
            Scalar::Time => self.simple(&format!("{META}Time"), json!({"type": "string", "format": "date-time"})),
            Scalar::MicroTime => {
                self.simple(&format!("{META}MicroTime"), json!({"type": "string", "format": "date-time"}))
            }
            Scalar::RawExtension => self.simple(RAW_EXTENSION, json!({"type": "object"})),
            Scalar::FieldsV1 => self.simple(&format!("{META}FieldsV1"), json!({"type": "object"})),
        }
    }
}

/// The definition's name of a kind; a custom resource's is its group turned around.
pub(super) fn type_name(resource: &Resource<'_>) -> String {
    if resource.schema.name.contains('.') {
        return resource.schema.name.clone();
    }
    let group: Vec<&str> = resource.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), resource.version, resource.kind)
}

fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}
