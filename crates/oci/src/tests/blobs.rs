//! Blobs: reading, ranges, mounting, deleting.

use http::Method;

use super::Server;
use crate::Digest;

#[tokio::test]
async fn the_base_says_that_it_is_a_registry() {
    let server = Server::new();
    server.get("/v2/").await.expect(200);
    server.head("/v2/").await.expect(200);
    assert_eq!(server.get("/v1/").await.code(), (400, "NAME_INVALID".into()));
    assert_eq!(server.post("/v2/", "").await.code(), (405, "UNSUPPORTED".into()));
}

#[tokio::test]
async fn a_blob_is_served_whole_and_in_parts() {
    let server = Server::new();
    let blob = server.put_blob("team/app", "0123456789").await;
    let path = format!("/v2/team/app/blobs/{}", blob.digest);
    for whole in [server.get(&path).await, server.head(&path).await] {
        assert_eq!(whole.status, 200);
        assert_eq!((whole.header("content-length"), whole.header("accept-ranges")), ("10", "bytes"));
        assert_eq!(whole.header("docker-content-digest"), blob.digest.to_string());
    }
    assert_eq!(server.get(&path).await.body, "0123456789");
    let part = server.call(Method::GET, &path, &[("range", "bytes=2-4")], "").await.expect(206);
    assert_eq!((&*part.body, part.header("content-range")), (&b"234"[..], "bytes 2-4/10"));
    let outside = server.call(Method::GET, &path, &[("range", "bytes=10-")], "").await.expect(416);
    assert_eq!(outside.header("content-range"), "bytes */10");
}

#[tokio::test]
async fn an_unknown_blob_is_not_found_not_even_in_another_repository() {
    let server = Server::new();
    let blob = server.put_blob("a", "content").await;
    for path in [format!("/v2/b/blobs/{}", blob.digest), format!("/v2/a/blobs/{}", Digest::of(b"other"))] {
        let answer = server.get(&path).await;
        assert_eq!(answer.code(), (404, "BLOB_UNKNOWN".into()));
        assert!(answer.json()["errors"][0]["detail"].as_str().unwrap().starts_with("sha256:"));
        server.head(&path).await.expect(404);
    }
    assert_eq!(server.get("/v2/a/blobs/sha256:12").await.code(), (400, "DIGEST_INVALID".into()));
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository_without_uploading_it() {
    let server = Server::new();
    let digest = server.put_blob("a", "content").await.digest;
    let mount = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
    let mounted = server.post(&mount, "").await.expect(201);
    assert_eq!(mounted.header("location"), format!("/v2/b/blobs/{digest}"));
    assert_eq!(server.get(mounted.header("location")).await.body, "content");
    server.post(&format!("/v2/c/blobs/uploads/?mount={digest}"), "").await.expect(201);

    let not_there = server.post(&format!("/v2/d/blobs/uploads/?mount={digest}&from=z"), "").await.expect(202);
    assert!(not_there.header("location").starts_with("/v2/d/blobs/uploads/"), "an upload begins instead");
    server.post(&format!("/v2/d/blobs/uploads/?mount={digest}&from=../a"), "").await.expect(202);
}

#[tokio::test]
async fn a_content_goes_with_the_last_repository_that_has_it() {
    let server = Server::new();
    let digest = server.put_blob("a", "content").await.digest;
    server.put_blob("b", "content").await;
    server.delete(&format!("/v2/a/blobs/{digest}")).await.expect(202);
    assert_eq!(server.delete(&format!("/v2/a/blobs/{digest}")).await.code(), (404, "BLOB_UNKNOWN".into()));
    server.get(&format!("/v2/b/blobs/{digest}")).await.expect(200);
    let file = server.dir.path().join("blobs/sha256").join(digest.hex());
    assert!(file.exists());
    server.delete(&format!("/v2/b/blobs/{digest}")).await.expect(202);
    assert!(!file.exists());
}
