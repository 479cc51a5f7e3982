//! The structure of every type of the API: fields, shapes and merge rules, parsed once from the tables in `data/`.
//!
//! A custom resource's structural schema becomes the same structure at run time (see [`Message::builder`]), so nothing
//! that walks a schema can tell the two apart.

mod build;
mod facts;
mod link;
mod presence;
mod rows;
mod structural;
mod table;

use std::{ops::Deref, sync::Arc};

use serde_json::Value;

pub use build::Builder;
pub use structural::structural;
pub use table::{message, messages, wire_message};

/// An object with named fields.
#[derive(Debug, Default)]
pub struct Message {
    /// The name in OpenAPI, for example `io.k8s.api.core.v1.PodSpec`; empty for a nested structure of a custom resource.
    pub name: String,
    /// The bare type name that errors show, for example `PodSpec`.
    pub short_name: String,
    /// Carries `apiVersion` and `kind` of its own.
    pub typed: bool,
    /// Owned and replaced as a whole.
    pub atomic: bool,
    /// Fields that the schema does not name are kept instead of dropped.
    pub preserve_unknown: bool,
    /// The schema of fields that are not named, where a custom resource gives both properties and a rule for the others.
    pub additional: Option<TypeRef>,
    fields: Vec<Field>,
    /// The fields' places in the order of Go's structure.
    declared: Vec<usize>,
    wire: Vec<(u32, Wire)>,
    fills: Vec<(String, Value)>,
    blanks: Vec<Arc<str>>,
}

impl Message {
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// The fields, sorted by name.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The fields, in the order of Go's structure. A custom resource has none, and so is sorted by name.
    pub fn declared(&self) -> impl Iterator<Item = &Field> {
        self.declared.iter().map(|idx| &self.fields[*idx])
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.field_idx(name).map(|idx| &self.fields[idx])
    }

    pub(crate) fn field_idx(&self, name: &str) -> Option<usize> {
        self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok()
    }

    /// What a protobuf field number stands for.
    pub fn wire(&self, number: u32) -> Option<&Wire> {
        self.wire.binary_search_by_key(&number, |(n, _)| *n).ok().map(|idx| &self.wire[idx].1)
    }

    /// The field of a wire entry.
    pub fn wire_field(&self, idx: usize) -> &Field {
        &self.fields[idx]
    }

    /// The fields that are always written, with their empty values.
    pub fn fills(&self) -> &[(String, Value)] {
        &self.fills
    }

    /// The lists, maps and references that Go would write as null where nobody gave them.
    pub(crate) fn blanks(&self) -> &[Arc<str>] {
        &self.blanks
    }

    /// The package's last part and the bare name, as Go prints a type: `v1.PodSpec`.
    pub fn go_type(&self) -> String {
        let mut parts = self.name.rsplitn(3, '.');
        match (parts.next(), parts.next()) {
            (Some(name), Some(package)) => format!("{package}.{name}"),
            _ => self.short_name.clone(),
        }
    }
}

/// One field of a message.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: Arc<str>,
    /// The protobuf number; 0 when the field has none.
    pub number: u32,
    pub ty: TypeRef,
    pub required: bool,
    pub presence: Presence,
    pub patch: Patch,
}

/// What becomes of a field whose value is its type's zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Written even when nobody gave it.
    Always,
    /// Dropped when it is zero or empty.
    Omitted,
    /// Kept as it was given.
    Kept,
}

/// How strategic merge patch treats a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    pub merge: bool,
    pub replace: bool,
    pub retain_keys: bool,
    pub key: Option<Arc<str>>,
}

/// What a protobuf field number leads to.
#[derive(Debug, Clone)]
pub enum Wire {
    /// The field at this index.
    Field(usize),
    /// A message whose fields JSON writes in the parent.
    Inline(Link),
}

/// The shape of a value.
#[derive(Debug, Clone)]
pub enum TypeRef {
    Scalar(Scalar),
    Message(Link),
    List(Arc<List>),
    Map(Arc<Map>),
    /// A union that JSON writes without a tag.
    Either(Either, Link),
    /// Any JSON value, kept as it is and owned as a whole.
    Any,
    /// A custom resource's node of unknown structure: kept, and owned field by field as its value's own shape says.
    Deduced,
}

impl TypeRef {
    /// The type as Go prints it: `[]v1.Container`, `map[string]string`.
    pub fn go_type(&self) -> String {
        match self {
            TypeRef::Scalar(scalar) => scalar.go_type().to_owned(),
            TypeRef::Message(link) => link.go_type(),
            TypeRef::List(list) => format!("[]{}", list.element.go_type()),
            TypeRef::Map(map) if matches!(map.value, TypeRef::Scalar(Scalar::Quantity)) => "v1.ResourceList".to_owned(),
            TypeRef::Map(map) => format!("map[string]{}", map.value.go_type()),
            TypeRef::Either(..) | TypeRef::Any | TypeRef::Deduced => "interface {}".to_owned(),
        }
    }

    /// Owned as a whole by server-side apply.
    pub fn is_atomic(&self) -> bool {
        match self {
            TypeRef::Scalar(_) | TypeRef::Any | TypeRef::Either(..) => true,
            TypeRef::Message(link) => link.atomic,
            TypeRef::List(list) => matches!(list.kind, ListKind::Atomic),
            TypeRef::Map(map) => map.atomic,
            TypeRef::Deduced => false,
        }
    }
}

/// A list and how its items are told apart.
#[derive(Debug)]
pub struct List {
    pub element: TypeRef,
    pub kind: ListKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ListKind {
    Atomic,
    Set,
    Map(Vec<Key>),
}

/// One key of an associative list.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub name: Arc<str>,
    pub default: Option<Value>,
}

/// A map from strings.
#[derive(Debug)]
pub struct Map {
    pub value: TypeRef,
    pub atomic: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    Bytes,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    Duration,
    RawExtension,
    FieldsV1,
}

impl Scalar {
    pub(crate) fn go_type(self) -> &'static str {
        match self {
            Scalar::String => "string",
            Scalar::Bool => "bool",
            Scalar::Int32 => "int32",
            Scalar::Int64 => "int64",
            Scalar::Double => "float64",
            Scalar::Bytes => "[]uint8",
            Scalar::Quantity => "resource.Quantity",
            Scalar::IntOrString => "intstr.IntOrString",
            Scalar::Time => "v1.Time",
            Scalar::MicroTime => "v1.MicroTime",
            Scalar::Duration => "v1.Duration",
            Scalar::RawExtension => "runtime.RawExtension",
            Scalar::FieldsV1 => "v1.FieldsV1",
        }
    }
}

/// The untagged unions of a CRD's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either {
    OrList,
    OrBool,
    OrStrings,
}

/// A message by reference: into the built-in tables, or owned by a custom resource's schema.
#[derive(Debug, Clone)]
pub enum Link {
    Builtin(&'static table::Slot),
    Owned(Arc<Message>),
}

impl Deref for Link {
    type Target = Message;

    fn deref(&self) -> &Message {
        match self {
            Link::Builtin(slot) => slot.get(),
            Link::Owned(message) => message,
        }
    }
}

#[cfg(test)]
mod tests;
