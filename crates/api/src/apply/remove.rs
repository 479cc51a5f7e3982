//! Removes what a manager no longer applies and nobody else owns.

use serde_json::{Map, Value};

use super::{
    managed::Managed,
    typed::{self, Fields, Shape, element, shape},
};
use crate::{
    fieldset::{Element, Set},
    schema::{List, Message, TypeRef},
};

/// The merged object without the fields that only the manager's last apply had.
pub(super) fn unowned(merged: Value, last: &Set, managed: &Managed, message: &Message) -> Value {
    let root = Fields::Message(message);
    let last = named(last, Some(root));
    let pruned = object(&merged, &last, message);
    let merged_set = named(&typed::field_set(&merged, message), Some(root));
    let mut owned = Set::new();
    for entry in managed.entries.values() {
        owned.extend(&entry.set);
    }
    // Put back what somebody owns, then what was never applied but went away with its parent.
    let kept = named(&typed::field_set(&pruned, message), Some(root)).union(&named(&owned, Some(root)));
    let pruned = object(&merged, &merged_set.difference(&kept), message);
    let pruned_set = named(&typed::field_set(&pruned, message), Some(root));
    object(&merged, &merged_set.difference(&pruned_set).intersection(&last), message)
}

/// The set with the fields that the schema names, on the way to its members, as members too.
fn named(set: &Set, fields: Option<Fields<'_>>) -> Set {
    let mut out = Set::new();
    for (element, member, below) in set.children() {
        let (ty, has_name) = match (element, fields) {
            (Element::Field(name), Some(fields)) => {
                let (ty, named) = fields.member(name);
                (Some(ty), named && !below.is_empty())
            }
            (_, _) => (None, false),
        };
        let below = match ty.map(|ty| shape(ty, [None, None])) {
            Some(Shape::Map(fields)) => named(below, Some(fields)),
            Some(Shape::List(list)) => items(below, list),
            Some(Shape::Leaf) | None => below.clone(),
        };
        out.put(element.clone(), member || has_name, below);
    }
    out
}

fn items(set: &Set, list: &List) -> Set {
    let mut out = Set::new();
    for (element, member, below) in set.children() {
        let below = match shape(&list.element, [None, None]) {
            Shape::Map(fields) => named(below, Some(fields)),
            Shape::List(list) => items(below, list),
            Shape::Leaf => below.clone(),
        };
        out.put(element.clone(), member, below);
    }
    out
}

fn object(value: &Value, gone: &Set, message: &Message) -> Value {
    map(value, gone, Fields::Message(message)).unwrap_or_else(|| Value::Object(Map::new()))
}

fn value(value: &Value, gone: &Set, ty: &TypeRef) -> Option<Value> {
    match (shape(ty, [Some(value), None]), value) {
        (Shape::Map(fields), Value::Object(_)) => map(value, gone, fields),
        (Shape::List(list), Value::Array(items)) => {
            let kept: Vec<Value> = items.iter().filter_map(|item| item_value(item, gone, list)).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        // A leaf is removed as a whole, by its parent: what is below it owns nothing.
        (Shape::Leaf, Value::Object(_) | Value::Array(_)) => None,
        (_, _) => Some(value.clone()),
    }
}

fn map(value: &Value, gone: &Set, fields: Fields<'_>) -> Option<Value> {
    let mut kept = Map::new();
    for (name, member) in value.as_object().into_iter().flatten() {
        let element = Element::field(name);
        if gone.has_child(&element) {
            continue;
        }
        let left = match gone.below(&element) {
            Some(below) => self::value(member, below, fields.member(name).0).unwrap_or(Value::Null),
            None => member.clone(),
        };
        kept.insert(name.clone(), left);
    }
    (!kept.is_empty()).then_some(Value::Object(kept))
}

fn item_value(item: &Value, gone: &Set, list: &List) -> Option<Value> {
    let Ok(element) = element(list, item) else { return Some(item.clone()) };
    if gone.has_child(&element) {
        return None;
    }
    match gone.below(&element) {
        Some(below) => Some(value(item, below, &list.element).unwrap_or(Value::Null)),
        None => Some(item.clone()),
    }
}
