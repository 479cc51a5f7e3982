//! Request bodies to values: one pass that parses, checks types as Go would, finds unknown and duplicate fields, and
//! leaves the canonical form. Every text is the one that Kubernetes answers with.

mod base64;
mod duration;
mod literal;
mod object;
mod parser;
mod prune;
mod quantity;
mod time;
mod typed;
mod unstructured;

use serde_json::Value;

use crate::{proto, schema::Message, yaml as yaml_documents};

pub use base64::decode as base64;
pub(crate) use duration::{format as format_duration, nanoseconds};
pub(crate) use literal::float_value as go_float;
pub use object::{Media, Target, TypeMeta, object, type_meta};
pub use prune::prune;
pub(crate) use quantity::canonical as canonical_quantity;
pub(crate) use typed::{blank_message, is_zero, zero_message};
pub use unstructured::check as check_unstructured;

/// Deeper documents are refused. What is stored must be readable again by a parser that stops at 128, with
/// managedFields some levels above an object's own depth.
pub const DEPTH_MAX: usize = 120;

/// As many unknown and duplicate fields as upstream reports for one document.
const STRICT_MAX: usize = 100;

/// A body that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    pub value: Value,
    /// What strict validation refuses and lenient validation warns of, in the order of the document:
    /// `unknown field "spec.foo"`, `duplicate field "spec.x"`.
    pub strict: Vec<String>,
}

impl Decoded {
    /// The text of a refusal under strict validation.
    pub fn strict_error(&self) -> Option<String> {
        if self.strict.is_empty() { None } else { Some(format!("strict decoding error: {}", self.strict.join(", "))) }
    }
}

/// Why a body cannot be read. The message is Go's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Syntax(String),
    #[error("{0}")]
    Type(String),
    #[error("{0}")]
    Protobuf(#[from] proto::Error),
}

/// JSON of a known type, to its canonical form.
pub fn json(bytes: &[u8], message: &Message) -> Result<Decoded, Error> {
    typed::decode(bytes, message)
}

/// JSON of any type; duplicate fields are found, nothing else is checked.
pub fn untyped(bytes: &[u8]) -> Result<Decoded, Error> {
    typed::decode_any(bytes)
}

/// A value of a known type, to its canonical form.
pub fn value(value: &Value, message: &Message) -> Result<Decoded, Error> {
    json(&to_json(value), message)
}

/// Brings an object that is known to be well-formed into canonical form.
pub fn normalize(object: Value, message: &Message) -> Value {
    match value(&object, message) {
        Ok(decoded) => decoded.value,
        Err(_) => object,
    }
}

/// YAML of a known type: as JSON, once YAML's own rules are applied.
pub fn yaml(bytes: &[u8], message: &Message) -> Result<Decoded, Error> {
    let document = yaml_documents::parse(bytes)?;
    let mut decoded = json(&to_json(&document.value), message)?;
    decoded.strict.splice(0..0, document.duplicates_error());
    Ok(decoded)
}

fn to_json(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value has string keys and finite numbers")
}

#[cfg(test)]
mod tests;
