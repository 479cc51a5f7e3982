//! Pushes a wasm binary as an image. It never reads a file: the caller has the bytes.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{Method, Request, Response, StatusCode};

use crate::manifest::{OCI_MANIFEST, WASM_CONFIG, WASM_LAYER, WasmConfig};
use crate::transport::full;
use crate::wasm::{self, Kind};
use crate::{Body, Descriptor, Digest, Error, Manifest, Reference, Transport, pull};

/// The same binary gives the same image, so it says nothing of when it was made.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub manifest: Digest,
    pub layer: Digest,
    /// `wasip1` for a core module, `wasip2` for a component.
    pub os: &'static str,
}

/// Pushes `binary` under `reference`, which must not have a digest.
pub async fn push(transport: &dyn Transport, reference: &Reference, binary: Bytes) -> Result<Pushed, Error> {
    let (os, component) = match wasm::kind(&binary)? {
        Kind::CoreModule => ("wasip1", None),
        Kind::Component(interfaces) => ("wasip2", Some(interfaces)),
    };
    let layer = Descriptor::of(WASM_LAYER, &binary);
    let config = WasmConfig {
        created: CREATED.into(),
        architecture: "wasm".into(),
        os: os.into(),
        layer_digests: vec![layer.digest],
        component,
    };
    let config: Bytes = serde_json::to_vec(&config).expect("plain values serialise").into();
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.into(),
        config: Some(Descriptor::of(WASM_CONFIG, &config)),
        layers: vec![layer.clone()],
        ..Manifest::default()
    };
    let manifest: Bytes = serde_json::to_vec(&manifest).expect("plain values serialise").into();

    let pushed = Pushed { manifest: Digest::of(&manifest), layer: layer.digest, os };
    let push = Push { transport, reference };
    push.blob(binary, layer.digest).await?;
    push.blob(config.clone(), Digest::of(&config)).await?;
    push.manifest(manifest).await?;
    Ok(pushed)
}

struct Push<'a> {
    transport: &'a dyn Transport,
    reference: &'a Reference,
}

impl Push<'_> {
    /// Uploads a blob, unless it is there.
    async fn blob(&self, content: Bytes, digest: Digest) -> Result<(), Error> {
        let repository = &self.reference.repository;
        let head = self.request(Method::HEAD, &format!("/v2/{repository}/blobs/{digest}"), "", Bytes::new());
        if self.send("look for a blob", head).await?.status() == StatusCode::OK {
            return Ok(());
        }
        let begin = self.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/"), "", Bytes::new());
        let step = "begin an upload";
        let begun = pull::expect(step, self.send(step, begin).await?, StatusCode::ACCEPTED).await?;
        let location = begun.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let Some(location) = location else {
            return Err(Error::Malformed { step: step.into(), what: "no location".into() });
        };
        let separator = if location.contains('?') { '&' } else { '?' };
        let put = format!("{location}{separator}digest={digest}");
        let put = self.request(Method::PUT, &put, "application/octet-stream", content);
        let step = "upload a blob";
        pull::expect(step, self.send(step, put).await?, StatusCode::CREATED).await.map(drop)
    }

    async fn manifest(&self, manifest: Bytes) -> Result<(), Error> {
        let path = format!("/v2/{}/manifests/{}", self.reference.repository, self.reference.wanted());
        let put = self.request(Method::PUT, &path, OCI_MANIFEST, manifest);
        let step = "upload the manifest";
        pull::expect(step, self.send(step, put).await?, StatusCode::CREATED).await.map(drop)
    }

    fn request(
        &self,
        method: Method,
        uri: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Request<Body>, http::Error> {
        let mut request = Request::builder().method(method).uri(uri).header(CONTENT_LENGTH, body.len());
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(full(body))
    }

    async fn send(&self, step: &str, request: Result<Request<Body>, http::Error>) -> Result<Response<Body>, Error> {
        let failed = |source| Error::Transport { step: step.into(), source };
        let request = request.map_err(|error| failed(error.into()))?;
        self.transport.send(request).await.map_err(failed)
    }
}
