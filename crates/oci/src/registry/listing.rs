//! The lists: repositories, tags, and what refers to a manifest.

use http::header::{CONTENT_TYPE, LINK};
use http::request::Parts;
use http::{HeaderName, Response, StatusCode};
use serde_json::json;

use super::problem::{Code, Problem};
use super::{Inner, json, query, set};
use crate::durable::blocking;
use crate::manifest::{Descriptor, OCI_INDEX};
use crate::{Body, Digest, Error, Manifest};

/// Entries of one answer; the rest is behind a link.
const PAGE_MAX: usize = 1000;

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

impl Inner {
    pub(super) async fn catalog(&self, head: &Parts) -> Result<Response<Body>, Problem> {
        let repositories = self.repositories.clone();
        let page = Page::of(blocking(move || repositories.names()).await?, head);
        let mut response = json(StatusCode::OK, &json!({ "repositories": page.entries }));
        page.link_next(&mut response, "/v2/_catalog");
        Ok(response)
    }

    pub(super) async fn tags(&self, name: String, head: &Parts) -> Result<Response<Body>, Problem> {
        let (repositories, repository) = (self.repositories.clone(), name.clone());
        let tags = blocking(move || match repositories.exists(&repository) {
            true => repositories.tags(&repository).map(Some),
            false => Ok(None),
        });
        let Some(tags) = tags.await? else {
            return Err(Problem::new(Code::NameUnknown, "repository unknown to the registry").about(name));
        };
        let page = Page::of(tags, head);
        let mut response = json(StatusCode::OK, &json!({ "name": name, "tags": page.entries }));
        page.link_next(&mut response, &format!("/v2/{name}/tags/list"));
        Ok(response)
    }

    /// An index of the manifests whose subject is `digest`, which itself need not be there.
    pub(super) async fn referrers(
        &self,
        name: String,
        digest: Digest,
        head: &Parts,
    ) -> Result<Response<Body>, Problem> {
        let (repositories, repository) = (self.repositories.clone(), name.clone());
        let referrers = blocking(move || repositories.referrers(&repository, &digest)).await?;
        let page = Page::of(referrers.iter().map(ToString::to_string).collect(), head);
        let wanted = query(head, "artifactType");
        let mut manifests = Vec::new();
        for referrer in &page.entries {
            let described = self.describe(&name, referrer.parse()?).await?;
            manifests.extend(described.filter(|one| wanted.is_none() || one.artifact_type == wanted));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
        let mut response = json(StatusCode::OK, &index);
        set(&mut response, CONTENT_TYPE, OCI_INDEX);
        page.link_next(&mut response, &format!("/v2/{name}/referrers/{digest}"));
        if wanted.is_some() {
            set(&mut response, OCI_FILTERS_APPLIED, "artifactType");
        }
        Ok(response)
    }

    /// A manifest's descriptor, with its annotations; `None` when it was deleted meanwhile.
    async fn describe(&self, name: &str, digest: Digest) -> Result<Option<Descriptor>, Error> {
        let (repositories, name) = (self.repositories.clone(), name.to_owned());
        let Some(media_type) = blocking(move || repositories.media_type(&name, &digest)).await? else {
            return Ok(None);
        };
        let bytes = match self.content.read(&digest, self.limits.manifest_bytes_max).await {
            Err(Error::Missing { .. }) => return Ok(None),
            read => read?,
        };
        let manifest: Manifest = serde_json::from_slice(&bytes).unwrap_or_default();
        let artifact_type = manifest.artifact_type().map(Into::into);
        let annotations = manifest.annotations;
        Ok(Some(Descriptor { artifact_type, annotations, ..Descriptor::of(&media_type, &bytes) }))
    }
}

/// A part of a list, after `last` and of at most `n` entries, as the request wishes.
struct Page {
    entries: Vec<String>,
    /// What the next one begins after, and how the request asked for this one.
    next: Option<String>,
}

impl Page {
    fn of(mut all: Vec<String>, head: &Parts) -> Self {
        if let Some(last) = query(head, "last") {
            all.retain(|entry| *entry > last);
        }
        let asked = query(head, "n").and_then(|n| n.parse::<usize>().ok());
        let n = asked.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let has_more = all.len() > n;
        all.truncate(n);
        let last = all.last().filter(|_| has_more);
        let next = last.map(|last| {
            let mut next = url::form_urlencoded::Serializer::new(String::new());
            next.append_pair("n", &n.to_string()).append_pair("last", last);
            if let Some(artifact_type) = query(head, "artifactType") {
                next.append_pair("artifactType", &artifact_type);
            }
            next.finish()
        });
        Self { entries: all, next }
    }

    fn link_next(&self, response: &mut Response<Body>, path: &str) {
        if let Some(next) = &self.next {
            set(response, LINK, format!("<{path}?{next}>; rel=\"next\""));
        }
    }
}
