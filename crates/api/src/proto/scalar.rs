//! Scalars of the wire in their JSON forms, the ones included that are messages on the wire and text in JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Error,
    wire::{Reader, Token},
};
use crate::{
    decode::{canonical_quantity, format_duration, go_float, untyped},
    schema::Scalar,
};

pub(super) fn is_packable(scalar: Scalar) -> bool {
    matches!(scalar, Scalar::Bool | Scalar::Int32 | Scalar::Int64 | Scalar::Double)
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn decode(scalar: Scalar, token: Token<'_>) -> Result<Value, Error> {
    match (scalar, token) {
        (Scalar::Bool, Token::Varint(flag)) => Ok((flag != 0).into()),
        (Scalar::Int32, Token::Varint(integer)) => Ok((integer as i32).into()),
        (Scalar::Int64, Token::Varint(integer)) => Ok((integer as i64).into()),
        (Scalar::Double, Token::Fixed64(bits)) => Ok(go_float(f64::from_bits(bits))),
        (Scalar::String, Token::Bytes(bytes)) => Ok(text(bytes).into()),
        (Scalar::Bytes, Token::Bytes(bytes)) => Ok(STANDARD.encode(bytes).into()),
        (Scalar::Quantity, Token::Bytes(bytes)) => quantity(bytes),
        (Scalar::IntOrString, Token::Bytes(bytes)) => int_or_string(bytes),
        (Scalar::Time, Token::Bytes(bytes)) => time(bytes, false),
        (Scalar::MicroTime, Token::Bytes(bytes)) => time(bytes, true),
        (Scalar::Duration, Token::Bytes(bytes)) => Ok(format_duration(integers(bytes)?[0]).into()),
        (Scalar::RawExtension | Scalar::FieldsV1, Token::Bytes(bytes)) => embedded_json(bytes),
        (_, token) => Err(Error::WireType(token.wire_type())),
    }
}

/// JSON in field 1 of a message.
pub(super) fn embedded_json(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(bytes);
    let mut raw: &[u8] = &[];
    while let Some((number, token)) = reader.field()? {
        if let (1, Token::Bytes(bytes)) = (number, token) {
            raw = bytes;
        }
    }
    match raw {
        [] => Ok(Value::Null),
        raw => untyped(raw).map(|decoded| decoded.value).map_err(|_| Error::Json),
    }
}

fn quantity(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(bytes);
    let mut quantity = "0".to_owned();
    while let Some((number, token)) = reader.field()? {
        if let (1, Token::Bytes(bytes)) = (number, token) {
            quantity = text(bytes);
        }
    }
    Ok(canonical_quantity(&quantity).unwrap_or(quantity).into())
}

/// The integers in fields 1 and 2 of a message.
fn integers(bytes: &[u8]) -> Result<[i64; 2], Error> {
    let mut reader = Reader::new(bytes);
    let mut integers = [0; 2];
    while let Some((number, token)) = reader.field()? {
        if let (1 | 2, Token::Varint(integer)) = (number, token) {
            integers[number as usize - 1] = integer as i64;
        }
    }
    Ok(integers)
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Error> {
    let [is_text, integer] = integers(bytes)?;
    if is_text == 0 {
        return Ok((integer as i32).into());
    }
    let mut reader = Reader::new(bytes);
    let mut value = String::new();
    while let Some((number, token)) = reader.field()? {
        if let (3, Token::Bytes(bytes)) = (number, token) {
            value = text(bytes);
        }
    }
    Ok(value.into())
}

/// A time, or null where the wire has Go's zero time, which is an empty message.
fn time(bytes: &[u8], micros: bool) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let [seconds, nanos] = integers(bytes)?;
    let nanos = i32::try_from(nanos).ok().filter(|nanos| (0..1_000_000_000).contains(nanos)).unwrap_or(0);
    let Ok(time) = Timestamp::new(seconds, nanos) else { return Ok(Value::Null) };
    let format = if micros { "%Y-%m-%dT%H:%M:%S%.6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(time.strftime(format).to_string().into())
}
