//! The v2 document in protobuf, as gnostic's `OpenAPIv2.proto` numbers it: the only form of it that kubectl asks for.
//!
//! What clients read there is encoded: the definitions with their structure and extensions. Operations are left to the
//! v3 documents, which clients ask first.

use serde_json::{Map, Value};

/// The media type of what [`encode`] returns.
pub const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The name by which clients ask for it; `@` has no place in a media type, so that it is never an answer's.
pub const MEDIA_TYPE_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

const VENDOR_EXTENSIONS: u32 = 31;

/// Encodes a v2 document as [`super::v2`] makes it.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    text(1, &document["swagger"], &mut out);
    nested(2, &mut out, |info| {
        text(1, &document["info"]["title"], info);
        text(2, &document["info"]["version"], info);
    });
    nested(8, &mut out, |_| {});
    nested(9, &mut out, |definitions| named(&document["definitions"], definitions));
    out
}

/// `Definitions` and `Properties`: named schemas, in field 1.
fn named(schemas: &Value, out: &mut Vec<u8>) {
    for (name, schema) in schemas.as_object().into_iter().flatten() {
        nested(1, out, |entry| {
            bytes(1, name.as_bytes(), entry);
            nested(2, entry, |out| self::schema(schema, out));
        });
    }
}

fn schema(schema: &Value, out: &mut Vec<u8>) {
    let empty = Map::new();
    for (key, value) in schema.as_object().unwrap_or(&empty) {
        match key.as_str() {
            "$ref" => text(1, value, out),
            "format" => text(2, value, out),
            "title" => text(3, value, out),
            "description" => text(4, value, out),
            "default" => any(5, value, out),
            "required" => value.as_array().into_iter().flatten().for_each(|name| text(19, name, out)),
            "enum" => value.as_array().into_iter().flatten().for_each(|value| any(20, value, out)),
            "additionalProperties" => nested(21, out, |item| match value {
                Value::Bool(allowed) => flag(2, *allowed, item),
                value => nested(1, item, |out| self::schema(value, out)),
            }),
            "type" => nested(22, out, |item| text(1, value, item)),
            "items" => nested(23, out, |item| nested(1, item, |out| self::schema(value, out))),
            "allOf" => {
                value.as_array().into_iter().flatten().for_each(|part| nested(24, out, |out| self::schema(part, out)))
            }
            "properties" => nested(25, out, |properties| named(value, properties)),
            extension if extension.starts_with("x-") => nested(VENDOR_EXTENSIONS, out, |entry| {
                bytes(1, extension.as_bytes(), entry);
                any(2, value, entry);
            }),
            _ => {}
        }
    }
}

/// `Any`: a value as YAML, of which JSON is a part.
fn any(number: u32, value: &Value, out: &mut Vec<u8>) {
    nested(number, out, |any| bytes(2, value.to_string().as_bytes(), any));
}

fn text(number: u32, value: &Value, out: &mut Vec<u8>) {
    if let Some(text) = value.as_str() {
        bytes(number, text.as_bytes(), out);
    }
}

fn flag(number: u32, value: bool, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3, out);
    varint(u64::from(value), out);
}

fn nested(number: u32, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    fill(&mut content);
    bytes(number, &content, out);
}

fn bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_numbered_as_gnostic_does() {
        let document = json!({
            "swagger": "2.0",
            "info": {"title": "K", "version": "v1"},
            "definitions": {"T": {"type": "object", "required": ["a"], "x-k": [1]}},
        });
        let encoded = encode(&document);
        let expected: &[&[u8]] = &[
            b"\x0a\x032.0",
            b"\x12\x07\x0a\x01K\x12\x02v1",
            b"\x42\x00",
            b"\x4a\x25\x0a\x23\x0a\x01T\x12\x1e",
            b"\x9a\x01\x01a",
            b"\xb2\x01\x08\x0a\x06object",
            b"\xfa\x01\x0c\x0a\x03x-k\x12\x05\x12\x03[1]",
        ];
        assert_eq!(encoded.len(), expected.concat().len());
        assert_eq!(encoded, expected.concat());
    }
}
