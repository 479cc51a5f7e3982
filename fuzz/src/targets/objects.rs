//! Objects in the bodies of requests, in each of their media types. The first byte is the kind.

use coracle_api::decode::{self, Media, Target};
use coracle_api::{schema, validation};

use super::{check_storable, kind_of};

pub(super) fn json(bytes: &[u8]) {
    object(bytes, Media::Json);
}

pub(super) fn yaml(bytes: &[u8]) {
    object(bytes, Media::Yaml);
}

pub(super) fn protobuf(bytes: &[u8]) {
    object(bytes, Media::Protobuf);
}

/// Decodes, completes and validates as a create does.
fn object(bytes: &[u8], media: Media) {
    let Some((kind, body)) = kind_of(bytes) else { return };
    let message = schema::message(&kind.schema).expect("a kind has its schema");
    let api_version = kind.api_version();
    let Ok(decoded) = decode::object(body, media, &Target { api_version: &api_version, kind: &kind.kind, message })
    else {
        return;
    };
    let _ = decoded.strict_error();
    let mut object = decoded.value;
    check_storable(&object);
    kind.default(&mut object);
    let _: Vec<validation::FieldError> = kind.validate(&object);
    let _ = kind.warnings(&object, None);
    check_storable(&object);
}
