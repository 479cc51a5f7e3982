//! Request bodies: read up to a limit, and decoded from any of their media types.

use axum::body::Body;
use bytes::Bytes;
use coracle_api::decode::{self, Decoded, Media, Target};
use coracle_api::schema::Message;
use coracle_api::status::Status;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use crate::negotiate::MEDIA_TYPES;
use crate::options::FieldValidation;

/// How large a body is, as far as its client says, unless it is too large.
pub(crate) fn n_bytes(headers: &HeaderMap, body: &Body, bytes_max: usize) -> Result<usize, Status> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let exact = body.size_hint().exact().and_then(|n| usize::try_from(n).ok());
    let n_bytes = announced.or(exact).unwrap_or(bytes_max);
    if n_bytes > bytes_max { Err(too_large(bytes_max)) } else { Ok(n_bytes) }
}

fn too_large(bytes_max: usize) -> Status {
    Status::too_large(format!("limit is {bytes_max}"))
}

/// The whole body, unless it is too large.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Status> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(bytes_max)),
        Err(error) => Err(Status::bad_request(error.to_string())),
    }
}

/// The content type of a request, without its parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// The media type of an object's body.
pub(crate) fn media(headers: &HeaderMap) -> Result<Media, Status> {
    match content_type(headers) {
        "" | "application/json" => Ok(Media::Json),
        "application/yaml" => Ok(Media::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Media::Protobuf),
        _ => Err(Status::unsupported_media_type(MEDIA_TYPES)),
    }
}

/// What a body has to be.
pub(crate) struct Expected<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) message: &'a Message,
}

/// The object in a body, and what its sender is to be warned of.
pub(crate) fn object(
    body: &[u8],
    media: Media,
    expected: &Expected<'_>,
    strictness: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    let Expected { group, version, kind, message } = *expected;
    let api_version = coracle_api::kind::api_version(group, version);
    let target = Target { api_version: &api_version, kind, message };
    let decoded = decode::object(body, media, &target).map_err(Status::bad_request)?;
    check_kind(&decoded, &api_version, expected)?;
    match (strictness, decoded.strict_error()) {
        (FieldValidation::Strict, Some(why)) => {
            Err(Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}")))
        }
        (FieldValidation::Warn, Some(_)) => {
            let lines = decoded.strict.iter().flat_map(|text| warnings(text));
            Ok((decoded.value, lines.collect()))
        }
        (FieldValidation::Strict | FieldValidation::Warn | FieldValidation::Ignore, _) => {
            Ok((decoded.value, Vec::new()))
        }
    }
}

/// YAML tells all that it found in one error; each is a warning of its own.
fn warnings(text: &str) -> impl Iterator<Item = String> {
    let lines = text.strip_prefix("yaml: unmarshal errors:\n").unwrap_or(text);
    lines.split('\n').map(|line| line.trim().to_owned())
}

fn check_kind(decoded: &Decoded, api_version: &str, expected: &Expected<'_>) -> Result<(), Status> {
    foreign(&decoded.value, api_version, expected.group, expected.kind)
        .map_or(Ok(()), |why| Err(Status::bad_request(why)))
}

/// Why `object` cannot be taken for one of `kind`, where it names another kind or version.
pub(crate) fn foreign(object: &Value, api_version: &str, group: &str, kind: &str) -> Option<String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (found_kind, found_version) = (text("kind"), text("apiVersion"));
    if found_kind == kind && found_version == api_version {
        return None;
    }
    let is_known = coracle_api::kinds::by_api_version(found_version, found_kind).is_some();
    if found_kind == kind && is_known {
        return Some(format!(
            "the API version in the data ({found_version}) does not match the expected API version ({api_version})"
        ));
    }
    let short = found_version.rsplit('/').next().unwrap_or_default();
    let why = if is_known {
        format!("converting ({short}.{found_kind}) to ({group}.{kind}): unknown conversion")
    } else {
        format!(
            "no kind {found_kind:?} is registered for version {found_version:?} in scheme \"pkg/runtime/scheme.go:111\""
        )
    };
    Some(format!("{found_kind} in version {short:?} cannot be handled as a {kind}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_announced_or_not() {
        let mut headers = HeaderMap::new();
        let whole = read(Body::from("12345"), 5).await.unwrap();
        assert_eq!(whole, "12345");
        let status = read(Body::from("123456"), 5).await.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (413, "Request entity is too large: limit is 5"));
        headers.insert(CONTENT_LENGTH, "6".parse().unwrap());
        assert_eq!(n_bytes(&headers, &Body::empty(), 5).unwrap_err().code, 413);
    }
}
