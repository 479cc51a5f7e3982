//! Field selectors: `status.phase=Running,spec.nodeName!=n1`.

use serde_json::Value;

use super::Error;
use crate::kind::{Kind, name_of, namespace_of};

/// What the named fields of an object must be. The default matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    pub requirements: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    pub field: String,
    pub operator: FieldOperator,
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOperator {
    Equals,
    NotEquals,
}

impl FieldSelector {
    /// Reads the text form, and checks that `kind` has such fields.
    pub fn parse(text: &str, kind: &Kind) -> Result<Self, Error> {
        let selector = Self { requirements: requirements(text)? };
        match selector.requirements.iter().find(|r| !is_known(kind, &r.field)) {
            Some(unknown) => Err(unsupported(kind, &unknown.field)),
            None => Ok(selector),
        }
    }

    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object of `kind` matches.
    pub fn matches(&self, kind: &Kind, object: &Value) -> bool {
        self.requirements
            .iter()
            .all(|r| (value(kind, object, &r.field) == r.value) == (r.operator == FieldOperator::Equals))
    }

    /// The only name that can match, when the selector asks for one: a list of one object is a read of it.
    pub fn exact_name(&self) -> Option<&str> {
        self.exact("metadata.name")
    }

    /// The value that `field` must have, when the selector asks for one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        let named = |r: &&FieldRequirement| r.field == field && r.operator == FieldOperator::Equals;
        self.requirements.iter().find(named).map(|r| r.value.as_str())
    }
}

fn is_known(kind: &Kind, field: &str) -> bool {
    match field {
        "metadata.name" => true,
        "metadata.namespace" => kind.namespaced || kind.fields.is_empty(),
        other => kind.fields.iter().any(|f| f.name == other),
    }
}

fn unsupported(kind: &Kind, field: &str) -> Error {
    if kind.fields.is_empty() {
        let known = "only \"metadata.name\", \"metadata.namespace\"";
        return Error(format!("\"{field}\" is not a known field selector: {known}"));
    }
    Error((kind.hooks.unknown_field)(field))
}

fn value(kind: &Kind, object: &Value, field: &str) -> String {
    match field {
        "metadata.name" => name_of(object).to_owned(),
        "metadata.namespace" => namespace_of(object).to_owned(),
        other => kind.fields.iter().find(|f| f.name == other).map(|f| (f.value)(object)).unwrap_or_default(),
    }
}

fn requirements(text: &str) -> Result<Vec<FieldRequirement>, Error> {
    let terms = terms(text).into_iter().filter(|term| !term.is_empty());
    let parse = |term: &str| requirement(term, text);
    let all: Result<Vec<_>, Error> = terms.map(parse).collect();
    all
}

/// Splits at commas that are not escaped.
fn terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            ',' if !escaped => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => escaped = false,
        }
    }
    terms.push(&text[start..]);
    terms
}

fn requirement(term: &str, whole: &str) -> Result<FieldRequirement, Error> {
    let at = term.find(['=', '!']).filter(|at| !term[*at..].starts_with('!') || term[*at..].starts_with("!="));
    let Some(at) = at else {
        return Err(Error(format!("invalid selector: '{whole}'; can't understand '{term}'")));
    };
    let (field, rest) = term.split_at(at);
    let operators = [("!=", FieldOperator::NotEquals), ("==", FieldOperator::Equals), ("=", FieldOperator::Equals)];
    let found = operators.iter().find_map(|(sign, operator)| Some((rest.strip_prefix(sign)?, *operator)));
    let (value, operator) = found.unwrap_or((rest, FieldOperator::Equals));
    Ok(FieldRequirement { field: field.to_owned(), operator, value: unescape(value)? })
}

fn unescape(value: &str) -> Result<String, Error> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                Some(other) => {
                    return Err(Error(format!("invalid field selector: invalid escape sequence: \\{other}")));
                }
                None => return Err(Error("invalid field selector: invalid escape sequence: \\".to_owned())),
            },
            (',' | '=', false) => {
                return Err(Error(format!("invalid field selector: unescaped character in value: {c}")));
            }
            (other, false) => plain.push(other),
        }
    }
    Ok(plain)
}
