//! Uploads: in chunks, broken off, resumed, refused.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::{Answer, Server};
use crate::{BoxError, Digest, Limits};

async fn begin(server: &Server) -> String {
    let begun = server.post("/v2/a/blobs/uploads/", "").await.expect(202);
    assert_eq!(begun.header("range"), "0-0");
    begun.header("location").to_owned()
}

async fn chunk(server: &Server, upload: &str, range: &str, body: &'static str) -> Answer {
    server.call(Method::PATCH, upload, &[("content-range", range)], body).await
}

async fn finish(server: &Server, upload: &str, digest: Digest, body: &'static str) -> Answer {
    let digest = digest.to_string().replace(':', "%3A");
    server.call(Method::PUT, &format!("{upload}?digest={digest}"), &[], body).await
}

#[tokio::test]
async fn chunks_are_taken_in_order_and_only_in_order() {
    let server = Server::new();
    let upload = begin(&server).await;
    let first = chunk(&server, &upload, "0-4", "01234").await.expect(202);
    assert_eq!((first.header("range"), first.header("location")), ("0-4", &*upload));
    for range in ["0-4", "4-8", "6-10", "x"] {
        let refused = chunk(&server, &upload, range, "56789").await;
        assert_eq!(refused.code(), (416, "BLOB_UPLOAD_INVALID".into()), "{range}");
        assert_eq!(refused.header("range"), "0-4", "it says where to go on");
    }
    let status = server.get(&upload).await.expect(204);
    assert_eq!((status.header("range"), status.header("location")), ("0-4", &*upload));
    server.call(Method::PATCH, &upload, &[], "567").await.expect(202);
    let done = finish(&server, &upload, Digest::of(b"0123456789"), "89").await.expect(201);
    assert_eq!(server.get(done.header("location")).await.body, "0123456789");
    assert_eq!(server.get(&upload).await.code(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
}

#[tokio::test]
async fn a_body_that_breaks_off_can_be_resumed() {
    let server = Server::new();
    let upload = begin(&server).await;
    let frames: [Result<Frame<Bytes>, BoxError>; 2] = [Ok(Frame::data("0123".into())), Err("connection reset".into())];
    let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
    let broken = server.send(Request::patch(&upload).body(body).unwrap()).await;
    assert_eq!(broken.code(), (400, "BLOB_UPLOAD_INVALID".into()));
    assert_eq!(server.get(&upload).await.header("range"), "0-3");
    chunk(&server, &upload, "4-5", "45").await.expect(202);
    finish(&server, &upload, Digest::of(b"012345"), "").await.expect(201);
}

#[tokio::test]
async fn an_upload_with_another_digest_leaves_nothing() {
    let server = Server::new();
    let upload = begin(&server).await;
    let refused = finish(&server, &upload, Digest::of(b"this"), "that").await;
    assert_eq!(refused.code(), (400, "DIGEST_INVALID".into()));
    let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::of(b"this"));
    assert_eq!(server.post(&path, "that").await.code(), (400, "DIGEST_INVALID".into()));
    let missing = server.call(Method::PUT, &begin(&server).await, &[], "").await;
    assert_eq!(missing.code(), (400, "DIGEST_INVALID".into()));
    for digest in [Digest::of(b"this"), Digest::of(b"that")] {
        server.get(&format!("/v2/a/blobs/{digest}")).await.expect(404);
    }
}

#[tokio::test]
async fn an_upload_is_its_repositorys_and_can_be_cancelled() {
    let server = Server::new();
    let upload = begin(&server).await;
    assert_eq!(server.get(&upload.replace("/a/", "/b/")).await.code(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
    server.delete(&upload).await.expect(204);
    assert_eq!(chunk(&server, &upload, "0-0", "0").await.code(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
    assert_eq!(server.get("/v2/a/blobs/uploads/1").await.code(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
}

#[tokio::test]
async fn too_large_a_blob_is_refused() {
    let server = Server::with_limits(Limits { blob_bytes_max: 8, ..Limits::default() });
    let upload = begin(&server).await;
    chunk(&server, &upload, "0-7", "01234567").await.expect(202);
    assert_eq!(chunk(&server, &upload, "8-8", "8").await.code(), (413, "SIZE_INVALID".into()));
    let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::of(b"012345678"));
    assert_eq!(server.post(&path, "012345678").await.code(), (413, "SIZE_INVALID".into()));
}

#[tokio::test(start_paused = true)]
async fn idle_uploads_make_room_for_others() {
    let server = Server::with_limits(Limits { uploads_max: 2, ..Limits::default() });
    let idle = begin(&server).await;
    tokio::time::advance(Duration::from_secs(1800)).await;
    let busy = begin(&server).await;
    let refused = server.post("/v2/a/blobs/uploads/", "").await;
    assert_eq!(refused.code(), (429, "TOOMANYREQUESTS".into()));
    tokio::time::advance(Duration::from_secs(1800)).await;
    begin(&server).await;
    server.get(&busy).await.expect(204);
    server.get(&idle).await.expect(404);
}
