//! What differs between two objects: fields added, modified and removed, along the schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::typed::{Fields, Shape, element, shape};
use crate::{
    fieldset::{Element, Set},
    schema::{List, Message, TypeRef},
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) added: Set,
    pub(super) modified: Set,
    pub(super) removed: Set,
}

/// What became of a node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Added,
    Modified,
    Removed,
}

impl Comparison {
    pub(super) fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// The comparison without some fields and everything below them.
    pub(super) fn exclude(self, fields: Option<&Set>) -> Comparison {
        match fields {
            None => self,
            Some(fields) => Comparison {
                added: self.added.recursive_difference(fields),
                modified: self.modified.recursive_difference(fields),
                removed: self.removed.recursive_difference(fields),
            },
        }
    }

    fn put(&mut self, element: Element, change: Change, below: Comparison) {
        // The element is cloned only where more than one set needs it, which is rare.
        let mut sets = [
            (&mut self.added, change == Change::Added, below.added),
            (&mut self.modified, change == Change::Modified, below.modified),
            (&mut self.removed, change == Change::Removed, below.removed),
        ];
        for (set, member, below) in &mut sets {
            if *member || !below.is_empty() {
                set.put(element.clone(), *member, std::mem::take(below));
            }
        }
    }
}

pub(super) fn objects(old: &Value, new: &Value, message: &Message) -> Comparison {
    maps(old.as_object(), new.as_object(), Fields::Message(message))
}

fn values(old: Option<&Value>, new: Option<&Value>, ty: &TypeRef) -> (Change, Comparison) {
    let leaf = || {
        let change = match (old, new) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            (Some(old), Some(new)) if old == new => Change::None,
            (Some(_), Some(_)) => Change::Modified,
        };
        (change, Comparison::default())
    };
    let below = match shape(ty, [old, new]) {
        Shape::Leaf => return leaf(),
        Shape::Map(fields) => {
            let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            if [old, new].iter().flatten().all(|object| object.is_empty()) {
                return leaf();
            }
            maps(old, new, fields)
        }
        Shape::List(list) => {
            let (old, new) = (old.and_then(Value::as_array), new.and_then(Value::as_array));
            if [old, new].iter().flatten().all(|items| items.is_empty()) {
                return leaf();
            }
            lists(old, new, list)
        }
    };
    let change = match (old, new) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        (Some(_), Some(_)) => Change::None,
    };
    (change, below)
}

type Object = Map<String, Value>;

fn maps(old: Option<&Object>, new: Option<&Object>, fields: Fields<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    let mut visit = |name: &String, old: Option<&Value>, new: Option<&Value>| {
        if old == new {
            return;
        }
        let (change, below) = values(old, new, fields.member(name).0);
        if change != Change::None || !below.is_same() {
            comparison.put(Element::field(name), change, below);
        }
    };
    for (name, value) in new.into_iter().flatten() {
        visit(name, old.and_then(|old| old.get(name)), Some(value));
    }
    for (name, value) in old.into_iter().flatten() {
        if new.is_none_or(|new| !new.contains_key(name)) {
            visit(name, Some(value), None);
        }
    }
    comparison
}

fn lists(old: Option<&Vec<Value>>, new: Option<&Vec<Value>>, list: &List) -> Comparison {
    let mut items: BTreeMap<Element, [Vec<&Value>; 2]> = BTreeMap::new();
    for (side, values) in [old, new].into_iter().enumerate() {
        for value in values.into_iter().flatten() {
            if let Ok(element) = element(list, value) {
                items.entry(element).or_default()[side].push(value);
            }
        }
    }
    let mut comparison = Comparison::default();
    for (element, [old, new]) in items {
        let (change, below) = match (&old[..], &new[..]) {
            ([] | [_], [] | [_]) => values(old.first().copied(), new.first().copied(), &list.element),
            ([_, _, ..], [_, _, ..]) if old == new => (Change::None, Comparison::default()),
            ([_, _, ..], [_, _, ..]) => (Change::Modified, Comparison::default()),
            // Twice on one side: that side's item is a field of its own, and the other side's came or went.
            ([_, _, ..], _) => {
                let added = new.first().map(|new| values(None, Some(new), &list.element));
                if let Some((change, below)) = added {
                    comparison.put(element.clone(), change, below);
                }
                (Change::Removed, Comparison::default())
            }
            (_, _) => {
                let removed = old.first().map(|old| values(Some(old), None, &list.element));
                if let Some((change, below)) = removed {
                    comparison.put(element.clone(), change, below);
                }
                (Change::Added, Comparison::default())
            }
        };
        comparison.put(element, change, below);
    }
    comparison
}
