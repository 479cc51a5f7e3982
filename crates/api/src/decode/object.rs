//! A request's body to an object of an expected kind, with upstream's texts for bodies that are none.

use serde_json::{Map, Value};

use super::{
    Decoded, Error,
    parser::{Next, Parser},
    to_json, typed,
};
use crate::{proto, schema::Message, yaml};

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Json,
    Yaml,
    Protobuf,
}

/// The kind that a body must have; one without `apiVersion` or `kind` gets these.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub message: &'a Message,
}

/// What a body says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeMeta {
    pub api_version: String,
    pub kind: String,
}

/// As many bytes of a body as a refusal shows.
const SUMMARY_MAX: usize = 30;

/// Reads a body. The error is the whole text of the answer with status 400.
///
/// A body of another kind is decoded all the same, along the target's schema: the caller compares `apiVersion` and
/// `kind` of the value. Custom resources, whose schema keeps wrong types for validation to name, go through [`super::untyped`].
pub fn object(body: &[u8], media: Media, target: &Target<'_>) -> Result<Decoded, String> {
    let unrecognized = |error: &dyn std::fmt::Display| {
        format!("the object provided is unrecognized (must be of type {}): {error} ({})", target.kind, summary(body))
    };
    let (json, first) = match media {
        Media::Json => (std::borrow::Cow::Borrowed(body), None),
        Media::Yaml => {
            let document = yaml::parse(body).map_err(|error| unrecognized(&error))?;
            (to_json(&document.value).into(), document.duplicates_error())
        }
        Media::Protobuf => return protobuf(body, target).map_err(|error| unrecognized(&error)),
    };
    let meta = type_meta(&json).map_err(|error| unrecognized(&error))?;
    let mut decoded = typed::decode(&json, target.message).map_err(|error| {
        let kind = if meta.kind.is_empty() { target.kind } else { &meta.kind };
        let api_version = if meta.api_version.is_empty() { target.api_version } else { &meta.api_version };
        let version = api_version.rsplit('/').next().unwrap_or_default();
        format!("{kind} in version {version:?} cannot be handled as a {}: {error}", target.kind)
    })?;
    decoded.strict.splice(0..0, first);
    stamp(&mut decoded.value, &meta, target);
    Ok(decoded)
}

fn protobuf(body: &[u8], target: &Target<'_>) -> Result<Decoded, proto::Error> {
    let envelope = proto::envelope(body)?;
    let mut value = proto::decode(envelope.raw, target.message)?;
    let meta = TypeMeta { api_version: envelope.api_version.to_owned(), kind: envelope.kind.to_owned() };
    stamp(&mut value, &meta, target);
    Ok(Decoded { value, strict: Vec::new() })
}

fn stamp(value: &mut Value, meta: &TypeMeta, target: &Target<'_>) {
    let Value::Object(object) = value else { return };
    stamp_field(object, "apiVersion", &meta.api_version, target.api_version);
    stamp_field(object, "kind", &meta.kind, target.kind);
}

fn stamp_field(object: &mut Map<String, Value>, name: &str, given: &str, default: &str) {
    let text = if given.is_empty() { default } else { given };
    object.insert(name.to_owned(), text.into());
}

fn summary(body: &[u8]) -> String {
    let (shown, more) = match body.get(..SUMMARY_MAX) {
        Some(shown) if body.len() > SUMMARY_MAX => (shown, " ..."),
        _ => (body, ""),
    };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => format!("{}{more}", hex::encode(shown)),
    }
}

/// The `apiVersion` and `kind` of a JSON document, without looking at the rest of it.
pub fn type_meta(json: &[u8]) -> Result<TypeMeta, Error> {
    let wrap = |error: Error| Error::Syntax(format!("couldn't get version/kind; json parse error: {error}"));
    let mut parser = Parser::new(json);
    let mut meta = TypeMeta::default();
    let mistyped =
        read_meta(&mut parser, &mut meta).and_then(|mistyped| parser.end().map(|()| mistyped)).map_err(wrap)?;
    match mistyped {
        Some(text) => Err(wrap(Error::Type(format!("json: cannot unmarshal {text}")))),
        None => Ok(meta),
    }
}

const GO_STRUCT: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// Fills the meta; the answer is the first value of a wrong type.
fn read_meta(parser: &mut Parser<'_>, meta: &mut TypeMeta) -> Result<Option<String>, Error> {
    match parser.next()? {
        Next::Object => {}
        other => {
            parser.skip()?;
            let wrong = (other != Next::Null).then(|| format!("{} into Go value of type {GO_STRUCT}", other.word()));
            return Ok(wrong);
        }
    }
    let mut mistyped = None;
    let mut more = parser.open_object()?;
    while more {
        let key = parser.key()?;
        let slot = match &*key {
            "apiVersion" => Some(&mut meta.api_version),
            "kind" => Some(&mut meta.kind),
            _ => None,
        };
        match (slot, parser.next()?) {
            (Some(slot), Next::String) => *slot = parser.string()?.into_owned(),
            (None, _) | (_, Next::Null) => parser.skip()?,
            (Some(_), other) => {
                parser.skip()?;
                mistyped.get_or_insert(format!("{} into Go struct field .{key} of type string", other.word()));
            }
        }
        more = parser.next_member()?;
    }
    Ok(mistyped)
}
