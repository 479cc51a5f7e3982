//! Reading and deleting blobs.

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use super::problem::{Code, Problem};
use super::range::{Wanted, wanted};
use super::{DOCKER_CONTENT_DIGEST, Inner, empty, set};
use crate::durable::{self, blocking};
use crate::{Blob, Body, Digest, Error};

impl Inner {
    pub(super) async fn get_blob(&self, name: String, digest: Digest, head: &Parts) -> Result<Response<Body>, Problem> {
        let unknown = || Problem::new(Code::BlobUnknown, "blob unknown to the repository").about(digest);
        if !self.has_blob(&name, digest).await {
            return Err(unknown());
        }
        let blob = self.content.get(&digest).await?.ok_or_else(unknown)?;
        let range = head.headers.get(RANGE).and_then(|range| range.to_str().ok());
        let size = blob.size();
        let mut response = match range.map_or(Wanted::All, |range| wanted(range, size)) {
            Wanted::All => part(blob, StatusCode::OK, 0, size).await?,
            Wanted::Part(range) => {
                let (start, len) = (range.start, range.end - range.start);
                let mut response = part(blob, StatusCode::PARTIAL_CONTENT, start, len).await?;
                set(&mut response, CONTENT_RANGE, format!("bytes {start}-{}/{size}", range.end - 1));
                response
            }
            Wanted::Nothing => return Err(outside(size)),
        };
        set(&mut response, DOCKER_CONTENT_DIGEST, digest.to_string());
        Ok(response)
    }

    pub(super) async fn has_blob(&self, name: &str, digest: Digest) -> bool {
        let (repositories, name) = (self.repositories.clone(), name.to_owned());
        // A manifest may be read as the blob that it is.
        blocking(move || {
            repositories.has_blob(&name, &digest) || matches!(repositories.media_type(&name, &digest), Ok(Some(_)))
        })
        .await
    }

    pub(super) async fn delete_blob(&self, name: String, digest: Digest) -> Result<Response<Body>, Problem> {
        let (repositories, path) = (self.repositories.clone(), self.content.path(&digest));
        let was_linked = blocking(move || repositories.unlink_blob(&name, &digest, || remove(&path))).await?;
        if was_linked {
            Ok(empty(StatusCode::ACCEPTED))
        } else {
            Err(Problem::new(Code::BlobUnknown, "blob unknown to the repository").about(digest))
        }
    }
}

/// Removes a content's file. It blocks.
pub(super) fn remove(path: &std::path::Path) -> Result<(), Error> {
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(dir), Some(name)) => durable::remove(dir, name).map(drop),
        _ => Ok(()),
    }
}

async fn part(blob: Blob, status: StatusCode, start: u64, len: u64) -> Result<Response<Body>, Error> {
    let mut response = empty(status);
    *response.body_mut() = blob.into_body(start, len).await?;
    response.headers_mut().insert(CONTENT_LENGTH, len.into());
    set(&mut response, CONTENT_TYPE, "application/octet-stream");
    set(&mut response, ACCEPT_RANGES, "bytes");
    Ok(response)
}

fn outside(size: u64) -> Problem {
    let range = HeaderValue::try_from(format!("bytes */{size}"));
    let header = range.map(|range| (CONTENT_RANGE, range));
    Problem::new(Code::RangeInvalid, "range lies outside the blob").with_headers(header)
}
