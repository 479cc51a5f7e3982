//! Kubernetes protobuf to JSON values, driven by the schema: bounded, and never in panic over hostile bytes.

mod scalar;
mod wire;

use serde_json::{Map, Value};

use crate::{
    decode::{DEPTH_MAX, is_zero, zero_message},
    schema::{List, Message, Presence, TypeRef, Wire},
};
use wire::{Reader, Token};

/// What a protobuf body of Kubernetes starts with.
const PREFIX: &[u8] = b"k8s\0";

/// A small body may name many empty messages, each of which takes memory: no more than these.
const NODES_MAX: usize = 250_000;

/// Why bytes are no protobuf of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    #[error("unexpected EOF")]
    Truncated,
    #[error("proto: integer overflow")]
    Overflow,
    #[error("proto: illegal tag {0}")]
    Tag(u64),
    #[error("proto: wrong wireType = {0}")]
    WireType(u8),
    #[error("exceeded max depth")]
    Depth,
    #[error("too many values in one body")]
    Nodes,
    #[error("invalid embedded JSON")]
    Json,
}

/// The outer message of every body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub raw: &'a [u8],
}

/// Opens the envelope of a body.
pub fn envelope(body: &[u8]) -> Result<Envelope<'_>, Error> {
    let mut reader = Reader::new(body.strip_prefix(PREFIX).ok_or(Error::Prefix)?);
    let mut envelope = Envelope { api_version: "", kind: "", raw: &[] };
    while let Some((number, token)) = reader.field()? {
        match (number, token) {
            (1, Token::Bytes(meta)) => {
                let mut reader = Reader::new(meta);
                while let Some((number, token)) = reader.field()? {
                    match (number, token) {
                        (1, Token::Bytes(text)) => envelope.api_version = str::from_utf8(text).unwrap_or_default(),
                        (2, Token::Bytes(text)) => envelope.kind = str::from_utf8(text).unwrap_or_default(),
                        _ => {}
                    }
                }
            }
            (2, Token::Bytes(raw)) => envelope.raw = raw,
            _ => {}
        }
    }
    Ok(envelope)
}

/// A message's bytes to its canonical JSON value. `apiVersion` and `kind` are not on the wire of a message.
pub fn decode(bytes: &[u8], message: &Message) -> Result<Value, Error> {
    let mut decoder = Decoder { nodes: 0, depth: 0 };
    let mut object = Map::new();
    decoder.message(bytes, message, &mut object)?;
    Ok(finish(object, message))
}

struct Decoder {
    nodes: usize,
    depth: usize,
}

impl Decoder {
    fn count(&mut self, n_nodes: usize) -> Result<(), Error> {
        self.nodes += n_nodes;
        if self.nodes > NODES_MAX { Err(Error::Nodes) } else { Ok(()) }
    }

    fn message(&mut self, bytes: &[u8], message: &Message, object: &mut Map<String, Value>) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::Depth);
        }
        let mut reader = Reader::new(bytes);
        while let Some((number, token)) = reader.field()? {
            match message.wire(number) {
                Some(Wire::Field(idx)) => {
                    let field = message.wire_field(*idx);
                    self.count(1)?;
                    self.field(&field.name, &field.ty, token, object)?;
                }
                Some(Wire::Inline(link)) => match token {
                    Token::Bytes(bytes) => self.message(bytes, link, object)?,
                    other => return Err(Error::WireType(other.wire_type())),
                },
                None => {}
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn field(
        &mut self,
        name: &str,
        ty: &TypeRef,
        token: Token<'_>,
        object: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        match ty {
            TypeRef::List(list) => {
                let Value::Array(items) = object.entry(name).or_insert_with(|| Value::Array(Vec::new())) else {
                    return Ok(());
                };
                self.item(list, token, items)
            }
            TypeRef::Map(map) => {
                let Token::Bytes(entry) = token else { return Err(Error::WireType(token.wire_type())) };
                let (key, value) = self.entry(entry, &map.value)?;
                if let Value::Object(entries) = object.entry(name).or_insert_with(|| Value::Object(Map::new())) {
                    entries.insert(key, value);
                }
                Ok(())
            }
            ty => {
                let value = self.value(ty, token)?;
                object.insert(name.to_owned(), value);
                Ok(())
            }
        }
    }

    fn item(&mut self, list: &List, token: Token<'_>, items: &mut Vec<Value>) -> Result<(), Error> {
        match (&list.element, token) {
            (TypeRef::Scalar(scalar), Token::Bytes(packed)) if scalar::is_packable(*scalar) => {
                let mut reader = Reader::new(packed);
                while let Some(token) = reader.packed(*scalar)? {
                    self.count(1)?;
                    items.push(self.value(&list.element, token)?);
                }
            }
            (element, token) => items.push(self.value(element, token)?),
        }
        Ok(())
    }

    fn entry(&mut self, entry: &[u8], ty: &TypeRef) -> Result<(String, Value), Error> {
        let mut reader = Reader::new(entry);
        let (mut key, mut value) = (String::new(), None);
        while let Some((number, token)) = reader.field()? {
            match (number, token) {
                (1, Token::Bytes(text)) => key = scalar::text(text),
                (2, token) => value = Some(self.value(ty, token)?),
                _ => {}
            }
        }
        let value = match value {
            Some(value) => value,
            None => self.value(ty, Token::Bytes(&[]))?,
        };
        Ok((key, value))
    }

    fn value(&mut self, ty: &TypeRef, token: Token<'_>) -> Result<Value, Error> {
        match (ty, token) {
            (TypeRef::Scalar(scalar), token) => scalar::decode(*scalar, token),
            (TypeRef::Message(link), Token::Bytes(bytes)) => {
                let mut object = Map::new();
                self.count(link.fills().len())?;
                self.message(bytes, link, &mut object)?;
                Ok(finish(object, link))
            }
            // A list as a value of its own is a message of one repeated field.
            (TypeRef::List(list), Token::Bytes(bytes)) => {
                let (mut reader, mut items) = (Reader::new(bytes), Vec::new());
                while let Some((number, token)) = reader.field()? {
                    if number == 1 {
                        self.count(1)?;
                        self.item(list, token, &mut items)?;
                    }
                }
                Ok(Value::Array(items))
            }
            (TypeRef::Either(either, link), Token::Bytes(bytes)) => self.either(*either, link, bytes),
            (TypeRef::Any | TypeRef::Deduced | TypeRef::Map(_), Token::Bytes(bytes)) => scalar::embedded_json(bytes),
            (_, token) => Err(Error::WireType(token.wire_type())),
        }
    }

    /// The unions of a CRD's schema: a schema in field 1, or what stands in its place in field 2.
    fn either(&mut self, either: crate::schema::Either, link: &Message, bytes: &[u8]) -> Result<Value, Error> {
        let (mut reader, mut schema, mut others) = (Reader::new(bytes), None, Vec::new());
        let mut allows = false;
        while let Some((number, token)) = reader.field()? {
            self.count(1)?;
            match (number, token, either) {
                (1, Token::Varint(flag), crate::schema::Either::OrBool) => allows = flag != 0,
                (2, Token::Bytes(bytes), crate::schema::Either::OrBool)
                | (1, Token::Bytes(bytes), crate::schema::Either::OrList | crate::schema::Either::OrStrings) => {
                    let mut object = Map::new();
                    self.message(bytes, link, &mut object)?;
                    schema = Some(finish(object, link));
                }
                (2, Token::Bytes(bytes), crate::schema::Either::OrList) => {
                    let mut object = Map::new();
                    self.message(bytes, link, &mut object)?;
                    others.push(finish(object, link));
                }
                (2, Token::Bytes(text), crate::schema::Either::OrStrings) => others.push(scalar::text(text).into()),
                _ => {}
            }
        }
        Ok(match (schema, either) {
            (Some(schema), _) => schema,
            (None, crate::schema::Either::OrBool) => allows.into(),
            (None, _) => Value::Array(others),
        })
    }
}

/// Drops what JSON omits and adds what it always writes.
fn finish(mut object: Map<String, Value>, message: &Message) -> Value {
    object.retain(|name, value| match message.field(name).map(|field| field.presence) {
        Some(Presence::Omitted) => !is_zero(value),
        Some(Presence::Kept | Presence::Always) | None => !value.is_null(),
    });
    if let Value::Object(fills) = zero_message(message) {
        for (name, value) in fills {
            object.entry(name).or_insert(value);
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests;
