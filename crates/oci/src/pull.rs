//! Pulls a wasm image: first what it is, then its layer. Everything is verified against its digest, and bounded.

use bytes::{Bytes, BytesMut};
use http::header::ACCEPT;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;

use crate::digest::Hasher;
use crate::manifest::{
    DOCKER_LIST, MANIFEST_BYTES_MAX, MANIFEST_TYPES, OCI_INDEX, WASM_CONFIG, WASM_LAYER, WASM_LAYER_OLD,
};
use crate::transport::{collect, full};
use crate::{Body, ContentStore, Descriptor, Digest, Error, Manifest, Reference, Transport};

/// What a registry's refusal may say at most.
const MESSAGE_BYTES_MAX: u64 = 64 << 10;

/// A wasm image as its registry describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub reference: Reference,
    /// The digest of the manifest: of the index, where the reference names one.
    pub digest: Digest,
    /// The wasm binary.
    pub layer: Descriptor,
}

/// Asks the registry what `reference` is. Only small documents are read.
pub async fn resolve(transport: &dyn Transport, reference: &Reference) -> Result<Image, Error> {
    let (digest, manifest) = manifest(transport, reference, &reference.wanted()).await?;
    if let Some(expected) = reference.digest.filter(|expected| *expected != digest) {
        return Err(Error::DigestMismatch { expected, actual: digest });
    }
    let manifest = match choose(&manifest.manifests) {
        None => manifest,
        Some(chosen) => {
            let (actual, manifest) = self::manifest(transport, reference, &chosen.digest.to_string()).await?;
            if actual != chosen.digest {
                return Err(Error::DigestMismatch { expected: chosen.digest, actual });
            }
            manifest
        }
    };
    match wasm_layer(&manifest) {
        Some(layer) => Ok(Image { reference: reference.clone(), digest, layer: layer.clone() }),
        None => Err(Error::NotWasmImage { reference: Box::new(reference.clone()), found: describe(&manifest) }),
    }
}

/// Brings the image's layer into `content`, unless it is there.
pub async fn fetch(transport: &dyn Transport, image: &Image, content: &ContentStore) -> Result<(), Error> {
    if content.size(&image.layer.digest).await?.is_some() {
        return Ok(());
    }
    let mut layer = Layer::begin(transport, image).await?;
    let mut writer = content.writer().await?;
    while let Some(bytes) = layer.next().await? {
        writer.write(bytes).await?;
    }
    writer.finish(Some(&image.layer.digest)).await.map(drop)
}

/// Resolves `reference` and brings its layer into memory, unless it is larger than `bytes_max`.
pub async fn pull(transport: &dyn Transport, reference: &Reference, bytes_max: u64) -> Result<(Image, Bytes), Error> {
    let image = resolve(transport, reference).await?;
    if image.layer.size > bytes_max {
        return Err(Error::TooLarge { what: image.reference.to_string(), bytes_max });
    }
    let mut layer = Layer::begin(transport, &image).await?;
    let (mut binary, mut hasher) = (BytesMut::new(), Hasher::default());
    while let Some(bytes) = layer.next().await? {
        hasher.update(&bytes);
        binary.extend_from_slice(&bytes);
    }
    let actual = hasher.finish();
    if actual != image.layer.digest {
        return Err(Error::DigestMismatch { expected: image.layer.digest, actual });
    }
    Ok((image, binary.freeze()))
}

/// A layer on its way in, which may not be larger than it was said to be.
struct Layer {
    body: Body,
    step: String,
    n_left: u64,
    size: u64,
}

impl Layer {
    async fn begin(transport: &dyn Transport, image: &Image) -> Result<Self, Error> {
        let step = format!("fetch the layer of {}", image.reference);
        let path = format!("/v2/{}/blobs/{}", image.reference.repository, image.layer.digest);
        let response = get(transport, &step, &path, "*/*").await?;
        let body = expect(&step, response, StatusCode::OK).await?.into_body();
        Ok(Self { body, step, n_left: image.layer.size, size: image.layer.size })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|source| Error::Transport { step: self.step.clone(), source })?;
            let Ok(bytes) = frame.into_data() else { continue };
            let left = self.n_left.checked_sub(bytes.len() as u64);
            self.n_left = left.ok_or(Error::TooLarge { what: "layer".into(), bytes_max: self.size })?;
            return Ok(Some(bytes));
        }
        Ok(None)
    }
}

/// The manifest under a tag or digest, with the digest that its bytes have.
async fn manifest(transport: &dyn Transport, reference: &Reference, wanted: &str) -> Result<(Digest, Manifest), Error> {
    let step = format!("resolve {reference}");
    let path = format!("/v2/{}/manifests/{wanted}", reference.repository);
    let response = get(transport, &step, &path, &MANIFEST_TYPES.join(", ")).await?;
    if response.status() == StatusCode::NOT_FOUND {
        return Err(Error::NotFound { reference: Box::new(reference.clone()) });
    }
    let body = expect(&step, response, StatusCode::OK).await?.into_body();
    let bytes = collect(body, MANIFEST_BYTES_MAX).await;
    let bytes = bytes.map_err(|source| Error::Transport { step: step.clone(), source })?;
    let too_large = || Error::TooLarge { what: format!("manifest of {reference}"), bytes_max: MANIFEST_BYTES_MAX };
    let bytes = bytes.ok_or_else(too_large)?;
    let malformed = |error| Error::Malformed { step, what: format!("no manifest: {error}") };
    let manifest = serde_json::from_slice(&bytes).map_err(malformed)?;
    Ok((Digest::of(&bytes), manifest))
}

async fn get(transport: &dyn Transport, step: &str, path: &str, accept: &str) -> Result<Response<Body>, Error> {
    let failed = |source| Error::Transport { step: step.into(), source };
    let request = Request::get(path).header(ACCEPT, accept).body(full(Bytes::new()));
    transport.send(request.map_err(|error| failed(error.into()))?).await.map_err(failed)
}

/// The response, if it has the status that it should; else what the registry says is wrong.
pub(crate) async fn expect(
    step: &str,
    response: Response<Body>,
    expected: StatusCode,
) -> Result<Response<Body>, Error> {
    let status = response.status();
    if status == expected {
        return Ok(response);
    }
    let body = collect(response.into_body(), MESSAGE_BYTES_MAX).await.ok().flatten().unwrap_or_default();
    Err(Error::Refused { step: step.into(), status, message: message(&body) })
}

/// The registry's own words, in the protocol's form or in the API's.
fn message(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let words = json["errors"][0]["message"].as_str().or(json["message"].as_str());
    words.map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), Into::into)
}

/// Which image of an index to take: the one for wasm, or else the first, so as to say what it is.
fn choose(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let is_wasm = |one: &&Descriptor| one.platform.as_ref().is_some_and(|platform| platform.architecture == "wasm");
    manifests.iter().find(is_wasm).or(manifests.first())
}

fn wasm_layer(manifest: &Manifest) -> Option<&Descriptor> {
    manifest.layers.iter().find(|layer| matches!(&*layer.media_type, WASM_LAYER | WASM_LAYER_OLD))
}

/// What an image is that has no wasm layer, in words.
fn describe(manifest: &Manifest) -> String {
    if matches!(&*manifest.media_type, OCI_INDEX | DOCKER_LIST) {
        return "an index without images".into();
    }
    let config = manifest.config.as_ref().map_or("none", |config| &config.media_type);
    let layers: Vec<&str> = manifest.layers.iter().map(|layer| &*layer.media_type).collect();
    let kind = match config {
        "application/vnd.docker.container.image.v1+json" | "application/vnd.oci.image.config.v1+json" => {
            "a container image, which needs a kernel of its own kind to run"
        }
        WASM_CONFIG => "a WebAssembly image without a layer of type application/wasm",
        "application/vnd.cncf.helm.config.v1+json" => "a Helm chart",
        _ => "an artifact of another kind",
    };
    let layers = if layers.is_empty() { "none".into() } else { layers.join(", ") };
    format!("{kind} (config {config}, layers {layers})")
}
