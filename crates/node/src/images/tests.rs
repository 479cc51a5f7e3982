//! Pulling from a registry in this process.

use std::sync::atomic::{AtomicUsize, Ordering};

use coracle_oci::{Body, BoxError, Limits, Registry, push};
use futures::future::BoxFuture;

use super::*;

/// The smallest module.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Counts what is asked of a registry.
struct Counted(Registry, AtomicUsize);

impl Transport for Counted {
    fn send(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, BoxError>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.send(request)
    }
}

async fn registry(dir: &Path, names: &[&str]) -> Counted {
    let registry = Registry::open(dir, Limits::default()).unwrap();
    for name in names {
        push(&registry, &name.parse().unwrap(), Bytes::from_static(MODULE)).await.unwrap();
    }
    Counted(registry, AtomicUsize::new(0))
}

#[tokio::test]
async fn an_image_is_pulled_by_digest_and_kept_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(&dir.path().join("registry"), &["hello:v1"]).await;
    let reference: Reference = "hello:v1".parse().unwrap();
    let images = Images::open(&dir.path().join("images")).unwrap();
    assert_eq!(images.find(&reference).await, None);
    let present = images.pull(&registry, &reference).await.unwrap();
    assert!(present.id.starts_with("hello@sha256:"));
    assert_eq!(images.read(&present).await.unwrap(), MODULE);
    let reopened = Images::open(&dir.path().join("images")).unwrap();
    assert_eq!(reopened.find(&reference).await, Some(present));
    reopened.forget(&reference);
    assert_eq!(reopened.find(&reference).await, None);
}

#[tokio::test]
async fn many_who_want_an_image_share_one_pull() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(&dir.path().join("registry"), &["hello:v1"]).await;
    let reference: Reference = "hello:v1".parse().unwrap();
    let images = Images::open(&dir.path().join("images")).unwrap();
    let pulls = (0..20).map(|_| images.pull(&registry, &reference));
    let pulled = futures::future::join_all(pulls).await;
    let first = pulled[0].as_ref().unwrap();
    assert!(pulled.iter().all(|pulled| pulled.as_ref().unwrap() == first));
    assert_eq!(registry.1.load(Ordering::Relaxed), 2);
    assert!(images.flights.lock().is_empty());
}

#[tokio::test]
async fn what_cannot_be_pulled_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(&dir.path().join("registry"), &[]).await;
    let images = Images::open(&dir.path().join("images")).unwrap();
    let error = images.pull(&registry, &"none:v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "none:v1: not found");
    let error = images.pull(&registry, &"ghcr.io/a/b:v1".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().starts_with("registry ghcr.io is not this cluster's"));
}
