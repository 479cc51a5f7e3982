//! FieldsV1, the JSON form of a set: `f:name`, `k:{"port":80}`, `v:"x"`, `i:0`, and `.` for the node itself.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Atom, Element, Node, Set};
use crate::decode::DEPTH_MAX;

/// Why a value is no FieldsV1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("expected a map")]
    NotAMap,
    #[error("key {0:?} is no path element")]
    Element(String),
    #[error("exceeded max depth")]
    Depth,
}

impl Set {
    pub fn from_fields_v1(value: &Value) -> Result<Set, ParseError> {
        parse(value, 0).map(|(_, set)| set)
    }

    pub fn to_fields_v1(&self) -> Value {
        Value::Object(print(self))
    }
}

/// The set, and whether the node itself is a member.
fn parse(value: &Value, depth: usize) -> Result<(bool, Set), ParseError> {
    if depth > DEPTH_MAX {
        return Err(ParseError::Depth);
    }
    let Value::Object(object) = value else { return Err(ParseError::NotAMap) };
    let mut set = Set::new();
    for (key, value) in object.iter().filter(|(key, _)| *key != ".") {
        let (member, children) = parse(value, depth + 1)?;
        // A leaf is written as an empty map.
        let member = member || children.is_empty();
        set.nodes.insert(element(key)?, Node { member, children });
    }
    Ok((object.contains_key("."), set))
}

fn element(key: &str) -> Result<Element, ParseError> {
    let wrong = || ParseError::Element(key.to_owned());
    match key.split_once(':').ok_or_else(wrong)? {
        ("f", name) => Ok(Element::field(name)),
        ("i", idx) => idx.parse().map(Element::Index).map_err(|_| wrong()),
        ("v", json) => serde_json::from_str(json).map(|value| Element::Value(Atom(value))).map_err(|_| wrong()),
        ("k", json) => {
            let keys: Map<String, Value> = serde_json::from_str(json).map_err(|_| wrong())?;
            Ok(Element::Key(keys.into_iter().map(|(name, value)| (Arc::from(name), Atom(value))).collect()))
        }
        _ => Err(wrong()),
    }
}

fn print(set: &Set) -> Map<String, Value> {
    set.nodes
        .iter()
        .map(|(element, node)| {
            let mut children = print(&node.children);
            if node.member && !children.is_empty() {
                children.insert(".".to_owned(), Value::Object(Map::new()));
            }
            (element_text(element), Value::Object(children))
        })
        .collect()
}

fn element_text(element: &Element) -> String {
    match element {
        Element::Field(name) => format!("f:{name}"),
        Element::Index(idx) => format!("i:{idx}"),
        Element::Value(atom) => format!("v:{}", atom.0),
        Element::Key(keys) => {
            let keys: Map<String, Value> = keys.iter().map(|(name, atom)| (name.to_string(), atom.0.clone())).collect();
            format!("k:{}", Value::Object(keys))
        }
    }
}
