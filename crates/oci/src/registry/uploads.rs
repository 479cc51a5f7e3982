//! Uploads: in one request, or begun, continued in chunks and finished. One that nobody finishes is forgotten.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_RANGE, LOCATION, RANGE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use uuid::Uuid;

use super::problem::{Code, Problem};
use super::{Inner, created, empty, query, query_digest, range, set};
use crate::durable::blocking;
use crate::{Body, Digest, Error, Writer};

/// An upload that nobody has touched for so long makes room for another.
const IDLE_MAX: Duration = Duration::from_secs(3600);

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// The uploads that have begun and not ended. They do not outlive the process; clients begin anew.
#[derive(Debug)]
pub(super) struct Uploads {
    sessions: Mutex<HashMap<Uuid, Session>>,
    uploads_max: usize,
}

#[derive(Debug)]
struct Session {
    repository: String,
    touched: Instant,
    writer: Arc<tokio::sync::Mutex<Option<Writer>>>,
}

/// An upload in the hands of one request.
type Held = OwnedMutexGuard<Option<Writer>>;

impl Uploads {
    pub(super) fn new(uploads_max: usize) -> Self {
        Self { sessions: Mutex::default(), uploads_max }
    }

    fn begin(&self, repository: &str, writer: Writer) -> Result<Uuid, Problem> {
        let mut sessions = self.sessions.lock();
        if sessions.len() >= self.uploads_max {
            sessions.retain(|_, session| session.touched.elapsed() < IDLE_MAX);
        }
        if sessions.len() >= self.uploads_max {
            return Err(Problem::new(Code::TooManyRequests, "too many unfinished uploads"));
        }
        let id = Uuid::new_v4();
        let writer = Arc::new(tokio::sync::Mutex::new(Some(writer)));
        sessions.insert(id, Session { repository: repository.into(), touched: Instant::now(), writer });
        Ok(id)
    }

    /// The upload, unless another request has it in hand.
    fn hold(&self, repository: &str, id: Uuid) -> Result<Held, Problem> {
        let mut sessions = self.sessions.lock();
        let session = sessions.get_mut(&id).filter(|session| session.repository == repository);
        let session = session.ok_or_else(|| unknown(id))?;
        session.touched = Instant::now();
        let busy = |_| {
            Problem::new(Code::BlobUploadInvalid, "another request is writing to this upload").about(id.to_string())
        };
        Arc::clone(&session.writer).try_lock_owned().map_err(busy)
    }

    fn end(&self, id: Uuid) {
        self.sessions.lock().remove(&id);
    }
}

fn unknown(id: Uuid) -> Problem {
    Problem::new(Code::BlobUploadUnknown, "no such upload").about(id.to_string())
}

fn writer(held: &mut Held, id: Uuid) -> Result<&mut Writer, Problem> {
    held.as_mut().ok_or_else(|| unknown(id))
}

impl Inner {
    /// Mounts a blob of another repository, takes one in this very request, or begins an upload.
    pub(super) async fn begin_upload(&self, name: String, head: &Parts, body: Body) -> Result<Response<Body>, Problem> {
        if let Some(digest) = query_digest(head, "mount")?
            && self.mount(&name, digest, query(head, "from")).await?
        {
            return Ok(created(&format!("/v2/{name}/blobs/{digest}"), &digest));
        }
        let digest = query_digest(head, "digest")?;
        let mut new = self.content.writer().await?;
        if let Some(digest) = digest {
            self.take(&mut new, body).await?;
            return self.finish(&name, new, digest).await;
        }
        let id = self.uploads.begin(&name, new)?;
        Ok(progress(StatusCode::ACCEPTED, &name, id, 0))
    }

    /// True when `from` (or, without it, anybody) has the blob; then `name` has it too.
    async fn mount(&self, name: &str, digest: Digest, from: Option<String>) -> Result<bool, Error> {
        let (repositories, path, name) = (self.repositories.clone(), self.content.path(&digest), name.to_owned());
        blocking(move || {
            let has = |name: &String| repositories.has_blob(name, &digest);
            let is_there = match from {
                Some(from) => crate::reference::is_repository(&from) && has(&from),
                None => repositories.names()?.iter().any(has),
            };
            Ok(is_there && repositories.link_blob(&name, &digest, || path.exists())?)
        })
        .await
    }

    pub(super) async fn upload_status(&self, name: String, id: Uuid) -> Result<Response<Body>, Problem> {
        let mut held = self.uploads.hold(&name, id)?;
        Ok(progress(StatusCode::NO_CONTENT, &name, id, writer(&mut held, id)?.len()))
    }

    pub(super) async fn append_to_upload(
        &self,
        name: String,
        id: Uuid,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Problem> {
        let mut held = self.uploads.hold(&name, id)?;
        let writer = writer(&mut held, id)?;
        self.take_chunk(writer, &name, id, head, body).await?;
        Ok(progress(StatusCode::ACCEPTED, &name, id, writer.len()))
    }

    pub(super) async fn finish_upload(
        &self,
        name: String,
        id: Uuid,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Problem> {
        let digest = query_digest(head, "digest")?;
        let digest = digest.ok_or_else(|| Problem::new(Code::DigestInvalid, "the digest parameter is missing"))?;
        let mut held = self.uploads.hold(&name, id)?;
        self.take_chunk(writer(&mut held, id)?, &name, id, head, body).await?;
        let writer = held.take().ok_or_else(|| unknown(id))?;
        self.uploads.end(id);
        self.finish(&name, writer, digest).await
    }

    pub(super) async fn cancel_upload(&self, name: String, id: Uuid) -> Result<Response<Body>, Problem> {
        let mut held = self.uploads.hold(&name, id)?;
        self.uploads.end(id);
        held.take();
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Appends a body that says where it belongs, or belongs at the end.
    async fn take_chunk(
        &self,
        writer: &mut Writer,
        name: &str,
        id: Uuid,
        head: &Parts,
        body: Body,
    ) -> Result<(), Problem> {
        let Some(header) = head.headers.get(CONTENT_RANGE) else {
            return self.take(writer, body).await;
        };
        let start = writer.len();
        let range = header.to_str().ok().and_then(range::chunk);
        let Some(range) = range.filter(|range| range.start == start) else {
            let message = format!("the chunk must begin at byte {start}");
            return Err(Problem::new(Code::RangeInvalid, message).with_headers(progress_headers(name, id, start)));
        };
        self.take(writer, body).await?;
        if writer.len() == range.end {
            return Ok(());
        }
        let message = format!("the chunk has {} bytes, not {}", writer.len() - start, range.end - start);
        Err(Problem::new(Code::BlobUploadInvalid, message))
    }

    /// Appends a body. What came before it broke off stays, so that a client can go on from there.
    async fn take(&self, writer: &mut Writer, mut body: Body) -> Result<(), Problem> {
        let bytes_max = self.limits.blob_bytes_max;
        while let Some(frame) = body.frame().await {
            let broken = |error| Problem::new(Code::BlobUploadInvalid, format!("the body broke off: {error}"));
            let Ok(bytes) = frame.map_err(broken)?.into_data() else { continue };
            if writer.len() + bytes.len() as u64 > bytes_max {
                return Err(Error::TooLarge { what: "blob".into(), bytes_max }.into());
            }
            writer.write(bytes).await?;
        }
        Ok(())
    }

    async fn finish(&self, name: &str, writer: Writer, digest: Digest) -> Result<Response<Body>, Problem> {
        writer.finish(Some(&digest)).await?;
        let (repositories, path, repository) = (self.repositories.clone(), self.content.path(&digest), name.to_owned());
        let is_linked = blocking(move || repositories.link_blob(&repository, &digest, || path.exists())).await?;
        if is_linked {
            return Ok(created(&format!("/v2/{name}/blobs/{digest}"), &digest));
        }
        Err(Problem::new(Code::BlobUploadUnknown, "the blob was deleted while it was being uploaded"))
    }
}

fn progress(status: StatusCode, name: &str, id: Uuid, n_bytes: u64) -> Response<Body> {
    let mut response = empty(status);
    response.headers_mut().extend(progress_headers(name, id, n_bytes));
    set(&mut response, UPLOAD_UUID, id.to_string());
    response
}

/// Where to go on, and which bytes are there: `0-0` also stands for none, as the protocol has no other way to say it.
fn progress_headers(name: &str, id: Uuid, n_bytes: u64) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let location = HeaderValue::try_from(format!("/v2/{name}/blobs/uploads/{id}"));
    let range = HeaderValue::try_from(format!("0-{}", n_bytes.saturating_sub(1)));
    let headers = [(LOCATION, location), (RANGE, range)];
    headers.into_iter().filter_map(|(name, value)| Some((name, value.ok()?)))
}
