//! Push, pull and the protocol, against a registry in this process.

mod blobs;
mod client;
mod manifests;
mod uploads;

use std::ops::Deref;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::transport::full;
use crate::{Body, Descriptor, Digest, Limits, Registry};

/// A registry in a directory that goes away with it.
struct Server {
    registry: Registry,
    dir: tempfile::TempDir,
}

impl Deref for Server {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> (u16, String) {
        let error = &self.json()["errors"][0];
        assert!(error["message"].is_string());
        (self.status.as_u16(), error["code"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

impl Server {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { registry: Registry::open(dir.path(), limits).unwrap(), dir }
    }

    fn reopen(self) -> Self {
        drop(self.registry);
        Self { registry: Registry::open(self.dir.path(), Limits::default()).unwrap(), dir: self.dir }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.handle(request).await.into_parts();
        assert_eq!(head.headers["docker-distribution-api-version"], "registry/2.0");
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(full(body)).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    async fn head(&self, path: &str) -> Answer {
        let answer = self.call(Method::HEAD, path, &[], "").await;
        assert!(answer.body.is_empty());
        answer
    }

    async fn post(&self, path: &str, body: &'static str) -> Answer {
        self.call(Method::POST, path, &[], body).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[], "").await
    }

    async fn put_blob(&self, name: &str, content: &'static str) -> Descriptor {
        let blob = Descriptor::of("application/octet-stream", content.as_bytes());
        let answer = self.post(&format!("/v2/{name}/blobs/uploads/?digest={}", blob.digest), content).await.expect(201);
        assert_eq!(answer.header("location"), format!("/v2/{name}/blobs/{}", blob.digest));
        blob
    }

    async fn put_manifest(&self, name: &str, reference: &str, manifest: &Value) -> Answer {
        let media_type = manifest["mediaType"].as_str().unwrap();
        let path = format!("/v2/{name}/manifests/{reference}");
        self.call(Method::PUT, &path, &[("content-type", media_type)], manifest.to_string()).await
    }

    /// Pushes a manifest of two blobs, and returns its digest.
    async fn put_image(&self, name: &str, reference: &str, layer: &'static str) -> Digest {
        let manifest = image(&self.put_blob(name, "{}").await, &self.put_blob(name, layer).await);
        self.put_manifest(name, reference, &manifest).await.expect(201);
        digest_of(&manifest)
    }
}

fn digest_of(manifest: &Value) -> Digest {
    Digest::of(manifest.to_string().as_bytes())
}

fn image(config: &Descriptor, layer: &Descriptor) -> Value {
    json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer] })
}

fn index(manifests: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests })
}
