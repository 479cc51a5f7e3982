//! Objects seen through their schema: path elements of list items, and the set of fields that an object has.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::{
    fieldset::{Atom, Element, Set},
    schema::{List, ListKind, Message, Scalar, TypeRef},
};

/// How a value's node is walked.
pub(super) enum Shape<'s> {
    /// Owned as a whole.
    Leaf,
    /// Owned field by field.
    Map(Fields<'s>),
    /// Owned item by item.
    List(&'s List),
}

/// The types of a map's members.
#[derive(Clone, Copy)]
pub(super) enum Fields<'s> {
    Message(&'s Message),
    Values(&'s TypeRef),
    Deduced,
}

static DEDUCED: TypeRef = TypeRef::Deduced;

impl<'s> Fields<'s> {
    /// The type of a member, and whether the schema names it.
    pub(super) fn member(self, name: &str) -> (&'s TypeRef, bool) {
        match self {
            Fields::Message(message) => match message.field(name) {
                Some(field) => (&field.ty, true),
                None => (message.additional.as_ref().unwrap_or(&DEDUCED), false),
            },
            Fields::Values(ty) => (ty, false),
            Fields::Deduced => (&DEDUCED, false),
        }
    }
}

/// The shape of a type; one that the schema leaves open has the shape of its value.
pub(super) fn shape<'s>(ty: &'s TypeRef, values: [Option<&Value>; 2]) -> Shape<'s> {
    match ty {
        TypeRef::Message(link) if link.atomic => Shape::Leaf,
        TypeRef::Message(link) => Shape::Map(Fields::Message(link)),
        TypeRef::Map(map) if map.atomic => Shape::Leaf,
        TypeRef::Map(map) => Shape::Map(Fields::Values(&map.value)),
        TypeRef::List(list) if list.kind == ListKind::Atomic => Shape::Leaf,
        TypeRef::List(list) => Shape::List(list),
        TypeRef::Deduced | TypeRef::Scalar(Scalar::RawExtension | Scalar::FieldsV1)
            if values.iter().flatten().all(|value| value.is_object()) =>
        {
            Shape::Map(Fields::Deduced)
        }
        TypeRef::Scalar(_) | TypeRef::Either(..) | TypeRef::Any | TypeRef::Deduced => Shape::Leaf,
    }
}

/// The path element of an item of a set or of an associative list.
pub(super) fn element(list: &List, item: &Value) -> Result<Element, String> {
    match &list.kind {
        ListKind::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        ListKind::Set => match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            scalar => Ok(Element::Value(Atom(scalar.clone()))),
        },
        ListKind::Map(keys) => {
            let object = match item {
                Value::Object(object) => object,
                Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
                _ => return Err("associative list with keys may not have non-map elements".to_owned()),
            };
            let mut values: Vec<(Arc<str>, Atom)> = keys
                .iter()
                .filter_map(|key| {
                    let value = object.get(&*key.name).or(key.default.as_ref())?;
                    Some((key.name.clone(), Atom(value.clone())))
                })
                .collect();
            if values.is_empty() {
                let names: Vec<String> = keys.iter().map(|key| format!("{:?}", key.name)).collect();
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                    names.join(" ")
                ));
            }
            values.sort();
            Ok(Element::Key(values))
        }
    }
}

/// Every field that an object has.
pub(super) fn field_set(object: &Value, message: &Message) -> Set {
    match object {
        Value::Object(_) => map_set(object, Fields::Message(message)),
        _ => Set::new(),
    }
}

/// Whether the node itself is a field, and the fields below it.
fn value_set(value: &Value, ty: &TypeRef) -> (bool, Set) {
    match shape(ty, [Some(value), None]) {
        Shape::Leaf => (true, Set::new()),
        Shape::Map(fields) => (false, map_set(value, fields)),
        Shape::List(list) => (false, list_set(value, list)),
    }
}

fn map_set(value: &Value, fields: Fields<'_>) -> Set {
    let mut set = Set::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let (ty, named) = fields.member(name);
        let (member, children) = value_set(value, ty);
        let empty = value.is_null() || value.as_object().is_some_and(|object| object.is_empty());
        set.put(Element::field(name), member || empty || !named, children);
    }
    set
}

fn list_set(value: &Value, list: &List) -> Set {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut by_element: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in items {
        if let Ok(element) = element(list, item) {
            by_element.entry(element).or_default().push(item);
        }
    }
    let mut set = Set::new();
    for (element, items) in by_element {
        let children = match &items[..] {
            [only] => value_set(only, &list.element).1,
            _ => Set::new(),
        };
        set.put(element, true, children);
    }
    set
}
