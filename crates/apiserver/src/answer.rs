//! Answers on their way out: bodies, headers, warnings and compression. It never decides what to answer.

use std::io::Write;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use coracle_api::status::Status;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::negotiate::{Format, Wanted};

const WARNING: HeaderName = HeaderName::from_static("warning");
/// As much as upstream puts into all warnings of one answer.
const WARNING_BYTES_MAX: usize = 4096;

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) content: Content,
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// JSON that is complete.
    Json(Bytes),
    /// Anything else, or what comes over time.
    Other { media_type: &'static str, body: Body },
}

impl Answer {
    /// JSON that is already written.
    pub(crate) fn bytes(code: u16, json: Bytes) -> Self {
        Self { code, content: Content::Json(json), warnings: Vec::new() }
    }

    pub(crate) fn json(code: u16, value: &Value) -> Self {
        Self::bytes(code, serde_json::to_vec(value).expect("a JSON value always serialises").into())
    }

    pub(crate) fn text(code: u16, text: impl Into<Body>) -> Self {
        let content = Content::Other { media_type: "text/plain; charset=utf-8", body: text.into() };
        Self { code, content, warnings: Vec::new() }
    }

    /// A body that comes over time.
    pub(crate) fn stream(media_type: &'static str, body: Body) -> Self {
        Self { code: 200, content: Content::Other { media_type, body }, warnings: Vec::new() }
    }

    pub(crate) fn status(status: &Status) -> Self {
        Self::json(status.code, &status.to_json())
    }

    pub(crate) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// The response, written as the client wants it.
    pub(crate) fn into_response(self, wanted: Wanted) -> Response {
        let mut response = match self.content {
            Content::Json(json) => {
                let (media_type, bytes) = write(json, wanted);
                typed(Body::from(bytes), media_type)
            }
            Content::Other { media_type, body } => typed(body, media_type),
        };
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        add_warnings(&mut response, &self.warnings);
        response
    }
}

/// The response of a failure.
pub(crate) fn failure(status: &Status, wanted: Wanted) -> Response {
    let mut response = Answer::status(status).into_response(wanted);
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Compresses a complete body, away from the threads that serve.
pub(crate) async fn compress(response: Response, bytes_min: usize) -> Response {
    use http_body::Body as _;
    let size = response.body().size_hint();
    if size.exact().is_none_or(|n| n < bytes_min as u64) || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let compressed = tokio::task::spawn_blocking(move || gzip(&bytes)).await.expect("compression does not panic");
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(compressed))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
}

fn typed(body: Body, media_type: &'static str) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn write(json: Bytes, wanted: Wanted) -> (&'static str, Bytes) {
    let parsed = || serde_json::from_slice::<Value>(&json);
    match wanted.format {
        Format::Yaml => match parsed().ok().and_then(|value| serde_yaml::to_string(&value).ok()) {
            Some(yaml) => ("application/yaml", yaml.into()),
            None => ("application/json", json),
        },
        Format::Json if wanted.pretty => match parsed().and_then(|value| serde_json::to_vec_pretty(&value)) {
            Ok(pretty) => ("application/json", pretty.into()),
            Err(_) => ("application/json", json),
        },
        Format::Json => ("application/json", json),
    }
}

/// `299 - "text"` for each; what does not fit is cut, as upstream does.
fn add_warnings(response: &mut Response, warnings: &[String]) {
    let mut left = WARNING_BYTES_MAX;
    for (i, text) in warnings.iter().enumerate() {
        if warnings[..i].contains(text) || text.len() > left {
            continue;
        }
        left -= text.len();
        let escaped: String = text.chars().filter(|c| !c.is_control()).flat_map(escape).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
}

/// Puts a warning before those that are there.
pub(crate) fn warn_first(response: &mut Response, text: &str) {
    let later: Vec<HeaderValue> = response.headers().get_all(WARNING).iter().cloned().collect();
    response.headers_mut().remove(WARNING);
    add_warnings(response, &[text.to_owned()]);
    for value in later {
        response.headers_mut().append(WARNING, value);
    }
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let backslash = matches!(c, '"' | '\\').then_some('\\');
    backslash.into_iter().chain([c])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_said_once() {
        let warnings = vec!["unknown field \"a\"".to_owned(), "unknown field \"a\"".to_owned(), "b".to_owned()];
        let response = Answer::json(200, &Value::Null).with_warnings(warnings).into_response(Wanted::JSON);
        let said: Vec<_> = response.headers().get_all(WARNING).iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(said, [r#"299 - "unknown field \"a\"""#, r#"299 - "b""#]);
    }

    #[test]
    fn a_client_that_should_come_back_is_told_when() {
        let response = failure(&Status::too_many_requests("busy", 3), Wanted::JSON);
        assert_eq!((response.status().as_u16(), response.headers()[RETRY_AFTER].to_str().unwrap()), (429, "3"));
    }

    #[tokio::test]
    async fn only_big_answers_are_compressed() {
        let answer = |n: usize| Answer::bytes(200, vec![b'x'; n].into()).into_response(Wanted::JSON);
        assert!(!compress(answer(10), 100).await.headers().contains_key(CONTENT_ENCODING));
        let big = compress(answer(1000), 100).await;
        assert_eq!(big.headers()[CONTENT_ENCODING], "gzip");
        assert!(axum::body::to_bytes(big.into_body(), 1000).await.unwrap().len() < 100);
    }

    #[tokio::test]
    async fn yaml_and_pretty_json_say_the_same() {
        let body = async |wanted| {
            let response = Answer::bytes(200, Bytes::from_static(b"{\"a\":1}")).into_response(wanted);
            axum::body::to_bytes(response.into_body(), 1000).await.unwrap()
        };
        assert_eq!(body(Wanted { format: Format::Yaml, ..Wanted::JSON }).await, "a: 1\n");
        assert_eq!(body(Wanted { pretty: true, ..Wanted::JSON }).await, "{\n  \"a\": 1\n}");
    }
}
