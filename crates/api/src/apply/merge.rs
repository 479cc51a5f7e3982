//! Merges an applied configuration into a live object: the configuration's leaves win, everything else stays.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::typed::{Fields, Shape, element, shape};
use crate::{
    fieldset::Element,
    schema::{List, Message, TypeRef},
};

pub(super) fn objects(live: &Value, config: &Value, message: &Message) -> Value {
    maps(live.as_object(), config.as_object(), Fields::Message(message)).unwrap_or_else(|| Value::Object(Map::new()))
}

fn values(live: Option<&Value>, config: Option<&Value>, ty: &TypeRef) -> Option<Value> {
    let leaf = || config.or(live).cloned();
    match shape(ty, [live, config]) {
        Shape::Leaf => leaf(),
        Shape::Map(fields) => {
            let (live, config) = (live.and_then(Value::as_object), config.and_then(Value::as_object));
            if [live, config].iter().flatten().all(|object| object.is_empty()) {
                return leaf();
            }
            maps(live, config, fields)
        }
        Shape::List(list) => {
            let (live, config) = (live.and_then(Value::as_array), config.and_then(Value::as_array));
            if [live, config].iter().flatten().all(|items| items.is_empty()) {
                return leaf();
            }
            let items =
                lists(live.map(Vec::as_slice).unwrap_or_default(), config.map(Vec::as_slice).unwrap_or_default(), list);
            (!items.is_empty()).then_some(Value::Array(items))
        }
    }
}

fn maps(live: Option<&Map<String, Value>>, config: Option<&Map<String, Value>>, fields: Fields<'_>) -> Option<Value> {
    let mut merged = Map::new();
    for (name, value) in live.into_iter().flatten() {
        let other = config.and_then(|config| config.get(name));
        if let Some(value) = values(Some(value), other, fields.member(name).0) {
            merged.insert(name.clone(), value);
        }
    }
    for (name, value) in config.into_iter().flatten() {
        if live.is_none_or(|live| !live.contains_key(name))
            && let Some(value) = values(None, Some(value), fields.member(name).0)
        {
            merged.insert(name.clone(), value);
        }
    }
    (!merged.is_empty()).then_some(Value::Object(merged))
}

/// One side of a list merge: its items in order, and each by its element unless that is there twice.
struct Side<'v> {
    items: Vec<(Element, &'v Value)>,
    unique: BTreeMap<Element, Option<&'v Value>>,
}

impl<'v> Side<'v> {
    fn new(values: &'v [Value], list: &List) -> Side<'v> {
        let mut side = Side { items: Vec::new(), unique: BTreeMap::new() };
        for value in values {
            let Ok(element) = element(list, value) else { continue };
            side.unique.entry(element.clone()).and_modify(|slot| *slot = None).or_insert(Some(value));
            side.items.push((element, value));
        }
        side
    }
}

/// The configuration's items keep their order; the live list's others stay where they are among them.
fn lists(live: &[Value], config: &[Value], list: &List) -> Vec<Value> {
    let (live, config) = (Side::new(live, list), Side::new(config, list));
    let mut shared: VecDeque<&Element> =
        config.items.iter().map(|(element, _)| element).filter(|element| live.unique.contains_key(element)).collect();
    let mut next_shared = shared.pop_front();
    let (mut merged, mut done) = (Vec::new(), BTreeSet::new());
    let (mut left, mut right) = (live.items.iter().peekable(), config.items.iter().peekable());
    while left.peek().is_some() || right.peek().is_some() {
        if let (Some((mine, _)), Some((theirs, value))) = (left.peek(), right.peek()) {
            if mine == theirs {
                merged.extend(values(live.unique[mine], Some(value), &list.element));
                done.insert(mine);
                left.next();
                right.next();
                next_shared = shared.pop_front();
                continue;
            }
            if config.unique.contains_key(mine) && next_shared.is_some_and(|next| next != mine) {
                left.next();
                continue;
            }
        }
        if let Some((mine, value)) = left.peek() {
            if !config.unique.contains_key(mine) {
                merged.extend(values(Some(value), None, &list.element));
                left.next();
                continue;
            }
            if done.contains(mine) {
                left.next();
            }
        }
        if let Some((theirs, value)) = right.next() {
            merged.extend(values(live.unique.get(theirs).copied().flatten(), Some(value), &list.element));
            done.insert(theirs);
            if next_shared == Some(theirs) {
                next_shared = shared.pop_front();
            }
        }
    }
    merged
}
