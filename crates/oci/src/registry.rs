//! The server side of the distribution protocol (OCI 1.1) under `/v2/`. It authorises nobody: that happened before.

mod blobs;
mod listing;
mod manifests;
mod problem;
mod range;
mod repositories;
mod route;
mod uploads;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;

use crate::transport::full;
use crate::{Body, BoxError, ContentStore, Digest, Error};
use problem::{Code, Problem};
use repositories::Repositories;
use route::Route;
use uploads::Uploads;

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));

/// What one client may ask of a registry.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub manifest_bytes_max: u64,
    pub blob_bytes_max: u64,
    /// Uploads that have begun and not ended.
    pub uploads_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { manifest_bytes_max: crate::manifest::MANIFEST_BYTES_MAX, blob_bytes_max: 4 << 30, uploads_max: 256 }
    }
}

/// A registry in a directory. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    content: ContentStore,
    repositories: Repositories,
    uploads: Uploads,
    limits: Limits,
}

impl Registry {
    /// Opens the registry in `dir`, made when it is missing. What a crash left unfinished, and blobs that belong to no
    /// repository, are removed. It blocks.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, Error> {
        let content = ContentStore::open(dir)?;
        let repositories = Repositories::open(&dir.join("repositories"))?;
        let linked = repositories.linked()?;
        content.retain(|digest| linked.contains(digest))?;
        let uploads = Uploads::new(limits.uploads_max);
        Ok(Self { inner: Arc::new(Inner { content, repositories, uploads, limits }) })
    }

    /// Answers one request. The future owns what it needs, so it can be a `tower` service's.
    pub fn handle<B>(&self, request: Request<B>) -> impl Future<Output = Response<Body>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let inner = Arc::clone(&self.inner);
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        async move { inner.respond(request).await }
    }
}

impl Inner {
    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let mut response = self.answer(request).await.unwrap_or_else(Problem::into_response);
        let (name, version) = API_VERSION;
        response.headers_mut().insert(name, version);
        if is_head {
            *response.body_mut() = full(Bytes::new());
        }
        response
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Problem> {
        let (head, body) = request.into_parts();
        let head = &head;
        match (route::parse(head.uri.path())?, head.method.clone()) {
            (Route::Base, Method::GET | Method::HEAD) => Ok(json(StatusCode::OK, &serde_json::json!({}))),
            (Route::Catalog, Method::GET) => self.catalog(head).await,
            (Route::Tags { name }, Method::GET) => self.tags(name, head).await,
            (Route::Referrers { name, digest }, Method::GET) => self.referrers(name, digest, head).await,
            (Route::Manifest { name, reference }, Method::GET | Method::HEAD) => {
                self.get_manifest(name, reference).await
            }
            (Route::Manifest { name, reference }, Method::PUT) => self.put_manifest(name, reference, head, body).await,
            (Route::Manifest { name, reference }, Method::DELETE) => self.delete_manifest(name, reference).await,
            (Route::Blob { name, digest }, Method::GET | Method::HEAD) => self.get_blob(name, digest, head).await,
            (Route::Blob { name, digest }, Method::DELETE) => self.delete_blob(name, digest).await,
            (Route::Uploads { name }, Method::POST) => self.begin_upload(name, head, body).await,
            (Route::Upload { name, id }, Method::GET | Method::HEAD) => self.upload_status(name, id).await,
            (Route::Upload { name, id }, Method::PATCH) => self.append_to_upload(name, id, head, body).await,
            (Route::Upload { name, id }, Method::PUT) => self.finish_upload(name, id, head, body).await,
            (Route::Upload { name, id }, Method::DELETE) => self.cancel_upload(name, id).await,
            (_, method) => Err(Problem::new(Code::Unsupported, format!("{method} is not supported here"))),
        }
    }
}

/// The value of a query parameter.
fn query(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query()?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn query_digest(head: &Parts, name: &str) -> Result<Option<Digest>, Problem> {
    query(head, name).map(|text| Ok(text.parse::<Digest>()?)).transpose()
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_LENGTH, 0.into());
    }
    response
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).expect("plain values serialise");
    let mut response = empty(status);
    set(&mut response, http::header::CONTENT_TYPE, "application/json");
    response.headers_mut().insert(CONTENT_LENGTH, bytes.len().into());
    *response.body_mut() = full(bytes);
    response
}

/// Sets a header whose value we made of characters that headers allow.
fn set(response: &mut Response<Body>, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        response.headers_mut().insert(name, value);
    }
}

/// 201, where the new thing is, and what it is.
fn created(location: &str, digest: &Digest) -> Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, http::header::LOCATION, location);
    set(&mut response, DOCKER_CONTENT_DIGEST, digest.to_string());
    response
}
