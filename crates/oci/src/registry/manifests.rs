//! Manifests: taken only when all that they name is there, served byte for byte as they came.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, Response, StatusCode};

use super::blobs::remove;
use super::problem::{Code, Problem};
use super::repositories::ManifestLink;
use super::route::TagOrDigest;
use super::{DOCKER_CONTENT_DIGEST, Inner, created, empty, set};
use crate::durable::blocking;
use crate::manifest::{DOCKER_LIST, MANIFEST_TYPES, OCI_INDEX};
use crate::transport::{collect, full};
use crate::{Body, Digest, Error, Manifest};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

impl Inner {
    pub(super) async fn get_manifest(&self, name: String, reference: TagOrDigest) -> Result<Response<Body>, Problem> {
        let (digest, media_type) = self.find_manifest(name, reference).await?;
        let bytes = self.content.read(&digest, self.limits.manifest_bytes_max).await?;
        let mut response = empty(StatusCode::OK);
        set(&mut response, CONTENT_TYPE, media_type);
        set(&mut response, DOCKER_CONTENT_DIGEST, digest.to_string());
        response.headers_mut().insert(CONTENT_LENGTH, bytes.len().into());
        *response.body_mut() = full(bytes);
        Ok(response)
    }

    async fn find_manifest(&self, name: String, reference: TagOrDigest) -> Result<(Digest, String), Problem> {
        let repositories = self.repositories.clone();
        blocking(move || {
            if !repositories.exists(&name) {
                return Err(Problem::new(Code::NameUnknown, "repository unknown to the registry").about(name));
            }
            let unknown = || {
                let reference = match &reference {
                    TagOrDigest::Tag(tag) => tag.clone(),
                    TagOrDigest::Digest(digest) => digest.to_string(),
                };
                Problem::new(Code::ManifestUnknown, "manifest unknown to the repository").about(reference)
            };
            let digest = match &reference {
                TagOrDigest::Tag(tag) => repositories.tag(&name, tag)?.ok_or_else(unknown)?,
                TagOrDigest::Digest(digest) => *digest,
            };
            let media_type = repositories.media_type(&name, &digest)?.ok_or_else(unknown)?;
            Ok((digest, media_type))
        })
        .await
    }

    pub(super) async fn put_manifest(
        &self,
        name: String,
        reference: TagOrDigest,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Problem> {
        let declared = head.headers.get(CONTENT_TYPE).and_then(|declared| declared.to_str().ok());
        let declared = declared.map(|declared| declared.split(';').next().unwrap_or_default().trim().to_owned());
        let bytes_max = self.limits.manifest_bytes_max;
        let broken = |error| Problem::new(Code::ManifestInvalid, format!("the body broke off: {error}"));
        let bytes = collect(body, bytes_max).await.map_err(broken)?;
        let bytes = bytes.ok_or(Error::TooLarge { what: "manifest".into(), bytes_max })?;
        let (manifest, media_type) = check(&bytes, declared)?;
        let digest = Digest::of(&bytes);
        let tag = match reference {
            TagOrDigest::Tag(tag) => Some(tag),
            TagOrDigest::Digest(expected) if expected == digest => None,
            TagOrDigest::Digest(expected) => return Err(Error::DigestMismatch { expected, actual: digest }.into()),
        };
        self.content.put(bytes).await?;
        let subject = manifest.subject.as_ref().map(|subject| subject.digest);
        self.link(&name, manifest, ManifestLink { digest, media_type, tag, subject }).await?;
        let mut response = created(&format!("/v2/{name}/manifests/{digest}"), &digest);
        if let Some(subject) = subject {
            set(&mut response, OCI_SUBJECT, subject.to_string());
        }
        Ok(response)
    }

    /// Links a stored manifest whose references are all there; else it is of no use, and removed.
    async fn link(&self, name: &str, manifest: Manifest, link: ManifestLink) -> Result<(), Problem> {
        let (repositories, path, name) = (self.repositories.clone(), self.content.path(&link.digest), name.to_owned());
        blocking(move || {
            let blobs = manifest.config.iter().chain(manifest.layers.iter().filter(|layer| layer.urls.is_empty()));
            let mut missing: Vec<Digest> = blobs.map(|blob| blob.digest).collect();
            missing.retain(|digest| !repositories.has_blob(&name, digest));
            for part in &manifest.manifests {
                if repositories.media_type(&name, &part.digest)?.is_none() {
                    missing.push(part.digest);
                }
            }
            if !missing.is_empty() {
                repositories.discard(&link.digest, || remove(&path))?;
                return Err(Problem::new(Code::ManifestBlobUnknown, "manifest names unknown contents").about(missing));
            }
            if repositories.link_manifest(&name, &link, || path.exists())? {
                return Ok(());
            }
            Err(Problem::new(Code::ManifestUnknown, "the manifest was deleted while it was being uploaded"))
        })
        .await
    }

    pub(super) async fn delete_manifest(
        &self,
        name: String,
        reference: TagOrDigest,
    ) -> Result<Response<Body>, Problem> {
        let (digest, _) = self.find_manifest(name.clone(), reference.clone()).await?;
        let bytes = self.content.read(&digest, self.limits.manifest_bytes_max).await?;
        let subject = serde_json::from_slice::<Manifest>(&bytes).ok().and_then(|manifest| manifest.subject);
        let (repositories, path) = (self.repositories.clone(), self.content.path(&digest));
        blocking(move || match reference {
            TagOrDigest::Tag(tag) => repositories.remove_tag(&name, &tag),
            TagOrDigest::Digest(digest) => {
                let subject = subject.map(|subject| subject.digest);
                repositories.unlink_manifest(&name, &digest, subject.as_ref(), || remove(&path))
            }
        })
        .await?;
        Ok(empty(StatusCode::ACCEPTED))
    }
}

/// Reads a manifest, and its media type: the header's and its own, which must not differ.
fn check(bytes: &[u8], declared: Option<String>) -> Result<(Manifest, String), Problem> {
    let invalid = |why: String| Problem::new(Code::ManifestInvalid, why);
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|error| invalid(format!("not a manifest: {error}")))?;
    if manifest.schema_version != 2 {
        return Err(invalid(format!("schemaVersion is {}, not 2", manifest.schema_version)));
    }
    let own = Some(manifest.media_type.clone()).filter(|own| !own.is_empty());
    let media_type = match (declared, own) {
        (Some(declared), Some(own)) if declared != own => {
            return Err(invalid(format!("Content-Type is {declared}, but mediaType is {own}")));
        }
        (Some(media_type), _) | (None, Some(media_type)) => media_type,
        (None, None) => return Err(invalid("neither Content-Type nor mediaType says what it is".into())),
    };
    if !MANIFEST_TYPES.contains(&&*media_type) {
        return Err(invalid(format!("{media_type} is no media type of a manifest")));
    }
    let is_index = matches!(&*media_type, OCI_INDEX | DOCKER_LIST);
    if !is_index && manifest.config.is_none() {
        return Err(invalid("it has no config".into()));
    }
    if !is_index && !manifest.manifests.is_empty() {
        return Err(invalid("it has manifests, but is no index".into()));
    }
    Ok((manifest, media_type))
}
