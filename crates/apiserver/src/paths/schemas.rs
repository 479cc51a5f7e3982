//! OpenAPI documents: made when the first client asks, and kept compressed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use coracle_api::kind::Kind;
use coracle_api::openapi::{self, Resource, Subresource, gnostic};
use coracle_api::schema;
use coracle_api::status::Status;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, EXPIRES, LOCATION};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::answer::Answer;
use crate::handler::{Call, Reply};
use crate::negotiate::accepts_gzip;
use crate::state::State;

/// The documents of both versions, once somebody has asked for them.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    v2: OnceCell<V2>,
    v3: OnceCell<V3>,
}

#[derive(Debug)]
struct V2 {
    json: Document,
    protobuf: Document,
}

#[derive(Debug)]
struct V3 {
    index: Document,
    documents: BTreeMap<String, Document>,
}

#[derive(Debug)]
struct Document {
    gzipped: Bytes,
    hash: String,
}

impl Document {
    fn new(value: &Value) -> Self {
        Self::of_bytes(value.to_string().as_bytes())
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::default());
        let gzipped = encoder.write_all(bytes).and_then(|()| encoder.finish());
        Self { hash: openapi::hash(bytes), gzipped: gzipped.expect("memory takes every byte").into() }
    }

    fn reply(&self, call: &Call, media_type: &'static str) -> Reply {
        let headers = &call.parts.headers;
        let as_gzip = accepts_gzip(headers);
        let body = if as_gzip { self.gzipped.clone() } else { self.plain() };
        let mut reply = super::document(headers, media_type, body, &self.hash);
        if let Reply::Response(response) = &mut reply
            && as_gzip
            && response.status() == StatusCode::OK
        {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        reply
    }

    fn plain(&self) -> Bytes {
        let mut plain = Vec::with_capacity(self.gzipped.len() * 8);
        GzDecoder::new(&self.gzipped[..]).read_to_end(&mut plain).expect("it was compressed here");
        plain.into()
    }
}

/// Answers below `/openapi`.
pub(super) async fn serve(state: &Arc<State>, version: &str, rest: &[&str], call: &Call) -> Result<Reply, Status> {
    let accept = call.parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes_json = accept.is_empty() || accept.contains("json") || accept.contains("*/*");
    let takes_protobuf = [gnostic::MEDIA_TYPE, gnostic::MEDIA_TYPE_ASKED].iter().any(|name| accept.contains(name));
    match (version, rest) {
        ("v2", []) if !takes_json && takes_protobuf => Ok(v2(state).await.protobuf.reply(call, gnostic::MEDIA_TYPE)),
        ("v2" | "v3", _) if !takes_json => Err(Status::not_acceptable("application/json")),
        ("v2", []) => Ok(v2(state).await.json.reply(call, "application/json")),
        ("v3", []) => Ok(v3(state).await.index.reply(call, "text/plain; charset=utf-8")),
        ("v3", path) => group(v3(state).await, &path.join("/"), call),
        _ => Ok(Answer::text(404, "404 page not found\n").into()),
    }
}

fn group(v3: &V3, path: &str, call: &Call) -> Result<Reply, Status> {
    let Some(document) = v3.documents.get(path) else {
        return Ok(Answer::text(404, "404 page not found\n").into());
    };
    let asked = call.query.text("hash");
    let mut reply = document.reply(call, "application/json");
    let Reply::Response(response) = &mut reply else { return Ok(reply) };
    if asked == document.hash {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        headers.insert(EXPIRES, HeaderValue::from_static("Fri, 31 Dec 2100 00:00:00 GMT"));
    } else if !asked.is_empty() {
        let location = format!("/openapi/v3/{path}?hash={}", document.hash);
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        let headers = response.headers_mut();
        headers.insert(LOCATION, HeaderValue::from_str(&location).expect("paths and hashes are plain text"));
    }
    Ok(reply)
}

async fn v2(state: &Arc<State>) -> &V2 {
    let make = |resources: &[Resource<'_>]| {
        let document = openapi::v2(resources);
        V2 { json: Document::new(&document), protobuf: Document::of_bytes(&gnostic::encode(&document)) }
    };
    state.schemas.v2.get_or_init(|| made(state, make)).await
}

async fn v3(state: &Arc<State>) -> &V3 {
    let make = |resources: &[Resource<'_>]| {
        let mut values = openapi::v3(resources);
        for path in ["api", "apis", "version"] {
            values.insert(path.to_owned(), plain(path));
        }
        let index = Document::new(&openapi::v3_index(&values));
        let documents = values.iter().map(|(path, value)| (path.clone(), Document::new(value))).collect();
        V3 { index, documents }
    };
    state.schemas.v3.get_or_init(|| made(state, make)).await
}

/// The document of a path that is no resource.
fn plain(path: &str) -> Value {
    let answer = json!({"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}});
    let operation = json!({"operationId": format!("get_{path}"), "responses": {"200": answer}});
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.0"},
        "paths": {format!("/{path}/"): {"get": operation}},
    })
}

/// Runs `make` over every kind, away from the threads that serve.
async fn made<T: Send + 'static>(state: &State, make: fn(&[Resource<'_>]) -> T) -> T {
    let kinds = state.catalog.kinds();
    let made = tokio::task::spawn_blocking(move || {
        let verbs: Vec<Vec<&str>> = kinds.iter().map(|kind| words(&kind.verbs)).collect();
        let subresource_verbs: Vec<Vec<Vec<&str>>> =
            kinds.iter().map(|kind| kind.subresources.iter().map(|s| words(&s.verbs)).collect()).collect();
        let rows = kinds.iter().zip(&verbs).zip(&subresource_verbs);
        let resources: Vec<Resource<'_>> =
            rows.filter_map(|((kind, verbs), below)| resource(kind, verbs, below)).collect();
        make(&resources)
    });
    made.await.expect("documents are made without panics")
}

fn words(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn resource<'a>(kind: &'a Kind, verbs: &'a [&'a str], below: &'a [Vec<&'a str>]) -> Option<Resource<'a>> {
    let subresources = kind.subresources.iter().zip(below).map(|(subresource, verbs)| Subresource {
        name: &subresource.name,
        group: &subresource.group,
        version: &subresource.version,
        kind: &subresource.kind,
        schema: crate::subresources::structure(&subresource.group, &subresource.version, &subresource.kind),
        verbs,
    });
    Some(Resource {
        group: &kind.group,
        version: &kind.version,
        kind: &kind.kind,
        plural: &kind.plural,
        namespaced: kind.namespaced,
        verbs,
        subresources: subresources.collect(),
        schema: schema::message(&kind.schema)?,
    })
}
