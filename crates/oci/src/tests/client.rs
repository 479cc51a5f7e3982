//! Push and pull, over roads that are good and roads that are not.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use serde_json::json;

use super::{Server, image, index};
use crate::manifest::{OCI_MANIFEST, WASM_LAYER_OLD};
use crate::transport::full;
use crate::wasm::tests::component;
use crate::{
    Body, BoxError, ContentStore, Descriptor, Digest, Error, Reference, Registry, Transport, fetch, pull, push, resolve,
};

const BYTES_MAX: u64 = 1 << 20;

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn hello() -> Bytes {
    component(&["wasi:io/streams@0.2.6"], &["wasi:http/incoming-handler@0.2.6"]).into()
}

#[tokio::test]
async fn what_is_pushed_can_be_pulled() {
    let server = Server::new();
    let name = reference("hello-http:v1");
    let pushed = push(&server.registry, &name, hello()).await.unwrap();
    assert_eq!((pushed.os, pushed.layer), ("wasip2", Digest::of(&hello())));
    let (image, binary) = pull(&server.registry, &name, BYTES_MAX).await.unwrap();
    assert_eq!((image.digest, &image.layer.digest, binary), (pushed.manifest, &pushed.layer, hello()));
    let pinned = name.pinned(image.digest);
    assert_eq!(resolve(&server.registry, &pinned).await.unwrap().layer, image.layer);

    let dir = tempfile::tempdir().unwrap();
    let content = ContentStore::open(dir.path()).unwrap();
    fetch(&server.registry, &image, &content).await.unwrap();
    assert_eq!(content.read(&image.layer.digest, BYTES_MAX).await.unwrap(), hello());
    fetch(&NoRoad, &image, &content).await.expect("what is there is not fetched again");
}

#[tokio::test]
async fn an_image_has_the_layout_that_other_tools_know() {
    let server = Server::new();
    push(&server.registry, &reference("hello:v1"), hello()).await.unwrap();
    let manifest = server.get("/v2/hello/manifests/v1").await.json();
    assert_eq!(manifest["mediaType"], OCI_MANIFEST);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"], json!([Descriptor::of("application/wasm", &hello())]));
    let config = server.get(&format!("/v2/hello/blobs/{}", manifest["config"]["digest"].as_str().unwrap())).await;
    let expected = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [Digest::of(&hello())],
        "component": {
            "exports": ["wasi:http/incoming-handler@0.2.6"],
            "imports": ["wasi:io/streams@0.2.6"],
        },
    });
    assert_eq!(config.json(), expected);
    let core = push(&server.registry, &reference("core"), "\0asm\x01\0\0\0".into()).await.unwrap();
    assert_eq!(core.os, "wasip1");
}

#[tokio::test]
async fn pushing_the_same_again_uploads_nothing() {
    let server = Server::new();
    let counting = Counting { registry: server.registry.clone(), n_uploads: AtomicUsize::new(0) };
    let first = push(&counting, &reference("hello:v1"), hello()).await.unwrap();
    assert_eq!(counting.n_uploads.load(Ordering::Relaxed), 2);
    let second = push(&counting, &reference("hello:v2"), hello()).await.unwrap();
    assert_eq!((counting.n_uploads.load(Ordering::Relaxed), second), (2, first));
}

#[tokio::test]
async fn what_is_no_wasm_is_not_pushed() {
    let server = Server::new();
    let refused = push(&server.registry, &reference("a"), "#!/bin/sh\n".into()).await;
    assert!(matches!(refused, Err(Error::NotWasm { .. })), "{refused:?}");
    assert_eq!(server.get("/v2/_catalog").await.json(), json!({ "repositories": [] }));
}

#[tokio::test]
async fn an_index_leads_to_its_wasm_image() {
    let server = Server::new();
    let config = server.put_blob("multi", "{}").await;
    let linux = server.put_blob("multi", "linux layer").await;
    let wasm = Descriptor { media_type: WASM_LAYER_OLD.into(), ..server.put_blob("multi", "wasm layer").await };
    let mut parts = Vec::new();
    for (layer, architecture) in [(&linux, "amd64"), (&wasm, "wasm")] {
        let manifest = image(&config, layer).to_string();
        let digest = Digest::of(manifest.as_bytes());
        let path = format!("/v2/multi/manifests/{digest}");
        server.call(Method::PUT, &path, &[("content-type", OCI_MANIFEST)], manifest.clone()).await.expect(201);
        let mut part = json!(Descriptor::of(OCI_MANIFEST, manifest.as_bytes()));
        part["platform"] = json!({ "architecture": architecture, "os": "any" });
        parts.push(part);
    }
    server.put_manifest("multi", "v1", &index(&parts)).await.expect(201);
    let (image, binary) = pull(&server.registry, &reference("multi:v1"), BYTES_MAX).await.unwrap();
    assert_eq!((binary, image.digest), ("wasm layer".into(), Digest::of(index(&parts).to_string().as_bytes())));
}

#[tokio::test]
async fn an_image_of_another_kind_is_named() {
    let server = Server::new();
    let of_type = |media_type: &str, blob: Descriptor| Descriptor { media_type: media_type.into(), ..blob };
    let config = of_type("application/vnd.oci.image.config.v1+json", server.put_blob("nginx", "{}").await);
    let layer = of_type("application/vnd.oci.image.layer.v1.tar+gzip", server.put_blob("nginx", "layer").await);
    server.put_manifest("nginx", "latest", &image(&config, &layer)).await.expect(201);
    let error = resolve(&server.registry, &reference("nginx")).await.unwrap_err().to_string();
    let expected = "nginx:latest is not a WebAssembly image: it is a container image, which needs a kernel of its own \
                    kind to run (config application/vnd.oci.image.config.v1+json, layers \
                    application/vnd.oci.image.layer.v1.tar+gzip)";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn an_image_that_is_not_there_is_not_found() {
    let server = Server::new();
    let missing = resolve(&server.registry, &reference("nobody:v1")).await;
    assert!(matches!(&missing, Err(Error::NotFound { reference }) if reference.repository == "nobody"), "{missing:?}");
    push(&server.registry, &reference("hello:v1"), hello()).await.unwrap();
    let too_large = pull(&server.registry, &reference("hello:v1"), 10).await;
    assert!(matches!(too_large, Err(Error::TooLarge { .. })), "{too_large:?}");
    let no_road = resolve(&NoRoad, &reference("hello:v1")).await.unwrap_err();
    assert_eq!(no_road.to_string(), "resolve hello:v1");
    assert_eq!(std::error::Error::source(&no_road).unwrap().to_string(), "no road");
}

#[tokio::test]
async fn a_registry_that_lies_is_found_out() {
    let server = Server::new();
    let name = reference("hello:v1");
    let pushed = push(&server.registry, &name, hello()).await.unwrap();
    let image = resolve(&server.registry, &name).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let content = ContentStore::open(dir.path()).unwrap();

    let damaged = Bytes::from(vec![0; hello().len()]);
    let refused = fetch(&Lying(damaged.clone()), &image, &content).await;
    assert!(matches!(refused, Err(Error::DigestMismatch { .. })), "{refused:?}");
    let refused = fetch(&Lying(vec![0; hello().len() + 1].into()), &image, &content).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    let short = fetch(&Lying(hello().slice(1..)), &image, &content).await;
    assert!(matches!(short, Err(Error::DigestMismatch { .. })), "{short:?}");
    assert_eq!(content.digests().unwrap(), []);

    let other = server.get("/v2/hello/manifests/v1").await.body;
    let other = [&other[..], b" "].concat();
    let refused = resolve(&Lying(other.into()), &name.pinned(pushed.manifest)).await;
    assert!(matches!(refused, Err(Error::DigestMismatch { .. })), "{refused:?}");
    let malformed = resolve(&Lying(damaged), &name).await;
    assert!(matches!(malformed, Err(Error::Malformed { .. })), "{malformed:?}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_registrys_words() {
    let server = Server::with_limits(crate::Limits { blob_bytes_max: 10, ..crate::Limits::default() });
    let refused = push(&server.registry, &reference("hello"), hello()).await.unwrap_err();
    let expected = "upload a blob: registry answered 413 Payload Too Large: blob is larger than 10 bytes";
    assert_eq!(refused.to_string(), expected);
}

/// The registry, and how many uploads were begun.
struct Counting {
    registry: Registry,
    n_uploads: AtomicUsize,
}

impl Transport for Counting {
    fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, BoxError>> {
        if request.method() == Method::POST {
            self.n_uploads.fetch_add(1, Ordering::Relaxed);
        }
        self.registry.send(request)
    }
}

/// Answers everything with the same bytes.
struct Lying(Bytes);

impl Transport for Lying {
    fn send(&self, _: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, BoxError>> {
        let response = Response::new(full(self.0.clone()));
        Box::pin(async { Ok(response) })
    }
}

/// Leads nowhere.
struct NoRoad;

impl Transport for NoRoad {
    fn send(&self, _: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, BoxError>> {
        Box::pin(async { Err("no road".into()) })
    }
}
