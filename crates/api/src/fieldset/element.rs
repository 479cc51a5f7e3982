//! One step of a field path: a field's name, an item's keys, an item's value, or an index.

use std::{cmp::Ordering, fmt, sync::Arc};

use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    Field(Arc<str>),
    /// An item of an associative list by its keys, which are sorted by name.
    Key(Vec<(Arc<str>, Atom)>),
    /// An item of a set by its value.
    Value(Atom),
    Index(i64),
}

impl Element {
    pub fn field(name: &str) -> Element {
        Element::Field(name.into())
    }
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(formatter, ".{name}"),
            Element::Key(keys) => write!(formatter, "{}", Keys(keys)),
            Element::Value(atom) => write!(formatter, "[={}]", atom.0),
            Element::Index(idx) => write!(formatter, "[{idx}]"),
        }
    }
}

struct Keys<'k>(&'k [(Arc<str>, Atom)]);

impl fmt::Display for Keys<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[")?;
        for (idx, (name, atom)) in self.0.iter().enumerate() {
            write!(formatter, "{}{name}={}", if idx > 0 { "," } else { "" }, atom.0)?;
        }
        formatter.write_str("]")
    }
}

/// A JSON value with an order of its own, so that it can be part of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Atom(pub Value);

impl Eq for Atom {}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Atom) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Atom) -> Ordering {
        compare(&self.0, &other.0)
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left.cmp(&right),
            (_, _) => left.as_f64().unwrap_or(f64::NAN).total_cmp(&right.as_f64().unwrap_or(f64::NAN)),
        },
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            let items = left.iter().zip(right).map(|(left, right)| compare(left, right));
            items.fold(Ordering::Equal, Ordering::then).then(left.len().cmp(&right.len()))
        }
        (Value::Object(left), Value::Object(right)) => {
            let members =
                left.iter().zip(right).map(|(left, right)| left.0.cmp(right.0).then_with(|| compare(left.1, right.1)));
            members.fold(Ordering::Equal, Ordering::then).then(left.len().cmp(&right.len()))
        }
        (left, right) => rank(left).cmp(&rank(right)),
    }
}
